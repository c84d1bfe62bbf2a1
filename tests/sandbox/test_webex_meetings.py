"""Webex in a box: meetings are created, changed, cancelled; and who gets mail."""

from __future__ import annotations

import datetime as dt
import re
from collections.abc import Iterator
from typing import Any
from zoneinfo import ZoneInfo

import pytest

from include.sandbox.core import Sandbox
from include.sandbox.vendors.webex import Webex
from include.sandbox.vendors.webex.seeds import SERVICE_APP, SERVICE_REFRESH_TOKEN, SERVICE_SECRET
from tests.sandbox.webex import WebexClient, token

ANA, BO, HOST = "ana@example.test", "bo@example.test", "roulette@example.test"
COFFEE: dict[str, Any] = {
    "title": "Coffee: Ana and Bo",
    "agenda": "Say hello",
    "start": "2031-03-04T15:10:00",
    "end": "2031-03-04T15:40:00",
    "timezone": "Europe/Kyiv",
    "enabledJoinBeforeHost": True,
    "joinBeforeHostMinutes": 5,
    "unlockedMeetingJoinSecurity": "allowJoin",
    "invitees": [{"email": ANA, "displayName": "Ana", "coHost": False}, {"email": BO}],
    "integrationTags": ["pairing:2031-w10:7f3a"],
    "scheduledType": "meeting",
}


def made(client: WebexClient, **changes: Any) -> dict[str, Any]:
    meeting: dict[str, Any] = client.post("/meetings", {**COFFEE, **changes})
    return meeting


def refused(client: WebexClient, changes: dict[str, Any], status: int = 400) -> dict[str, Any]:
    told: dict[str, Any] = client.post("/meetings", {**COFFEE, **changes}, status)
    return told


def mails(box: Sandbox) -> list[tuple[str, str]]:
    return [(e["about"], e["to"]) for e in box.effects.entries(kind="mail")]


def zoned(when: dt.datetime, zone: str) -> str:
    """Local time without an offset."""
    return when.astimezone(ZoneInfo(zone)).replace(tzinfo=None).isoformat()


# Creation


def test_a_meeting_is_a_series_with_the_host_of_the_token(host: WebexClient, box: Sandbox) -> None:
    meeting = made(host)
    assert re.fullmatch(r"[0-9a-f]{32}", meeting["id"])
    assert (meeting["meetingType"], meeting["state"]) == ("meetingSeries", "active")
    assert (meeting["start"], meeting["end"]) == ("2031-03-04T15:10:00+02:00", "2031-03-04T15:40:00+02:00")
    assert (meeting["hostEmail"], meeting["timezone"]) == (HOST, "Europe/Kyiv")
    assert meeting["integrationTags"] == ["pairing:2031-w10:7f3a"]
    assert "invitees" not in meeting
    (effect,) = box.effects.entries(kind="meeting_created")
    assert effect["meeting_id"] == meeting["id"]
    assert (effect["start"], effect["end"]) == ("2031-03-04T13:10:00Z", "2031-03-04T13:40:00Z")
    assert (effect["host"], effect["invitees"]) == (HOST, [ANA, BO])


def test_a_second_post_makes_a_second_meeting(host: WebexClient, box: Sandbox) -> None:
    assert made(host)["id"] != made(host)["id"]
    assert len(box.effects.entries(kind="meeting_created")) == 2


