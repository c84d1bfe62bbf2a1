"""
Why a wish does not come true: the smallest reason, proven, and the amounts below which nobody can draw.

Up to ``COUNT_ABOVE`` people who may meet whom is looked at pair by pair, and the reason is a barrier in the sense of
:mod:`interchange.core.pairing.barrier`. Above, departments are counted, which proves as much unless blocked pairs do
harm.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import date

from interchange.core.pairing.barrier import Barrier, barriers
from interchange.core.pairing.costs import Schedule
from interchange.core.pairing.model import Finding
from interchange.core.pairing.problem import Problem

COUNT_ABOVE = 200
_NAMED = 20  # a finding that means more people names none


@dataclass(frozen=True, kw_only=True)
class Reason:
    """:param people: whom it may leave over."""

    kind: str
    text: str
    people: frozenset[int]


@dataclass(frozen=True, kw_only=True)
class Shortage:
    """
    What one round cannot have.

    :param pairs: of a maximum matching.
    :param reasons: why there are no more.
    :param triangles: may any three of them form a trio?
    """

    pairs: int
    reasons: tuple[Reason, ...]
    triangles: bool


class Reasons:
    """
    Of a finished schedule.

    :param people: by round, whom the round's groups were sought for; as a rule all present.
    """

    def __init__(self, schedule: Schedule, people: Mapping[int, Sequence[int]] | None = None) -> None:
        self.schedule = schedule
        self.problem = schedule.problem
        self.people = {
            number: tuple((people or {}).get(number, present))
            for number, present in enumerate(self.problem.present)
        }
        self._known: dict[tuple[str, tuple[int, ...]], Shortage] = {}
        self.minima = self._minima()

    def shortage(self, number: int, wish: str) -> Shortage:
        """:param wish: ``allowed``; ``cross``: and of different departments; ``new``: and never met."""
        people = self.people[number]
        if (wish, people) not in self._known:
            seek = _sought if len(people) <= COUNT_ABOVE else _counted
            self._known[wish, people] = seek(self.problem, people, wish)
        return self._known[wish, people]

    def wanted(self, number: int) -> int:
        """How many groups the round can have."""
        limit = self.problem.rules.pairs_per_round
        most = self.shortage(number, "allowed").pairs
        return most if limit is None else min(most, limit)

    def limited(self, number: int) -> bool:
        limit = self.problem.rules.pairs_per_round
        return limit is not None and limit < len(self.people[number]) // 2

    def of_rests(self, number: int) -> dict[int, str]:
        """Why each resting person rests."""
        return {person: self._of_rest(number, person) for person in self.schedule.resting[number]}

    def _of_rest(self, number: int, person: int) -> str:
        for reason in self.shortage(number, "allowed").reasons:
            if person in reason.people:
                return reason.text
        if self.limited(number):
            return self._limit_text(number)
        return "everybody left has met before or is blocked"

    def _limit_text(self, number: int) -> str:
        limit, people = self.problem.rules.pairs_per_round or 0, len(self.people[number])
        return f"{limit} pairs a round take in {2 * limit} of {people} people"

    def _minima(self) -> dict[str, int]:
        least = {"resting": 0, "same_department": 0, "past_repeats": 0, "repeats": 0}
        for number, people in self.people.items():
            allowed, wanted = self.shortage(number, "allowed"), self.wanted(number)
            may_join = self.problem.rules.odd == "trio" and not self.limited(number) and allowed.triangles
            least["resting"] += (
                sum(reason.kind == "alone" for reason in allowed.reasons)
                if may_join
                else len(people) - 2 * wanted
            )
            shared = max(0, wanted - self.shortage(number, "cross").pairs)
            least["same_department"] += shared
            least["past_repeats"] += max(0, wanted - shared - self.shortage(number, "new").pairs)
        least["repeats"] = self._again()[0]
        return least

    def _again(self) -> tuple[int, Reason | None, int]:
        """How many pairs must meet again within the draw, why, and from which round (an index) on."""
        best: tuple[int, Reason | None, int] = (0, None, 0)
        for found in (self._again_by_pairs(), self._again_by_person()):
            if found[0] > best[0]:
                best = found
        return best

    def _again_by_pairs(self) -> tuple[int, Reason | None, int]:
        """More meetings than different pairs."""
        problem, rounds = self.problem, len(self.problem.days)
        everybody = sorted({person for people in self.people.values() for person in people})
        different = _different_pairs(problem, everybody)
        needed = 0
        first = rounds
        full_trios = problem.rules.same_department == "never" or not _any_shared(problem, everybody)
        for number, people in self.people.items():
            wanted = self.wanted(number)
            needed += wanted - max(0, wanted - self.shortage(number, "cross").pairs)
            odd = len(people) % 2 and len(people) == 2 * wanted + 1 and not self.limited(number)
            if (
                odd
                and problem.rules.odd == "trio"
                and full_trios
                and self.shortage(number, "cross").triangles
            ):
                needed += 2
            if needed > different and first == rounds:
                first = number
        if needed <= different:
            return 0, None, 0
        text = (
            f"with {len(everybody)} people and {rounds} rounds a pair must meet again from round {first + 1}"
        )
        return needed - different, Reason(kind="together", text=text, people=frozenset()), first

    def _again_by_person(self) -> tuple[int, Reason | None, int]:
        """More rounds than different partners, where nobody need rest and no pair shares a department."""
        problem, rounds = self.problem, len(self.problem.days)
        for number in self.people:
            wanted = self.wanted(number)
            if 2 * wanted < len(self.people[number]) - 1 or self.shortage(number, "cross").pairs < wanted:
                return 0, None, 0
            if 2 * wanted < len(self.people[number]) and problem.rules.odd == "rest":
                return 0, None, 0
        everybody = sorted({person for people in self.people.values() for person in people})
        partners = _partners(problem, everybody)
        there = dict.fromkeys(everybody, 0)
        first, least = rounds, 0
        tightest = -1
        for number, people in self.people.items():
            for person in people:
                there[person] += 1
                if there[person] > partners[person]:
                    least += 1
                    if number < first:
                        first, tightest = number, person
        if not least:
            return 0, None, 0
        names = " and ".join(sorted(problem.kind_names[problem.kinds[tightest]]))
        others = partners[tightest]
        text = (
            f"somebody in {names} has only {others} possible partners: with {rounds} rounds a pair must meet again "
            f"from round {first + 1}"
        )
        return (least + 1) // 2, Reason(kind="together", text=text, people=frozenset((tightest,))), first

    def findings(self) -> tuple[Finding, ...]:
        """What no draw could have, over all rounds."""
        noted = [(reason, number) for number in self.people for reason in self._of_round(number)]
        again, reason, first = self._again()
        if reason is not None and again:
            noted += [(reason, number) for number in range(first, len(self.problem.days))]
        return self._told(noted)

    def of_round(self, number: int) -> tuple[Finding, ...]:
        """The same for one round by itself."""
        return self._told([(reason, number) for reason in self._of_round(number)])

    def _told(self, noted: Iterable[tuple[Reason, int]]) -> tuple[Finding, ...]:
        found: dict[tuple[str, str], tuple[frozenset[int], list[int]]] = {}
        for reason, number in noted:
            days = found.setdefault((reason.kind, reason.text), (reason.people, []))[1]
            if self.problem.days[number] not in days:
                days.append(self.problem.days[number])
        return tuple(
            Finding(
                kind=kind,
                text=text,
                people=tuple(self.problem.keys[who] for who in sorted(people))
                if len(people) <= _NAMED
                else (),
                days=tuple(date.fromordinal(day) for day in days),
            )
            for (kind, text), (people, days) in found.items()
        )

    def _of_round(self, number: int) -> Iterable[Reason]:
        allowed, wanted = self.shortage(number, "allowed"), self.wanted(number)
        if self.limited(number):
            yield Reason(kind="limit", text=self._limit_text(number), people=frozenset())
        else:
            yield from allowed.reasons
        if self.shortage(number, "cross").pairs < wanted:
            yield from (reason for reason in self.shortage(number, "cross").reasons if reason.kind != "odd")
            return
        trio = any(len(group) > 2 for group in self.schedule.groups[number])
        if trio and not self.shortage(number, "cross").triangles:
            text = "no three people are of three different departments: two of a trio share one"
            yield Reason(kind="department", text=text, people=frozenset())


def _may_meet(problem: Problem, one: int, other: int, wish: str) -> bool:
    code = problem.code(one, other)
    if code in problem.blocked:
        return False
    strict = wish != "allowed" or problem.rules.same_department == "never"
    if strict and problem.shared[problem.kinds[one]][problem.kinds[other]]:
        return False
    new_only = wish == "new" or problem.rules.repeats == "never"
    return not (new_only and problem.times_met(code))


def _sought(problem: Problem, people: Sequence[int], wish: str) -> Shortage:
    size = len(people)
    near: list[set[int]] = [set() for _ in people]
    for row in range(size):
        for column in range(row):
            if _may_meet(problem, people[row], people[column], wish):
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
    return Shortage(pairs=pairs, reasons=tuple(reasons), triangles=triangles)


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
    finds = f"{over} find no partner" if over > 1 else "one finds no partner"
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


def _counted(problem: Problem, people: Sequence[int], wish: str) -> Shortage:
    """A department with more than half of all leaves some over; else only an odd number does."""
    total = len(people)
    members: dict[str, set[int]] = {}
    for person in people:
        for name in problem.kind_names[problem.kinds[person]]:
            members.setdefault(name, set()).add(person)
    strict = wish != "allowed" or problem.rules.same_department == "never"
    largest = max(sorted(members), key=lambda name: len(members[name]), default="")
    over = 2 * len(members[largest]) - total if largest and strict else 0
    if over > 1:
        count = len(members[largest])
        text = f"{largest} has {count} of {total} people: {over} find no partner from another department"
        reason = Reason(kind="department", text=text, people=frozenset(members[largest]))
        return Shortage(pairs=total - count, reasons=(reason,), triangles=len(members) > 2)
    reasons: tuple[Reason, ...] = ()
    if total % 2:
        how = "one group has three" if problem.rules.odd == "trio" else "one of them rests"
        text = f"{total} people is an odd number: {how}"
        reasons = (Reason(kind="odd", text=text, people=frozenset(people)),)
    return Shortage(pairs=total // 2, reasons=reasons, triangles=not strict or len(members) > 2)


def _any_shared(problem: Problem, everybody: Sequence[int]) -> bool:
    names = [name for person in everybody for name in problem.kind_names[problem.kinds[person]]]
    return len(names) > len(set(names))


def _partners(problem: Problem, everybody: Sequence[int]) -> dict[int, int]:
    """How many of the others each may meet, of different departments."""
    per_kind: dict[int, int] = {}
    for person in everybody:
        per_kind[problem.kinds[person]] = per_kind.get(problem.kinds[person], 0) + 1
    open_to = {
        kind: sum(count for other, count in per_kind.items() if not problem.shared[kind][other])
        for kind in per_kind
    }
    partners = {person: open_to[problem.kinds[person]] for person in everybody}
    closed = set(problem.blocked)
    if problem.rules.repeats == "never":
        closed |= {code for code in problem.met if problem.times_met(code)}
    for code in closed:
        one, other = divmod(code, problem.size)
        both = one in partners and other in partners
        if both and not problem.shared[problem.kinds[one]][problem.kinds[other]]:
            partners[one] -= 1
            partners[other] -= 1
    return partners


def _different_pairs(problem: Problem, everybody: Sequence[int]) -> int:
    return sum(_partners(problem, everybody).values()) // 2
