"""Webex in a box: people, rooms, and who is in them."""

from __future__ import annotations

import base64
from collections.abc import Iterator
from typing import Any

import pytest

from include.sandbox.core import Sandbox
from include.sandbox.vendors.webex import Webex
from include.sandbox.vendors.webex.seeds import (
    BOT_EMAIL,
    DEPARTMENTS,
    SERVICE_APP,
    SERVICE_REFRESH_TOKEN,
    SERVICE_SECRET,
    person_id,
)
from tests.sandbox.webex import WebexClient, token


@pytest.fixture
def admin(box: Sandbox) -> Iterator[WebexClient]:
    """The service app."""
    fields = {"client_id": SERVICE_APP, "client_secret": SERVICE_SECRET}
    return WebexClient(box, token(box, refresh_token=SERVICE_REFRESH_TOKEN, **fields).json()["access_token"])


def test_the_bot_and_the_host_know_who_they_are(bot: WebexClient, host: WebexClient) -> None:
    me = bot.get("/people/me")
    assert (me["type"], me["emails"]) == ("bot", [BOT_EMAIL])
    assert bot.get(f"/people/{me['id']}")["id"] == me["id"]
    assert host.get("/people/me")["emails"] == ["roulette@example.test"]


def test_an_id_is_base64_without_padding(bot: WebexClient) -> None:
    unique = bot.get("/people/me")["id"]
    assert "=" not in unique
    assert base64.b64decode(unique + "==").startswith(b"ciscospark://us/PEOPLE/")


def test_the_first_people_are_twelve_in_three_departments(bot: WebexClient) -> None:
    seen: dict[str, list[str]] = {}
    for department, members in DEPARTMENTS.items():
        for email, name in members:
            (person,) = bot.get("/people", email=email)["items"]
            assert person["displayName"] == name
            assert person["id"] == person_id(email)
            seen.setdefault(person["department"], []).append(email)
            assert person["department"] == department
    assert {name: len(emails) for name, emails in seen.items()} == {
        "sales": 4,
        "support": 4,
        "engineering": 4,
    }


@pytest.mark.parametrize("email", ["ANA@example.test", "ana@Example.Test"])
def test_addresses_are_found_in_whatever_case(bot: WebexClient, email: str) -> None:
    assert len(bot.get("/people", email=email)["items"]) == 1


def test_an_unknown_address_is_an_empty_list(bot: WebexClient) -> None:
    assert bot.get("/people", email="an@example.test") == {"items": [], "notFoundIds": []}


def test_an_unknown_id_is_not_found(bot: WebexClient) -> None:
    bot.get("/people/Y2lz", 404)
    ana = person_id("ana@example.test")
    found = bot.get("/people", id=f"{ana},Y2lz")
    assert [person["id"] for person in found["items"]] == [ana]
    assert found["notFoundIds"] == ["Y2lz"]
    bot.get("/people", 400, id=",".join(f"x{n}" for n in range(86)))


def test_only_administrators_list_everybody(bot: WebexClient, admin: WebexClient) -> None:
    bot.get("/people", 400)
    pages = admin.pages("/people", max=4)
    assert [len(page) for page in pages] == [4, 4, 4, 3]
    assert len({person["id"] for page in pages for person in page}) == 15
    assert [p["displayName"] for p in bot.get("/people", displayName="Ana")["items"]] == ["Ana Kovač"]


def test_only_administrators_see_invitations_and_as_text(
    webex: Webex, bot: WebexClient, admin: WebexClient
) -> None:
    ana = f"/people/{person_id('ana@example.test')}"
    assert "loginEnabled" not in bot.get(ana)
    assert (admin.get(ana)["loginEnabled"], admin.get(ana)["invitePending"]) == ("true", "false")
    webex.set_options({"string_booleans": False})
    # The description says text; real answers may differ.
    assert admin.http.get(ana).json()["loginEnabled"] is True


def test_fields_may_be_missing(webex: Webex, bot: WebexClient) -> None:
    webex.set_options({"sparse_people": True})
    person = bot.get(f"/people/{person_id('ana@example.test')}")
    assert not {"department", "timezone", "managerId"} & set(person)