@pytest.mark.parametrize(
    "changes",
    [
        {"title": None},
        {"title": " "},
        {"title": "x" * 129},
        {"agenda": "x" * 1301},
        {"start": None},
        {"end": None},
        {"start": "tomorrow"},
        {"end": "2031-03-04T15:19:00"},
        {"end": "2031-03-04T15:00:00"},
        {"end": "2031-03-05T15:10:00"},
        {"start": "2051-03-04T15:10:00", "end": "2051-03-04T15:40:00"},
        {"timezone": "Mars/Base"},
        {"joinBeforeHostMinutes": 7},
        {"enabledJoinBeforeHost": False},
        {"enabledJoinBeforeHost": "yes"},
        {"unlockedMeetingJoinSecurity": "open"},
        {"integrationTags": ["a", "b", "c", "d"]},
        {"integrationTags": ["x" * 65]},
        {"integrationTags": "a"},
        {"invitees": [{"displayName": "Ana"}]},
        {"invitees": [{"email": "nonsense"}]},
        {"invitees": [{"email": ANA}, {"email": "ANA@example.test"}]},
        {"invitees": [{"email": f"p{n}@example.test"} for n in range(1001)]},
        {"invitees": [{"email": ANA, "displayName": "x" * 129}]},
        {"sendEmail": "yes"},
        {"password": "short"},
        {"password": "nocapital1"},
        {"password": "NoDigitHere"},
        {"recurrence": "EVERY=DAY"},
        {"recurrence": "FREQ=MINUTELY"},
    ],
)
def test_a_wrong_meeting_is_refused(host: WebexClient, box: Sandbox, changes: dict[str, Any]) -> None:
    body = {name: value for name, value in {**COFFEE, **changes}.items() if value is not None}
    told = host.post("/meetings", body, 400)
    assert told["message"] == "The input parameters contain invalid items."
    assert box.effects.entries() == []


@pytest.mark.parametrize(
    "changes",
    [
        {"title": "x" * 128, "agenda": "x" * 1300},
        {"end": "2031-03-04T15:20:00"},
        {"end": "2031-03-05T15:09:00"},
        {"integrationTags": ["x" * 64, "b", "c"]},
        {"invitees": [{"email": f"p{n}@example.test"} for n in range(1000)], "sendEmail": False},
        {"enabledJoinBeforeHost": False, "joinBeforeHostMinutes": 0},
        {"password": "Kx7mPq29"},
        {"recurrence": None},
    ],
)
def test_the_limits_themselves_are_allowed(host: WebexClient, changes: dict[str, Any]) -> None:
    made(host, **changes)


def test_fields_nobody_knows_are_passed_over(host: WebexClient) -> None:
    made(host, meetingType="meetingSeries", shoe=42)


def test_the_password_meets_the_sites_policy(webex: Webex, host: WebexClient) -> None:
    webex.set_options({"password_length": 10, "password_needs": "upper lower digit special"})
    told = refused(host, {"password": "Kx7mPq29Za"})
    assert told["errors"][0]["description"].startswith("Meeting password validation failed.")
    assert made(host, password="Kx7mPq29Z!")["password"] == "Kx7mPq29Z!"
    own = made(host)["password"]
    assert len(own) >= 10
    assert set(own) & set("!#$%*-=@_~")
    webex.set_options({"password_needs": "upper lower"})
    assert "uppercase and lowercase" in refused(host, {"password": "alllower10"})["errors"][0]["description"]


def test_a_site_may_want_a_tracking_code(webex: Webex, host: WebexClient) -> None:
    webex.set_options({"required_tracking_code": "Department"})
    codes = [{"name": "Department", "value": "HR"}]
    meeting = made(host, trackingCodes=codes)
    assert meeting["trackingCodes"] == codes


# Times


def test_local_time_is_the_zones_on_both_sides_of_a_change_of_the_clocks(host: WebexClient) -> None:
    """Kyiv goes to summer time on 30 March 2031."""
    before = made(host, start="2031-03-27 15:10:00", end="2031-03-27 15:40:00")
    after = made(host, start="2031-04-03T15:10", end="2031-04-03T15:40")
    assert (before["start"], after["start"]) == ("2031-03-27T15:10:00+02:00", "2031-04-03T15:10:00+03:00")


