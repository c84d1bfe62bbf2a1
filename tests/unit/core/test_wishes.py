"""Whether a meeting can be at another time."""

from __future__ import annotations

from datetime import UTC, date, datetime, timedelta

import pytest

from interchange.core.moments import spoken, spoken_day, spoken_moment
from interchange.core.slots import Slot
from interchange.core.wishes import LEAD, Engagement, Obstacle, Rules, Wish, check_wish

KYIV = "Europe/Kyiv"
CURRENT = Slot(local=datetime(2031, 3, 27, 15, 10), zone=KYIV, minutes=30)  # noqa: DTZ001 - local by intent
NOW = datetime(2031, 3, 24, 10, tzinfo=UTC)
RULES = Rules(zone=KYIV, holidays={date(2031, 3, 28)}, around=date(2031, 3, 27), furthest=14, weekends=False)


def wish(
    day: str, clock: str, *, now: datetime = NOW, rules: Rules = RULES, busy: tuple[Engagement, ...] = ()
) -> Wish:
    return check_wish(day, clock, current=CURRENT, rules=rules, engagements=busy, now=now)


@pytest.mark.parametrize("day", ["2031-03-26", "26/03/2031"])
def test_a_time_that_can_be(day: str) -> None:
    found = wish(day, "09:05")

    assert found.obstacle is None
    assert found.slot is not None
    assert found.slot.starts_at == datetime(2031, 3, 26, 7, 5, tzinfo=UTC)
    assert found.slot.minutes == 30


@pytest.mark.parametrize(
    ("day", "clock", "obstacle"),
    [
        ("", "10:00", Obstacle.NO_DAY),
        ("03/26/2031", "10:00", Obstacle.NO_DAY),
        ("2031-03-26", "", Obstacle.NO_TIME),
        ("2031-03-26", "25:00", Obstacle.NO_TIME),
        ("2031-03-26", "ten", Obstacle.NO_TIME),
        ("2031-03-21", "10:00", Obstacle.PAST),
        # Earlier on the same day: the predecessor compared days only.
        ("2031-03-24", "11:59", Obstacle.PAST),
        ("2031-03-24", "12:00", Obstacle.PAST),
        ("2031-03-24", "12:14", Obstacle.SOON),
        ("2031-03-27", "15:10", Obstacle.SAME),
        ("2031-03-28", "10:00", Obstacle.HOLIDAY),
        ("2031-03-29", "10:00", Obstacle.WEEKEND),
        ("2031-03-30", "10:00", Obstacle.WEEKEND),
        ("2031-04-11", "10:00", Obstacle.TOO_FAR),
        # The clock jumps from 03:00 to 04:00 in Kyiv that night.
        ("2031-03-30", "03:30", Obstacle.GAP),
    ],
)
def test_what_is_in_its_way(day: str, clock: str, obstacle: Obstacle) -> None:
    """Defect E11: only days were compared, in the server's zone."""
    assert wish(day, clock).obstacle is obstacle


def test_just_late_enough_for_an_answer() -> None:
    assert wish("2031-03-24", "12:15").obstacle is None
    assert timedelta(minutes=15) == LEAD


def test_the_furthest_days_are_possible_and_named() -> None:
    assert wish("2031-04-10", "10:00").obstacle is None
    far = wish("2031-04-11", "10:00")
    assert (far.earliest, far.latest) == (date(2031, 3, 13), date(2031, 4, 10))
    early = wish("2031-03-12", "10:00", now=datetime(2031, 3, 1, tzinfo=UTC))
    assert early.obstacle is Obstacle.TOO_FAR


def test_a_time_that_no_clock_shows_is_told_with_the_next_one() -> None:
    gap = wish("2031-03-30", "03:30")
    assert gap.asked == datetime(2031, 3, 30, 3, 30)  # noqa: DTZ001
    assert gap.slot is not None
    assert gap.slot.local == datetime(2031, 3, 30, 4, 30)  # noqa: DTZ001


def test_times_mean_the_settings_zone_whatever_the_day_of_the_year() -> None:
    summer = wish("2031-03-31", "10:00")
    assert summer.slot is not None
    assert summer.slot.starts_at == datetime(2031, 3, 31, 7, tzinfo=UTC)


def test_weekends_count_where_the_slot_is_on_one() -> None:
    rules = Rules(zone=KYIV, holidays=(), around=date(2031, 3, 29), furthest=14, weekends=True)
    assert wish("2031-03-30", "10:00", rules=rules).obstacle is None


@pytest.mark.parametrize(
    ("start", "minutes", "overlaps"),
    [("10:00", 30, True), ("10:29", 30, True), ("10:30", 30, False), ("09:30", 30, False)],
)
def test_another_meeting_at_that_time(start: str, minutes: int, overlaps: bool) -> None:
    begins = datetime.fromisoformat(f"2031-03-26T{start}:00+02:00")
    busy = Engagement(whose="Bo", starts_at=begins, ends_at=begins + timedelta(minutes=minutes))

    found = wish("2031-03-26", "10:00", busy=(busy,))

    assert (found.obstacle is Obstacle.OVERLAP) is overlaps
    assert found.whose == ("Bo" if overlaps else "")


class TestSpoken:
    def test_a_time_with_its_zone(self) -> None:
        assert spoken(CURRENT) == "Thursday 27 March, 15:10-15:40 Europe/Kyiv"

    def test_others_in_their_own_zones(self) -> None:
        zones = {"Bo": "Europe/Warsaw", "Cleo": KYIV, "Dan": None, "Eva": "Mars/Base", "Finn": "Asia/Nicosia"}
        assert spoken(CURRENT, zones) == (
            "Thursday 27 March, 15:10-15:40 Europe/Kyiv; for Bo 14:10-14:40 Europe/Warsaw"
        )

    def test_another_day_is_named(self) -> None:
        assert spoken(CURRENT, {"Bo": "Pacific/Auckland"}).endswith(
            "; for Bo Friday 28 March, 02:10-02:40 Pacific/Auckland"
        )

    def test_days_and_moments(self) -> None:
        assert spoken_day(date(2031, 12, 1)) == "Monday 1 December"
        assert spoken_moment(NOW, KYIV) == "12:00 on Monday 24 March"
