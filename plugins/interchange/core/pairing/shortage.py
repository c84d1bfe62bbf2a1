"""
How many pairs one round can have at most, and why no more.

Departments are counted first. Where a matching reaches that number, this is the reason. Where none does (blocked pairs,
people in several departments, people who have met everybody), who may meet whom is looked at pair by pair, up to
``EXACT_UP_TO`` people, and the reason is a barrier in the sense of :mod:`interchange.core.pairing.barrier`.
"""

from __future__ import annotations

import random
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from interchange.core.pairing.barrier import Barrier, barriers
from interchange.core.pairing.matching import EXACT_UP_TO, heaviest
from interchange.core.pairing.problem import Problem

_COUNT_FROM = 30
_SAMPLE = 24

Wish = Literal["allowed", "cross", "new"]
"""By the rules alone; and of different departments; and never met."""


@dataclass(frozen=True, kw_only=True)
class Reason:
    """
    :param kind: see :class:`interchange.core.pairing.model.Finding`.
    :param people: whom it may leave over.
    """

    kind: str
    text: str
    people: frozenset[int]


@dataclass(frozen=True, kw_only=True)
class Shortage:
    """
    What one round cannot have.

    :param pairs: of a maximum matching.
    :param reasons: why there are no more; none if everybody is matched.
    :param triangles: may any three of them form a trio?
    :param stranded: so many find nobody even where trios are formed: of people who may only meet the same few others,
        each group has one at most.
    :param strandable: who may be among them.
    """

    pairs: int
    reasons: tuple[Reason, ...]
    triangles: bool
    stranded: int
    strandable: frozenset[int]


def shortage(problem: Problem, people: Sequence[int], wish: Wish) -> Shortage:
    """Of a round with these people."""
    counted = _counted(problem, people, wish)
    if len(people) > EXACT_UP_TO or (
        len(people) > _COUNT_FROM and _reached(problem, people, wish, counted.pairs)
    ):
        return counted
    return _sought(problem, people, wish)


def _reached(problem: Problem, people: Sequence[int], wish: Wish, pairs: int) -> bool:
    """Are there so many pairs already among few possible ones? Then counting has said all."""
    rng = random.Random(0)
    size = len(people)
    edges: set[tuple[int, int]] = set()
    for row in range(size):
        for column in rng.sample(range(size), _SAMPLE):
            if row != column and may_meet(problem, people[row], people[column], wish):
                edges.add((min(row, column), max(row, column)))
    return len(heaviest([(one, other, 1) for one, other in sorted(edges)], size)) == pairs


def may_meet(problem: Problem, one: int, other: int, wish: Wish) -> bool:
    code = problem.code(one, other)
    if code in problem.blocked:
        return False
    strict = wish != "allowed" or problem.rules.same_department == "never"
    if strict and problem.shared[problem.kinds[one]][problem.kinds[other]]:
        return False
    new_only = wish == "new" or problem.rules.repeats == "never"
    return not (new_only and problem.times_met(code))


def _sought(problem: Problem, people: Sequence[int], wish: Wish) -> Shortage:
    size = len(people)
    near: list[set[int]] = [set() for _ in people]
    for row in range(size):
        for column in range(row):
            if may_meet(problem, people[row], people[column], wish):
                near[row].add(column)
                near[column].add(row)
    pairs, found = barriers(near)
    triangles = any(near[one] & near[other] for one in range(size) for other in near[one])
    alone = [part.circles[0][0] for part in found if not part.barrier and len(part.circles[0]) == 1]
    reasons = [
        _reason(problem, people, part) for part in found if part.circles[0][0] not in alone or part.barrier
    ]
    if alone:
        reasons.insert(0, _alone(problem, people, [people[place] for place in alone]))
    stranded, strandable = 0, set[int]()
    for part in found:
        single = [people[circle[0]] for circle in part.circles if len(circle) == 1]
        if len(single) > len(part.barrier):
            stranded += len(single) - len(part.barrier)
            strandable.update(single)
    return Shortage(
        pairs=pairs,
        reasons=tuple(reasons),
        triangles=triangles,
        stranded=stranded,
        strandable=frozenset(strandable),
    )


