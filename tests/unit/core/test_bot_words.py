"""What people write to the bot is read as they mean it, or not at all."""

from __future__ import annotations

from datetime import date

import pytest
from hypothesis import given
from hypothesis import strategies as st

from interchange.core.bot_words import Said, Word, parse_day, read, without_mention


class TestNumbers:
    @pytest.mark.parametrize(("text", "number"), [("1", 1), (" 4 ", 4), ("10", 10), ("07", 7), ("0", 0)])
    def test_digits_alone_are_a_number(self, text: str, number: int) -> None:
        assert read(text) == Said(word=Word.NUMBER, number=number)

    @pytest.mark.parametrize(
        ("text", "number"),
        [("2nd", 2), ("3 please", 3), ("no. 2", 2), ("number 1!", 1), ("4.", 4), ("#2", 2)],
    )
    def test_a_number_among_other_things_is_asked_about(self, text: str, number: int) -> None:
        assert read(text) == Said(word=Word.NEARLY, number=number)

    @pytest.mark.parametrize(
        "text", ["1 or 2", "12345", "²", "٣", "I would like to meet on the 3rd of March"]
    )
    def test_anything_else_is_no_number(self, text: str) -> None:
        assert read(text).word is Word.LIST


class TestCommands:
    @pytest.mark.parametrize(
        ("text", "word"),
        [
            ("/change", Word.LIST),
            ("Change", Word.LIST),
            ("hello", Word.LIST),
            ("", Word.LIST),
            ("/HELP", Word.HELP),
            ("help", Word.HELP),
            ("please help", Word.LIST),
            ("/skip", Word.SKIP),
            ("skip", Word.SKIP),
            ("skip the small talk", Word.LIST),
            ("/resume", Word.RESUME),
            ("/stats", Word.STATS),
            ("/inform", Word.INFORM),
            ("/forget a@b.example", Word.FORGET),
            ("forget it", Word.LIST),
            ("/hlep", Word.UNKNOWN),
            ("/", Word.UNKNOWN),
            ("/list", Word.UNKNOWN),
        ],
    )
    def test_are_known_by_their_slash_or_alone(self, text: str, word: Word) -> None:
        assert read(text).word is word

    def test_what_stands_behind_is_kept(self) -> None:
        assert read("/forget  Ana@Example.test ").rest == "Ana@Example.test"

    @pytest.mark.parametrize(
        "text",
        [
            "/pause until 2026-12-24",
            "/pause 2026-12-24",
            "pause until 24/12/2026",
            "/PAUSE UNTIL 24/12/2026",
            "/pause   till 24/12/2026",
        ],
    )
    def test_a_pause_has_a_day(self, text: str) -> None:
        said = read(text)
        assert (said.word, said.day) == (Word.PAUSE, date(2026, 12, 24))

    @pytest.mark.parametrize(
        "text", ["/pause", "/pause until", "/pause until Christmas", "/pause until 24.12.2026"]
    )
    def test_a_pause_without_a_clear_day_has_none(self, text: str) -> None:
        said = read(text)
        assert (said.word, said.day) == (Word.PAUSE, None)

    def test_pause_alone_in_a_sentence_is_no_command(self) -> None:
        assert read("pause for a moment").word is Word.LIST


class TestDays:
    @pytest.mark.parametrize("text", ["2026-03-04", "04/03/2026", "4/3/2026", " 2026-03-04 "])
    def test_both_forms_mean_the_same(self, text: str) -> None:
        """Defect E10: who wrote DD/MM/YYYY could never move a meeting."""
        assert parse_day(text) == date(2026, 3, 4)

    @pytest.mark.parametrize(
        "text",
        [
            "", "03/25/2026", "2026-02-29", "31/04/2026", "2026/03/04", "04-03-2026", "4.3.2026", "04/03/26",
            "tomorrow", "2026-3-4", "20260304", "0000-01-01", "٢٠٢٦-٠٣-٠٤", "2026-03-04T10:00",
        ],
    )  # fmt: skip
    def test_nothing_else_is_guessed(self, text: str) -> None:
        assert parse_day(text) is None

    @given(st.dates())
    def test_every_day_is_read_back(self, day: date) -> None:
        assert parse_day(day.isoformat()) == day
        assert parse_day(f"{day.day:02}/{day.month:02}/{day.year:04}") == day


class TestMentions:
    @pytest.mark.parametrize(
        ("text", "rest"),
        [
            ("Coffee Roulette /skip", "/skip"),
            ("coffee roulette 2", "2"),
            ("@Coffee Roulette: change", "change"),
            ("Coffee Roulette", ""),
            ("Coffee RouletteX 2", "Coffee RouletteX 2"),
            ("2 Coffee Roulette", "2 Coffee Roulette"),
        ],
    )
    def test_the_bots_name_in_front_is_left_out(self, text: str, rest: str) -> None:
        assert without_mention(text, ["Coffee", "Coffee Roulette"][1:]) == rest

    def test_the_longest_name_counts(self) -> None:
        assert read("Coffee Roulette 2", names=("Coffee", "Coffee Roulette")).number == 2

    def test_no_name_is_no_mention(self) -> None:
        assert without_mention(" 2", [""]) == " 2"


@given(st.text())
def test_anything_can_be_read(text: str) -> None:
    assert read(text, names=("Bot",)).word in Word
