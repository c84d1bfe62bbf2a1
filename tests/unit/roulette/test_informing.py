"""An admin's announcement: shown to its author first, then sent to everybody, once each."""

from __future__ import annotations

from typing import Any

import pytest

from interchange.errors import OutcomeUnknown
from interchange.ledger import State
from interchange.roulette.people import person_key
from tests.unit.roulette.office import ANA, BO, CHIDI, DANA, EMIL, FATIMA, GORAN, HANA, STRANGER, Office
from tests.unit.vendors import arm

EVERYBODY = (ANA, BO, CHIDI, DANA, EMIL, FATIMA, GORAN, HANA)
TEXT = 'New **rooms** from Monday on: "Blue" & <Green>'


def written(office: Office, text: str = TEXT, image: str = "") -> str:
    """An admin writes an announcement. :return: what the bot then says."""
    office.says(ANA, "/inform")
    return office.clicks(ANA, inputs={"text": text, "image": image})


def received(office: Office, address: str, text: str = TEXT) -> int:
    return office.texts(address).count(text)


def test_it_is_shown_to_its_author_alone_before_it_goes_to_everybody_once(office: Office) -> None:
    said = written(office)
    assert "Above is what 8 people would get" in said
    assert [received(office, address) for address in EVERYBODY] == [1, 0, 0, 0, 0, 0, 0, 0]

    said = office.clicks(ANA)

    assert "Sent to 8 people." in said
    # The author, who takes part, gets it as everybody does.
    assert [received(office, address) for address in EVERYBODY] == [2, 1, 1, 1, 1, 1, 1, 1]
    assert office.texts(STRANGER) == []


def test_a_second_click_sends_nothing(office: Office) -> None:
    written(office)
    events = [office.presses(ANA) for _ in range(3)]
    office.handle(*events)
    assert received(office, BO) == 1
    assert "used already" in office.last(ANA)


def test_an_image_goes_with_it(office: Office) -> None:
    written(office, image="https://pictures.example.test/blue.png")
    office.clicks(ANA)
    assert office.messages(BO)[-1]["files"] == ["https://pictures.example.test/blue.png"]


@pytest.mark.parametrize(
    ("text", "image", "words"),
    [
        ("", "", "has no text"),
        ("   ", "", "has no text"),
        ("x" * 2001, "", "has 2001 characters; 2000 are allowed"),
        # Webex counts bytes: 7,439 of them.
        ("\N{GRINNING FACE}" * 1900, "", "fewer with many that are not Latin letters"),
        ("x", "http://pictures.example.test/a.png", "must begin with `https://`"),
        ("x", "https://user:password@example.test/a.png", "must begin with `https://`"),
        ("x", "https:///a.png", "must begin with `https://`"),
        ("x", "https://example.test:port/a.png", "must begin with `https://`"),
        ("x", "https://example.test/a b.png", "must begin with `https://`"),
        ("x", "javascript:alert(1)", "must begin with `https://`"),
    ],
)
def test_what_cannot_be_sent_is_told_and_the_card_stays(
    office: Office, text: str, image: str, words: str
) -> None:
    said = written(office, text, image)
    assert words in said
    office.clicks(ANA, inputs={"text": "Better", "image": ""})
    office.clicks(ANA)
    assert received(office, BO, "Better") == 1


@pytest.mark.parametrize("text", ["x" * 2000, "Ж" * 2000, "\N{GRINNING FACE}" * 1859])
def test_the_longest_text_that_webex_takes(office: Office, text: str) -> None:
    written(office, text)
    assert received(office, ANA, text) == 1


def test_what_webex_does_not_take_is_told_before_anybody_gets_it(office: Office) -> None:
    arm(office.sandbox, "webex", "status", operation="create_message", status=400, call=2)
    assert "Webex does not take this announcement" in written(office, image="https://example.test/none")
    assert received(office, BO) == 0


def test_only_its_author_may_send_it(office: Office) -> None:
    written(office)
    card = office.last_card(ANA)["id"]
    assert "for somebody else" in office.clicks(BO, message=card)
    assert received(office, EMIL) == 0


def test_who_is_no_admin_any_more_sends_nothing(office: Office) -> None:
    written(office)
    event = office.presses(ANA)
    office.settings = office.settings.model_copy(update={"admins": [BO]})
    assert office.handle(event) == ["refused"]
    assert received(office, EMIL) == 0


@pytest.mark.parametrize(("fault", "done"), [("lose_answer", 1), ("reset", 0)])
def test_a_sending_that_breaks_off_goes_on_with_the_rest(office: Office, fault: str, done: int) -> None:
    written(office)
    event = office.presses(ANA)
    sent = len([e for e in office.sandbox.requests.entries() if e["operation"] == "create_message"])
    # Of the author's own, who has got the same text before.
    number = sorted(map(person_key, EVERYBODY)).index(person_key(ANA)) + 1
    arm(office.sandbox, "webex", fault, operation="create_message", call=sent + number)
    with pytest.raises(OutcomeUnknown):
        office.handle(event)
    assert sum(received(office, address) for address in EVERYBODY) == number + done

    assert office.handle(event) == ["send"]

    assert [received(office, address) for address in EVERYBODY] == [2, 1, 1, 1, 1, 1, 1, 1]
    assert "Sent to 8 people." in office.last(ANA)


def test_who_cannot_be_reached_does_not_stop_the_others(office: Office) -> None:
    office.hand(leave={"person": EMIL})
    written(office)
    office.clicks(ANA)
    assert "Sent to 7 people; 1 could not be reached." in office.last(ANA)


def test_its_text_is_kept_encrypted_until_it_is_sent(office: Office) -> None:
    written(office)
    with office.desk.ledger.engine.connect() as connection:
        dump = "".join(str(row) for row in connection.exec_driver_sql("SELECT * FROM roulette_cards"))
    assert "rooms" not in dump
    effects: list[Any] = office.desk.ledger.list(workflow="webex_bot")
    assert "rooms" not in str(effects)
    assert {effect.state for effect in effects} == {State.CONFIRMED}