@pytest.mark.parametrize(
    ("start", "zone"),
    [
        ("2031-04-03T15:10:00+02:00", "Europe/Kyiv"),
        ("2031-03-27T15:10:00+03:00", "Europe/Kyiv"),
        ("2031-03-27T15:10:00Z", "Asia/Calcutta"),
    ],
)
def test_an_offset_that_is_not_the_zones_is_refused(
    webex: Webex, host: WebexClient, start: str, zone: str
) -> None:
    changes = {"start": start, "end": start.replace(":10:", ":40:"), "timezone": zone}
    told = refused(host, changes)
    assert told["message"] == f"timezone '{zone}' and timezone offset in '{start}' do not match"
    assert "errors" not in told
    webex.set_options({"zone_mismatch_status": 404})
    refused(host, changes, 404)


def test_an_offset_that_is_the_zones_is_taken(host: WebexClient) -> None:
    made(host, start="2031-04-03T15:10:00+03:00", end="2031-04-03T15:40:00+03:00")
    body = {**COFFEE, "start": "2031-04-03T15:10:00+02:00", "end": "2031-04-03T15:40:00+02:00"}
    del body["timezone"]
    # Without a zone there is nothing to disagree with, and times are shown in UTC.
    assert host.post("/meetings", body)["start"] == "2031-04-03T13:10:00Z"


def test_seconds_are_stripped_and_this_minute_is_the_next(host: WebexClient, box: Sandbox) -> None:
    meeting = made(host, start="2031-03-04T15:10:59.9", end="2031-03-04T15:40:31")
    assert (meeting["start"][11:19], meeting["end"][11:19]) == ("15:10:00", "15:40:00")
    # The middle of a minute, so that it is not over before the answer.
    box.clock.advance(30 - box.clock.now().second)
    now = box.clock.now()
    soon = made(host, start=zoned(now, "Europe/Kyiv"), end=zoned(now + dt.timedelta(hours=1), "Europe/Kyiv"))
    starts = dt.datetime.fromisoformat(soon["start"])
    assert starts == now.replace(second=0, microsecond=0) + dt.timedelta(minutes=1)


def test_the_past_is_refused(host: WebexClient, box: Sandbox) -> None:
    then = box.clock.now() - dt.timedelta(minutes=2)
    told = refused(
        host,
        {"start": then.isoformat(), "end": (then + dt.timedelta(hours=1)).isoformat(), "timezone": "UTC"},
    )
    assert told["message"] == "Parameter 'start' or 'end' is before current time."


# Hosts and quota


@pytest.fixture
def service(box: Sandbox) -> Iterator[WebexClient]:
    fields = {"client_id": SERVICE_APP, "client_secret": SERVICE_SECRET}
    answer = token(box, refresh_token=SERVICE_REFRESH_TOKEN, **fields)
    client = WebexClient(box, answer.json()["access_token"])
    yield client
    client.http.close()


def test_only_administrators_name_a_host(
    webex: Webex, host: WebexClient, service: WebexClient, box: Sandbox
) -> None:
    refused(host, {"hostEmail": ANA}, 403)
    meeting = made(service, hostEmail=ANA)
    assert meeting["hostEmail"] == ANA
    service.post("/meetings", COFFEE, 400)
    service.post("/meetings", {**COFFEE, "hostEmail": "nobody@example.test"}, 400)
    # As itself the service app sees nothing of it.
    service.get(f"/meetings/{meeting['id']}", 404)
    service.get(f"/meetings/{meeting['id']}", hostEmail=ANA)
    host.get(f"/meetings/{meeting['id']}", 403, hostEmail=ANA)
    service.patch(f"/meetings/{meeting['id']}", {"title": "Tea", "hostEmail": ANA})
    service.delete(f"/meetings/{meeting['id']}", hostEmail=ANA)
    webex.set_options({"admin_scopes": True})
    assert made(host, hostEmail=BO)["hostEmail"] == BO


def test_a_meeting_of_a_room_is_hosted_by_who_makes_it(webex: Webex, host: WebexClient) -> None:
    room = webex.seed({"rooms": {"title": "Team", "members": [HOST, ANA]}})["rooms"][0]
    theirs = webex.seed({"rooms": {"title": "Others", "members": [ANA]}})["rooms"][0]
    meeting = made(host, roomId=room, hostEmail=ANA)
    assert (meeting["hostEmail"], meeting["roomId"]) == (HOST, room)
    refused(host, {"roomId": theirs}, 404)


