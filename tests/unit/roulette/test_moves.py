"""Another time: suggested by one, agreed to by all, and then the same meeting is moved."""

from __future__ import annotations

import contextlib
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, date, datetime

import pytest

from interchange.errors import InterchangeError, OutcomeUnknown, Refused
from interchange.ledger import State
from interchange.roulette.events import Event
from interchange.roulette.moves import Moves
from interchange.roulette.people import person_key
from tests.unit.roulette.office import ANA, BO, CHIDI, EMIL, FRIDAY, HANA, THURSDAY, Office, proposals, states
from tests.unit.vendors import arm, calls, effects


class TestTwo:
    @pytest.mark.parametrize("date_format", ["YYYY-MM-DD", "DD/MM/YYYY"])
    def test_yes_moves_the_same_meeting_in_both_forms_of_dates(
        self, office: Office, date_format: str
    ) -> None:
        """Defects E10 and E13: one form of dates, and a second meeting beside the first one."""
        group = office.book(BO, EMIL)
        office.says(BO, "change")
        office.says(BO, "1")

        said = office.clicks(BO, inputs={"day": "2031-03-07", "clock": "11:00"}, date_format=date_format)
        assert "I have asked **Emil Sørensen**" in said
        assert office.meetings == {group.meeting_id: THURSDAY}
        assert "**Bo Lindqvist** suggests another time" in office.last(EMIL)

        said = office.clicks(EMIL, "Yes")
        assert office.meetings == {group.meeting_id: FRIDAY}
        assert "all agree: your meeting with **Bo Lindqvist** is now **Friday 7 March, 11:00-11:30" in said
        assert "all agree: your meeting with **Emil Sørensen** is now" in office.last(BO)
        assert [text for text in office.reports if text.startswith("Moved:")] == office.reports
        assert len(office.reports) == 1
        moved = office.group(group.id)
        assert (moved.moved, moved.meeting_id, moved.web_link) == (1, group.meeting_id, group.web_link)
        assert states(office, group) == ["moved"]
        assert len(effects(office.sandbox, "meeting_created")) == 1

    def test_no_leaves_it_where_it_is_and_both_know(self, office: Office) -> None:
        group = office.book(BO, EMIL)
        office.suggest(BO)
        said = office.clicks(EMIL, "No")
        assert "you said no" in said
        assert "Emil Sørensen said no to Friday 7 March" in office.last(BO)
        assert office.meetings == {group.meeting_id: THURSDAY}
        assert states(office, group) == ["declined"]
        assert office.reports == []

    def test_it_can_be_moved_again(self, office: Office) -> None:
        group = office.book(BO, EMIL)
        office.suggest(BO)
        office.clicks(EMIL, "Yes")
        office.suggest(EMIL, clock="12:30")
        office.clicks(BO, "Yes")
        assert office.meetings == {group.meeting_id: "2031-03-07T10:30:00Z"}
        assert office.group(group.id).moved == 2

    def test_a_counter_suggestion_replaces_the_first_one(self, office: Office) -> None:
        group = office.book(BO, EMIL)
        office.suggest(BO)
        first = office.last_card(EMIL)["id"]
        office.suggest(EMIL, clock="12:30")

        assert states(office, group) == ["replaced", "open"]
        assert any("is replaced by a newer one" in text for text in office.texts(BO))
        stale = office.clicks(EMIL, "Yes", message=first)
        assert "was replaced by a newer one" in stale
        assert office.meetings == {group.meeting_id: THURSDAY}

        office.clicks(BO, "Yes")
        assert office.meetings == {group.meeting_id: "2031-03-07T10:30:00Z"}

    def test_without_an_answer_it_expires_and_a_late_yes_changes_nothing(self, office: Office) -> None:
        group = office.book(BO, EMIL)
        office.suggest(BO)
        office.pass_time(hours=73)

        late = office.clicks(EMIL, "Yes")

        assert "Your answer came too late" in late
        assert "Nothing was changed" in late
        assert office.meetings == {group.meeting_id: THURSDAY}
        assert states(office, group) == ["expired"]
        assert "not everybody has answered in time" in office.last(BO)

    def test_it_waits_no_longer_than_until_the_meeting_begins(self, office: Office) -> None:
        group = office.book(BO, EMIL)
        office.pass_time(days=3, hours=1)
        office.suggest(BO)
        [proposal] = proposals(office, group)
        assert proposal.expires_at == group.starts_at

    def test_somebody_webex_does_not_reach_cannot_agree(self, office: Office) -> None:
        group = office.book(BO, EMIL)
        office.says(BO, "change")
        office.says(BO, "1")
        office.hand(leave={"person": EMIL})
        said = office.clicks(BO, inputs={"day": "2031-03-07", "clock": "11:00"})
        assert "could not reach everybody" in said
        assert states(office, group) == ["void"]
        assert office.meetings == {group.meeting_id: THURSDAY}


