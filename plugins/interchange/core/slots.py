"""When a round meets: days, holidays, and what a clock shows on the day that it is changed."""

from __future__ import annotations

import re
from collections.abc import Collection
from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta
from zoneinfo import ZoneInfo

WEEKDAYS = ("monday", "tuesday", "wednesday", "thursday", "friday", "saturday", "sunday")
_CLOCK = re.compile(r"([01]?\d|2[0-3])[:.]([0-5]\d)", re.ASCII)
_SATURDAY = 5


@dataclass(frozen=True, kw_only=True)
class Slot:
    """
    Local time with its zone, as Webex takes it and a person reads it.

    :param local: without an offset; in ``zone`` it exists.
    """

    local: datetime
    zone: str
    minutes: int

    @property
    def starts_at(self) -> datetime:
        """In UTC."""
        return self.local.replace(tzinfo=ZoneInfo(self.zone)).astimezone(UTC)

    @property
    def ends_at(self) -> datetime:
        """In UTC."""
        return self.starts_at + timedelta(minutes=self.minutes)

    @property
    def local_end(self) -> datetime:
        """Without an offset, in ``zone``."""
        return self.ends_at.astimezone(ZoneInfo(self.zone)).replace(tzinfo=None)

    @classmethod
    def at(cls, moment: datetime, *, zone: str, minutes: int) -> Slot:
        """The slot that begins at a moment."""
        return cls(local=moment.astimezone(ZoneInfo(zone)).replace(tzinfo=None), zone=zone, minutes=minutes)


def parse_clock(text: str) -> time | None:
    """``15:10`` as a time of day; None if it is none."""
    found = _CLOCK.fullmatch(text.strip())
    return time(int(found[1]), int(found[2])) if found else None


def week_of(day: date) -> str:
    """The ISO week, such as ``2026-W49``."""
    year, week, _ = day.isocalendar()
    return f"{year}-W{week:02}"


def monday_of(day: date) -> date:
    """The Monday of a day's ISO week."""
    return day - timedelta(days=day.weekday())


def slot_of_week(
    monday: date, *, weekday: str, start: time, minutes: int, zone: str, holidays: Collection[date] = ()
) -> Slot:
    """
    When the round of a week meets. On a holiday it moves to the next working day, be it in the next week.

    :param monday: of the week.
    """
    day = monday + timedelta(days=WEEKDAYS.index(weekday))
    if day in holidays:
        while day in holidays or day.weekday() >= _SATURDAY:
            day += timedelta(days=1)
    return Slot(local=existing(datetime.combine(day, start), zone), zone=zone, minutes=minutes)


def existing(local: datetime, zone: str) -> datetime:
    """
    A local time that the clock shows: one that is left out in spring becomes as much later as the clock jumps.

    One that comes twice in autumn is the first of the two, as Python and Webex read it.
    """
    there = local.replace(tzinfo=ZoneInfo(zone)).astimezone(UTC)
    return there.astimezone(ZoneInfo(zone)).replace(tzinfo=None)
