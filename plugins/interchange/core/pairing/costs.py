"""
What is how bad, as whole numbers, so that no rounding decides and one number compares two draws.

Each kind of harm weighs more than all smaller ones of a round together, up to 8,000 people: the constants are powers
of two far enough apart. Harm between rounds is shared out over pairs of rounds (a pair that meets three times has met
again three times). So the cost of one round, given the others, is exact, and making each round best in turn never makes
the draw worse.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from itertools import combinations

from interchange.core.pairing.problem import MET, Problem

LEFT_OUT = 1 << 60
TRIO = 1 << 54
SAME_DEPARTMENT = 1 << 48
TWICE_RUNNING = 1 << 42
UNEVEN_REST = 1 << 36
MET_IN_DRAW = 1 << 28
# A person's past share of rests, in 1024ths: one rest in forty weighs as much as some pairs who met before.
PAST_REST = 1 << 12
# The smallest harms, together below 2**16 for a pair that met less than five times.
MET_BEFORE = 10_000
TRIO_AGAIN = 8_000
NEAR = 50
_PAST_LIMIT = 1 << 20  # of a pair that met a hundred times
_HALF_DAYS = 56  # a meeting eight weeks ago weighs half as much as one today

Member = tuple[int, ...]


def nearness(days: int) -> int:
    """How recent something is: ``MET_BEFORE`` today, half of it eight weeks from now or ago, always above 0."""
    return MET_BEFORE * _HALF_DAYS // (_HALF_DAYS + abs(days))


def past_cost(problem: Problem, code: int, day: int) -> int:
    """What past meetings make of a meeting on this day: any counts, many and recent ones count more."""
    meetings = problem.met.get(code)
    if not meetings:
        return 0
    most = max(weight for _, weight in meetings)
    recent = sum(weight * nearness(day - when) for when, weight in meetings)
    return min(_PAST_LIMIT, (MET_BEFORE * most + recent) // MET)


class Schedule:
    """
    Groups by round, with what is needed to say what a change costs.

    A round is taken out (:meth:`lift`), solved given the others, and put back (:meth:`put`).
    """

    def __init__(self, problem: Problem) -> None:
        self.problem = problem
        rounds = len(problem.days)
        self._size = problem.size
        kinds = range(len(problem.kind_names))
        # What the departments of two kinds of people make of their meeting.
        self._between = [[self._apart(kind, other) for other in kinds] for kind in kinds]
        self.groups: list[tuple[Member, ...]] = [()] * rounds
        self.resting: list[frozenset[int]] = [frozenset()] * rounds
        self.promised: frozenset[int] = frozenset()
        """Who was told of a meeting and should rather not rest."""
        # Rounds by pair, by resting person, by person in a trio.
        self.meetings: dict[int, list[int]] = {}
        self._rests: dict[int, list[int]] = {}
        self._trios: dict[int, list[int]] = {}
        # Somebody's rounds before and after one are the next ones, but for those noted here; outside the range is none.
        self._before: list[dict[int, int]] = [{} for _ in range(rounds)]
        self._after: list[dict[int, int]] = [{} for _ in range(rounds)]
        last = [-1] * problem.size
        for number, present in enumerate(problem.present):
            for person in present:
                if last[person] != number - 1:
                    self._before[number][person] = last[person]
                    if last[person] >= 0:
                        self._after[last[person]][person] = number
                last[person] = number

    def put(self, number: int, groups: Iterable[Member]) -> None:
        """Set an empty round; whoever is present and in no group rests."""
        self.groups[number] = tuple(sorted(tuple(sorted(group)) for group in groups))
        self.resting[number] = frozenset(self.problem.present[number]).difference(*self.groups[number])
        for group in self.groups[number]:
            for code in self.codes(group):
                self.meetings.setdefault(code, []).append(number)
            if len(group) > 2:
                for person in group:
                    self._trios.setdefault(person, []).append(number)
        for person in self.resting[number]:
            self._rests.setdefault(person, []).append(number)

    def lift(self, number: int) -> tuple[Member, ...]:
        """Empty a round; gives the groups it had."""
        before = self.groups[number]
        for group in before:
            for code in self.codes(group):
                self.meetings[code].remove(number)
            if len(group) > 2:
                for person in group:
                    self._trios[person].remove(number)
        for person in self.resting[number]:
            self._rests[person].remove(number)
        self.groups[number], self.resting[number] = (), frozenset()
        return before

    def copy(self) -> Schedule:
        twin = Schedule(self.problem)
        for number, groups in enumerate(self.groups):
            twin.put(number, groups)
        return twin

    def codes(self, group: Member) -> list[int]:
        """The codes of a group's pairs."""
        problem = self.problem
        if len(group) == 2:
            return [problem.code(*group)]
        return [problem.code(one, other) for one, other in combinations(group, 2)]

    def pair_cost(self, number: int, one: int, other: int) -> int | None:
        """What it costs that two meet in this round, which is lifted, given the others. None: they must not."""
        problem = self.problem
        cost = self._between[problem.kinds[one]][problem.kinds[other]]
        code = one * self._size + other if one < other else other * self._size + one
        if cost is None or code in problem.blocked:
            return None
        again = self.meetings.get(code)
        if not again and code not in problem.met:
            return cost
        if problem.rules.repeats == "never" and (again or problem.times_met(code)):
            return None
        day = problem.days[number]
        cost += past_cost(problem, code, day)
        for held in again or ():
            cost += MET_IN_DRAW + nearness(problem.days[held] - day)
        return cost

    def _apart(self, kind: int, other: int) -> int | None:
        problem = self.problem
        if not problem.shared[kind][other]:
            return NEAR * problem.near[kind][other]
        return SAME_DEPARTMENT if problem.rules.same_department == "if_needed" else None

    def rest_cost(self, number: int, person: int) -> int:
        """What it costs that somebody rests in this round, given the other rounds."""
        elsewhere = [held for held in self._rests.get(person, ()) if held != number]
        cost = LEFT_OUT + UNEVEN_REST * len(elsewhere) + PAST_REST * self.problem.rest_share[person]
        before = self._before[number].get(person, number - 1)
        after = self._after[number].get(person, number + 1)
        twice = (before in elsewhere) + (after in elsewhere)
        if before < 0:
            twice += person in self.problem.rested_last
        return cost + TWICE_RUNNING * (twice + 2 * (person in self.promised))

    def trio_cost(self, number: int, person: int) -> int:
        """What it costs that somebody is in a trio again, given the other rounds."""
        problem = self.problem
        day = problem.days[number]
        past = problem.trio_days.get(person, ())
        elsewhere = [problem.days[held] for held in self._trios.get(person, ()) if held != number]
        return sum(TRIO_AGAIN + nearness(day - when) for when in (*past, *elsewhere))

    def group_cost(self, number: int, group: Member) -> int | None:
        """All pairs of a group, and what a trio costs on top. None: two of them must not meet."""
        total = 0
        for one, other in combinations(group, 2):
            cost = self.pair_cost(number, one, other)
            if cost is None:
                return None
            total += cost
        if len(group) > 2:
            total += TRIO + sum(self.trio_cost(number, person) for person in group)
        return total

    def round_cost(self, number: int, groups: Sequence[Member]) -> int:
        """
        What these groups cost in this round, given the others, with all who then rest.

        :raises ValueError: two of a group must not meet.
        """
        total = 0
        grouped: set[int] = set()
        for group in groups:
            cost = self.group_cost(number, group)
            if cost is None:
                raise ValueError("two people of a group must not meet")
            total += cost
            grouped.update(group)
        return total + sum(
            self.rest_cost(number, person) for person in self.problem.present[number] if person not in grouped
        )

    def total(self) -> int:
        """The cost of the whole draw, each harm between two rounds once."""
        counted = Schedule(self.problem)
        total = 0
        for number, groups in enumerate(self.groups):
            total += counted.round_cost(number, groups)
            counted.put(number, groups)
        return total
