"""
One round at its cheapest, by exact matching.

``rustworkx.max_weight_matching`` is Edmonds' algorithm in time n³, with weights of 127 bits
(https://www.rustworkx.org/apiref/rustworkx.max_weight_matching.html): 100 people take milliseconds, 400 a third of a
second. It is loaded only here.
"""

from __future__ import annotations

import random
from collections.abc import Iterable, Mapping, Sequence
from itertools import combinations, product

from interchange.core.pairing.costs import TRIO, Member, Schedule

# Equal solutions are told apart by random low bits: among all cheapest rounds any may come out.
_NOISE_BITS = 16
_SHIFT = 28
# More than all weights of 4,096 pairs together, below the 127 bits.
_MUST = 1 << 106
# Up to so many people a trio is sought around every pair, or else around every pair of the present groups.
_EVERY_PAIR = 12
_EVERY_GROUP = 40
EXACT_UP_TO = 200
"""So many people of one round are matched exactly."""


def heaviest(edges: Iterable[tuple[int, int, int]], nodes: int) -> list[tuple[int, int]]:
    """The matching of greatest weight; each pair ascending, the list sorted."""
    import rustworkx

    graph = rustworkx.PyGraph(multigraph=False)
    graph.add_nodes_from(range(nodes))
    graph.add_edges_from(list(edges))
    found = rustworkx.max_weight_matching(graph, max_cardinality=False, weight_fn=int)
    return sorted((min(pair), max(pair)) for pair in found)