def _alone(problem: Problem, people: Sequence[int], alone: Sequence[int]) -> Reason:
    if len(people) == 1:
        return Reason(kind="odd", text="only one person takes part", people=frozenset(alone))
    common = frozenset.intersection(*(problem.kind_names[problem.kinds[person]] for person in people))
    if common:
        text = (
            f"all {len(people)} people are in {min(common)}: nobody finds a partner from another department"
        )
        return Reason(kind="department", text=text, people=frozenset(alone))
    who = "1 person" if len(alone) == 1 else f"{len(alone)} people"
    text = f"{who} may meet none of the {len(people) - 1} others ({_causes(problem, alone, people)})"
    return Reason(kind="alone", text=text, people=frozenset(alone))


def _reason(problem: Problem, people: Sequence[int], part: Barrier) -> Reason:
    left = frozenset(people[place] for circle in part.circles for place in circle)
    total, over, takers = len(people), part.missing, len(part.barrier)
    if len(part.circles) == 1:
        if len(left) == total:
            how = "one group has three" if problem.rules.odd == "trio" else "one of them rests"
            return Reason(kind="odd", text=f"{total} people is an odd number: {how}", people=left)
        text = f"{len(left)} people may only meet each other, an odd number: one finds no partner"
        return Reason(kind="alone", text=text, people=left)
    finds = _find(over)
    common = frozenset.intersection(*(problem.kind_names[problem.kinds[person]] for person in left))
    if common and len(left) + takers == total:
        text = f"{min(common)} has {len(left)} of {total} people: {finds} from another department"
        return Reason(kind="department", text=text, people=left)
    whom = "the same person" if takers == 1 else f"the same {takers} people"
    if common:
        text = f"{len(left)} people of {min(common)} may only meet {whom}: {finds}"
        return Reason(kind="blocked", text=text, people=left)
    causes = _causes(problem, sorted(left), [person for person in people if person in left])
    if len(left) == len(part.circles):
        text = f"{len(left)} people may meet only {whom} and not each other ({causes}): {finds}"
    else:
        text = f"{len(part.circles)} circles of people may, outside themselves, meet only {whom} ({causes}): {finds}"
    return Reason(kind="blocked" if "blocked" in causes else "department", text=text, people=left)


def _find(over: int) -> str:
    return f"{over} find no partner" if over > 1 else "one finds no partner"


def _causes(problem: Problem, some: Sequence[int], others: Sequence[int]) -> str:
    """What keeps these people apart from those others."""
    causes = set()
    for one in some:
        for other in others:
            if one == other:
                continue
            code = problem.code(one, other)
            if code in problem.blocked:
                causes.add("blocked pairs")
            elif problem.shared[problem.kinds[one]][problem.kinds[other]]:
                causes.add("same department")
            elif problem.times_met(code):
                causes.add("met before")
    return ", ".join(sorted(causes))


def _counted(problem: Problem, people: Sequence[int], wish: Wish) -> Shortage:
    """A department with more than half of all leaves some over; else only an odd number does."""
    total = len(people)
    members: dict[str, set[int]] = {}
    for person in people:
        for name in problem.kind_names[problem.kinds[person]]:
            members.setdefault(name, set()).add(person)
    strict = wish != "allowed" or problem.rules.same_department == "never"
    largest = max(sorted(members), key=lambda name: len(members[name]), default="")
    over = 2 * len(members[largest]) - total if largest and strict else 0
    if over > 0:
        of_largest = frozenset(members[largest])
        text = f"{largest} has {len(of_largest)} of {total} people: {_find(over)} from another department"
        return Shortage(
            pairs=total - len(of_largest),
            reasons=(Reason(kind="department", text=text, people=of_largest),),
            triangles=len(members) > 2,
            stranded=over,
            strandable=of_largest,
        )
    reasons: tuple[Reason, ...] = ()
    if total % 2:
        how = "one group has three" if problem.rules.odd == "trio" else "one of them rests"
        text = f"{total} people is an odd number: {how}"
        reasons = (Reason(kind="odd", text=text, people=frozenset(people)),)
    return Shortage(
        pairs=total // 2,
        reasons=reasons,
        triangles=not strict or len(members) > 2,
        stranded=0,
        strandable=frozenset(),
    )
