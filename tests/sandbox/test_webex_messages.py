"""Webex in a box: messages, cards, and what people do with them."""

from __future__ import annotations

from typing import Any

import pytest

from include.sandbox.core import Sandbox
from include.sandbox.vendors.webex import Webex
from include.sandbox.vendors.webex.messages import DESTINATION, EMPTY, MOST_BYTES
from include.sandbox.vendors.webex.seeds import BOT_EMAIL, person_id
from tests.sandbox.webex import WebexClient, card

ANA, BO = "ana@example.test", "bo@example.test"


def sent(bot: WebexClient, **fields: Any) -> dict[str, Any]:
    message: dict[str, Any] = bot.post("/messages", {"toPersonEmail": ANA, "text": "hi", **fields})
    return message


def group(webex: Webex, *emails: str) -> str:
    return str(webex.seed({"rooms": {"title": "Team", "members": [*emails, BOT_EMAIL]}})["rooms"][0])


# Where to


def test_a_first_message_makes_the_direct_room_and_a_second_finds_it(bot: WebexClient, box: Sandbox) -> None:
    first = bot.post("/messages", {"toPersonEmail": "ANA@example.test", "markdown": "Your pair is **Bo**"})
    assert (first["roomType"], first["text"], first["markdown"]) == (
        "direct",
        "Your pair is Bo",
        "Your pair is **Bo**",
    )
    second = bot.post("/messages", {"toPersonId": person_id(ANA), "text": "Again"})
    third = bot.post("/messages", {"roomId": first["roomId"], "text": "And again"})
    assert first["roomId"] == second["roomId"] == third["roomId"]
    effects = box.effects.entries(kind="message_sent")
    assert [(e["to"], e["text"]) for e in effects] == [
        ([ANA], "Your pair is Bo"),
        ([ANA], "Again"),
        ([ANA], "And again"),
    ]


@pytest.mark.parametrize(
    "fields",
    [
        {},
        {"toPersonEmail": ANA, "toPersonId": person_id(BO)},
        {"roomId": "x", "toPersonEmail": ANA},
    ],
)
def test_there_is_exactly_one_destination(bot: WebexClient, box: Sandbox, fields: dict[str, Any]) -> None:
    assert bot.post("/messages", {"text": "hi", **fields}, 400)["message"] == DESTINATION
    assert box.effects.entries(kind="message_sent") == []


@pytest.mark.parametrize(
    ("fields", "words"),
    [
        ({"toPersonEmail": "nobody@example.test"}, "Failed to find user with specified email address."),
        ({"toPersonId": "Y2lz"}, "Failed to find user with specified email address."),
        ({"roomId": "Y2lz"}, "Could not find a room with provided ID."),
    ],
)
def test_an_unknown_destination_is_not_found(bot: WebexClient, fields: dict[str, Any], words: str) -> None:
    assert bot.post("/messages", {"text": "hi", **fields}, 404)["message"] == words


# What


@pytest.mark.parametrize("fields", [{}, {"text": ""}, {"markdown": ""}, {"attachments": [card()]}])
def test_a_message_says_something(bot: WebexClient, fields: dict[str, Any]) -> None:
    """A card too needs a text, for clients that cannot show it."""
    assert bot.post("/messages", {"toPersonEmail": ANA, **fields}, 400)["message"] == EMPTY


def test_whether_a_card_needs_a_text_is_a_switch(webex: Webex, bot: WebexClient) -> None:
    webex.set_options({"card_needs_text": False})
    bot.post("/messages", {"toPersonEmail": ANA, "attachments": [card()]})


@pytest.mark.parametrize("field", ["text", "markdown"])
@pytest.mark.parametrize("letter", ["a", "я", "😀"])
def test_lengths_count_bytes(bot: WebexClient, field: str, letter: str) -> None:
    fits = MOST_BYTES // len(letter.encode())
    bot.post("/messages", {"toPersonEmail": ANA, field: letter * fits})
    bot.post("/messages", {"toPersonEmail": ANA, field: letter * (fits + 1)}, 400)


@pytest.mark.parametrize(
    "fields",
    [
        {"attachments": [card(), card()]},
        {"attachments": [{"contentType": "text/html", "content": {}}]},
        {"attachments": [card(version="1.4")]},
        {"attachments": [card(type="Card")]},
        {"attachments": [card(actions=[{"type": "Action.Submit", "title": str(n)} for n in range(6)])]},
        {"attachments": [card(body=[{"type": "TextBlock", "text": "x" * 21_000}])]},
        {"attachments": "card"},
        {"files": ["https://example.test/a", "https://example.test/b"]},
        {"text": 3},
        {"parentId": None, "text": ["hi"]},
    ],
)
def test_what_cannot_be_sent_is_refused(bot: WebexClient, box: Sandbox, fields: dict[str, Any]) -> None:
    bot.post("/messages", {"toPersonEmail": ANA, "text": "hi", **fields}, 400)
    assert box.effects.entries(kind="message_sent") == []


