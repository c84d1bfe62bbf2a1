"""
One round of more people than exact matching takes in time.

Who takes part is chosen first, so that no department has more than half; people of one department stand together in a
circle and meet whoever stands opposite. Pairs that cost more than their bound then trade partners with others, at last
in blocks that are matched exactly. Time and memory grow with the number of people, not with its square.
"""

from __future__ import annotations

import random
from collections.abc import Mapping, Sequence

from interchange.core.pairing.costs import Member, Schedule
from interchange.core.pairing.matching import RoundSolver

FORBIDDEN = 1 << 62
_TRADES = 60
_PASSES = 6
_ENOUGH = 0.9
_BLOCK_PAIRS = 24
_BLOCKS = 40
_THIRDS = 400


class LargeRound:
    """
    :param number: the round, which must be lifted from the schedule.
    :param prices: by person, such that no two of different departments meet for less than theirs together.
    """

    def __init__(
        self,
        schedule: Schedule,
        number: int,
        people: Sequence[int],
        *,
        limit: int | None,
        trios: bool,
        prices: Mapping[int, int],
        rng: random.Random,
    ) -> None:
        self.schedule, self.number, self.people = schedule, number, people
        self.prices, self.rng = prices, rng
        self.problem = schedule.problem
        half = len(people) // 2
        self.most = half if limit is None else min(limit, half)
        self.trios = trios and self.most == half
        self.pairs: list[tuple[int, int]] = []
        self.costs: list[int] = []

    def solve(self) -> list[Member]:
        self._place(self._seated())
        self._trade()
        self._match_blocks()
        placed = zip(self.pairs, self.costs, strict=True)
        groups: list[Member] = [pair for pair, cost in placed if cost < FORBIDDEN]
        return self._with_thirds(groups) if self.trios else groups

    def _seated(self) -> list[int]:
        """Who takes part: first who should rest least, no department more than half if that can be."""
        urgency = {person: self.schedule.rest_cost(self.number, person) for person in self.people}
        if self.trios:
            for person in self.people:
                urgency[person] += self.schedule.trio_cost(self.number, person)
        order = sorted(self.people, key=lambda person: (-urgency[person], self.rng.random()))
        members = dict.fromkeys((name for kind in self.problem.kind_names for name in kind), 0)
        seated: list[int] = []
        left: list[int] = []
        for person in order:
            names = self._names(person)
            if len(seated) == 2 * self.most or any(members[name] >= self.most for name in names):
                left.append(person)
                continue
            seated.append(person)
            for name in names:
                members[name] += 1
        if self.problem.rules.same_department == "if_needed":
            return seated + left[: 2 * self.most - len(seated)]
        largest = max(sorted(members), key=lambda name: members[name])
        surplus = 2 * members[largest] - len(seated)
        if surplus > 0:
            of_largest = [person for person in seated if largest in self._names(person)]
            out = set(of_largest[-surplus:])
            seated = [person for person in seated if person not in out]
        return seated[: len(seated) // 2 * 2]

    def _names(self, person: int) -> frozenset[str]:
        return self.problem.kind_names[self.problem.kinds[person]]

    def _place(self, seated: Sequence[int]) -> None:
        kinds = self.problem.kinds
        sizes: dict[int, int] = {}
        for person in seated:
            sizes[kinds[person]] = sizes.get(kinds[person], 0) + 1
        circle = sorted(seated, key=lambda who: (-sizes[kinds[who]], kinds[who], self.rng.random()))
        half = len(circle) // 2
        self.pairs = [(circle[place], circle[place + half]) for place in range(half)]
        self.costs = [self._cost(one, other) for one, other in self.pairs]

    def _cost(self, one: int, other: int) -> int:
        cost = self.schedule.pair_cost(self.number, one, other)
        return FORBIDDEN if cost is None else cost

    def _dear(self) -> list[int]:
        prices = self.prices
        return [
            place
            for place, (one, other) in enumerate(self.pairs)
            if self.costs[place] > prices[one] + prices[other]
        ]

    def _trade(self) -> None:
        """Two pairs become two others where that costs less, until few gain."""
        dear = self._dear()
        for _ in range(_PASSES):
            self._trade_once(dear)
            left = self._dear()
            if len(left) > _ENOUGH * len(dear):
                break
            dear = left

    def _trade_once(self, dear: list[int]) -> None:
        rng, pairs, costs = self.rng, self.pairs, self.costs
        for place in dear:
            for _ in range(_TRADES):
                other = rng.randrange(len(pairs))
                (one, two), (three, four) = pairs[place], pairs[other]
                if other == place:
                    continue
                if rng.random() < 0.5:
                    three, four = four, three
                before = costs[place] + costs[other]
                first = self._cost(one, three)
                if first >= before:
                    continue
                second = self._cost(two, four)
                if first + second < before:
                    pairs[place], pairs[other] = (one, three), (two, four)
                    costs[place], costs[other] = first, second
                    if first <= self.prices[one] + self.prices[three]:
                        break

    def _match_blocks(self) -> None:
        """The dearest that are left are matched exactly, together with some others."""
        for _ in range(_BLOCKS):
            dear = self._dear()
            if not dear:
                return
            self.rng.shuffle(dear)
            dear.sort(key=lambda place: -self.costs[place])
            block = dict.fromkeys(dear[: _BLOCK_PAIRS // 2])
            while len(block) < min(_BLOCK_PAIRS, len(self.pairs)):
                block[self.rng.randrange(len(self.pairs))] = None
            people = sorted(person for place in block for person in self.pairs[place])
            solver = RoundSolver(self.schedule, self.number, people, limit=None, trios=False, rng=self.rng)
            found = [(group[0], group[1]) for group in solver.solve()]
            over = sorted(set(people).difference(*found))
            found += zip(over[::2], over[1::2], strict=True)
            for place, pair in zip(block, found, strict=True):
                self.pairs[place], self.costs[place] = pair, self._cost(*pair)

    def _with_thirds(self, groups: list[Member]) -> list[Member]:
        """Singles join the cheapest of some pairs."""
        for single in sorted(set(self.people).difference(*groups)):
            best: tuple[int, int] | None = None
            for place in self.rng.sample(range(len(groups)), min(len(groups), _THIRDS)):
                if len(groups[place]) == 2:
                    cost = self.schedule.group_cost(self.number, (*groups[place], single))
                    if cost is not None and (best is None or cost < best[0]):
                        best = cost, place
            if best is not None:
                groups[best[1]] = (*groups[best[1]], single)
        return groups