class TestThree:
    def test_both_others_must_agree(self, office: Office) -> None:
        group = office.book(ANA, CHIDI, HANA)
        office.suggest(CHIDI)

        said = office.clicks(ANA, "Yes")
        assert "**Hana Suzuki** still has to agree" in said
        assert office.meetings == {group.meeting_id: THURSDAY}

        office.clicks(HANA, "Yes")
        assert office.meetings == {group.meeting_id: FRIDAY}
        for address in (ANA, CHIDI, HANA):
            assert "all agree" in office.last(address)

    @pytest.mark.parametrize("first", [ANA, HANA])
    def test_one_no_ends_it_for_all(self, office: Office, first: str) -> None:
        group = office.book(ANA, CHIDI, HANA)
        second = {ANA: HANA, HANA: ANA}[first]
        office.suggest(CHIDI)
        office.clicks(first, "No")
        assert states(office, group) == ["declined"]
        assert "said no" in office.last(CHIDI)
        assert "said no" in office.last(second)
        assert "somebody has said no" in office.clicks(second, "Yes")
        assert office.meetings == {group.meeting_id: THURSDAY}

    def test_who_leaves_meanwhile_is_not_waited_for_and_the_suggestion_ends(self, office: Office) -> None:
        group = office.book(ANA, CHIDI, HANA)
        office.suggest(CHIDI)
        office.clicks(ANA, "Yes")
        office.says(HANA, "/skip")
        assert states(office, group) == ["void"]
        assert office.meetings == {group.meeting_id: THURSDAY}