def test_whether_a_bad_card_is_refused_is_a_switch(webex: Webex, bot: WebexClient) -> None:
    webex.set_options({"strict_cards": False})
    sent(bot, attachments=[card(version="1.5")])


def test_a_card_is_given_back_as_it_was_sent(bot: WebexClient) -> None:
    message = sent(bot, attachments=[card()])
    assert bot.get(f"/messages/{message['id']}")["attachments"] == [card()]


def test_mentions_become_people(webex: Webex, bot: WebexClient) -> None:
    room = group(webex, ANA)
    message = bot.post("/messages", {"roomId": room, "markdown": f"Well, <@personEmail:{ANA}|Ana>, *yes*"})
    assert message["text"] == "Well, Ana, yes"
    assert message["mentionedPeople"] == [person_id(ANA)]


# Reading


def test_lists_are_newest_first_and_in_pages(webex: Webex, bot: WebexClient, box: Sandbox) -> None:
    for number in range(5):
        box.clock.advance(1)
        webex.seed({"say": {"person": ANA, "text": f"text {number}"}})
    pages = bot.pages("/messages/direct", personEmail=ANA, max=2)
    assert [[m["text"] for m in page] for page in pages] == [
        ["text 4", "text 3"],
        ["text 2", "text 1"],
        ["text 0"],
    ]
    (room,) = bot.get("/rooms")["items"]
    middle = pages[1][0]
    older = bot.get("/messages", roomId=room["id"], beforeMessage=middle["id"])["items"]
    assert [m["text"] for m in older] == ["text 1", "text 0"]
    assert bot.get("/messages", roomId=room["id"], before=middle["created"])["items"] == older
    bot.get("/messages/direct", 404, personEmail=BO)
    bot.get("/messages/direct", 400)


def test_in_a_group_a_bot_sees_what_mentions_it(webex: Webex, bot: WebexClient) -> None:
    room = group(webex, ANA)
    said = webex.seed(
        {
            "say": [
                {"person": ANA, "text": "no business of the bot", "room": room},
                {"person": ANA, "text": "/help", "room": room, "mention": True},
            ]
        }
    )["say"]
    bot.get(f"/messages/{said[0]}", 404)
    # The text begins with the mention.
    assert bot.get(f"/messages/{said[1]}")["text"] == "Coffee Roulette /help"
    bot.get("/messages", 403, roomId=room)
    listed = bot.get("/messages", roomId=room, mentionedPeople="me")["items"]
    assert [m["id"] for m in listed] == [said[1]]
    bot.get("/messages", 400, roomId=room, mentionedPeople=person_id(ANA))


def test_a_person_sees_all_of_a_group(webex: Webex, bot: WebexClient, box: Sandbox) -> None:
    room = group(webex, ANA)
    webex.seed({"tokens": {"token": "ana", "person": ANA}, "say": {"person": ANA, "text": "x", "room": room}})
    ana = WebexClient(box, "ana")
    assert [m["text"] for m in ana.get("/messages", roomId=room)["items"]] == ["x"]
    ana.http.close()


def test_a_new_message_may_not_be_found_yet(webex: Webex, bot: WebexClient) -> None:
    webex.set_options({"lag_reads": 2})
    (message,) = webex.seed({"say": {"person": ANA, "text": "hi"}})["say"]
    for status in (404, 404, 200):
        bot.get(f"/messages/{message}", status)


# Editing and deleting


def test_a_message_is_edited_ten_times(bot: WebexClient) -> None:
    message = sent(bot)
    for number in range(10):
        body = {"roomId": message["roomId"], "markdown": f"**{number}**"}
        assert bot.put(f"/messages/{message['id']}", body)["text"] == str(number)
    bot.put(f"/messages/{message['id']}", {"roomId": message["roomId"], "text": "11"}, 400)
    shown = bot.get(f"/messages/{message['id']}")
    assert (shown["text"], "updated" in shown) == ("9", True)


def test_a_card_cannot_be_edited(bot: WebexClient) -> None:
    message = sent(bot, attachments=[card()])
    bot.put(f"/messages/{message['id']}", {"roomId": message["roomId"], "text": "else"}, 400)
    assert bot.get(f"/messages/{message['id']}")["text"] == "hi"


@pytest.mark.parametrize(
    "body", [{"text": "x"}, {"roomId": "else", "text": "x"}, {"roomId": None, "text": "x"}]
)
def test_a_wrong_edit_is_refused(bot: WebexClient, body: dict[str, Any]) -> None:
    bot.put(f"/messages/{sent(bot)['id']}", body, 400)


def test_an_edit_needs_words(bot: WebexClient) -> None:
    message = sent(bot)
    bot.put(f"/messages/{message['id']}", {"roomId": message["roomId"]}, 400)
    bot.put(f"/messages/{message['id']}", {"roomId": message["roomId"], "text": "x", "html": "<p>x</p>"}, 400)


