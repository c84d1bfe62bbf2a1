"""Modo over TLS: what is known strictly, what is not by switches."""

from __future__ import annotations

import hashlib
import ssl
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest

from include.sandbox.connections import MODO_CHANNEL_TOKEN, MODO_DIRECTORY_TOKEN
from include.sandbox.core import Sandbox
from include.sandbox.faults import Fault, FaultKind
from include.sandbox.vendors.modo import V2_MEDIA_TYPE, Modo

REVISIONS = "/api/v1/directories/revisions/"
MESSAGES = "/api/v1/messages/personal/"
RECIPIENTS = "/api/applications/campus/test/recipients"
DIRECTORY = {"Authorization": f"Token {MODO_DIRECTORY_TOKEN}"}
CHANNEL = {"Authorization": f"Token {MODO_CHANNEL_TOKEN}"}
XML = b"<?xml version='1.0'?>\r\n<people><person id='1'/>\r\n</people>\n\n"
MESSAGE: dict[str, Any] = {
    "title": "Daily check",
    "body": "Please open https://example.edu/check",
    "style": "information",
    "send_tag": "university",
    "push_notifications": True,
}


@pytest.fixture
def sandbox() -> Iterator[Sandbox]:
    with Sandbox([Modo]) as running:
        yield running


@pytest.fixture
def modo(sandbox: Sandbox) -> Modo:
    vendor: Modo = sandbox.vendor("modo")
    return vendor


@pytest.fixture
def client(sandbox: Sandbox) -> Iterator[httpx.Client]:
    trust = ssl.create_default_context(cafile=str(sandbox.ca_bundle))
    with httpx.Client(base_url=sandbox.url("modo"), verify=trust, trust_env=False, timeout=10) as opened:
        yield opened


def upload(client: httpx.Client, content: bytes = XML, *, name: str = "staff-2026-01-05") -> httpx.Response:
    files = {"upload": ("all.xml", content, "application/xml", {"Expires": "0"})}
    return client.post(REVISIONS, headers=DIRECTORY, files=files, data={"name": name})


def send(client: httpx.Client, **changes: Any) -> httpx.Response:
    return client.post(MESSAGES, headers=CHANNEL, json={**MESSAGE, **changes})


# Directory


@pytest.mark.parametrize(
    "content", [XML, b"<a>\x85\xc3\xbc</a>".replace(b"\x85", b"\r"), b"<a>" + b"x" * 3_000_000 + b"</a>"]
)
def test_an_upload_is_kept_to_the_byte_and_becomes_the_current_directory(
    sandbox: Sandbox, modo: Modo, client: httpx.Client, content: bytes
) -> None:
    answer = upload(client, content)

    assert answer.status_code == 201
    revision = answer.json()["id"]
    assert modo.content(revision) == content
    assert modo.snapshot()["current"] == revision
    digest = hashlib.sha256(content).hexdigest()
    uploaded, enabled = sandbox.effects.entries()
    assert (uploaded["kind"], uploaded["name"], uploaded["size"]) == (
        "directory_revision", "staff-2026-01-05", len(content),
    )  # fmt: skip
    assert (uploaded["sha256"], uploaded["revision"]) == (digest, revision)
    assert (enabled["kind"], enabled["revision"]) == ("directory_enabled", revision)


def test_the_last_upload_is_the_current_one_and_the_earlier_stay(modo: Modo, client: httpx.Client) -> None:
    first, second = (upload(client, name=name).json()["id"] for name in ("one", "two"))

    state = modo.snapshot()
    assert [facts["id"] for facts in state["revisions"]] == [first, second]
    assert state["current"] == second


