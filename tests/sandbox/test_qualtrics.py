"""The simulated Qualtrics over TLS: credentials, envelope, start of exports, jobs, survey list, limits."""

from __future__ import annotations

import http.client
import ssl
import urllib.parse
from collections.abc import Iterator
from typing import Any

import pytest

from include.sandbox.core import Sandbox
from include.sandbox.vendors.qualtrics import Qualtrics
from include.sandbox.vendors.qualtrics.defaults import API_TOKEN, CLIENT_ID, CLIENT_SECRET
from tests.sandbox.qualtrics_client import CREDENTIALS, DAY, GRANT, SYMPTOMS, Api, error_of, exports


@pytest.fixture
def api() -> Iterator[Api]:
    with Sandbox([Qualtrics]) as sandbox:
        yield Api(sandbox)


# Tokens


def test_token_for_the_asked_scopes(api: Api) -> None:
    granted = api.token(data=GRANT | {"scope": "read:surveys"}).json()

    assert granted["token_type"] == "Bearer"
    assert (granted["expires_in"], granted["scope"]) == (3599, "read:surveys")
    assert granted["access_token"]


def test_token_without_scope_has_all_of_the_client(api: Api) -> None:
    assert api.token().json()["scope"] == "read:surveys read:survey_responses"
    api.switch(scope_required=True)
    assert api.token().status_code == 400


def test_token_request_as_multipart(api: Api) -> None:
    fields = {name: (None, value) for name, value in GRANT.items()}
    assert api.token(data=None, files=fields).status_code == 200


@pytest.mark.parametrize(
    ("arguments", "status", "error"),
    [
        ({"auth": (CLIENT_ID, "wrong")}, 401, "invalid_client"),
        ({"auth": ("somebody", CLIENT_SECRET)}, 401, "invalid_client"),
        ({"auth": None}, 401, "invalid_client"),
        ({"auth": None, "headers": {"Authorization": "Basic ?"}}, 401, "invalid_client"),
        ({"data": {"grant_type": "password"}}, 400, "unsupported_grant_type"),
        ({"data": GRANT | {"scope": "manage:all"}}, 400, "invalid_scope"),
    ],
)
def test_refused_token_requests(api: Api, arguments: dict[str, Any], status: int, error: str) -> None:
    refused = api.token(**arguments)
    assert (refused.status_code, refused.json()) == (status, {"error": error})

    api.switch(token_error_envelope=True)
    refused = api.token(**arguments)
    assert error_of(refused) == (status, "AUTH_6.0")
    assert refused.json()["meta"]["error"]["errorMessage"] == error


def test_token_ends_when_its_time_is_over(api: Api) -> None:
    api.switch(token_expires_in_s=5)
    api.sign_in()
    assert api.get("/API/v3/whoami").status_code == 200

    api.sandbox.clock.advance(5)
    assert error_of(api.get("/API/v3/whoami")) == (401, "DCD_7")

    api.sign_in()
    assert api.get("/API/v3/whoami").status_code == 200


def test_revoked_tokens(api: Api) -> None:
    api.sign_in()
    api.vendor.seed({"revoke_tokens": True})
    assert error_of(api.get("/API/v3/whoami")) == (401, "DCD_7")


# Credentials


@pytest.mark.parametrize("scheme", ["Bearer", "bearer", "BEARER"])
def test_bearer_in_any_letter_case(api: Api, scheme: str) -> None:
    token = api.sign_in()
    api.session.headers["Authorization"] = f"{scheme} {token}"
    assert api.get("/API/v3/whoami").json()["result"]["userId"]


def test_missing_credentials_are_a_400(api: Api) -> None:
    del api.session.headers["X-API-TOKEN"]
    refused = api.get("/API/v3/whoami")
    assert error_of(refused) == (400, "ATP_2")
    message = refused.json()["meta"]["error"]["errorMessage"]
    assert message.startswith("Expected authorization in headers, but none")


@pytest.mark.parametrize(
    "headers", [{"X-API-TOKEN": "x"}, {"Authorization": "Bearer x", "X-API-TOKEN": None}]
)
def test_unknown_credentials_are_a_401(api: Api, headers: dict[str, str | None]) -> None:
    refused = api.get("/API/v3/whoami", headers=headers)
    assert error_of(refused) == (401, "DCD_7")
    assert refused.json()["meta"]["error"]["errorMessage"] == "Unrecognized X-API-TOKEN."
    assert refused.json()["meta"]["requestId"]


