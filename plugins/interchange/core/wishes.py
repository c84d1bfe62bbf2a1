"""Another time for a meeting: whether it can be."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from enum import StrEnum
from zoneinfo import ZoneInfo

from interchange.core.bot_words import parse_day
from interchange.core.slots import Slot, existing, parse_clock

LEAD = timedelta(minutes=15)
"""The others must be able to answer before it begins."""
_SATURDAY = 5


class Obstacle(StrEnum):
    """Why a time cannot be. Each has a text ``wish_…`` among the templates."""

    NO_DAY = "no_day"
    NO_TIME = "no_time"
    PAST = "past"
    SOON = "soon"
    HOLIDAY = "holiday"
    WEEKEND = "weekend"
    TOO_FAR = "too_far"
    GAP = "gap"
    SAME = "same"
    OVERLAP = "overlap"


@dataclass(frozen=True, kw_only=True)
class Engagement:
    """A time at which somebody has another meeting. :param whose: names them, in whatever way the caller does."""

    whose: str
    starts_at: datetime
    ends_at: datetime


@dataclass(frozen=True, kw_only=True)
class Rules:
    """
    What a new time must keep to.

    :param zone: in which days and times are meant. :param around: the day of the round's own slot.
    :param furthest: days from that day, before or after.
    :param weekends: whether meetings may be on Saturdays and Sundays.
    """

    zone: str
    holidays: Collection[date]
    around: date
    furthest: int
    weekends: bool


@dataclass(frozen=True, kw_only=True)
class Wish:
    """
    :param slot: the time, if it can be read; also where something is in its way.
    :param whose: of ``OVERLAP``: who has another meeting then.
    :param earliest, latest: of ``TOO_FAR``. :param asked: of ``GAP``: what no clock shows; ``slot`` is the next time.
    """

    slot: Slot | None
    obstacle: Obstacle | None = None
    whose: str = ""
    earliest: date | None = None
    latest: date | None = None
    asked: datetime | None = None


def check_wish(
    day: str,
    clock: str,
    *,
    current: Slot,
    rules: Rules,
    engagements: Sequence[Engagement],
    now: datetime,
) -> Wish:
    """
    Read a wished time and look for what is in its way.

    :param day: ``2026-12-24`` or ``24/12/2026``. :param clock: ``15:10``. Both are local time in the rules' zone.
    :param current: when the meeting is now. :param engagements: other meetings of those who take part.
    :param now: aware.
    """
    on, at = parse_day(day), parse_clock(clock)
    if on is None:
        return Wish(slot=None, obstacle=Obstacle.NO_DAY)
    if at is None:
        return Wish(slot=None, obstacle=Obstacle.NO_TIME)
    earliest, latest = (rules.around + timedelta(days=days) for days in (-rules.furthest, rules.furthest))
    local = datetime.combine(on, at)
    slot = Slot(local=existing(local, rules.zone), zone=rules.zone, minutes=current.minutes)
    starts_at = slot.starts_at
    if slot.local != local:
        return Wish(slot=slot, obstacle=Obstacle.GAP, asked=local)
    obstacle: Obstacle | None = None
    if starts_at == current.starts_at:
        obstacle = Obstacle.SAME
    elif starts_at <= now:
        obstacle = Obstacle.PAST
    elif starts_at < now + LEAD:
        obstacle = Obstacle.SOON
    elif not earliest <= on <= latest:
        return Wish(slot=slot, obstacle=Obstacle.TOO_FAR, earliest=earliest, latest=latest)
    elif on in rules.holidays:
        obstacle = Obstacle.HOLIDAY
    elif on.weekday() >= _SATURDAY and not rules.weekends:
        obstacle = Obstacle.WEEKEND
    if obstacle is not None:
        return Wish(slot=slot, obstacle=obstacle)
    for other in engagements:
        if other.starts_at < slot.ends_at and starts_at < other.ends_at:
            return Wish(slot=slot, obstacle=Obstacle.OVERLAP, whose=other.whose)
    return Wish(slot=slot)


def local_day(moment: datetime, zone: str) -> date:
    """The day that a calendar in the zone shows at a moment."""
    return moment.astimezone(ZoneInfo(zone)).date()
