"""Webex in a box: who is invited to a meeting."""

from __future__ import annotations

import re
from typing import Any

import pytest

from include.sandbox.core import Sandbox
from include.sandbox.vendors.webex import Webex
from tests.sandbox.webex import WebexClient

ANA, BO = "ana@example.test", "bo@example.test"


def made(client: WebexClient, **changes: Any) -> dict[str, Any]:
    """A meeting with two invitees."""
    body = {
        "title": "Coffee",
        "start": "2031-03-04T15:10:00",
        "end": "2031-03-04T15:40:00",
        "invitees": [{"email": ANA}, {"email": BO}],
    }
    meeting: dict[str, Any] = client.post("/meetings", {**body, **changes})
    return meeting


def mails(box: Sandbox) -> list[tuple[str, str]]:
    return [(e["about"], e["to"]) for e in box.effects.entries(kind="mail")]


def test_invitees_are_added_listed_changed_and_removed(host: WebexClient, box: Sandbox) -> None:
    meeting = made(host, invitees=[])["id"]
    box.effects.clear()
    one = host.post("/meetingInvitees", {"meetingId": meeting, "email": BO, "displayName": "Bo"})
    assert re.fullmatch(rf"{meeting}_\d{{7}}", one["id"])
    host.post("/meetingInvitees", {"meetingId": meeting, "email": ANA, "sendEmail": False})
    assert mails(box) == [("invitation", BO)]
    listed = host.get("/meetingInvitees", meetingId=meeting)["items"]
    assert [i["email"] for i in listed] == [ANA, BO]
    assert listed[0]["displayName"] == "Ana Kovač"
    path = f"/meetingInvitees/{one['id']}"
    assert host.put(path, {"email": "dana@example.test"})["email"] == "dana@example.test"
    assert host.get(path)["email"] == "dana@example.test"
    host.put(path, {"email": "ANA@example.test"}, 409)
    host.delete(path)
    host.delete(path, 404)
    assert [i["email"] for i in host.get("/meetingInvitees", meetingId=meeting)["items"]] == [ANA]
    assert mails(box)[-1] == ("cancellation", "dana@example.test")


def test_an_invitee_twice_is_a_conflict(host: WebexClient, box: Sandbox) -> None:
    meeting = made(host)["id"]
    told = host.post("/meetingInvitees", {"meetingId": meeting, "email": "ANA@example.test"}, 409)
    assert told["message"] == "User is already a meeting invitee."
    assert told["errors"] == [{"description": told["message"]}]
    items = [{"email": "dana@example.test"}, {"email": ANA}]
    told = host.post("/meetingInvitees/bulkInsert", {"meetingId": meeting, "items": items}, 409)
    assert told["message"] == "Some users in the list have been invited."
    assert "errors" not in told
    # All or nothing.
    assert len(host.get("/meetingInvitees", meetingId=meeting)["items"]) == 2
    assert box.effects.entries(kind="invitee_added") == []


def test_many_are_invited_at_once_and_listed_in_pages(host: WebexClient) -> None:
    meeting = made(host, invitees=[])["id"]
    items = [{"email": f"p{n:03d}@example.test", "sendEmail": False} for n in range(100)]
    added = host.post("/meetingInvitees/bulkInsert", {"meetingId": meeting, "items": items})["items"]
    assert len(added) == 100
    pages = host.pages("/meetingInvitees", meetingId=meeting)
    assert [len(page) for page in pages] == [10] * 10
    host.post("/meetingInvitees", {"meetingId": meeting, "email": ANA})
    # More than a hundred are never on one page.
    assert [len(page) for page in host.pages("/meetingInvitees", meetingId=meeting, max=500)] == [100, 1]
    more = [{"email": f"q{n}@example.test"} for n in range(101)]
    host.post("/meetingInvitees/bulkInsert", {"meetingId": meeting, "items": more}, 400)
    host.post("/meetingInvitees/bulkInsert", {"meetingId": meeting, "items": more[:1] * 2}, 400)


@pytest.mark.parametrize(
    ("switch", "status", "co_host"),
    [("allowed", 200, True), ("downgraded", 200, False), ("refused", 400, None)],
)
def test_whether_somebody_can_be_an_alternate_host(
    webex: Webex, host: WebexClient, switch: str, status: int, co_host: bool | None
) -> None:
    webex.set_options({"cohosts": switch})
    meeting = made(host, invitees=[])["id"]
    body = {"meetingId": meeting, "email": ANA, "coHost": True}
    assert host.post("/meetingInvitees", body, status).get("coHost") is co_host


@pytest.mark.parametrize(
    ("body", "status"),
    [
        ({"email": ANA}, 400),
        ({"meetingId": "0" * 32, "email": ANA}, 404),
        ({"email": "x", "meetingId": None}, 400),
    ],
)
def test_a_wrong_invitee_is_refused(host: WebexClient, body: dict[str, Any], status: int) -> None:
    host.post("/meetingInvitees", body, status)
    host.get("/meetingInvitees", 400)
    host.get("/meetingInvitees/x_1", 404)