def test_people_come_change_and_leave(webex: Webex, bot: WebexClient) -> None:
    made = webex.seed({"people": {"email": "mia@example.test", "displayName": "Mia", "department": "sales"}})
    mia = made["people"][0]
    assert bot.get(f"/people/{mia}")["department"] == "sales"
    assert "timezone" not in bot.get(f"/people/{mia}")
    webex.seed({"people": {"emails": ["mia.b@example.test", "mia@example.test"], "timezone": "Europe/Paris"}})
    changed = bot.get(f"/people/{mia}")
    assert (changed["emails"][0], changed["timezone"]) == ("mia.b@example.test", "Europe/Paris")
    webex.seed({"leave": {"person": "mia@example.test"}})
    bot.get(f"/people/{mia}", 404)
    assert bot.get("/people", email="mia@example.test")["items"] == []
    told = bot.post("/messages", {"toPersonEmail": "mia@example.test", "text": "hi"}, 404)
    assert told["message"] == "Failed to find user with specified email address."


@pytest.mark.parametrize(
    "data",
    [
        {"persons": []},
        {"people": {"displayName": "x", "email": "x@example.test", "shoe": 1}},
        {"say": {"person": "nobody@example.test", "text": "hi"}},
        {"submit": {"person": "ana@example.test"}},
        {"attend": {"meeting": "x", "state": "ended"}},
    ],
)
def test_a_wrong_seed_is_explained(webex: Webex, data: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match=r"unknown|nobody|no "):
        webex.seed(data)


# Rooms


def test_a_room_is_made_and_filled(bot: WebexClient, box: Sandbox) -> None:
    room = bot.post("/rooms", {"title": "Coffee of three"})
    assert (room["type"], room["title"]) == ("group", "Coffee of three")
    bot.post("/memberships", {"roomId": room["id"], "personEmail": "ana@example.test"})
    bot.post("/memberships", {"roomId": room["id"], "personId": person_id("bo@example.test")})
    again = bot.post("/memberships", {"roomId": room["id"], "personEmail": "ANA@example.test"}, 409)
    assert again["message"] == "User is already a participant in the room."
    members = bot.get("/memberships", roomId=room["id"])["items"]
    assert [m["personEmail"] for m in members] == [BOT_EMAIL, "ana@example.test", "bo@example.test"]
    bot.get(f"/memberships/{members[1]['id']}")
    (only,) = bot.get("/memberships", roomId=room["id"], personEmail="bo@example.test")["items"]
    bot.delete(f"/memberships/{only['id']}")
    assert len(bot.get("/memberships", roomId=room["id"])["items"]) == 2
    assert [e["person"] for e in box.effects.entries(kind="member_added")] == [
        "ana@example.test",
        "bo@example.test",
    ]
    bot.delete(f"/rooms/{room['id']}")
    bot.get(f"/rooms/{room['id']}", 404)


def test_a_room_of_others_does_not_exist(webex: Webex, bot: WebexClient) -> None:
    room = webex.seed({"rooms": {"title": "Theirs", "members": ["ana@example.test"]}})["rooms"][0]
    bot.get(f"/rooms/{room}", 404)
    bot.get("/memberships", 404, roomId=room)
    told = bot.post("/messages", {"roomId": room, "text": "hi"}, 404)
    assert told["message"] == "Could not find a room with provided ID."


def test_rooms_are_listed_by_kind_and_in_pages(webex: Webex, bot: WebexClient) -> None:
    for number in range(5):
        bot.post("/rooms", {"title": f"Room {number}"})
    webex.seed({"say": {"person": "ana@example.test", "text": "hi"}})
    assert [len(page) for page in bot.pages("/rooms", max=2, type="group")] == [2, 2, 1]
    (direct,) = bot.get("/rooms", type="direct")["items"]
    # A direct room is called after the other.
    assert direct["title"] == "Ana Kovač"
    bot.get("/rooms", 400, type="secret")
    bot.get("/rooms", 400, max=0)
    assert len(bot.get("/rooms", max=100000)["items"]) == 6


def test_a_direct_room_cannot_be_filled_or_deleted(webex: Webex, bot: WebexClient) -> None:
    webex.seed({"say": {"person": "ana@example.test", "text": "hi"}})
    (direct,) = bot.get("/rooms", type="direct")["items"]
    bot.post("/memberships", {"roomId": direct["id"], "personEmail": "bo@example.test"}, 400)
    bot.delete(f"/rooms/{direct['id']}", 400)


@pytest.mark.parametrize(
    ("body", "status"),
    [
        ({}, 400),
        ({"personEmail": "nobody@example.test"}, 404),
        ({"personEmail": "ana@example.test", "personId": "Y2lz"}, 400),
    ],
)
def test_a_wrong_membership_is_refused(bot: WebexClient, body: dict[str, Any], status: int) -> None:
    room = bot.post("/rooms", {"title": "Coffee"})["id"]
    bot.post("/memberships", {"roomId": room, **body}, status)
    bot.get("/memberships", 400, personEmail="ana@example.test")
