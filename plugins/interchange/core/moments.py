"""Moments as people read them."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from datetime import date, datetime
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from interchange.core.slots import Slot

_DAYS = ("Monday", "Tuesday", "Wednesday", "Thursday", "Friday", "Saturday", "Sunday")
_MONTHS = (
    "January", "February", "March", "April", "May", "June",
    "July", "August", "September", "October", "November", "December",
)  # fmt: skip


def told(moment: datetime, zone: str, *, other_zones: Iterable[str | None] = ()) -> str:
    """
    A moment by the clock of a zone, and by those of others where they show another time.

    :return: like ``Thursday, 3 December 2026, 15:10 (Europe/Kyiv; 13:10 in Europe/London)``
    """
    local = moment.astimezone(ZoneInfo(zone))
    others = []
    for other in dict.fromkeys(name for name in other_zones if name and name != zone):
        there = moment.astimezone(ZoneInfo(other))
        if there.utcoffset() == local.utcoffset():
            continue
        day = "" if there.date() == local.date() else f"{_DAYS[there.weekday()]} "
        others.append(f"{day}{there:%H:%M} in {other}")
    return f"{day_told(local)}, {local:%H:%M} ({'; '.join([zone, *others])})"


def day_told(local: datetime) -> str:
    """A day in words, such as ``Thursday, 3 December 2026``; independent of the machine's language."""
    return f"{_DAYS[local.weekday()]}, {local.day} {_MONTHS[local.month - 1]} {local.year}"


def spoken_day(day: date) -> str:
    """``Thursday 24 December``, whatever the machine's language."""
    return f"{_DAYS[day.weekday()]} {day.day} {_MONTHS[day.month - 1]}"


def spoken(slot: Slot, others: Mapping[str, str | None] | None = None) -> str:
    """
    ``Thursday 24 December, 15:10-15:40 Europe/Kyiv; for Bo 14:10-14:40 Europe/Warsaw``.

    :param others: zones by name of those who take part. One that is unknown, or shows the same time, is left out.
    """
    said = f"{spoken_day(slot.local.date())}, {_hours(slot.local, slot.local_end)} {slot.zone}"
    for name, zone in (others or {}).items():
        theirs = _known(zone)
        if theirs is None:
            continue
        start, end = (
            moment.astimezone(theirs).replace(tzinfo=None) for moment in (slot.starts_at, slot.ends_at)
        )
        if start == slot.local:
            continue
        day = f"{spoken_day(start.date())}, " if start.date() != slot.local.date() else ""
        said += f"; for {name} {day}{_hours(start, end)} {zone}"
    return said


def spoken_moment(moment: datetime, zone: str) -> str:
    """``15:10 on Thursday 24 December``, as a clock in the zone shows it."""
    local = moment.astimezone(ZoneInfo(zone))
    return f"{local:%H:%M} on {spoken_day(local.date())}"


def _known(zone: str | None) -> ZoneInfo | None:
    try:
        return ZoneInfo(zone) if zone else None
    except (ZoneInfoNotFoundError, ValueError):
        # People may type anything into their profile.
        return None


def _hours(start: datetime, end: datetime) -> str:
    return f"{start:%H:%M}-{end:%H:%M}"
