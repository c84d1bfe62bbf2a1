"""What people write to the bot, and what comes of it."""

from __future__ import annotations

from datetime import UTC, date, datetime

import pytest

from interchange.errors import SettingsError, Unavailable
from interchange.ledger import State
from interchange.roulette.dialogue import Dialogue
from interchange.roulette.events import ACTIONS, MESSAGES, Event
from interchange.roulette.people import person_key
from tests.unit.roulette.office import ANA, BO, CHIDI, EMIL, FATIMA, HANA, STRANGER, Office
from tests.unit.vendors import arm

THURSDAY = "Thursday 6 March, 15:10-15:40 Europe/Kyiv"
NEXT_MONDAY = date(2031, 3, 17)


class TestLists:
    @pytest.mark.parametrize("text", ["hello there", "/change", "change", "When do we meet?"])
    def test_anything_lists_the_senders_own_coming_meetings(self, office: Office, text: str) -> None:
        office.book(BO, EMIL)
        office.book(ANA, CHIDI)

        answer = office.says(BO, text)

        assert f"1. {THURSDAY}, with **Emil Sørensen**" in answer
        assert "Ana" not in answer
        assert "Chidi" not in answer
        assert "2." not in answer

    def test_several_are_numbered_by_their_time(self, office: Office) -> None:
        office.book(BO, FATIMA, monday=NEXT_MONDAY)
        office.book(BO, EMIL, HANA)

        lines = [line for line in office.says(BO, "change").splitlines() if line[:1].isdigit()]

        assert [line[:2] for line in lines] == ["1.", "2."]
        assert "6 March" in lines[0]
        assert "**Emil Sørensen** and **Hana Suzuki**" in lines[0] or (
            "**Hana Suzuki** and **Emil Sørensen**" in lines[0]
        )
        assert "20 March" in lines[1]

    def test_what_is_past_or_cancelled_is_not_listed(self, office: Office) -> None:
        group = office.book(BO, EMIL)
        office.pass_time(days=4)
        assert "no coming meeting" in office.says(BO, "change")
        assert office.group(group.id).state == "booked"

    def test_zones_of_others_are_named(self, office: Office) -> None:
        office.hand(people={"email": EMIL, "timezone": "Europe/Warsaw"})
        office.book(BO, EMIL)
        assert f"{THURSDAY}; for Emil Sørensen 14:10-14:40 Europe/Warsaw" in office.says(BO, "change")

    def test_a_name_cannot_add_marks(self, office: Office) -> None:
        office.hand(people={"email": EMIL, "displayName": "**E** [x](https://evil.example) <@all>"})
        office.book(BO, EMIL)
        assert r"**\*\*E\*\* \[x\](https://evil.example) \<@all\>**" in office.says(BO, "change")

    def test_a_suggestion_that_waits_is_shown(self, office: Office) -> None:
        office.book(BO, EMIL)
        office.suggest(BO)
        assert "you have suggested another time" in office.says(BO, "change")
        assert "your answer to another time is awaited" in office.says(EMIL, "change")


