"""Who pauses, skips, or is forgotten: what becomes of their meetings, and what the others learn."""

from __future__ import annotations

from datetime import date, datetime

import pytest

from interchange.roulette.people import person_key
from tests.unit.roulette.office import ANA, BO, DANA, EMIL, FATIMA, HANA, Office

THURSDAY = "Thursday 6 March, 15:10-15:40 Europe/Kyiv"
NEXT_MONDAY = date(2031, 3, 17)


class TestAbsences:
    @pytest.mark.parametrize("day", ["2031-03-14", "14/03/2031"])
    def test_a_pause_cancels_what_lies_in_it_and_nothing_else(self, office: Office, day: str) -> None:
        group = office.book(BO, EMIL)
        later = office.book(BO, FATIMA, monday=NEXT_MONDAY)

        answer = office.says(BO, f"/pause until {day}")

        assert "back on **Friday 14 March 2031**" in answer
        assert f"The meeting of {THURSDAY} is cancelled" in answer
        assert office.group(group.id).state == "dropped"
        assert list(office.meetings) == [later.meeting_id]
        assert f"**Bo Lindqvist** cannot come: your meeting of {THURSDAY} is cancelled" in office.last(EMIL)
        assert office.texts(FATIMA) == []
        assert sorted(office.desk.rounds.rests(group.week)) == sorted([person_key(BO), person_key(EMIL)])
        assert "Cancelled: **Bo Lindqvist** and **Emil Sørensen**" in office.reports[0]
        bo = office.desk.people.get(person_key(BO))
        assert bo is not None
        assert bo.paused_until == date(2031, 3, 14)

    def test_on_the_day_of_the_return_one_is_there(self, office: Office) -> None:
        group = office.book(BO, EMIL)
        office.says(BO, "/pause until 2031-03-06")
        assert office.group(group.id).state == "booked"
        assert len(office.meetings) == 1

    def test_a_trio_goes_on_without_one(self, office: Office) -> None:
        group = office.book(BO, EMIL, HANA)

        answer = office.says(EMIL, "/skip")

        assert "takes place without you" in answer
        assert len(office.meetings) == 1
        assert set(office.group(group.id).people) == {person_key(BO), person_key(HANA)}
        assert office.snapshot["meetings"][0]["invitees"] == [BO, HANA]
        assert "It takes place with **Hana Suzuki**" in office.last(BO)
        assert "It takes place with **Bo Lindqvist**" in office.last(HANA)
        assert list(office.desk.rounds.rests(group.week)) == [person_key(EMIL)]

        office.says(HANA, "/skip")
        assert office.meetings == {}
        assert "is cancelled" in office.last(BO)

    def test_both_of_a_pair_skip_and_it_is_cancelled_and_told_once(self, office: Office) -> None:
        office.book(BO, EMIL)
        one, two = office.writes(BO, "/skip"), office.writes(EMIL, "/skip")
        office.handle(one)
        office.handle(two)
        assert len([text for text in office.reports if "Cancelled" in text]) == 1
        assert [text for text in office.texts(BO) if "cannot come" in text] == []

    def test_the_open_suggestion_of_a_cancelled_meeting_ends(self, office: Office) -> None:
        group = office.book(BO, EMIL)
        office.suggest(BO)
        office.says(EMIL, "/skip")
        assert [one.state for one in office.desk.talk.of_groups([group.id])] == ["void"]
        assert any("does not count any more" in text for text in office.texts(BO))

    def test_a_skipped_week_is_the_next_round_that_has_not_met(self, office: Office) -> None:
        office.pass_time(days=4)
        answer = office.says(BO, "/skip")
        assert "You leave out the round of **Thursday 13 March**" in answer
        bo = office.desk.people.get(person_key(BO))
        assert bo is not None
        assert bo.skipped_week == date(2031, 3, 10)

    def test_skip_means_the_meeting_that_comes_next_wherever_it_was_moved(self, office: Office) -> None:
        group = office.book(BO, EMIL, local=datetime(2031, 3, 7, 11))  # noqa: DTZ001
        office.pass_time(days=3, hours=10)
        office.says(BO, "/skip")
        assert office.group(group.id).state == "dropped"

    @pytest.mark.parametrize(
        ("text", "words"),
        [
            ("/pause", "Until when?"),
            ("/pause until Christmas", "Until when?"),
            ("/pause until 12/24/2031", "Until when?"),
            ("/pause until 2031-03-03", "Monday 3 March is not in the future"),
            ("/resume", "You are not paused"),
        ],
    )
    def test_what_is_not_clear_changes_nothing(self, office: Office, text: str, words: str) -> None:
        office.book(BO, EMIL)
        assert words in office.says(BO, text)
        assert len(office.meetings) == 1
        bo = office.desk.people.get(person_key(BO))
        assert bo is not None
        assert bo.paused_until is None

    def test_resume_takes_pause_and_skip_back(self, office: Office) -> None:
        office.says(BO, "/pause until 2031-05-01")
        assert "paused until Thursday 1 May" in office.says(BO, "change")
        office.says(BO, "/skip")
        assert "You take part again" in office.says(BO, "/resume")
        bo = office.desk.people.get(person_key(BO))
        assert bo is not None
        assert (bo.paused_until, bo.skipped_week) == (None, None)


class TestErasure:
    def test_forgets_who_somebody_is_and_keeps_what_happened(self, office: Office) -> None:
        past = office.book(BO, EMIL)
        office.pass_time(days=4)
        coming = office.book(EMIL, HANA, monday=NEXT_MONDAY)
        trio = office.book(EMIL, DANA, FATIMA, monday=date(2031, 3, 24))
        office.says(EMIL, "change")
        office.suggest(EMIL, day="2031-03-21")
        key = person_key(EMIL)

        answer = office.says(ANA, "/forget Emil@example.test")

        assert (
            "Done: the person is forgotten, and 2 meetings were cancelled or goes on without them" in answer
        )
        assert "still stands in the settings" in answer
        assert office.desk.people.get(key) is None
        assert all(person.address != EMIL for person in office.desk.people.everybody().values())
        assert office.group(coming.id).state == "dropped"
        assert len(office.group(trio.id).people) == 2
        assert "cannot come" in office.last(HANA)
        # The past round has still two people, one of whom is nobody.
        assert len(office.group(past.id).people) == 2
        assert key not in office.group(past.id).people
        assert office.desk.talk.of_groups([coming.id]) == []
        for effect in office.desk.ledger.list(workflow="webex_bot", kind="message"):
            if key in effect.ref.key:
                assert effect.receipt == {"forgotten": ["message"]}, effect.ref

    def test_nobody_and_nothing_are_told_apart(self, office: Office) -> None:
        assert "Whom?" in office.says(ANA, "/forget")
        assert "Whom?" in office.says(ANA, "/forget Emil")
        assert "Nothing is known" in office.says(ANA, "/forget nobody@example.test")

    def test_once_more_does_no_harm(self, office: Office) -> None:
        event = office.writes(ANA, f"/forget {EMIL}")
        office.handle(event, event)
        assert len(office.texts(ANA)) == 1
