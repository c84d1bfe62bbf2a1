"""Moments as people read them."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime
from zoneinfo import ZoneInfo

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