def test_scopes_open_only_their_part(api: Api) -> None:
    api.sign_in("read:surveys")
    assert api.get("/API/v3/surveys").status_code == 200
    assert error_of(api.start()) == (403, "AuthZ_2.0")

    api.sign_in("read:survey_responses")
    assert api.get("/API/v3/surveys").status_code == 403
    progress_id = api.begin()
    api.sign_in("read:surveys")
    assert api.get(f"{exports(SYMPTOMS)}/{progress_id}").status_code == 403
    assert api.download("any").status_code == 403


def test_manage_all_opens_everything(api: Api) -> None:
    api.vendor.seed({"clients": [{"id": "admin", "secret": "s", "scopes": ["manage:all"]}]})
    token = api.token(auth=("admin", "s")).json()["access_token"]
    del api.session.headers["X-API-TOKEN"]
    api.session.headers["Authorization"] = f"Bearer {token}"
    assert api.start().status_code == 200


def test_seeded_api_token(api: Api) -> None:
    api.vendor.seed({"api_tokens": ["another"]})
    assert api.get("/API/v3/whoami", headers={"X-API-TOKEN": "another"}).status_code == 200


def test_no_secret_in_state_or_journal(api: Api) -> None:
    token = api.sign_in()
    api.get("/API/v3/whoami", headers={"X-API-TOKEN": API_TOKEN})
    shown = f"{api.vendor.snapshot()}{api.sandbox.requests.entries()}{api.sandbox.effects.entries()}"
    assert CLIENT_ID in shown
    for secret in (token, CLIENT_SECRET, API_TOKEN):
        assert secret not in shown


# Envelope


@pytest.mark.parametrize("path", ["/API/v3/nothing", "/API/v3/surveys/SV_0symptoms/export-responses/", "/"])
def test_unknown_route_has_neither_code_nor_request_id(api: Api, path: str) -> None:
    del api.session.headers["X-API-TOKEN"]  # Routes come before credentials.
    missing = api.get(path)
    assert error_of(missing) == (404, None)
    assert missing.json()["meta"]["error"]["errorMessage"] == "The requested resource does not exist."
    assert "requestId" not in missing.json()["meta"]


def test_server_errors_in_the_envelope(api: Api) -> None:
    api.switch(server_errors=2, server_error_status=504)
    for _ in range(2):
        failed = api.get("/API/v3/whoami")
        assert failed.status_code == 504
        assert failed.json()["meta"]["error"]["instanceId"]
    assert api.get("/API/v3/whoami").status_code == 200


def test_request_ids_differ(api: Api) -> None:
    found = {api.get("/API/v3/whoami").json()["meta"]["requestId"] for _ in range(3)}
    assert len(found) == 3


# Start


@pytest.mark.parametrize("path", [exports(SYMPTOMS), "/oauth2/token"])
def test_post_without_a_body_is_a_411(api: Api, path: str) -> None:
    address = urllib.parse.urlsplit(api.url)
    trust = ssl.create_default_context(cafile=str(api.sandbox.ca_bundle))
    line = http.client.HTTPSConnection(address.hostname or "", address.port, context=trust, timeout=10)
    line.putrequest("POST", path)
    line.endheaders()
    answer = line.getresponse()
    assert (answer.status, answer.getheader("Content-Type")) == (411, "text/html; charset=utf-8")
    line.close()


@pytest.mark.parametrize("slash", ["", "/"])
def test_every_start_is_a_new_job(api: Api, slash: str) -> None:
    starts = [api.call("POST", exports(SYMPTOMS) + slash, json={"format": "csv"}).json() for _ in range(3)]

    assert {s["result"]["status"] for s in starts} == {"inProgress"}
    assert {s["result"]["percentComplete"] for s in starts} == {0.0}
    progress_ids = [s["result"]["progressId"] for s in starts]
    assert len(set(progress_ids)) == 3
    started = api.sandbox.effects.entries(kind="export_started")
    assert [effect["progress_id"] for effect in started] == progress_ids


