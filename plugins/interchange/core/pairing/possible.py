"""What each round can have, whatever is drawn."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from interchange.core.pairing.problem import Problem
from interchange.core.pairing.shortage import Shortage, Wish, shortage


class Possible:
    """
    :param people: for a round of which some groups stand already: whom further ones are sought for, ascending.
    :param limit: at most so many groups are sought; None: no limit.
    """

    def __init__(
        self, problem: Problem, people: Mapping[int, Sequence[int]] | None = None, *, limit: int | None
    ) -> None:
        self.problem, self.limit = problem, limit
        self.partly = frozenset(people or ())
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
        return self.limit is not None and self.limit < len(self.people[number]) // 2

    def pairs(self, number: int) -> int:
        """How many pairs the round has at most."""
        most = self.shortage(number, "allowed").pairs
        return most if self.limit is None else min(most, self.limit)

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

    def one_trio(self, number: int) -> bool:
        """Is one left over who joins a pair?"""
        return self.may_join(number) and self.over(number) == 1 and not self.rests(number)

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