class RoundSolver:
    """
    Cheapest groups for some of one round's people, given the other rounds.

    :param number: the round, which must be lifted from the schedule.
    :param people: whom to group; ascending.
    :param limit: at most so many groups; None: no limit.
    :param trios: may three form a group?
    """

    def __init__(
        self,
        schedule: Schedule,
        number: int,
        people: Sequence[int],
        *,
        limit: int | None,
        trios: bool,
        rng: random.Random,
    ) -> None:
        self.schedule, self.number, self.people, self.rng = schedule, number, people, rng
        self.limit = None if limit is None or 2 * limit >= len(people) - trios else limit
        self.trios = trios and self.limit is None
        self.pairs: dict[tuple[int, int], int] = {}
        for place, one in enumerate(people):
            for other in people[place + 1 :]:
                cost = schedule.pair_cost(number, one, other)
                if cost is not None:
                    self.pairs[one, other] = cost
        self.rest = {person: schedule.rest_cost(number, person) for person in people}
        self.trio = {person: schedule.trio_cost(number, person) for person in people} if self.trios else {}
        self.alone = self._alone()
        self.lower_bound = 0
        """No grouping of these people costs less. Set by :meth:`solve`."""

    def cost(self, one: int, other: int) -> int | None:
        return self.pairs.get((one, other) if one < other else (other, one))

    def group_cost(self, group: Member) -> int | None:
        if len(group) == 2:
            return self.cost(*group)
        one, two, three = group
        sides = (self.cost(one, two), self.cost(one, three), self.cost(two, three))
        if None in sides:
            return None
        return sum(side for side in sides if side is not None) + TRIO + sum(self.trio[who] for who in group)

    def total(self, groups: Iterable[Member]) -> int:
        """The cost of groups and of all who then rest."""
        total, resting = 0, dict(self.rest)
        for group in groups:
            total += self.group_cost(group) or 0
            for person in group:
                del resting[person]
        return total + sum(resting.values())

    def solve(self) -> list[Member]:
        """
        The cheapest groups. Without trios this is exact. With them it is exact when at most one is needed and there are
        at most twelve people, or when the cost equals ``lower_bound``; else it is a good local optimum.
        """
        pairs, self.lower_bound = self._relaxed(self.alone)
        if not self.trios:
            return pairs
        groups = self._attach(pairs)
        if self.total(groups) > self.lower_bound:
            # As if nobody could join: right where nobody can.
            without = self._attach(self._relaxed(self.rest)[0])
            groups = self._better_trios(min(groups, without, key=self.total))
        return groups

    def bound(self) -> int:
        """No grouping of these people costs less."""
        return self._relaxed(self.alone)[1]

    def _alone(self) -> dict[int, int]:
        """What being in no pair costs at least: a rest, or the cheapest way to be the third of a trio."""
        if not self.trios:
            return self.rest
        sides: dict[int, list[int]] = {person: [] for person in self.people}
        for (one, other), cost in self.pairs.items():
            sides[one].append(cost + self.trio[other])
            sides[other].append(cost + self.trio[one])
        alone = dict(self.rest)
        for person, costs in sides.items():
            if len(costs) > 1:
                joins = TRIO + self.trio[person] + sum(sorted(costs)[:2])
                alone[person] = min(self.rest[person], joins)
        return alone

    def _relaxed(self, prices: Mapping[int, int]) -> tuple[list[Member], int]:
        """Pairs only, each single at a price: the best pairs, and what all costs; at ``alone`` this bounds all else."""
        place = {person: number for number, person in enumerate(self.people)}
        edges = []
        for (one, other), cost in self.pairs.items():
            saved = prices[one] + prices[other] - cost
            if saved > 0:
                edges.append(
                    (place[one], place[other], (saved << _SHIFT) + self.rng.getrandbits(_NOISE_BITS))
                )
        nodes = len(self.people)
        if self.limit is not None:
            # Places of rest that must be filled leave just the people for so many pairs.
            for seat in range(len(self.people) - 2 * self.limit):
                edges.extend((number, nodes + seat, _MUST) for number in range(len(self.people)))
            nodes += len(self.people) - 2 * self.limit
        chosen = [
            (self.people[low], self.people[high])
            for low, high in heaviest(edges, nodes)
            if high < len(self.people)
        ]
        total = sum(prices.values())
        for one, other in chosen:
            total += self.pairs[one, other] - prices[one] - prices[other]
        return [*chosen], total

    def _attach(self, groups: list[Member]) -> list[Member]:
        """Singles join pairs as a third, at least cost, as many as can."""
        grouped = {person for group in groups for person in group}
        singles = [person for person in self.people if person not in grouped]
        pairs = [group for group in groups if len(group) == 2]
        edges = []
        for row, single in enumerate(singles):
            for column, pair in enumerate(pairs):
                cost = self.group_cost((*pair, single))
                if cost is not None:
                    saved = self.rest[single] + (self.cost(*pair) or 0) - cost
                    noise = self.rng.getrandbits(_NOISE_BITS)
                    edges.append((row, len(singles) + column, (saved << _SHIFT) + noise))
        joined = {
            pairs[high - len(singles)]: singles[low]
            for low, high in heaviest([edge for edge in edges if edge[2] > 0], len(singles) + len(pairs))
        }
        return [(*group, joined[group]) if group in joined else group for group in groups]

    def _better_trios(self, groups: list[Member]) -> list[Member]:
        """
        For two people held together, the best third for them and the best of all others, until nothing gains.

        All pairs are held in turn where people are few, else those of the present groups, else of the present trios.
        """
        best, best_cost = groups, self.total(groups)
        gained = True
        while gained and best_cost > self.lower_bound:
            gained = False
            held, prices = list(self.pairs), [self.alone, self.rest]
            if len(self.people) > _EVERY_PAIR:
                prices = [self.alone]
                held = [
                    pair
                    for group in best
                    if len(group) == 3 or len(self.people) <= _EVERY_GROUP
                    for pair in combinations(group, 2)
                ]
            for pair, price in product(held, prices):
                found = self._with_held(pair, price)
                cost = self.total(found)
                if cost < best_cost:
                    best, best_cost, gained = found, cost, True
        return best

    def _with_held(self, pair: tuple[int, int], prices: Mapping[int, int]) -> list[Member]:
        one, two = pair
        others = [person for person in self.people if person not in pair]
        place = {person: number for number, person in enumerate(others)}
        edges = []
        for (low, high), cost in self.pairs.items():
            saved = prices[low] + prices[high] - cost
            if saved > 0 and low in place and high in place:
                edges.append((place[low], place[high], saved))
        for person in others:
            cost_of_trio = self.group_cost((one, two, person))
            if cost_of_trio is not None:
                # The held pair is a node of its own, and must find its third.
                edges.append((place[person], len(others), _MUST + prices[person] - cost_of_trio))
        groups: list[Member] = []
        for low, high in heaviest(edges, len(others) + 1):
            groups.append((one, two, others[low]) if high == len(others) else (others[low], others[high]))
        if not any(len(group) == 3 for group in groups):
            groups.append(pair)
        return self._attach(groups)