def test_only_the_author_changes_a_message(webex: Webex, bot: WebexClient) -> None:
    (message,) = webex.seed({"say": {"person": ANA, "text": "hi"}})["say"]
    room = bot.get(f"/messages/{message}")["roomId"]
    bot.put(f"/messages/{message}", {"roomId": room, "text": "else"}, 403)
    bot.delete(f"/messages/{message}", 403)


def test_a_deleted_message_is_gone(bot: WebexClient, box: Sandbox) -> None:
    message = sent(bot)
    bot.delete(f"/messages/{message['id']}")
    bot.get(f"/messages/{message['id']}", 404)
    bot.delete(f"/messages/{message['id']}", 404)
    assert bot.get("/messages/direct", personEmail=ANA)["items"] == []
    assert len(box.effects.entries(kind="message_deleted")) == 1


# Cards


def pressed(webex: Webex, **fields: Any) -> list[str]:
    return list(webex.seed({"submit": {"person": ANA, **fields}})["submit"])


def test_a_submission_holds_inputs_and_the_buttons_data(webex: Webex, bot: WebexClient) -> None:
    message = sent(bot, attachments=[card()])
    (action,) = pressed(webex, inputs={"date": "2031-03-04"}, button="Propose")
    shown = bot.get(f"/attachment/actions/{action}")
    # The time is the card's own value; every input is text.
    assert shown["inputs"] == {"date": "2031-03-04", "time": "15:10", "k": "opaque-1", "do": "propose"}
    assert (shown["messageId"], shown["personId"], shown["type"]) == (message["id"], person_id(ANA), "submit")


@pytest.mark.parametrize(
    ("button", "does"), [(1, "drop"), ("Never mind", "drop"), ("drop", "drop"), (0, "propose")]
)
def test_a_button_is_named_by_title_data_or_number(
    webex: Webex, bot: WebexClient, button: str | int, does: str
) -> None:
    sent(bot, attachments=[card()])
    (action,) = pressed(webex, button=button)
    assert bot.get(f"/attachment/actions/{action}")["inputs"]["do"] == does


def test_some_clients_write_dates_the_other_way(webex: Webex, bot: WebexClient) -> None:
    sent(bot, attachments=[card()])
    (action,) = pressed(webex, inputs={"date": "2031-03-04"}, date_format="DD/MM/YYYY")
    assert bot.get(f"/attachment/actions/{action}")["inputs"]["date"] == "04/03/2031"


def test_a_button_can_be_pressed_twice_late_and_by_somebody_else(
    webex: Webex, bot: WebexClient, box: Sandbox
) -> None:
    message = sent(bot, attachments=[card()])
    twice = pressed(webex, times=2)
    assert len(set(twice)) == 2
    box.clock.advance(30 * 86_400)
    pressed(webex, message=message["id"])
    (third,) = webex.seed({"submit": {"person": BO, "message": message["id"]}})["submit"]
    assert bot.get(f"/attachment/actions/{third}")["personId"] == person_id(BO)
    bot.delete(f"/messages/{message['id']}")
    (after,) = pressed(webex, message=message["id"])
    # The action is there; the message is not.
    bot.get(f"/attachment/actions/{after}")
    assert [e["person"] for e in box.effects.entries(kind="card_submitted")] == [ANA, ANA, ANA, BO, ANA]


def test_a_button_that_is_not_there_is_explained(webex: Webex, bot: WebexClient) -> None:
    sent(bot, attachments=[card()])
    with pytest.raises(ValueError, match="no button 'Later'"):
        pressed(webex, button="Later")
    plain = sent(bot)
    with pytest.raises(ValueError, match="no card"):
        pressed(webex, message=plain["id"])


def test_actions_can_be_made_by_the_api(webex: Webex, bot: WebexClient, box: Sandbox) -> None:
    message = sent(bot, attachments=[card()])
    webex.seed({"tokens": {"token": "ana", "person": ANA}})
    ana = WebexClient(box, "ana")
    body = {"type": "submit", "messageId": message["id"], "inputs": {"date": "2031-03-04"}}
    made = ana.post("/attachment/actions", body, 202)
    assert bot.get(f"/attachment/actions/{made['id']}")["inputs"] == {"date": "2031-03-04"}
    ana.post("/attachment/actions", {**body, "messageId": "Y2lz"}, 404)
    ana.post("/attachment/actions", {**body, "inputs": "x"}, 400)
    ana.post("/attachment/actions", {**body, "type": "press"}, 400)
    ana.http.close()


def test_an_action_is_not_shown_to_strangers(webex: Webex, bot: WebexClient, box: Sandbox) -> None:
    sent(bot, attachments=[card()])
    (action,) = pressed(webex)
    webex.seed({"tokens": {"token": "bo", "person": BO}})
    bo = WebexClient(box, "bo")
    bo.get(f"/attachment/actions/{action}", 404)
    bo.http.close()
    bot.get("/attachment/actions/Y2lz", 404)
    webex.set_options({"lag_reads": 1})
    (late,) = pressed(webex)
    bot.get(f"/attachment/actions/{late}", 404)
    bot.get(f"/attachment/actions/{late}")