class TestTimes:
    @pytest.mark.parametrize(
        ("day", "clock", "words"),
        [
            ("2031-03-03", "11:59", "11:59 on Monday 3 March is past (Europe/Kyiv)"),
            ("2031-03-02", "15:00", "is past"),
            ("2031-03-03", "12:10", "is too soon"),
            ("2031-03-10", "11:00", "Monday 10 March is a holiday"),
            ("2031-03-08", "11:00", "Saturday 8 March is not a working day"),
            (
                "2031-03-21",
                "11:00",
                "is too far away: from Thursday 20 February to Thursday 20 March is possible",
            ),
            ("03/13/2031", "11:00", "Please give the day as 2026-12-24 or 24/12/2026"),
            ("2031-02-30", "11:00", "Please give the day"),
            ("", "11:00", "Please give the day"),
            ("2031-03-07", "", "Please give the time as 15:10"),
            ("2031-03-06", "15:10", "The meeting is at 15:10 on Thursday 6 March already"),
        ],
    )
    def test_what_cannot_be_is_answered_with_a_fresh_card(
        self, office: Office, day: str, clock: str, words: str
    ) -> None:
        """Defects E10 and E11."""
        group = office.book(BO, EMIL)
        office.says(BO, "change")
        office.says(BO, "1")

        said = office.clicks(BO, inputs={"day": day, "clock": clock})

        assert words in said
        assert proposals(office, group) == []
        assert office.texts(EMIL) == []
        card = office.last_card(BO)
        assert card["markdown"] == said
        assert words in card["attachments"][0]["content"]["body"][1]["text"]
        # With it, it goes on.
        office.clicks(BO, inputs={"day": "2031-03-07", "clock": "11:00"})
        office.clicks(EMIL, "Yes")
        assert office.meetings == {group.meeting_id: FRIDAY}

    def test_the_card_proposes_the_meetings_own_time_not_a_fixed_one(self, office: Office) -> None:
        """Defect E11: it proposed 2021-04-08."""
        office.book(BO, EMIL, local=datetime(2031, 3, 7, 9, 30))  # noqa: DTZ001
        office.says(BO, "change")
        office.says(BO, "1")
        body = office.last_card(BO)["attachments"][0]["content"]["body"]
        assert [part["value"] for part in body if "value" in part] == ["2031-03-07", "09:30"]

    def test_a_time_at_which_one_of_them_has_another_meeting(self, office: Office) -> None:
        office.book(BO, EMIL)
        office.book(EMIL, HANA, monday=date(2031, 3, 17), local=datetime(2031, 3, 7, 11, 20))  # noqa: DTZ001
        office.says(BO, "change")
        office.says(BO, "1")
        said = office.clicks(BO, inputs={"day": "2031-03-07", "clock": "11:00"})
        assert "Emil Sørensen has another of these meetings at that time" in said
        # With whom is nobody's business.
        assert "Hana" not in said

    def test_a_time_the_clock_does_not_show(self, office: Office) -> None:
        office.book(BO, EMIL, monday=date(2031, 3, 24))
        office.says(BO, "change")
        office.says(BO, "1")
        said = office.clicks(BO, inputs={"day": "30/03/2031", "clock": "03:30"})
        assert "does not show 03:30 on Sunday 30 March" in said
        assert "04:30 is possible" in said

    def test_over_the_change_of_clocks_local_time_stays_what_was_said(self, office: Office) -> None:
        group = office.book(BO, EMIL, monday=date(2031, 3, 24))
        office.suggest(BO, day="2031-03-31", clock="15:10")
        office.clicks(EMIL, "Yes")
        # 27 March is winter time, 31 March is summer time.
        assert office.meetings == {group.meeting_id: "2031-03-31T12:10:00Z"}