def test_effect_of_a_start(api: Api) -> None:
    progress_id = api.begin(format="json", **DAY)
    (effect,) = api.sandbox.effects.entries()
    assert {k: v for k, v in effect.items() if k not in ("at", "number")} == {
        "vendor": "qualtrics",
        "kind": "export_started",
        "survey_id": SYMPTOMS,
        "progress_id": progress_id,
        "format": "json",
        **DAY,
    }


@pytest.mark.parametrize(
    "body",
    [
        {},
        {"format": "xlsx"},
        {"format": None},
        {"Format": "csv"},
        {"format": "csv", "lastResponseId": "R_1"},
        {"format": "csv", "startdate": "2026-03-01T00:00:00Z"},
        {"format": "csv", "questionIds": "QID1"},
        {"format": "csv", "questionIds": [1]},
        {"format": "csv", "questionIds": ["QID99"]},
        {"format": "csv", "surveyMetadataIds": ["externalReference"]},
        {"format": "csv", "limit": "10"},
        {"format": "csv", "limit": True},
        {"format": "csv", "limit": 0},
        {"format": "csv", "compress": "false"},
        {"format": "csv", "seenUnansweredRecode": ""},
        {"format": "csv", "startDate": None},
        {"format": "csv", "startDate": ""},
        {"format": "csv", "startDate": "2026-03-01"},
        {"format": "csv", "startDate": "2026-03-01T00:00:00"},
        {"format": "csv", "startDate": "2026-03-01 00:00:00Z"},
        {"format": "csv", "startDate": "2026-03-01T00:00:00.000Z"},
        {"format": "csv", "endDate": "2026-02-30T00:00:00Z"},
        {"format": "csv", "endDate": "2026-03-01T00:00:00+0200"},
        {"format": "csv", "timeZone": "EST"},
        {"format": "csv", "timeZone": "Europe/Nowhere"},
        {"format": "csv", "useLabels": True, "includeLabelColumns": True},
        {"format": "csv", "filterId": "FT_0none"},
        {"format": "csv", "filterId": "FT_0yes", "allowContinuation": True},
        {"format": "csv", "filterId": "FT_0yes", "continuationToken": "x"},
        {"format": "csv", "filterId": "FT_0yes", "sortByLastModifiedDate": True},
        {"format": "csv", "continuationToken": "x"},
        {"format": "csv", "continuationToken": "x", "allowContinuation": True},
        {"format": "xml", "newlineReplacement": " "},
        *[
            {"format": form, name: value}
            for form in ("json", "ndjson")
            for name, value in (
                ("includeDisplayOrder", True),
                ("useLabels", False),
                ("formatDecimalAsComma", True),
                ("seenUnansweredRecode", 9),
                ("multiselectSeenUnansweredRecode", 9),
                ("timeZone", "UTC"),
                ("newlineReplacement", " "),
                ("breakoutSets", True),
            )
        ],
        ["csv"],
    ],
)
def test_refused_starts(api: Api, body: Any) -> None:
    assert api.call("POST", exports(SYMPTOMS), json=body).status_code == 400
    assert api.sandbox.effects.entries() == []


def test_an_unknown_key_is_named(api: Api) -> None:
    message = api.start(useLabel=True).json()["meta"]["error"]["errorMessage"]
    assert message == "Unexpected json key provided: useLabel"


@pytest.mark.parametrize("body", [b"", b"{", b"\xff"])
def test_a_start_that_is_no_json(api: Api, body: bytes) -> None:
    headers = {"Content-Length": str(len(body))}
    assert api.call("POST", exports(SYMPTOMS), data=body, headers=headers).status_code == 400


def test_switches_of_what_a_start_accepts(api: Api) -> None:
    api.switch(fractions_refused=False, external_reference_id="externalReference")
    api.begin(startDate="2026-03-01T00:00:00.000Z", surveyMetadataIds=["externalReference"])
    assert api.start(surveyMetadataIds=["externalDataReference"]).status_code == 400


def test_survey_ids(api: Api) -> None:
    assert api.start("SV_0unknown").status_code == 404
    malformed = api.start("symptoms")
    assert malformed.status_code == 400
    assert malformed.json()["meta"]["error"]["errorMessage"] == "Invalid surveyId parameter."


# Jobs