@pytest.mark.parametrize(
    ("files", "data", "field"),
    [
        (
            {"upload": ("a.xml", b"", "application/xml")},
            {"name": "x"},
            "upload",
        ),  # Not rewound before a retry.
        ({"file": ("a.xml", XML, "application/xml")}, {"name": "x"}, "upload"),
        ({"upload": (None, XML, "application/xml")}, {"name": "x"}, "upload"),
        ({"upload": ("a.xml", XML, "application/xml")}, {}, "name"),
        ({"upload": ("a.xml", XML, "application/xml")}, {"name": " "}, "name"),
    ],
)
def test_an_incomplete_upload_is_refused_by_field(
    modo: Modo, client: httpx.Client, files: Any, data: Any, field: str
) -> None:
    modo.set_options({"bad_xml": "ignore"})
    answer = client.post(REVISIONS, headers=DIRECTORY, files=files, data=data)

    assert (answer.status_code, list(answer.json())) == (400, [field])
    assert modo.snapshot()["revisions"] == []


@pytest.mark.parametrize("content_type", ["application/json", "multipart/form-data", "application/xml"])
def test_an_upload_that_is_not_multipart_with_a_boundary_is_refused(
    modo: Modo, client: httpx.Client, content_type: str
) -> None:
    answer = client.post(REVISIONS, headers={**DIRECTORY, "Content-Type": content_type}, content=XML)

    assert answer.status_code == 400
    assert modo.snapshot()["revisions"] == []


def test_an_upload_above_the_limit_is_refused(modo: Modo, client: httpx.Client) -> None:
    modo.set_options({"max_upload_bytes": 1000})
    assert upload(client, b"<a>" + b"x" * 1000 + b"</a>").status_code == 413


BAD_XML = [b"<people><person></people>", b"{}", XML[:40]]


@pytest.mark.parametrize("content", BAD_XML)
def test_bad_xml_is_refused(modo: Modo, client: httpx.Client, content: bytes) -> None:
    assert upload(client, content).status_code == 400
    assert modo.snapshot()["revisions"] == []


@pytest.mark.parametrize("content", BAD_XML)
def test_or_bad_xml_is_accepted_and_changes_nothing(
    sandbox: Sandbox, modo: Modo, client: httpx.Client, content: bytes
) -> None:
    modo.set_options({"bad_xml": "ignore"})
    good = upload(client).json()["id"]
    bad = upload(client, content)

    assert bad.status_code == 201
    assert modo.snapshot()["current"] == good
    assert [e["revision"] for e in sandbox.effects.entries(kind="directory_enabled")] == [good]


def test_a_revision_may_stay_pending_until_it_is_enabled(
    sandbox: Sandbox, modo: Modo, client: httpx.Client
) -> None:
    modo.set_options({"enable_at_upload": False})
    revision = upload(client).json()["id"]
    assert modo.snapshot()["current"] is None

    assert client.post(f"{REVISIONS}{revision}/enable/", headers=CHANNEL).status_code == 401
    assert client.post(f"{REVISIONS}nothing/enable/", headers=DIRECTORY).status_code == 404
    assert client.post(f"{REVISIONS}{revision}/enable/", headers=DIRECTORY).status_code == 200
    assert modo.snapshot()["current"] == revision
    assert [e["operation"] for e in sandbox.requests.entries()][-1] == "enable_directory"


@pytest.mark.parametrize("action", ["activate", ""])
def test_how_a_revision_is_enabled_can_be_switched(modo: Modo, client: httpx.Client, action: str) -> None:
    modo.set_options({"enable_at_upload": False, "enable_action": action})
    revision = upload(client).json()["id"]

    assert client.post(f"{REVISIONS}{revision}/enable/", headers=DIRECTORY).status_code == 404
    renamed = client.post(f"{REVISIONS}{revision}/activate/", headers=DIRECTORY)
    assert (renamed.status_code == 200) == (action == "activate") == (modo.snapshot()["current"] == revision)


# Messages