class TestTroubles:
    def test_a_move_whose_answer_was_lost_is_looked_up(self, office: Office) -> None:
        """Defects E13 and E28: whatever was done twice made two meetings."""
        group = office.book(BO, EMIL)
        office.suggest(BO)
        event = office.presses(EMIL, "Yes")
        arm(office.sandbox, "webex", "lose_answer", operation="patch_meeting")
        with pytest.raises(OutcomeUnknown):
            office.handle(event)
        assert office.texts(BO)[-1].startswith("I have asked")

        assert office.handle(event) == ["consent"]
        assert len(effects(office.sandbox, "meeting_updated")) == 1
        assert office.meetings == {group.meeting_id: FRIDAY}
        assert "all agree" in office.last(BO)

    def test_a_move_that_was_not_carried_out_is_done_again(self, office: Office) -> None:
        group = office.book(BO, EMIL)
        office.suggest(BO)
        event = office.presses(EMIL, "Yes")
        arm(office.sandbox, "webex", "reset", operation="patch_meeting")
        with pytest.raises(OutcomeUnknown):
            office.handle(event)
        assert office.handle(event) == ["consent"]
        assert office.meetings == {group.meeting_id: FRIDAY}

    def test_a_meeting_that_was_cancelled_in_webex_is_told_of(self, office: Office) -> None:
        group = office.book(BO, EMIL)
        office.suggest(BO)
        office.desk.meetings.cancel_meeting(str(group.meeting_id))
        said = office.clicks(EMIL, "Yes")
        assert "but Webex does not move the meeting" in said
        assert "but Webex does not move the meeting" in office.last(BO)
        assert states(office, group) == ["void"]

    def test_lost_rights_stop_nothing_for_ever(self, office: Office) -> None:
        group = office.book(BO, EMIL)
        office.suggest(BO)
        event = office.presses(EMIL, "Yes")
        office.webex.set_options({"withdrawn_scopes": "meeting:schedules_write"})
        with pytest.raises(Refused):
            office.handle(event)
        assert states(office, group) == ["agreed"]
        # Meanwhile nothing else can be suggested.
        assert "is just being moved" in office.says(BO, "1")

        office.webex.set_options({"withdrawn_scopes": ""})
        office.handle(event)
        assert office.meetings == {group.meeting_id: FRIDAY}

    def test_a_yes_that_was_counted_before_a_kill_is_not_told_to_be_too_late(self, office: Office) -> None:
        group = office.book(BO, EMIL)
        office.suggest(BO)
        event = office.presses(EMIL, "Yes")
        [proposal] = proposals(office, group)
        office.desk.talk.use(office.card_ids(EMIL)[0], by=event.id)
        office.desk.talk.answer(proposal.id, person_key(EMIL), True)
        # Killed here; the upkeep is faster than the next try.
        with office.desk.held(group.id):
            Moves(office.desk).advance(proposal.id)

        office.handle(event)

        assert office.meetings == {group.meeting_id: FRIDAY}
        assert "all agree" in office.last(EMIL)

    def test_a_suggestion_ends_when_the_meeting_is_moved_otherwise(self, office: Office) -> None:
        group = office.book(BO, EMIL)
        office.suggest(BO)
        office.desk.rounds.move(group.id, starts_at=datetime(2031, 3, 12, 10, tzinfo=UTC))
        assert "changed or cancelled meanwhile" in office.clicks(EMIL, "Yes")
        assert states(office, group) == ["void"]
        assert calls(office.sandbox, "patch_meeting") == []

    def test_several_workers_at_once_spoil_nothing(self, office: Office) -> None:
        """Defect E33: the workers wrote one text file, each over the others' lines."""
        groups = [office.book(ANA, CHIDI, HANA), office.book(BO, EMIL)]
        office.suggest(CHIDI)
        office.suggest(BO)
        events = [office.presses(address, "Yes") for address in (ANA, HANA, EMIL)] * 3

        def answer(event: Event) -> None:
            for _ in range(20):
                with contextlib.suppress(InterchangeError):
                    office.handle(event)
                    return

        with ThreadPoolExecutor(6) as pool:
            for future in [pool.submit(answer, event) for event in events]:
                future.result()

        assert office.meetings == {group.meeting_id: FRIDAY for group in groups}
        assert len(effects(office.sandbox, "meeting_updated")) == 2
        for address in (ANA, BO, CHIDI, EMIL, HANA):
            assert len([text for text in office.texts(address) if "all agree" in text]) == 1

    def test_no_consent_no_move(self, office: Office) -> None:
        group = office.book(ANA, CHIDI, HANA)
        office.suggest(CHIDI)
        office.clicks(ANA, "Yes")
        [proposal] = proposals(office, group)
        moves = Moves(office.desk)
        with office.desk.held(group.id):
            for _ in range(3):
                moves.advance(proposal.id)
        assert calls(office.sandbox, "patch_meeting") == []

    def test_messages_of_a_proposal_are_receipts_without_names(self, office: Office) -> None:
        office.book(BO, EMIL)
        office.suggest(BO)
        office.clicks(EMIL, "Yes")
        kept = office.desk.ledger.list(workflow="webex_bot")
        assert {effect.state for effect in kept} == {State.CONFIRMED}
        assert all(BO not in str(effect) and EMIL not in str(effect) for effect in kept)
