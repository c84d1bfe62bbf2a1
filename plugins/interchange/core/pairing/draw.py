"""Rounds for several weeks."""

from __future__ import annotations

import random
from collections.abc import Iterable, Sequence

from interchange.core.pairing.lookahead import best_schedule
from interchange.core.pairing.model import Draw, PairingRules, PastRound, Person, Slot
from interchange.core.pairing.possible import Possible
from interchange.core.pairing.problem import build_problem
from interchange.core.pairing.reasons import draw_findings, minima, why_resting
from interchange.core.pairing.report import explain_round, measure
from interchange.core.pairing.together import must_meet_again


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
    possible = Possible(problem, limit=problem.rules.pairs_per_round)
    again = must_meet_again(possible)
    schedule, bound = best_schedule(possible, again, random.Random(f"{seed}"))
    rounds = tuple(
        explain_round(schedule, number, why_resting(schedule, possible, number))
        for number in range(len(slots))
    )
    quality = measure(schedule, minima=minima(schedule, possible, again), lower_bound=bound)
    return Draw(rounds=rounds, findings=draw_findings(schedule, possible, again), quality=quality)
