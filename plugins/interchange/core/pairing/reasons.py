"""Why a wish does not come true, and what the draw would be at its best."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import date
from itertools import combinations

from interchange.core.pairing.costs import Schedule
from interchange.core.pairing.model import Finding
from interchange.core.pairing.possible import Possible
from interchange.core.pairing.shortage import Reason
from interchange.core.pairing.together import Again

_ANEW = "of those matched anew: "
_NAMED = 20  # a finding that means more people names none


def minima(schedule: Schedule, possible: Possible, again: Again) -> dict[str, int]:
    """
    The proven least amounts, by the names of the fields of :class:`interchange.core.pairing.model.Quality`.

    Of groups that share no department, those beyond a maximum matching of people who never met have met.
    """
    problem = possible.problem
    shared = met = 0
    for number, groups in enumerate(schedule.groups):
        shared += possible.same_department_of(number, len(groups), len(schedule.resting[number]))
        same = sum(
            problem.shared[problem.kinds[one]][problem.kinds[other]]
            for group in groups
            for one, other in combinations(group, 2)
        )
        met += max(0, len(groups) - same - possible.shortage(number, "new").pairs)
    rests = sum(possible.rests(number) for number in range(len(possible.people)))
    return {
        "resting": max(again.rests, rests),
        "same_department": shared,
        "repeats": again.repeats,
        "past_repeats": met,
    }


def why_resting(schedule: Schedule, possible: Possible, number: int) -> dict[int, str]:
    """A reason for each resting person."""
    return {person: _why(possible, number, person) for person in schedule.resting[number]}


def _why(possible: Possible, number: int, person: int) -> str:
    if possible.limited(number):
        return _limit_text(possible, number)
    for reason in possible.shortage(number, "allowed").reasons:
        if person in reason.people:
            return _ANEW * (number in possible.partly) + reason.text
    return "everybody who is free has met before or may not meet"


def _limit_text(possible: Possible, number: int) -> str:
    problem = possible.problem
    limit, people = problem.rules.pairs_per_round or 0, len(problem.present[number])
    return f"{limit} pairs a round take in {2 * limit} of {people} people"


def round_findings(schedule: Schedule, possible: Possible, number: int) -> tuple[Finding, ...]:
    """What this round could not have, by itself."""
    return _told(possible, [(reason, number) for reason in _of_round(schedule, possible, number)])


def draw_findings(schedule: Schedule, possible: Possible, again: Again) -> tuple[Finding, ...]:
    """What no draw could have, over all rounds."""
    rounds = range(len(possible.people))
    noted = [(reason, number) for number in rounds for reason in _of_round(schedule, possible, number)]
    if again.reason is not None:
        noted += [(again.reason, number) for number in rounds[again.first :]]
    twice = sum(len(held) - 1 for held in schedule.meetings.values() if held)
    if twice > again.repeats:
        noted += [(_unproven(twice, again), number) for number in rounds]
    return _told(possible, noted)


def _unproven(twice: int, again: Again) -> Reason:
    count = "1 meeting is" if twice == 1 else f"{twice} meetings are"
    proven = (
        f"only {again.repeats} must be, as far as is proven"
        if again.repeats
        else "that it must be so is not proven"
    )
    return Reason(kind="together", text=f"{count} of a pair that meets twice; {proven}", people=frozenset())


def _of_round(schedule: Schedule, possible: Possible, number: int) -> Iterable[Reason]:
    if possible.limited(number):
        yield Reason(kind="limit", text=_limit_text(possible, number), people=frozenset())
    else:
        yield from _for_part(possible, number, possible.shortage(number, "allowed").reasons)
    cross = possible.shortage(number, "cross")
    if possible.same_department(number):
        others = [reason for reason in cross.reasons if reason.kind != "odd"]
        yield from _for_part(possible, number, others)
    elif not cross.triangles and any(len(group) > 2 for group in schedule.groups[number]):
        text = "no three people are of three different departments: two of a trio share one"
        yield Reason(kind="department", text=text, people=frozenset())
    if possible.met_before(number):
        # Which of them meet again depends on the draw: the reasons of those without a new partner are one each.
        count = possible.met_before(number)
        who = "1 pair has" if count == 1 else f"{count} pairs have"
        text = f"{who} to meet again: too few are left who never met"
        yield Reason(kind="repeats", text=text, people=frozenset())


def _for_part(possible: Possible, number: int, reasons: Iterable[Reason]) -> Iterable[Reason]:
    anew = _ANEW * (number in possible.partly)
    return (Reason(kind=reason.kind, text=anew + reason.text, people=reason.people) for reason in reasons)


def _told(possible: Possible, noted: Iterable[tuple[Reason, int]]) -> tuple[Finding, ...]:
    problem = possible.problem
    found: dict[tuple[str, str], tuple[frozenset[int], list[int]]] = {}
    for reason, number in noted:
        days = found.setdefault((reason.kind, reason.text), (reason.people, []))[1]
        if problem.days[number] not in days:
            days.append(problem.days[number])
    return tuple(
        Finding(
            kind=kind,
            text=text,
            people=tuple(problem.keys[who] for who in sorted(people)) if len(people) <= _NAMED else (),
            days=tuple(date.fromordinal(day) for day in days),
        )
        for (kind, text), (people, days) in found.items()
    )
