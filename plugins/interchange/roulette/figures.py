"""Numbers without names: for a person about themselves, for admins and the quarterly report about all."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime
from typing import Any

from interchange.roulette.desk import Desk
from interchange.roulette.rounds import BOOKED, DROPPED, Group


def of(desk: Desk, person: str, *, until: datetime) -> dict[str, int]:
    """
    What somebody has behind them.

    :return: ``meetings`` that were due, ``met`` as they say, ``moved``, different ``colleagues``, ``coming``.
    """
    groups = [group for group in desk.rounds.of(person) if person in group.people and group.state == BOOKED]
    past = [group for group in groups if group.starts_at is not None and group.starts_at <= until]
    return {
        "meetings": len(past),
        "met": sum(group.met.get(person) is True for group in past),
        "moved": sum(group.moved > 0 for group in past),
        "colleagues": len({other for group in past for other in group.people} - {person}),
        "coming": len(groups) - len(past),
    }


def total(desk: Desk, *, since: datetime | None, until: datetime) -> dict[str, Any]:
    """
    What all have behind them.

    :param since: only meetings that were due from then on.
    :return: ``meetings`` that were due, ``held`` and ``not_held`` as those who answered say, ``unanswered``,
        ``moved``, ``cancelled``, ``people`` who had one.
    """
    groups = desk.rounds.started(after=since, before=until)
    due = [group for group in groups if group.state == BOOKED]
    held = [group for group in due if any(group.met.values())]
    not_held = [group for group in due if group.met and not any(group.met.values())]
    return {
        "meetings": len(due),
        "held": len(held),
        "not_held": len(not_held),
        "unanswered": len(due) - len(held) - len(not_held),
        "moved": sum(group.moved > 0 for group in due),
        "cancelled": sum(group.state == DROPPED for group in groups),
        "people": len(_everybody(due)),
    }


def _everybody(groups: Iterable[Group]) -> set[str]:
    return {person for group in groups for person in group.people}
