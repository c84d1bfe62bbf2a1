"""When a round meets."""

from __future__ import annotations

from datetime import UTC, date, datetime, time, timedelta

import pytest

from interchange.core.moments import told
from interchange.core.slots import Slot, existing, monday_of, parse_clock, slot_of_week, week_of

KYIV = "Europe/Kyiv"
local = datetime.fromisoformat


@pytest.mark.parametrize(
    ("text", "clock"),
    [("15:10", time(15, 10)), ("7:05", time(7, 5)), ("15.10", time(15, 10)), (" 00:00 ", time(0))],
)
def test_times_of_day(text: str, clock: time) -> None:
    assert parse_clock(text) == clock


@pytest.mark.parametrize("text", ["24:00", "15", "15:60", "15:1", "3 pm", "", "15:10:00", "1\uff15:10"])
def test_what_is_no_time_of_day(text: str) -> None:
    assert parse_clock(text) is None


def test_weeks_are_those_of_iso() -> None:
    assert week_of(date(2026, 12, 31)) == "2026-W53"
    assert week_of(date(2027, 1, 3)) == "2026-W53"
    assert monday_of(date(2027, 1, 3)) == date(2026, 12, 28)


def slot(monday: date, weekday: str = "thursday", **more: object) -> Slot:
    return slot_of_week(monday, weekday=weekday, start=time(15, 10), minutes=30, zone=KYIV, **more)  # type: ignore[arg-type]  # as given


def test_a_round_meets_by_the_local_clock_in_summer_and_winter() -> None:
    """Defect E8: one offset for all dates; Kyiv is at +03:00 in September and at +02:00 in November."""
    assert slot(date(2026, 9, 7)).starts_at == datetime(2026, 9, 10, 12, 10, tzinfo=UTC)
    assert slot(date(2026, 11, 9)).starts_at == datetime(2026, 11, 12, 13, 10, tzinfo=UTC)


def test_a_holiday_moves_a_round_to_the_next_working_day() -> None:
    """Defect E9: no weekends, no holidays."""
    monday = date(2027, 3, 8)
    assert slot(monday, holidays={date(2027, 3, 11)}).local.date() == date(2027, 3, 12)
    both = {date(2027, 3, 11), date(2027, 3, 12)}
    assert slot(monday, holidays=both).local.date() == date(2027, 3, 15)
    assert slot(monday, "saturday").local.date() == date(2027, 3, 13)


def test_an_hour_that_the_clock_leaves_out_is_put_off() -> None:
    # On 2027-03-28 the clocks of Kyiv go from 03:00 to 04:00.
    moved = existing(local("2027-03-28T03:30"), KYIV)
    assert moved == local("2027-03-28T04:30")
    assert existing(local("2027-03-28T02:30"), KYIV) == local("2027-03-28T02:30")


def test_a_meeting_over_the_change_of_clocks_lasts_as_long_as_it_should() -> None:
    # On 2026-10-25 the clocks go from 04:00 back to 03:00.
    over = Slot(local=local("2026-10-25T02:45"), zone=KYIV, minutes=90)
    assert over.ends_at - over.starts_at == timedelta(minutes=90)
    assert over.local_end == local("2026-10-25T03:15")


def test_a_slot_of_a_moment() -> None:
    made = Slot.at(datetime(2026, 11, 12, 13, 10, tzinfo=UTC), zone=KYIV, minutes=30)
    assert made == slot(date(2026, 11, 9))


def test_moments_are_told_in_the_zones_of_all_who_read_them() -> None:
    moment = datetime(2026, 12, 3, 22, 10, tzinfo=UTC)
    zones = [None, KYIV, "Europe/Helsinki", "Europe/London", "Asia/Tokyo", "Europe/London"]
    assert told(moment, KYIV, other_zones=zones) == (
        "Friday, 4 December 2026, 00:10 (Europe/Kyiv; Thursday 22:10 in Europe/London; 07:10 in Asia/Tokyo)"
    )