def test_a_job_from_start_to_end(api: Api) -> None:
    api.switch(polls_until_complete=3)
    progress_id = api.begin()
    for _ in range(3):
        assert api.poll(progress_id) == {"percentComplete": 0.0, "status": "inProgress"}
    done = api.poll(progress_id)
    assert (done["status"], done["percentComplete"]) == ("complete", 100.0)
    assert done["fileId"] != progress_id
    assert "continuationToken" not in done
    assert api.poll(progress_id) == done


def test_file_id_is_null_while_running(api: Api) -> None:
    api.switch(file_id_null=True, percent_while_running=38.0)
    assert api.poll(api.begin()) == {"fileId": None, "percentComplete": 38.0, "status": "inProgress"}


def test_hundred_per_cent_is_not_complete(api: Api) -> None:
    api.switch(polls_until_complete=1, full_percent_polls=2)
    progress_id = api.begin()
    polls = [api.poll(progress_id) for _ in range(4)]
    assert [p["percentComplete"] for p in polls] == [0.0, 100.0, 100.0, 100.0]
    assert [p["status"] for p in polls] == ["inProgress"] * 3 + ["complete"]
    assert ["fileId" in p for p in polls] == [False] * 3 + [True]


def test_a_job_takes_its_time(api: Api) -> None:
    api.switch(polls_until_complete=0, job_seconds=60)
    progress_id = api.begin()
    assert api.poll(progress_id)["status"] == "inProgress"
    api.sandbox.clock.advance(60)
    assert api.poll(progress_id)["status"] == "complete"


@pytest.mark.parametrize("with_error", [False, True])
def test_the_next_jobs_fail(api: Api, with_error: bool) -> None:
    api.switch(fail_jobs=2, failed_with_error=with_error)
    for _ in range(2):
        failed = api.wait(api.begin())
        assert (failed["status"], failed["percentComplete"], failed["fileId"]) == ("failed", 100, None)
        assert ("error" in failed) is with_error
    assert api.wait(api.begin())["status"] == "complete"


def test_all_jobs_fail(api: Api) -> None:
    api.switch(fail_jobs=-1)
    assert {api.wait(api.begin())["status"] for _ in range(3)} == {"failed"}


def test_an_endless_job(api: Api) -> None:
    api.switch(endless_jobs=1)
    progress_id = api.begin()
    assert {api.poll(progress_id)["status"] for _ in range(20)} == {"inProgress"}
    assert api.wait(api.begin())["status"] == "complete"


def test_a_job_vanishes_between_polls(api: Api) -> None:
    api.switch(vanish_jobs=1, vanish_after_polls=2)
    progress_id = api.begin()
    found = [api.get(f"{exports(SYMPTOMS)}/{progress_id}").status_code for _ in range(4)]
    assert found == [200, 200, 404, 404]
    assert api.wait(api.begin())["status"] == "complete"


def test_progress_of_what_is_no_job_of_this_survey(api: Api) -> None:
    progress_id = api.begin()
    file_id = api.wait(progress_id)["fileId"]
    assert api.get(f"{exports(SYMPTOMS)}/ES_unknown").status_code == 404
    assert api.get(f"{exports('SV_0feedback')}/{progress_id}").status_code == 404
    assert api.get(f"{exports(SYMPTOMS)}/{file_id}").status_code == 404


# Limits


@pytest.mark.parametrize(
    ("switch", "path"),
    [
        ("limit_start", None),
        ("limit_progress", exports(SYMPTOMS) + "/ES_unknown"),
        ("limit_file", exports(SYMPTOMS) + "/unknown/file"),
        ("limit_brand", "/API/v3/whoami"),
    ],
)
def test_each_kind_of_call_has_its_limit(api: Api, switch: str, path: str | None) -> None:
    api.switch(**{switch: 3})

    def call() -> int:
        return (api.get(path) if path else api.start()).status_code

    assert 429 not in [call() for _ in range(3)]
    limited = api.get(path) if path else api.start()
    assert error_of(limited) == (429, "RATE_LIMIT_EXCEEDED")
    wait_s = int(limited.headers["Retry-After"])
    assert 58 <= wait_s <= 60

    api.sandbox.clock.advance(wait_s)
    assert call() != 429


def test_a_limit_without_retry_after(api: Api) -> None:
    api.switch(limit_start=1, retry_after=False)
    api.begin()
    limited = api.start()
    assert limited.status_code == 429
    assert "Retry-After" not in limited.headers


