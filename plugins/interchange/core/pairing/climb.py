"""
All rounds at once without a pair twice, where drawing one after another ends in a corner.

Hill-climbing as J. H. Dinitz and D. R. Stinson found it for one-factorizations (A hill-climbing algorithm for the
construction of one-factorizations and Room squares, SIAM J. Alg. Disc. Meth. 8, 1987): a round's single takes a partner
it never had, who leaves its own; two singles of a round take their pair from the round that has it. The number of pairs
placed never falls, and ties are what moves the search along.
"""

from __future__ import annotations

import random
from collections.abc import Collection, Sequence

from interchange.core.pairing.costs import Member

_TRIES_PER_PLACE = 400


def climb(
    present: Sequence[Sequence[int]],
    partners: Sequence[Sequence[int]],
    seats: Sequence[int],
    sitters: Collection[int],
    tired: Collection[int],
    rng: random.Random,
) -> list[list[Member]] | None:
    """
    Pairs for each round such that no pair is in two of them.

    :param present: who is there in each round.
    :param partners: by person, whom they may meet.
    :param seats: how many people of each round find no partner; they do so in turn.
    :param sitters: who may be without a partner.
    :param tired: who must not be so in the first round.
    :return: the pairs, or None when the search did not end. It proves nothing.
    """
    search = _Search(present, partners, seats, sorted(sitters), frozenset(tired), rng)
    places = sum(len(people) for people in present)
    return search.pairs() if search.run(_TRIES_PER_PLACE * places) else None


class _Search:
    """
    A place of rest is a node of its own, with the numbers from ``size`` on, whose partner rests; each node has its
    partners and, by round, its mate.
    """

    def __init__(
        self,
        present: Sequence[Sequence[int]],
        partners: Sequence[Sequence[int]],
        seats: Sequence[int],
        sitters: Sequence[int],
        tired: frozenset[int],
        rng: random.Random,
    ) -> None:
        self.rng, self.size, self.tired = rng, len(partners), tired
        most = max(seats, default=0)
        # Each sits on each seat at most so often, which makes the rests even.
        self.limit = max(1, -(-sum(seats) // max(1, most * len(sitters))))
        resting = list(range(self.size, self.size + most))
        self.partners = [*(list(some) for some in partners), *(list(sitters) for _ in resting)]
        for person in sitters:
            self.partners[person] += resting
        self.known = [frozenset(some) for some in self.partners]
        self.nodes = [{*people, *resting[: seats[number]]} for number, people in enumerate(present)]
        self.mate: list[dict[int, int]] = [{} for _ in present]
        self.rounds: dict[tuple[int, int], list[int]] = {}
        self.singles = [sorted(nodes) for nodes in self.nodes]
        self.open = [number for number, singles in enumerate(self.singles) if singles]

    def run(self, tries: int) -> bool:
        rng = self.rng
        while self.open and tries:
            tries -= 1
            number = self.open[rng.randrange(len(self.open))]
            singles = self.singles[number]
            one = singles[rng.randrange(len(singles))]
            if rng.random() < 0.5 and len(singles) > 1:
                other = singles[rng.randrange(len(singles))]
                self._take_pair(number, one, other)
            elif self.partners[one]:
                other = self.partners[one][rng.randrange(len(self.partners[one]))]
                self._take_partner(number, one, other)
        return not self.open

    def _take_partner(self, number: int, one: int, other: int) -> None:
        if other not in self.nodes[number] or self._too_soon(number, one, other):
            return
        if len(self._held(one, other)) >= self._may(one, other):
            return
        if other in self.mate[number]:
            self._part(number, other, self.mate[number][other])
        self._join(number, one, other)

    def _take_pair(self, number: int, one: int, other: int) -> None:
        if one == other or other not in self.known[one] or self._too_soon(number, one, other):
            return
        held = self._held(one, other)
        if len(held) >= self._may(one, other):
            self._part(held[self.rng.randrange(len(held))], one, other)
        self._join(number, one, other)

    def _too_soon(self, number: int, one: int, other: int) -> bool:
        return number == 0 and max(one, other) >= self.size and min(one, other) in self.tired

    def _may(self, one: int, other: int) -> int:
        return self.limit if one >= self.size or other >= self.size else 1

    def _held(self, one: int, other: int) -> list[int]:
        return self.rounds.setdefault((min(one, other), max(one, other)), [])

    def _join(self, number: int, one: int, other: int) -> None:
        self.mate[number][one], self.mate[number][other] = other, one
        self._held(one, other).append(number)
        singles = self.singles[number]
        singles.remove(one)
        singles.remove(other)
        if not singles:
            self.open.remove(number)

    def _part(self, number: int, one: int, other: int) -> None:
        del self.mate[number][one], self.mate[number][other]
        self._held(one, other).remove(number)
        if not self.singles[number]:
            self.open.append(number)
        self.singles[number] += [one, other]

    def pairs(self) -> list[list[Member]]:
        return [
            sorted((one, other) for one, other in mates.items() if one < other < self.size)
            for mates in self.mate
        ]