def test_creations_are_counted_with_failures(webex: Webex, host: WebexClient, box: Sandbox) -> None:
    webex.set_options({"meetings_per_day": 3})
    made(host)
    refused(host, {"title": ""})
    made(host)
    told = host.answer("POST", "/meetings", 429, json=COFFEE)
    assert 86_000 < int(told.headers["Retry-After"]) <= 86_401
    assert len(box.effects.entries(kind="meeting_created")) == 2
    box.clock.advance(86_401)
    made(host)


def test_administrators_have_more(webex: Webex, service: WebexClient) -> None:
    webex.set_options({"meetings_per_day": 1, "admin_meetings_per_day": 3, "admin_meetings_per_host": 2})
    made(service, hostEmail=ANA)
    made(service, hostEmail=ANA)
    refused(service, {"hostEmail": ANA}, 429)
    service.post("/meetings", {**COFFEE, "hostEmail": BO}, 429)


# Mail


def test_everybody_gets_mail_unless_it_is_said_otherwise(host: WebexClient, box: Sandbox) -> None:
    made(host)
    assert mails(box) == [("invitation", HOST), ("invitation", ANA), ("invitation", BO)]
    box.effects.clear()
    made(host, sendEmail=False)
    assert mails(box) == []


def test_without_invitees_only_the_host_gets_mail(host: WebexClient, box: Sandbox) -> None:
    made(host, invitees=[])
    assert mails(box) == [("invitation", HOST)]


def test_changes_and_cancellations_are_mailed(host: WebexClient, box: Sandbox) -> None:
    meeting = made(host)["id"]
    box.effects.clear()
    host.patch(f"/meetings/{meeting}", {"start": "2031-03-05T15:10:00", "end": "2031-03-05T15:40:00"})
    assert mails(box) == [("update", HOST), ("update", ANA), ("update", BO)]
    box.effects.clear()
    host.patch(f"/meetings/{meeting}", {"title": "Tea", "sendEmail": False})
    assert mails(box) == []
    host.delete(f"/meetings/{meeting}")
    assert mails(box) == [("cancellation", HOST), ("cancellation", ANA), ("cancellation", BO)]
    other = made(host)["id"]
    box.effects.clear()
    host.delete(f"/meetings/{other}", sendEmail="false")
    assert mails(box) == []


# Change and cancel


@pytest.mark.parametrize("method", ["PATCH", "PUT"])
def test_a_move_keeps_the_id_and_the_link(host: WebexClient, box: Sandbox, method: str) -> None:
    before = made(host)
    body = {"start": "2031-04-03T16:00:00", "end": "2031-04-03T16:30:00", "timezone": "Europe/Kyiv"}
    after = host.answer(method, f"/meetings/{before['id']}", json=body).json()
    assert after["start"] == "2031-04-03T16:00:00+03:00"
    same = ("id", "webLink", "meetingNumber", "password", "integrationTags", "agenda", "title")
    assert {name: after[name] for name in same} == {name: before[name] for name in same}
    assert host.get(f"/meetings/{before['id']}")["start"] == "2031-04-03T13:00:00Z"
    assert [e["start"] for e in box.effects.entries(kind="meeting_updated")] == ["2031-04-03T13:00:00Z"]


