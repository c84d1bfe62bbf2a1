"""What people write to the bot, and what comes of it."""

from __future__ import annotations

from tests.unit.roulette.office import ANA, BO, CHIDI, EMIL, Office


class TestLists:
    def test_anything_lists_the_senders_own_coming_meetings_with_numbers(self, office: Office) -> None:
        office.book(BO, EMIL)
        office.book(ANA, CHIDI)

        answer = office.says(BO, "hello there")

        assert "1. Thursday 6 March, 15:10-15:40 Europe/Kyiv, with **Emil Sørensen**" in answer
        assert "Ana" not in answer
        assert "Chidi" not in answer
