"""A drawn round put right before it is booked."""

from __future__ import annotations

import random
from collections.abc import Iterable
from itertools import combinations

from interchange.core.pairing.costs import Member, Schedule
from interchange.core.pairing.lookahead import solve_round
from interchange.core.pairing.model import Mended, PairingRules, PastRound, Person, Round, Slot
from interchange.core.pairing.possible import Possible
from interchange.core.pairing.problem import build_problem
from interchange.core.pairing.reasons import round_findings, why_resting
from interchange.core.pairing.report import explain_round


def mend_round(
    drawn: Round,
    people: Iterable[Person],
    *,
    absent: frozenset[str] = frozenset(),
    others: Iterable[Round] = (),
    history: Iterable[PastRound] = (),
    rules: PairingRules | None = None,
    seed: int | str,
) -> Mended:
    """
    Put a round right after people left, paused or joined.

    Groups whose members are all still there and may still meet stay as they are. Whoever lost a partner, is new or
    rested is matched anew, only among themselves; a trio that loses one stays a pair. Only a single who is then left
    over changes another group: by joining a pair, or by taking one out of a trio.

    :param people: everybody who may take part now. Who is in ``drawn`` and not here has left.
    :param absent: who is away on ``drawn.day``.
    :param others: the further rounds of the same draw; those whose day is in ``history`` are ignored.
    :raises SettingsError: as :func:`interchange.core.pairing.draw.draw_rounds`.
    :raises ValueError: likewise; two of the rounds are of one day.
    """
    rules = rules or PairingRules()
    past = list(history)
    held = {one.day for one in past}
    rounds = sorted(
        [drawn, *(one for one in others if one.day not in held and one.day != drawn.day)],
        key=lambda one: one.day,
    )
    everybody = list(people)
    keys = {person.key for person in everybody}
    slots = []
    for one in rounds:
        there = {key for group in one.groups for key in group.members} | {rest.person for rest in one.rests}
        slots.append(Slot(day=one.day, absent=absent if one is drawn else frozenset(keys - there)))
    problem = build_problem(everybody, slots, past, rules)
    index = {key: number for number, key in enumerate(problem.keys)}
    schedule = Schedule(problem)
    number = rounds.index(drawn)
    for other, one in enumerate(rounds):
        if other != number:
            schedule.put(other, _known_groups(one, index))
    meant = {index[key] for group in drawn.groups for key in group.members if key in index}
    schedule.promised = frozenset(meant)
    work = _Mending(schedule, number, drawn, index, random.Random(f"{seed}"))
    schedule.put(number, work.groups())
    possible = Possible(problem, {number: sorted(work.pool)}, limit=work.free)
    mended = explain_round(schedule, number, why_resting(schedule, possible, number))
    before = {tuple(sorted(group.members)) for group in drawn.groups}
    after = {group.members for group in mended.groups}
    return Mended(
        round=mended,
        kept=tuple(group for group in mended.groups if group.members in before),
        changed=tuple(group for group in mended.groups if group.members not in before),
        dissolved=tuple(sorted(before - after)),
        findings=round_findings(schedule, possible, number),
    )


def _known_groups(one: Round, index: dict[str, int]) -> list[Member]:
    groups = (tuple(index[key] for key in group.members if key in index) for group in one.groups)
    return [group for group in groups if len(group) > 1]


class _Mending:
    def __init__(
        self, schedule: Schedule, number: int, drawn: Round, index: dict[str, int], rng: random.Random
    ) -> None:
        self.schedule, self.number, self.rng = schedule, number, rng
        present = set(schedule.problem.present[number])
        self.fixed: list[Member] = []
        for group in drawn.groups:
            left = tuple(index[key] for key in group.members if key in index and index[key] in present)
            if len(left) > 1 and _still_good(schedule, number, left):
                self.fixed.append(left)
        self.pool = present.difference(*self.fixed)

        limit = schedule.problem.rules.pairs_per_round
        self.free = None if limit is None else max(0, limit - len(self.fixed))
        """How many groups more there may be."""

    def groups(self) -> list[Member]:
        pool = tuple(sorted(self.pool))
        fresh = solve_round(self.schedule, self.number, pool, self.free, self.rng)
        limit = self.schedule.problem.rules.pairs_per_round
        everybody = limit is None or len(self.schedule.problem.present[self.number]) <= 2 * limit + 1
        if everybody and self.schedule.problem.rules.odd == "trio":
            for single in sorted(self.pool.difference(*fresh)):
                may_split = limit is None or len(self.fixed) + len(fresh) < limit
                self._take_in(single, may_split=may_split)
        return [*self.fixed, *fresh]

    def _take_in(self, single: int, *, may_split: bool) -> None:
        """The cheapest change of one fixed group that leaves nobody out."""
        best: tuple[int, int, list[Member]] | None = None
        for place, group in enumerate(self.fixed):
            ways: list[list[Member]] = []
            if len(group) == 2:
                ways = [[(*group, single)]]
            elif may_split:
                ways = [
                    [pair, (single, *(who for who in group if who not in pair))]
                    for pair in combinations(group, 2)
                ]
            before = self.schedule.group_cost(self.number, group) or 0
            for way in ways:
                costs = [self.schedule.group_cost(self.number, tuple(sorted(part))) for part in way]
                if None not in costs:
                    more = sum(cost for cost in costs if cost is not None) - before
                    if best is None or more < best[0]:
                        best = (more, place, way)
        if best is not None:
            self.fixed[best[1] : best[1] + 1] = best[2]


def _still_good(schedule: Schedule, number: int, group: Member) -> bool:
    return schedule.group_cost(number, group) is not None
