"""Webex in a box: signing in, refreshing, and what tokens are good for."""

from __future__ import annotations

import ssl
from typing import Any
from urllib.parse import parse_qs, urlsplit

import httpx
import pytest

from include.sandbox.connections import WEBEX_BOT_TOKEN, WEBEX_CLIENT, WEBEX_REFRESH_TOKEN
from include.sandbox.core import Sandbox
from include.sandbox.vendors.webex import Webex
from include.sandbox.vendors.webex.answers import NO_TOKEN
from include.sandbox.vendors.webex.model import ORG_ID
from include.sandbox.vendors.webex.seeds import (
    REDIRECT_URI,
    SERVICE_APP,
    SERVICE_REFRESH_TOKEN,
    SERVICE_SECRET,
)
from tests.sandbox.webex import WebexClient, token

SCOPES = "meeting:schedules_read meeting:schedules_write"
DAY = 86_400


def log_in(box: Sandbox, **changes: str | None) -> httpx.Response:
    asked = {
        "client_id": WEBEX_CLIENT,
        "response_type": "code",
        "redirect_uri": REDIRECT_URI,
        "scope": SCOPES,
        "state": "mine/42",
        "response_mode": "query",
        **changes,
    }
    return httpx.get(
        f"{box.url('webex')}/v1/authorize",
        params={name: value for name, value in asked.items() if value is not None},
        verify=ssl.create_default_context(cafile=str(box.ca_bundle)),
        trust_env=False,
    )


def returned(answer: httpx.Response) -> dict[str, str]:
    """What the browser brings back to the redirect address."""
    assert answer.status_code == 302, answer.text
    location = urlsplit(answer.headers["Location"])
    assert location._replace(query="").geturl() == REDIRECT_URI
    return {name: values[0] for name, values in parse_qs(location.query).items()}


def exchange(box: Sandbox, code: str, **changes: str) -> httpx.Response:
    return token(
        box, **{"grant_type": "authorization_code", "code": code, "redirect_uri": REDIRECT_URI, **changes}
    )


def works(box: Sandbox, access: str) -> bool:
    client = WebexClient(box, access)
    answer = client.http.get("/meetings")
    client.http.close()
    return answer.status_code == 200


def test_a_person_logs_in_and_the_code_becomes_a_pair_of_tokens(box: Sandbox) -> None:
    back = returned(log_in(box))
    assert back["state"] == "mine/42"
    pair = exchange(box, back["code"])
    assert pair.status_code == 200
    fields = pair.json()
    assert (fields["expires_in"], fields["refresh_token_expires_in"]) == (1_209_599, 7_775_999)
    assert fields["token_type"] == "Bearer"
    assert fields["scope"] == SCOPES
    assert works(box, fields["access_token"])
    assert [e["person"] for e in box.effects.entries(kind="signed_in")] == ["roulette@example.test"]


def test_whoever_does_not_agree_is_sent_back_with_an_error(box: Sandbox, webex: Webex) -> None:
    webex.set_options({"logs_in": ""})
    back = returned(log_in(box))
    assert back["error"] == "access_denied"
    assert back["error_description"]
    assert back["state"] == "mine/42"
    assert "code" not in back


@pytest.mark.parametrize("changes", [{"redirect_uri": REDIRECT_URI + "/"}, {"client_id": "nobody"}])
def test_an_address_that_nobody_registered_gets_nothing(box: Sandbox, changes: dict[str, str]) -> None:
    answer = log_in(box, **changes)
    assert answer.status_code == 400
    assert "Location" not in answer.headers


@pytest.mark.parametrize(
    ("changes", "error"),
    [
        ({"scope": "meeting:admin_schedule_write"}, "invalid_scope"),
        ({"scope": None}, "invalid_scope"),
        ({"response_type": "token"}, "unsupported_response_type"),
    ],
)
def test_a_wrong_request_is_sent_back_with_its_error(box: Sandbox, changes: Any, error: str) -> None:
    assert returned(log_in(box, **changes))["error"] == error


def test_a_code_is_good_for_one_try(box: Sandbox) -> None:
    code = returned(log_in(box))["code"]
    assert exchange(box, code).status_code == 200
    assert exchange(box, code).status_code == 400