class TestNumbers:
    def test_a_number_brings_the_card_for_that_meeting(self, office: Office) -> None:
        office.book(BO, EMIL)
        office.book(BO, FATIMA, monday=NEXT_MONDAY)
        office.says(BO, "change")

        answer = office.says(BO, "2")

        assert "**Fatima El Amrani**" in answer
        card = office.last_card(BO)["attachments"][0]["content"]
        day, clock = (part for part in card["body"] if part["type"].startswith("Input."))
        assert (day["value"], day["min"], day["max"]) == ("2031-03-20", "2031-03-06", "2031-04-03")
        assert clock["value"] == "15:10"
        assert "Europe/Kyiv" in clock["label"]
        assert [set(action["data"]) for action in card["actions"]] == [{"k"}]

    @pytest.mark.parametrize(
        ("text", "words"),
        [
            ("2nd", "Write just the number, such as `2`"),
            ("3 please", "Write just the number, such as `3`"),
            ("10", "There is no number 10. There is one meeting: write `1`"),
            ("0", "There is no number 0"),
        ],
    )
    def test_what_is_not_exactly_a_listed_number_is_answered_helpfully(
        self, office: Office, text: str, words: str
    ) -> None:
        """Defect E31: `2nd` and `10` broke it."""
        office.book(BO, EMIL)
        office.says(BO, "change")
        answer = office.says(BO, text)
        assert words in answer
        assert f"1. {THURSDAY}" in answer
        assert office.card_ids(BO) == []

    def test_numbers_mean_what_was_listed_though_other_meetings_came_up(self, office: Office) -> None:
        """Defect E31: numbers shifted."""
        office.book(BO, FATIMA, monday=NEXT_MONDAY)
        office.says(BO, "change")
        office.book(BO, EMIL)

        assert "**Fatima El Amrani**" in office.says(BO, "1")

    def test_a_listed_meeting_that_is_gone_is_told_of(self, office: Office) -> None:
        office.book(BO, EMIL)
        office.says(BO, "change")
        office.says(EMIL, "/skip")

        answer = office.says(BO, "1")

        assert "does not take place any more" in answer
        assert "no coming meeting" in answer

    def test_a_number_before_any_list_brings_the_list(self, office: Office) -> None:
        office.book(BO, EMIL)
        assert f"1. {THURSDAY}" in office.says(BO, "1")
        assert "Choose another day" in office.says(BO, "1")


class TestWhoWrites:
    def test_addresses_are_compared_whole(self, office: Office) -> None:
        """Defect E29: `ann@x` was found in `joann@x`."""
        office.hand(people=[{"email": "ana@example.test.evil.example"}, {"email": "joana@example.test"}])
        office.book(ANA, EMIL)
        for address in ("ana@example.test.evil.example", "joana@example.test"):
            assert "you are not among those who take part" in office.says(address, "change")
            assert "March" not in office.last(address)

    def test_letter_case_does_not_matter(self, office: Office) -> None:
        office.hand(people={"emails": ["Bo@Example.Test"]})
        office.book(BO, EMIL)
        office.handle(office.writes(BO, "change"))
        assert THURSDAY in office.last("Bo@Example.Test")

    def test_somebody_with_another_first_address_is_known_by_any_of_theirs(self, office: Office) -> None:
        office.hand(people={"emails": ["bo.new@example.test", BO]})
        office.book(BO, EMIL)
        office.handle(office.writes("bo.new@example.test", "change"))
        assert THURSDAY in office.last("bo.new@example.test")

    def test_strangers_are_answered_politely_once_a_day(self, office: Office) -> None:
        first, second = office.writes(STRANGER, "hello"), office.writes(STRANGER, "hello?")
        assert office.handle(first, second) == ["stranger", "stranger"]
        assert len(office.texts(STRANGER)) == 1
        assert "not among those who take part" in office.last(STRANGER)
        assert person_key(STRANGER) not in office.desk.people.everybody()

        office.pass_time(days=1)
        office.says(STRANGER, "hello")
        assert len(office.texts(STRANGER)) == 2

    def test_its_own_posts_are_ignored(self, office: Office) -> None:
        office.says(BO, "hello")
        own = office.messages(BO)[-1]["id"]
        assert office.handle(Event(resource=MESSAGES, id=own)) == ["own"]
        assert len(office.texts(BO)) == 1

    def test_in_a_group_space_it_answers_to_the_person_alone(self, office: Office) -> None:
        office.book(BO, EMIL)
        room = office.hand(rooms={"title": "Team", "members": [BO, ANA, office.webex.bot.email]})[0]

        office.handle(office.writes(BO, "change", room=room, mention=True))
        office.handle(office.writes(BO, "1", room=room, mention=True))

        assert [THURSDAY in text for text in office.texts(BO)] == [True, True]
        assert "Choose another day" in office.last(BO)
        said_there = [m for m in office.snapshot["messages"] if m["roomId"] == room]
        assert {message["personEmail"] for message in said_there} == {BO}

    def test_whoever_left_the_settings_can_still_change_what_is_booked(self, office: Office) -> None:
        office.hand(people={"email": "old@example.test", "displayName": "Old"})
        office.desk.people.enrol(["old@example.test"])
        assert "not among those" in office.says("old@example.test", "change")
        office.book("old@example.test", EMIL)
        assert THURSDAY in office.says("old@example.test", "change")


