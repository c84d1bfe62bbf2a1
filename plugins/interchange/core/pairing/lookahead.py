"""
The rounds of one draw, together.

Each round at its cheapest, one after another, may end in a corner: the last of thirty people's 29 rounds finds only
pairs that met. So each round is solved again given all others; where pairs still meet twice and need not, all rounds
are placed at once (:mod:`interchange.core.pairing.climb`); and where the best is not proven, other beginnings are
tried.
"""

from __future__ import annotations

import random
from collections.abc import Iterable, Iterator

from interchange.core.pairing.bounds import lower_bound
from interchange.core.pairing.climb import climb
from interchange.core.pairing.costs import MET_BEFORE, MET_IN_DRAW, Member, Schedule
from interchange.core.pairing.large import LargeRound
from interchange.core.pairing.matching import EXACT_UP_TO, RoundSolver
from interchange.core.pairing.possible import Possible
from interchange.core.pairing.prices import floors
from interchange.core.pairing.problem import Problem
from interchange.core.pairing.shortage import Wish, may_meet
from interchange.core.pairing.together import Again

_PASSES = 6
# Above so many people a quick draw is tried first, which in most cases is proven best already.
_QUICK_ABOVE = 60
# How many squares of people may be looked at for further beginnings, and how many of these at most; a twentieth where
# nothing is to be gained that weighs as much as one pair that met before.
_EFFORT = 150_000
_BEGINNINGS = 20


def solve_round(
    schedule: Schedule,
    number: int,
    people: tuple[int, ...],
    limit: int | None,
    rng: random.Random,
    *,
    trios: bool = True,
    exact_up_to: int = EXACT_UP_TO,
) -> list[Member]:
    """
    The best groups of these people in a round that is lifted, given the others.

    :param trios: no: none, whatever the rules allow.
    """
    trios &= schedule.problem.rules.odd == "trio"
    if len(people) <= exact_up_to:
        return RoundSolver(schedule, number, people, limit=limit, trios=trios, rng=rng).solve()
    prices = floors(schedule.problem, people)
    return LargeRound(schedule, number, people, limit=limit, trios=trios, prices=prices, rng=rng).solve()


def best_schedule(possible: Possible, again: Again, rng: random.Random) -> tuple[Schedule, int]:
    """The cheapest of some draws, and what no draw can cost less than; the search ends where both are equal."""
    problem = possible.problem
    best: Schedule | None = None
    best_cost = 0
    largest = max((len(people) for people in problem.present), default=0)
    if largest > _QUICK_ABOVE:
        bound = lower_bound(possible, again, exact=False)
        best = Schedule(problem)
        _fill(best, range(len(problem.days)), rng, exact_up_to=_QUICK_ABOVE)
        best_cost = best.total()
        if best_cost == bound or largest > EXACT_UP_TO:
            return best, bound
    bound = lower_bound(possible, again, exact=True)
    for schedule in _draws(possible, again, bound, rng):
        cost = schedule.total()
        if best is None or cost < best_cost:
            best, best_cost = schedule, cost
        if best_cost == bound:
            break
    return best if best is not None else Schedule(problem), bound


def _draws(possible: Possible, again: Again, bound: int, rng: random.Random) -> Iterator[Schedule]:
    problem = possible.problem
    in_turn = Schedule(problem)
    _fill(in_turn, range(len(problem.days)), rng)
    yield in_turn
    yield _settled(in_turn, rng)
    gap = in_turn.total() - bound
    if gap >= MET_IN_DRAW:
        yield from _placed_at_once(possible, again, rng)
    effort = sum(len(people) ** 2 for people in problem.present)
    most = (_EFFORT if gap >= MET_BEFORE else _EFFORT // 20) // max(1, effort)
    for beginning in range(min(_BEGINNINGS, most)):
        other = Schedule(problem)
        order = list(range(len(problem.days)))
        rng.shuffle(order)
        # A trio uses up three pairs, which may be dear later where no pair may meet again.
        _fill(other, order, rng, trios=beginning % 2 == 0)
        yield _settled(other, rng)


def _fill(
    schedule: Schedule,
    rounds: Iterable[int],
    rng: random.Random,
    *,
    trios: bool = True,
    exact_up_to: int = EXACT_UP_TO,
) -> None:
    problem = schedule.problem
    limit = problem.rules.pairs_per_round
    for number in rounds:
        people = problem.present[number]
        groups = solve_round(schedule, number, people, limit, rng, trios=trios, exact_up_to=exact_up_to)
        schedule.put(number, groups)


def _settled(schedule: Schedule, rng: random.Random) -> Schedule:
    """Each round solved again, given the others, until that gains nothing: no step makes the draw worse."""
    problem = schedule.problem
    rounds = len(schedule.groups)
    unchanged, number = 0, 0
    for _ in range(_PASSES * rounds):
        people = problem.present[number]
        before = schedule.lift(number)
        cost = schedule.round_cost(number, before)
        groups = solve_round(schedule, number, people, problem.rules.pairs_per_round, rng)
        gained = schedule.round_cost(number, groups) < cost
        schedule.put(number, groups if gained else before)
        unchanged = 0 if gained else unchanged + 1
        if unchanged == rounds:
            break
        number = (number + 1) % rounds
    return schedule


def _placed_at_once(possible: Possible, again: Again, rng: random.Random) -> Iterator[Schedule]:
    """As many rounds as can be without a pair twice, then the others in turn."""
    problem = possible.problem
    if any(possible.limited(number) for number in range(len(problem.days))):
        return
    rounds = range(again.first if again.reason is not None else len(problem.days))
    wishes: tuple[Wish, ...] = ("new", "cross") if problem.met else ("cross",)
    for wish in wishes:
        shortages = [possible.shortage(number, wish) for number in rounds]
        pairs = climb(
            [problem.present[number] for number in rounds],
            _partners(problem, wish),
            [len(problem.present[number]) - 2 * shortages[number].pairs for number in rounds],
            {person for short in shortages for reason in short.reasons for person in reason.people},
            problem.rested_last,
            rng,
        )
        if pairs is not None:
            schedule = Schedule(problem)
            for number in rounds:
                schedule.put(number, pairs[number])
            _fill(schedule, range(rounds.stop, len(problem.days)), rng)
            yield _settled(schedule, rng)


def _partners(problem: Problem, wish: Wish) -> list[list[int]]:
    """By person, whom they may meet."""
    everybody = range(problem.size)
    return [
        [other for other in everybody if other != one and may_meet(problem, one, other, wish)]
        for one in everybody
    ]
