"""Rounds for several weeks."""

from __future__ import annotations

import random
from collections.abc import Iterable, Sequence

from interchange.core.pairing.costs import Member, Schedule
from interchange.core.pairing.matching import RoundSolver
from interchange.core.pairing.model import Draw, PairingRules, PastRound, Person, Slot
from interchange.core.pairing.problem import build_problem
from interchange.core.pairing.reasons import Reasons
from interchange.core.pairing.report import explain_round, measure

_PASSES = 4


def draw_rounds(
    people: Iterable[Person],
    slots: Sequence[Slot],
    *,
    history: Iterable[PastRound] = (),
    rules: PairingRules | None = None,
    seed: int | str,
) -> Draw:
    """
    Draw a round for each slot.

    The same people, slots, history, rules and seed give the same rounds, in whatever order people and history come.

    :param people: everybody who may take part; who is away in a round stands in its slot.
    :param slots: the rounds, by ascending days.
    :param history: rounds before these.
    :param rules: None: the defaults.
    :param seed: decides among equally good draws.
    :raises SettingsError: somebody is listed twice or has no department.
    :raises ValueError: the days of the slots do not ascend; somebody stands in two groups of a past round.
    """
    problem = build_problem(people, slots, history, rules or PairingRules())
    rng = random.Random(f"{seed}")
    schedule = Schedule(problem)
    lower_bound = 0
    for number in range(len(slots)):
        schedule.put(number, solve_round(schedule, number, rng)[0])
    _settle(schedule, rng)
    reasons = Reasons(schedule)
    rounds = tuple(explain_round(schedule, number, reasons.of_rests(number)) for number in range(len(slots)))
    quality = measure(schedule, minima=reasons.minima, lower_bound=lower_bound)
    return Draw(rounds=rounds, findings=reasons.findings(), quality=quality)


def solve_round(schedule: Schedule, number: int, rng: random.Random) -> tuple[list[Member], int]:
    """The best groups of a round that is lifted, given the others, and the bound of their cost."""
    rules = schedule.problem.rules
    solver = RoundSolver(
        schedule,
        number,
        schedule.problem.present[number],
        limit=rules.pairs_per_round,
        trios=rules.odd == "trio",
        rng=rng,
    )
    return solver.solve(), solver.lower_bound


def _settle(schedule: Schedule, rng: random.Random) -> None:
    """Solve each round again, given the others, until that gains nothing: each step is exact, none makes it worse."""
    for _ in range(_PASSES):
        gained = False
        for number in range(len(schedule.groups)):
            before = schedule.lift(number)
            cost_before = schedule.round_cost(number, before)
            groups, _ = solve_round(schedule, number, rng)
            better = schedule.round_cost(number, groups) < cost_before
            schedule.put(number, groups if better else before)
            gained |= better
        if not gained:
            return