def test_a_message_is_counted_and_its_text_is_not_kept(
    sandbox: Sandbox, modo: Modo, client: httpx.Client
) -> None:
    assert send(client).status_code == 201
    assert send(client, push_notifications=False).status_code == 201

    first, second = sandbox.effects.entries(kind="message_sent")
    assert (first["title"], first["send_tag"], first["style"], first["push"]) == (
        "Daily check", "university", "information", True,
    )  # fmt: skip
    assert first["body_length"] == len(MESSAGE["body"])
    assert first["body_sha256"] == hashlib.sha256(MESSAGE["body"].encode()).hexdigest()
    assert (second["message"], second["push"]) == (2, False)
    assert len(modo.snapshot()["messages"]) == 2
    assert "example.edu" not in str([sandbox.effects.entries(), sandbox.requests.entries(), modo.snapshot()])


@pytest.mark.parametrize(
    ("changes", "field"),
    [
        ({"push_notifications": "true"}, "push_notifications"),
        ({"push_notifications": 1}, "push_notifications"),
        ({"push_notifications": None}, "push_notifications"),
        ({"title": None}, "title"),
        ({"title": "  "}, "title"),
        ({"body": 7}, "body"),
    ],
)
def test_a_wrong_message_is_refused_by_field_and_not_sent(
    sandbox: Sandbox, client: httpx.Client, changes: dict[str, Any], field: str
) -> None:
    answer = send(client, **changes)

    assert (answer.status_code, list(answer.json())) == (400, [field])
    assert sandbox.effects.entries() == []


@pytest.mark.parametrize(("content", "status"), [(b"{", 400), (b"[]", 400), (b"\xff", 400)])
def test_a_body_that_is_no_json_object_is_refused(client: httpx.Client, content: bytes, status: int) -> None:
    headers = {**CHANNEL, "Content-Type": "application/json"}
    assert client.post(MESSAGES, headers=headers, content=content).status_code == status


def test_a_form_is_no_json(client: httpx.Client) -> None:
    assert client.post(MESSAGES, headers=CHANNEL, data=MESSAGE).status_code == 415


@pytest.mark.parametrize(
    ("length", "switch", "status"), [(119, "refuse", 201), (120, "refuse", 400), (500, "accept", 201)]
)
def test_a_long_title_is_accepted_or_refused(
    modo: Modo, client: httpx.Client, length: int, switch: str, status: int
) -> None:
    modo.set_options({"long_title": switch})
    assert send(client, title="x" * length).status_code == status


def test_styles_are_free_unless_a_list_is_given(modo: Modo, client: httpx.Client) -> None:
    assert send(client, style="party").status_code == 201
    modo.set_options({"known_styles": ["information"]})
    assert send(client, style="party").status_code == 400
    assert send(client).status_code == 201


@pytest.mark.parametrize("kind", [FaultKind.STATUS_AFTER, FaultKind.SLOW, FaultKind.LOSE_ANSWER])
def test_a_message_may_be_sent_although_the_answer_says_otherwise(
    sandbox: Sandbox, client: httpx.Client, kind: FaultKind
) -> None:
    sandbox.arm(Fault(vendor="modo", kind=kind, operation="send_message", status=500, seconds=0.3))
    try:
        status = client.post(MESSAGES, headers=CHANNEL, json=MESSAGE, timeout=0.1).status_code
    except httpx.TransportError:
        status = 0

    assert status in (0, 500)
    assert len(sandbox.effects.entries(kind="message_sent")) == 1


# Both


@pytest.mark.parametrize("status", [401, 403])
@pytest.mark.parametrize(
    "authorization",
    [
        None,
        "",
        "Token",
        "Token nonsense",
        "Token ü",
        f"Bearer {MODO_DIRECTORY_TOKEN}",
        f"Bearer {MODO_CHANNEL_TOKEN}",
        MODO_DIRECTORY_TOKEN,
    ],
)
def test_only_the_right_token_opens_either_door(
    modo: Modo, client: httpx.Client, authorization: str | None, status: int
) -> None:
    modo.set_options({"wrong_token_status": status})
    headers = {} if authorization is None else {b"Authorization": authorization.encode()}

    for path in (REVISIONS, MESSAGES):
        answer = client.post(path, headers=headers, json=MESSAGE)
        assert answer.status_code == status
        assert list(answer.json()) == ["detail"]