def test_the_real_limit_of_starts(api: Api) -> None:
    assert {api.start().status_code for _ in range(100)} == {200}
    assert api.start().status_code == 429
    assert api.get("/API/v3/whoami").status_code == 200


# Surveys


def test_survey_list(api: Api) -> None:
    listed = api.get("/API/v3/surveys").json()["result"]
    assert listed["nextPage"] is None
    names = {item["id"]: item["name"] for item in listed["elements"]}
    assert names == {
        "SV_0symptoms": "Symptom tracker",
        "SV_0feedback": "Course feedback",
        "SV_0visitors": "Visitor log",
    }
    assert set(listed["elements"][0]) == {"id", "name", "ownerId", "lastModified", "creationDate", "isActive"}


@pytest.mark.parametrize("parameter", ["offset", "skipToken"])
def test_survey_pages(api: Api, parameter: str) -> None:
    api.switch(cursor_parameter=parameter)
    api.vendor.seed({"many_surveys": 230})
    url, pages = api.url + "/API/v3/surveys", []
    while url:
        result = api.get(url).json()["result"]
        pages.append(result["elements"])
        url = result["nextPage"]
        assert url is None or (url.startswith(api.url) and f"{parameter}=" in url)

    assert [len(page) for page in pages] == [100, 100, 33]
    assert len({item["id"] for page in pages for item in page}) == 233


@pytest.mark.parametrize(("parameter", "cursor"), [("offset", "x"), ("offset", "-1"), ("skipToken", "%")])
def test_broken_cursor(api: Api, parameter: str, cursor: str) -> None:
    api.switch(cursor_parameter=parameter)
    assert api.get("/API/v3/surveys", params={parameter: cursor}).status_code == 400


def test_exactly_one_page(api: Api) -> None:
    api.vendor.seed({"many_surveys": 97})
    assert api.get("/API/v3/surveys").json()["result"]["nextPage"] is None


def test_filters(api: Api) -> None:
    elements = api.get(f"/API/v3/surveys/{SYMPTOMS}/filters").json()["result"]["elements"]
    assert [(e["filterId"], e["filterName"]) for e in elements] == [("FT_0yes", "With symptoms")]


# Another datacenter


def test_wrong_datacenter(api: Api) -> None:
    file_id = api.finish(**DAY)
    api.switch(wrong_datacenter=True)

    assert api.get("/API/v3/surveys").json()["meta"]["notice"]
    assert api.start().status_code == 400
    assert api.download(file_id).status_code == 200

    api.sign_in()
    refused = api.get("/API/v3/surveys")
    assert error_of(refused) == (401, "DCD_7")
    assert refused.json()["meta"]["requestId"] == ""


# Seeds


@pytest.mark.parametrize(
    "seed",
    [
        {"survey": []},
        {"responses": [{"survey_id": "SV_0unknown"}]},
        {"responses": [{"survey_id": SYMPTOMS, "recorded": "2026-03-01T00:00:00Z"}]},
        {"responses": [{"survey_id": SYMPTOMS, "recordedDate": "2026-03-01T00:00:00"}]},
        {"generate": {"survey_id": SYMPTOMS, "from": "2026-03-01T00:00:00Z", "every": 5}},
        {"generate": {"survey_id": SYMPTOMS, "from": "2026-03-01T00:00:00Z", "every_s": 0}},
        {"large": {"survey_id": "SV_0large", "bytes": 10}},
    ],
)
def test_malformed_seeds_say_so(api: Api, seed: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match=r"\S"):
        api.vendor.seed(seed)


def test_unknown_switch(api: Api) -> None:
    with pytest.raises(ValueError, match="polls"):
        api.switch(polls=1)


def test_clear_forgets_all_but_the_defaults(api: Api) -> None:
    api.vendor.seed({"many_surveys": 1, "clients": [{"id": "c", "secret": "s"}]})
    progress_id = api.begin()
    api.sandbox.reset()
    assert len(api.get("/API/v3/surveys").json()["result"]["elements"]) == 3
    assert api.token(auth=("c", "s")).status_code == 401
    assert api.token(auth=CREDENTIALS).status_code == 200
    assert api.get(f"{exports(SYMPTOMS)}/{progress_id}").status_code == 404