def test_null_clears_and_tags_go_with_nothing(host: WebexClient) -> None:
    meeting = made(host)["id"]
    changed = host.patch(f"/meetings/{meeting}", {"agenda": None, "integrationTags": []})
    assert not {"agenda", "integrationTags"} & set(changed)
    changed = host.patch(f"/meetings/{meeting}", {"integrationTags": ["new"], "title": "Tea"})
    assert (changed["integrationTags"], changed["title"]) == (["new"], "Tea")


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"start": "2020-01-01T10:00:00", "end": "2020-01-01T10:30:00"}, "is before current time"),
        ({"end": "2031-03-04T15:15:00"}, "invalid items"),
        ({"title": "x" * 129}, "invalid items"),
        ({"title": None}, "invalid items"),
        ({"password": "short"}, "invalid items"),
        (
            {"start": "2031-04-03T15:10:00Z", "end": "2031-04-03T15:40:00Z", "timezone": "Europe/Kyiv"},
            "do not match",
        ),
        ({"integrationTags": ["x" * 65]}, "invalid items"),
    ],
)
def test_a_wrong_change_is_refused(host: WebexClient, box: Sandbox, changes: Any, words: str) -> None:
    meeting = made(host)
    assert words in host.patch(f"/meetings/{meeting['id']}", changes, 400)["message"]
    assert box.effects.entries(kind="meeting_updated") == []
    assert host.get(f"/meetings/{meeting['id']}")["start"] == "2031-03-04T13:10:00Z"


def test_a_patch_is_an_object(host: WebexClient) -> None:
    meeting = made(host)["id"]
    host.answer(
        "PATCH", f"/meetings/{meeting}", 400, json=[{"op": "replace", "path": "/title", "value": "x"}]
    )


def test_a_meeting_that_runs_or_is_past_does_not_change(
    webex: Webex, host: WebexClient, box: Sandbox
) -> None:
    meeting = made(host)["id"]
    webex.seed({"attend": {"meeting": meeting, "state": "started"}})
    assert host.patch(f"/meetings/{meeting}", {"title": "Tea"}, 400)["message"] == "Meeting is in progress"
    assert host.answer("DELETE", f"/meetings/{meeting}", 400).json()["message"] == "Meeting is in progress"
    (instance,) = webex.seed({"attend": {"meeting": meeting, "state": "ended"}})["attend"]
    told = host.patch(f"/meetings/{instance}", {"title": "Tea"}, 400)["message"]
    assert told == f"Meeting ID '{instance}' is not allowed for this API."
    host.delete(f"/meetings/{instance}", 400)


def test_a_past_meeting_does_not_change(host: WebexClient, box: Sandbox) -> None:
    now = box.clock.now()
    times = {"start": now + dt.timedelta(hours=1), "end": now + dt.timedelta(hours=2)}
    meeting = made(host, timezone="UTC", **{k: v.isoformat() for k, v in times.items()})["id"]
    box.clock.advance(3 * 3600)
    told = host.patch(f"/meetings/{meeting}", {"title": "Tea"}, 400)["message"]
    assert told == "Parameter 'start' or 'end' is before current time."


def test_a_cancelled_meeting_is_gone(host: WebexClient, box: Sandbox, webex: Webex) -> None:
    meeting = made(host)["id"]
    host.delete(f"/meetings/{meeting}")
    host.delete(f"/meetings/{meeting}", 404)
    host.get(f"/meetings/{meeting}", 404)
    host.patch(f"/meetings/{meeting}", {"title": "Tea"}, 404)
    assert [e["meeting_id"] for e in box.effects.entries(kind="meeting_cancelled")] == [meeting]
    assert [m["state"] for m in webex.snapshot()["meetings"]] == ["cancelled"]


def test_invitees_read_and_strangers_do_not(webex: Webex, host: WebexClient, box: Sandbox) -> None:
    meeting = made(host)["id"]
    scopes = ["meeting:schedules_read", "meeting:schedules_write"]
    webex.seed(
        {
            "tokens": [
                {"token": name, "person": f"{name}@example.test", "scopes": scopes}
                for name in ("ana", "dana")
            ]
        }
    )
    ana, dana = WebexClient(box, "ana"), WebexClient(box, "dana")
    # Tags are private to the client that wrote them.
    assert "integrationTags" not in ana.get(f"/meetings/{meeting}")
    ana.patch(f"/meetings/{meeting}", {"title": "Mine"}, 403)
    ana.delete(f"/meetings/{meeting}", 403)
    dana.get(f"/meetings/{meeting}", 404)
    dana.delete(f"/meetings/{meeting}", 404)
    ana.http.close()
    dana.http.close()