def test_each_token_opens_only_its_own_door(sandbox: Sandbox, client: httpx.Client) -> None:
    assert client.post(MESSAGES, headers=DIRECTORY, json=MESSAGE).status_code == 401
    files = {"upload": ("a.xml", XML, "application/xml")}
    assert client.post(REVISIONS, headers=CHANNEL, files=files, data={"name": "x"}).status_code == 401
    assert sandbox.effects.entries() == []


@pytest.mark.parametrize(("path", "token"), [(REVISIONS, DIRECTORY), (MESSAGES, CHANNEL)])
def test_without_the_slash_a_naive_client_loses_its_post(
    sandbox: Sandbox, modo: Modo, client: httpx.Client, path: str, token: dict[str, str]
) -> None:
    answer = client.post(path.rstrip("/"), headers=token, json=MESSAGE)
    assert (answer.status_code, answer.headers["location"]) == (301, path)

    followed = client.post(path.rstrip("/"), headers=token, json=MESSAGE, follow_redirects=True)
    assert (followed.request.method, followed.status_code) == ("GET", 405)

    modo.set_options({"without_slash": "not_found"})
    assert client.post(path.rstrip("/"), headers=CHANNEL, json=MESSAGE).status_code == 404
    modo.set_options({"without_slash": "error"})
    assert client.post(path.rstrip("/"), headers=CHANNEL, json=MESSAGE).status_code == 500
    assert sandbox.effects.entries() == []


@pytest.mark.parametrize("status", [200, 201, 202])
@pytest.mark.parametrize(("body", "length"), [("json", 2), ("text", 2), ("empty", 0)])
def test_success_comes_in_several_forms(
    modo: Modo, client: httpx.Client, status: int, body: str, length: int
) -> None:
    modo.set_options({"success_status": status, "success_body": body})

    for answer in (upload(client), send(client)):
        assert answer.status_code == status
        assert len(answer.content) >= length
        assert (answer.content == b"") == (body == "empty")


@pytest.mark.parametrize(("switch", "content_type"), [("text", "text/plain; charset=utf-8"), ("empty", None)])
def test_errors_come_in_several_forms(
    modo: Modo, client: httpx.Client, switch: str, content_type: str | None
) -> None:
    modo.set_options({"error_body": switch})
    for answer in (send(client, title=None), client.post(MESSAGES, json=MESSAGE), client.get("/nowhere")):
        assert answer.status_code in (400, 401, 404)
        assert answer.headers.get("content-type") == content_type


@pytest.mark.parametrize(
    ("fault", "status"),
    [
        ({"kind": FaultKind.STATUS, "status": 429, "retry_after": "3"}, 429),
        ({"kind": FaultKind.STATUS, "status": 429}, 429),
        ({"kind": FaultKind.STATUS, "status": 500}, 500),
        ({"kind": FaultKind.STATUS, "status": 502}, 502),
        ({"kind": FaultKind.HTML, "status": 503}, 503),
        ({"kind": FaultKind.HTML, "status": 200}, 200),
    ],
)
def test_faults_leave_nothing_behind(
    sandbox: Sandbox, client: httpx.Client, fault: dict[str, Any], status: int
) -> None:
    sandbox.arm(Fault(vendor="modo", **fault))

    assert send(client).status_code == status
    assert sandbox.effects.entries() == []


# Recipients


def v2(modo: Modo, *scopes: str, **values: Any) -> dict[str, str]:
    token = modo.v2_token(**{"application": "campus", "target": "test", "scopes": list(scopes), **values})
    return {"Authorization": f"Bearer {token}", "Accept": V2_MEDIA_TYPE}