class TestEvents:
    def test_an_event_that_comes_twice_is_answered_once(self, office: Office) -> None:
        """Defect E28: a second delivery did all of it again."""
        event = office.writes(BO, "hello")
        assert office.handle(event, event, event) == ["list", "list", "list"]
        assert len(office.texts(BO)) == 1

    def test_what_cannot_be_read_yet_is_tried_again(self, office: Office) -> None:
        office.sandbox.clock.offset = office.sandbox.clock.offset - (
            office.sandbox.clock.now() - datetime.now(UTC)
        )
        office.webex.set_options({"lag_reads": 2})
        event = office.writes(BO, "hello")
        for _ in range(2):
            with pytest.raises(Unavailable, match="does not show yet"):
                office.handle(event)
        assert office.handle(event) == ["list"]
        assert len(office.texts(BO)) == 1

    def test_what_can_never_be_read_is_set_aside(self, office: Office) -> None:
        # The clock of the tests is years ahead of the ledger's: ten minutes have passed.
        event = Event(resource=MESSAGES, id="no-such-message")
        assert office.handle(event) == ["set aside"]
        effect = office.desk.ledger.get(event.ref)
        assert effect is not None
        assert effect.state is State.QUARANTINED
        assert office.handle(event) == ["set aside"]

    @pytest.mark.parametrize(
        "given",
        [None, "x", {}, {"resource": "rooms", "id": "1"}, {"resource": MESSAGES}, {"resource": MESSAGES, "id": ""},
         {"resource": MESSAGES, "id": 1}, {"resource": MESSAGES, "id": "x" * 401}, {"resource": MESSAGES, "id": "\0"}],
    )  # fmt: skip
    def test_no_event_is_no_event(self, given: object) -> None:
        with pytest.raises(SettingsError, match="event:"):
            Event.of(given)

    def test_what_the_event_claims_does_not_count(self, office: Office) -> None:
        """Defect E25: the envelope's address was believed."""
        # Only resource and id are taken from it: who wrote is asked of Webex.
        office.book(BO, EMIL)
        event = office.writes(STRANGER, "change")
        claimed = Event.of(
            {"resource": MESSAGES, "id": event.id, "personEmail": BO, "data": {"personEmail": BO}}
        )
        assert office.handle(claimed) == ["stranger"]
        assert office.texts(BO) == []

    def test_a_missing_card_fails_loudly_before_anything_is_sent(
        self,
    ) -> None:
        """Defect E26: every message ended at a file that was not in the repository."""
        from interchange.roulette.texts import Texts
        from interchange.settings.files import templates_dir

        texts = Texts()
        for file in sorted((templates_dir() / "webex" / "cards").glob("*.json")):
            with pytest.raises(SettingsError, match="is undefined"):
                texts.card(file.stem)
        with pytest.raises(SettingsError, match="cannot be read"):
            texts.card("position")

    def test_nothing_blocks_on_a_busy_webex(self, office: Office) -> None:
        """Defect E35: it waited for Webex inside the webhook."""
        event = office.writes(BO, "hello")
        arm(office.sandbox, "webex", "status", operation="create_message", status=429, retry_after="3600")
        with pytest.raises(Unavailable) as caught:
            office.handle(event)
        assert getattr(caught.value, "retry_after_s", 0) >= 3600
        # The worker is free again; Airflow comes back in an hour.
        effect = office.desk.ledger.get(event.ref)
        assert effect is not None
        assert effect.state is State.PLANNED
        assert office.texts(BO) == []


