"""Clicks that come twice, late, from others or from nowhere change nothing, and say why."""

from __future__ import annotations

from typing import Any

import pytest

from interchange.errors import Busy
from interchange.roulette.people import person_key
from tests.unit.roulette.office import (
    ANA,
    BO,
    CHIDI,
    EMIL,
    FRIDAY,
    HANA,
    STRANGER,
    THURSDAY,
    Office,
    proposals,
    states,
)
from tests.unit.vendors import effects


class TestClicks:
    def test_double_clicks_move_once(self, office: Office) -> None:
        """Defect E28: two clicks on Yes made two meetings."""
        group = office.book(BO, EMIL)
        office.suggest(BO)
        first = office.presses(EMIL, "Yes")
        second = office.presses(EMIL, "Yes")
        office.handle(first, second, first)

        assert office.meetings == {group.meeting_id: FRIDAY}
        assert len(effects(office.sandbox, "meeting_updated")) == 1
        assert "This card was used already" in office.last(EMIL)
        assert len([text for text in office.texts(BO) if "all agree" in text]) == 1

    def test_a_double_submission_suggests_once(self, office: Office) -> None:
        """Defect E28."""
        group = office.book(BO, EMIL)
        office.says(BO, "change")
        office.says(BO, "1")
        twice = [office.presses(BO, inputs={"day": "2031-03-07", "clock": "11:00"}) for _ in range(2)]
        office.handle(*twice, *twice)
        assert states(office, group) == ["open"]
        assert len(office.card_ids(EMIL)) == 2  # one card with two buttons
        assert "used already" in office.last(BO)

    @pytest.mark.parametrize("number", [0, 1])
    def test_two_clicks_that_were_read_before_either_counted(self, office: Office, number: int) -> None:
        """Defect E28."""
        group = office.book(BO, EMIL)
        if number:
            office.suggest(BO)
            clicks = [office.presses(EMIL, button) for button in ("Yes", "No")]
        else:
            office.says(BO, "change")
            office.says(BO, "1")
            clicks = [
                office.presses(BO, inputs={"day": "2031-03-07", "clock": c}) for c in ("11:00", "12:00")
            ]
        # Somebody else is at the meeting, the booking for example: nobody changes it meanwhile.
        with office.desk.held(group.id):
            for click in clicks:
                with pytest.raises(Busy):
                    office.handle(click, desk=office.new_desk(patience_s=0.1))
        assert states(office, group) == ["open"] * number

        office.handle(*clicks)

        assert states(office, group) == [("open", "moved")[number]]
        assert ("used already", "This is settled")[number] in office.last((BO, EMIL)[number])

    def test_what_was_said_first_counts(self, office: Office) -> None:
        group = office.book(ANA, CHIDI, HANA)
        office.suggest(CHIDI)
        office.clicks(ANA, "Yes")
        assert "used already" in office.clicks(ANA, "No")
        assert states(office, group) == ["open"]

    @pytest.mark.parametrize("clicker", [BO, HANA, STRANGER])
    def test_somebody_elses_card_changes_nothing(self, office: Office, clicker: str) -> None:
        """Defect E30: nobody asked whether it was the addressed colleague who clicked."""
        group = office.book(BO, EMIL)
        office.suggest(BO)
        consent = office.last_card(EMIL)
        said = office.clicks(clicker, "Yes", message=consent["id"])
        expected = (
            "not among those who take part" if clicker == STRANGER else "This card is for somebody else"
        )
        assert expected in said
        assert states(office, group) == ["open"]
        assert office.meetings == {group.meeting_id: THURSDAY}

    @pytest.mark.parametrize(
        "inputs",
        [
            {"k": "0" * 32},
            {"k": ""},
            {"k": "x" * 5000},
            {"k": {"a": 1}},
            {"k": "' OR 1=1 --"},
            {},
            {"k": None, "answer": "yes", "proposal": "x"},
        ],
    )
    def test_forged_ids_change_nothing(self, office: Office, inputs: dict[str, Any]) -> None:
        """Defect E30."""
        group = office.book(BO, EMIL)
        office.suggest(BO)
        event = office.forges(EMIL, inputs)
        assert office.handle(event) == ["refused"]
        assert "I cannot do anything with this card" in office.last(EMIL)
        assert states(office, group) == ["open"]

    def test_hidden_inputs_cannot_change_what_is_proposed(self, office: Office) -> None:
        """Defect E30: the proposal was in inputs that can be edited."""
        group = office.book(BO, EMIL)
        other = office.book(ANA, HANA)
        office.suggest(BO)
        known = office.card_ids(EMIL)[0]
        event = office.forges(
            EMIL,
            {"k": known, "answer": "yes", "group": other.id, "starts_at": "2031-03-11T09:00:00Z",
             "person": person_key(BO), "day": "2031-03-11", "clock": "09:00"},
        )  # fmt: skip
        office.handle(event)
        assert office.meetings == {group.meeting_id: FRIDAY, other.meeting_id: THURSDAY}

    @pytest.mark.parametrize("answer", [None, "", "YES", "maybe", True, ["yes"]])
    def test_an_answer_that_is_none_is_no_consent(self, office: Office, answer: Any) -> None:
        group = office.book(BO, EMIL)
        office.suggest(BO)
        office.handle(office.forges(EMIL, {"k": office.card_ids(EMIL)[0], "answer": answer}))
        assert states(office, group) == ["open"]
        assert office.meetings == {group.meeting_id: THURSDAY}

    def test_an_old_card_has_ended(self, office: Office) -> None:
        """Defect E30: an old card stayed valid."""
        group = office.book(BO, EMIL)
        office.says(BO, "change")
        office.says(BO, "1")
        office.pass_time(days=3, hours=4)
        said = office.clicks(BO, inputs={"day": "2031-03-07", "clock": "11:00"})
        assert "This card is too old" in said
        assert proposals(office, group) == []

    def test_a_card_of_a_cancelled_meeting_says_so(self, office: Office) -> None:
        office.book(BO, EMIL)
        office.says(BO, "change")
        office.says(BO, "1")
        office.says(EMIL, "/skip")
        assert "changed or cancelled" in office.clicks(BO, inputs={"day": "2031-03-07", "clock": "11:00"})