def test_recipients_are_patched_listed_and_read(sandbox: Sandbox, modo: Modo, client: httpx.Client) -> None:
    headers = v2(modo, "recipients_view", "recipients_create")
    body = {"recipients": [{"id": "u1001", "attributes": {"points": "12"}}]}

    assert client.patch(RECIPIENTS, headers=headers, json=body).json() == {"updated": ["u1001"], "errors": {}}
    assert client.get(RECIPIENTS, headers=headers).json() == body
    assert client.get(f"{RECIPIENTS}/u1001", headers=headers).json() == body["recipients"][0]
    assert client.get(f"{RECIPIENTS}/u1002", headers=headers).status_code == 404
    assert [e["count"] for e in sandbox.effects.entries()] == [1]


def test_a_patch_may_succeed_for_some_only(modo: Modo, client: httpx.Client) -> None:
    modo.set_options({"patch_fails_for": ["u2"]})
    headers = v2(modo, "recipients_view", "recipients_create")
    body = {"recipients": [{"id": name, "attributes": {"a": "b"}} for name in ("u1", "u2")]}
    answer = client.patch(RECIPIENTS, headers=headers, json=body)

    assert (answer.status_code, answer.json()["updated"], list(answer.json()["errors"])) == (
        200,
        ["u1"],
        ["u2"],
    )
    assert set(modo.recipients) == {"u1"}


@pytest.mark.parametrize(
    "body", [{}, [], {"recipients": [{"id": 7, "attributes": {}}]}, {"recipients": ["u1"]}]
)
def test_a_patch_of_another_form_is_refused(modo: Modo, client: httpx.Client, body: Any) -> None:
    assert client.patch(RECIPIENTS, headers=v2(modo, "recipients_create"), json=body).status_code == 400


@pytest.mark.parametrize("status", [406, 404])
def test_without_the_version_header_there_is_no_answer(modo: Modo, client: httpx.Client, status: int) -> None:
    modo.set_options({"missing_version_status": status})
    headers = {**v2(modo, "recipients_view"), "Accept": "*/*"}
    assert client.get(RECIPIENTS, headers=headers).status_code == status


def test_a_token_counts_only_for_its_scope_target_application_and_time(
    sandbox: Sandbox, modo: Modo, client: httpx.Client
) -> None:
    def status(headers: dict[str, str]) -> int:
        return client.get(RECIPIENTS, headers=headers).status_code

    good = v2(modo, "recipients_view", valid_s=60)
    assert status(good) == 200
    assert status(v2(modo, "recipients_create")) == 403
    assert status(v2(modo, "recipients_view", target="live")) == 403
    assert status(v2(modo, "recipients_view", application="other")) == 403
    assert status({**good, "Authorization": f"Token {MODO_DIRECTORY_TOKEN}"}) == 401
    assert status({**good, "Authorization": good["Authorization"][:-3] + "abc"}) == 401
    assert status({**good, "Authorization": "Bearer nonsense"}) == 401
    assert status({"Accept": V2_MEDIA_TYPE}) == 401
    sandbox.clock.advance(61)
    assert status(good) == 401


# State


def test_everything_survives_a_restart(tmp_path: Path) -> None:
    with Sandbox([Modo], folder=tmp_path) as first:
        trust = ssl.create_default_context(cafile=str(first.ca_bundle))
        with httpx.Client(base_url=first.url("modo"), verify=trust, trust_env=False) as client:
            revision = upload(client).json()["id"]
            send(client)
        first.vendor("modo").seed({"recipients": {"u1": {"a": "b"}}})
        before = first.vendor("modo").snapshot()
    with Sandbox([Modo], folder=tmp_path) as second:
        assert second.vendor("modo").snapshot() == before
        assert second.vendor("modo").content(revision) == XML
        second.reset()
        assert second.vendor("modo").snapshot() == {
            "revisions": [], "current": None, "messages": [], "recipients": {},
        }  # fmt: skip


@pytest.mark.parametrize("path", [REVISIONS, MESSAGES])
def test_the_token_is_looked_at_before_the_method(client: httpx.Client, path: str) -> None:
    assert client.get(path, headers={"Authorization": "Token nobodys-token-0001"}).status_code == 401
    assert client.get(path, headers=DIRECTORY if path == REVISIONS else CHANNEL).status_code == 405