@pytest.mark.parametrize(
    ("changes", "status"),
    [
        ({"redirect_uri": "http://localhost/else"}, 400),
        ({"client_secret": "wrong"}, 401),
        ({"client_id": "nobody"}, 401),
        ({"code": "guessed"}, 400),
        ({"grant_type": "password"}, 400),
    ],
)
def test_a_wrong_exchange_is_refused(box: Sandbox, changes: dict[str, str], status: int) -> None:
    code = returned(log_in(box))["code"]
    answer = exchange(box, **{"code": code, **changes})
    assert answer.status_code == status
    assert answer.json()["trackingId"] == answer.headers["trackingid"]


def test_a_code_ends_after_five_minutes(box: Sandbox) -> None:
    code = returned(log_in(box))["code"]
    box.clock.advance(301)
    assert exchange(box, code).status_code == 400


def test_the_form_is_the_only_body(box: Sandbox) -> None:
    answer = httpx.post(
        f"{box.url('webex')}/v1/access_token",
        json={"grant_type": "refresh_token", "refresh_token": WEBEX_REFRESH_TOKEN},
        verify=ssl.create_default_context(cafile=str(box.ca_bundle)),
        trust_env=False,
    )
    assert answer.status_code == 400


def test_no_secret_reaches_the_journal(box: Sandbox) -> None:
    returned(log_in(box))
    token(box)
    told = str(box.requests.entries())
    assert WEBEX_REFRESH_TOKEN not in told
    assert "sandbox-webex-secret" not in told


def test_an_access_token_ends_after_two_weeks_with_the_documented_words(box: Sandbox) -> None:
    access = token(box).json()["access_token"]
    box.clock.advance(14 * DAY - 1)
    assert works(box, access)
    box.clock.advance(1)
    client = WebexClient(box, access)
    answer = client.answer("GET", "/meetings", 401)
    client.http.close()
    assert answer.json() == {
        "message": NO_TOKEN,
        "errors": [{"description": NO_TOKEN}],
        "trackingId": answer.headers["trackingid"],
    }
    assert answer.json()["trackingId"].startswith("ROUTER_")


@pytest.mark.parametrize("header", [None, "", "Bearer", "Bearer guessed", "Basic abc", WEBEX_BOT_TOKEN])
def test_without_a_token_nothing_is_told(box: Sandbox, header: str | None) -> None:
    client = WebexClient(box)
    client.answer("GET", "/people/me", 401, headers={} if header is None else {"Authorization": header})
    client.http.close()


def test_a_refresh_keeps_the_token_and_gives_it_its_whole_life_again(box: Sandbox) -> None:
    box.clock.advance(80 * DAY)
    again = token(box).json()
    assert again["refresh_token"] == WEBEX_REFRESH_TOKEN
    assert again["refresh_token_expires_in"] == 7_775_999
    box.clock.advance(80 * DAY)
    assert token(box).status_code == 200


def test_without_sliding_the_life_counts_down_and_ends(box: Sandbox, webex: Webex) -> None:
    webex.set_options({"slide": False})
    box.clock.advance(80 * DAY)
    left = token(box).json()["refresh_token_expires_in"]
    assert 10 * DAY - 10 < left <= 10 * DAY
    box.clock.advance(10 * DAY)
    answer = token(box)
    assert answer.status_code == 400
    assert "expired, revoked, malformed, or invalid" in answer.json()["message"]


def test_rotation_kills_the_token_that_was_presented(box: Sandbox, webex: Webex) -> None:
    webex.set_options({"rotate": True})
    second = token(box).json()["refresh_token"]
    assert second != WEBEX_REFRESH_TOKEN
    assert token(box).status_code == 400
    assert token(box, refresh_token=second).status_code == 200


def test_a_refresh_may_say_nothing_of_the_refresh_token(box: Sandbox, webex: Webex) -> None:
    webex.set_options({"refresh_in_answer": False, "scope_in_answer": False})
    assert set(token(box).json()) == {"access_token", "expires_in", "token_type"}
    assert token(box).status_code == 200