class TestHelp:
    def test_tells_admins_of_their_own_commands(self, office: Office) -> None:
        assert "/inform" in office.says(ANA, "/help")
        assert "/inform" not in office.says(BO, "/help")
        assert "I do not know this command" in office.says(BO, "/hlep")

    @pytest.mark.parametrize("text", ["/inform", "/forget emil@example.test"])
    def test_admins_commands_are_for_admins(self, office: Office, text: str) -> None:
        assert "for admins only" in office.says(BO, text)
        assert office.card_ids(BO) == []
        assert office.desk.people.get(person_key(EMIL)) is not None

    def test_numbers_about_oneself_and_for_admins_about_all(self, office: Office) -> None:
        group = office.book(BO, EMIL)
        office.book(BO, FATIMA, monday=NEXT_MONDAY)
        office.pass_time(days=4)
        office.desk.rounds.answer(group.id, person_key(BO), True)

        own = office.says(BO, "/stats")

        assert own == "You have had 1 meeting with 1 colleague; you said of 1 that you have met. 1 to come."
        everybody = office.says(ANA, "/stats")
        assert "All together: 1 meetings of 2 people, 1 were held" in everybody
        assert "Bo" not in everybody


class TestSecrets:
    def test_no_name_address_or_text_is_logged_or_kept_in_clear(
        self, office: Office, caplog: pytest.LogCaptureFixture
    ) -> None:
        office.book(BO, EMIL)
        office.says(BO, "my very private sentence")
        office.suggest(BO)
        office.clicks(EMIL, "No")
        office.says(ANA, f"/forget {EMIL}")
        kept = "".join(
            f"{effect.ref}{effect.receipt}{effect.reason}"
            for effect in office.desk.ledger.list(workflow="webex_bot")
        )
        for secret in (BO, EMIL, "Lindqvist", "Sørensen", "private sentence", *office.connections.secrets):
            assert secret not in caplog.text
            assert secret not in kept


def test_what_old_clients_show_says_what_the_card_is_about(office: Office) -> None:
    """Defect E34: one stock sentence stood in every notification."""
    office.book(BO, EMIL)
    office.suggest(BO)
    for address in (BO, EMIL):
        for message in office.messages(address):
            if message.get("attachments"):
                assert "Friday 7 March, 11:00" in message["markdown"] or THURSDAY in message["markdown"]
                # No picture from anywhere.
                assert "Image" not in str(message["attachments"])


def test_a_quote_in_a_name_does_not_break_a_card(office: Office) -> None:
    """Defect E32: values were put into JSON text."""
    name = 'Emil "The \\ Brain" {{ k }} O\'Hara'
    office.hand(people={"email": EMIL, "displayName": name})
    office.book(BO, EMIL)
    office.suggest(EMIL)
    card = office.last_card(BO)["attachments"][0]["content"]
    assert card["body"][0]["text"] == f"{name} suggests another time"
    assert [set(action["data"]) for action in card["actions"]] == [{"k", "answer"}, {"k", "answer"}]


def test_a_submission_may_be_asked_for_too_early(office: Office) -> None:
    office.book(BO, EMIL)
    office.says(BO, "change")
    office.says(BO, "1")
    office.sandbox.clock.offset = office.sandbox.clock.offset - (
        office.sandbox.clock.now() - datetime.now(UTC)
    )
    office.webex.set_options({"lag_reads": 1})
    event = office.presses(BO, inputs={"day": "2031-03-07", "clock": "11:00"})
    assert event.resource == ACTIONS
    with pytest.raises(Unavailable):
        Dialogue(office.new_desk()).handle(event)
