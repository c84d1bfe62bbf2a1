"""What each round can have, whatever is drawn."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from interchange.core.pairing.problem import Problem
from interchange.core.pairing.shortage import Shortage, Wish, shortage


class Possible:
    """
    :param people: by round, whom groups are sought for, ascending; where none are given, all who are present.
    """

    def __init__(self, problem: Problem, people: Mapping[int, Sequence[int]] | None = None) -> None:
        self.problem = problem
        self.people = [
            tuple((people or {}).get(number, present)) for number, present in enumerate(problem.present)
        ]
        self._known: dict[tuple[Wish, tuple[int, ...]], Shortage] = {}

    def shortage(self, number: int, wish: Wish) -> Shortage:
        known = wish, self.people[number]
        if known not in self._known:
            self._known[known] = shortage(self.problem, self.people[number], wish)
        return self._known[known]

    def limited(self, number: int) -> bool:
        """Does the number of pairs a round decide that somebody rests?"""
        limit = self.problem.rules.pairs_per_round
        return limit is not None and limit < len(self.people[number]) // 2

    def pairs(self, number: int) -> int:
        """How many pairs the round has at most."""
        limit = self.problem.rules.pairs_per_round
        most = self.shortage(number, "allowed").pairs
        return most if limit is None else min(most, limit)

    def over(self, number: int) -> int:
        """How many are in no pair at least."""
        return len(self.people[number]) - 2 * self.pairs(number)

    def may_join(self, number: int) -> bool:
        """May whoever is in no pair join one?"""
        return (
            self.problem.rules.odd == "trio"
            and not self.limited(number)
            and self.shortage(number, "allowed").triangles
        )

    def rests(self, number: int) -> int:
        """How many rest at least."""
        if not self.may_join(number):
            return self.over(number)
        return self.shortage(number, "allowed").stranded

    def same_department(self, number: int) -> int:
        """How many pairs share a department at least, those inside trios included, where as few as possible rest."""
        return self.same_department_of(number, self.pairs(number), self.rests(number))

    def same_department_of(self, number: int, groups: int, rests: int) -> int:
        """
        The same for so many groups and rests.

        Groups beyond a maximum matching of people of different departments have none such. And of people who may only
        meet the same few others, two of each pair and of each trio beyond these share a department.
        """
        cross = self.shortage(number, "cross")
        return max(0, groups - cross.pairs, (cross.stranded - rests + 1) // 2)

    def met_before(self, number: int) -> int:
        """How many pairs met before the draw at least, where as few as possible share a department."""
        return max(0, self.pairs(number) - self.same_department(number) - self.shortage(number, "new").pairs)