def test_refusals_of_tokens_come_in_either_shape(box: Sandbox, webex: Webex) -> None:
    webex.set_options({"token_errors": "oauth"})
    answer = token(box, refresh_token="dead")
    assert answer.status_code == 400
    assert answer.json()["error"] == "invalid_grant"
    assert answer.json()["trackingId"] == answer.headers["trackingid"]
    assert token(box, client_secret="wrong").json()["error"] == "invalid_client"


def test_lives_are_switches(box: Sandbox, webex: Webex) -> None:
    webex.set_options({"access_life_s": 3600, "refresh_life_s": 7200})
    fields = token(box).json()
    assert (fields["expires_in"], fields["refresh_token_expires_in"]) == (3599, 7199)
    box.clock.advance(3600)
    assert not works(box, fields["access_token"])


def test_tokens_can_be_revoked(box: Sandbox, webex: Webex) -> None:
    access = token(box).json()["access_token"]
    webex.seed({"revoke": {"access": True, "refresh": True}})
    assert not works(box, access)
    assert token(box).status_code == 400


def test_a_service_app_has_a_pair_of_its_own(box: Sandbox, webex: Webex) -> None:
    """An integration with the right scope gets the first pair; later ones come by the refresh grant."""
    webex.seed(
        {"tokens": {"token": "t-1", "person": "ana@example.test", "scopes": ["spark:applications_token"]}}
    )
    client = WebexClient(box, "t-1")
    asked = {"clientId": SERVICE_APP, "clientSecret": SERVICE_SECRET, "targetOrgId": ORG_ID}
    pair = client.answer("POST", f"/applications/{SERVICE_APP}/token", json=asked, expect=200).json()
    assert works(box, pair["access_token"])
    client.post(f"/applications/{SERVICE_APP}/token", {**asked, "clientSecret": "wrong"}, 401)
    client.post(f"/applications/{SERVICE_APP}/token", {**asked, "targetOrgId": "else"}, 400)
    client.http.close()

    again = {"client_id": SERVICE_APP, "client_secret": SERVICE_SECRET}
    assert token(box, refresh_token=pair["refresh_token"], **again).status_code == 200
    assert token(box, refresh_token=SERVICE_REFRESH_TOKEN, **again).status_code == 200
    # Another client's token.
    assert token(box, refresh_token=SERVICE_REFRESH_TOKEN).status_code == 400


def test_a_pair_of_a_service_app_needs_the_scope(box: Sandbox, host: WebexClient) -> None:
    host.post(f"/applications/{SERVICE_APP}/token", {"clientId": SERVICE_APP}, 403)


# Who may do what


def test_a_bot_has_no_meetings(box: Sandbox, webex: Webex, bot: WebexClient) -> None:
    bot.post("/meetings", {"title": "Coffee"}, 403)
    bot.get("/meetings", 403)
    webex.set_options({"bot_at_meetings_status": 401})
    bot.get("/meetings", 401)


def test_an_integration_does_only_what_its_scopes_allow(
    box: Sandbox, webex: Webex, host: WebexClient
) -> None:
    told = host.post("/messages", {"toPersonEmail": "ana@example.test", "text": "hi"}, 403)
    assert told["message"].startswith("The server understood the request, but refused to fulfill it")
    webex.set_options({"withdrawn_scopes": "meeting:schedules_write"})
    host.post("/meetings", {"title": "Coffee"}, 403)
    host.get("/meetings")


def test_a_regenerated_token_of_the_bot_ends_the_old_one(webex: Webex, bot: WebexClient) -> None:
    bot.get("/people/me")
    webex.set_options({"bot_token": "another"})
    bot.get("/people/me", 401)


def test_a_user_has_a_rate(box: Sandbox, webex: Webex, bot: WebexClient, host: WebexClient) -> None:
    webex.set_options({"requests_per_minute": 3})
    for _ in range(3):
        bot.get("/rooms")
    answer = bot.answer("GET", "/rooms", 429)
    assert 0 < int(answer.headers["Retry-After"]) <= 60
    # Others, and people and messages, are counted apart.
    host.get("/meetings")
    bot.get("/people/me")
    box.clock.advance(60)
    bot.get("/rooms")
