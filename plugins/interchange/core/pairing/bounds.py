"""What no draw can go below, so that it can be said how far from the best one is."""

from __future__ import annotations

import random

from interchange.core.pairing.costs import (
    LEFT_OUT,
    MET_IN_DRAW,
    SAME_DEPARTMENT,
    TRIO,
    TRIO_AGAIN,
    TWICE_RUNNING,
    UNEVEN_REST,
    Schedule,
    nearness,
)
from interchange.core.pairing.matching import RoundSolver
from interchange.core.pairing.possible import Possible
from interchange.core.pairing.prices import floors
from interchange.core.pairing.together import Again, doubles


def lower_bound(possible: Possible, again: Again, *, exact: bool) -> int:
    """
    Each round by itself at its cheapest, and what must happen between them.

    The parts may be added: one round by itself knows no other, and what happens between rounds is counted for as many
    rests, trios and meetings as each draw has that does not lose more by having less of them.

    :param exact: each round by matching, for up to ``EXACT_UP_TO`` people; else by counting departments.
    """
    problem = possible.problem
    rounds = range(len(problem.days))
    total = sum(_round_bound(possible, number, exact=exact) for number in rounds)
    span = problem.days[-1] - problem.days[0] if problem.days else 0
    everybody = len({person for people in possible.people for person in people})
    total += again.doubles * (MET_IN_DRAW + nearness(span))
    total += UNEVEN_REST * doubles(sum(possible.rests(number) for number in rounds), len(_resters(possible)))
    trios = sum(possible.one_trio(number) for number in rounds)
    total += (TRIO_AGAIN + nearness(span)) * doubles(3 * trios, everybody)
    for number in rounds[1:]:
        gone = len(set(possible.people[number - 1]).difference(possible.people[number]))
        places = len(possible.people[number]) - possible.rests(number)
        total += TWICE_RUNNING * max(0, possible.rests(number - 1) - gone - places)
    return max(total, LEFT_OUT * again.rests)


def _resters(possible: Possible) -> set[int]:
    """Who rests in a draw in which as few as possible do."""
    found: set[int] = set()
    for number, people in enumerate(possible.people):
        if possible.limited(number):
            found.update(people)
        elif possible.may_join(number):
            found.update(possible.shortage(number, "allowed").strandable)
        else:
            found.update(*(reason.people for reason in possible.shortage(number, "allowed").reasons))
    return found


def _round_bound(possible: Possible, number: int, *, exact: bool) -> int:
    """Matching knows of past meetings and distances, counting of what trios cannot mend: the greater is taken."""
    counted = _counted(possible, number)
    if not exact:
        return counted
    rules = possible.problem.rules
    solver = RoundSolver(
        Schedule(possible.problem),
        number,
        possible.people[number],
        limit=rules.pairs_per_round,
        trios=rules.odd == "trio",
        rng=random.Random(0),
    )
    return max(counted, solver.bound())


def _counted(possible: Possible, number: int) -> int:
    people, alone = possible.people[number], Schedule(possible.problem)
    prices = floors(possible.problem, people)
    over, shared = possible.over(number), possible.same_department(number)
    joins = possible.one_trio(number)
    rests = sorted(alone.rest_cost(number, person) for person in people)[: possible.rests(number)]
    # Who is in no pair of two departments need not pay a price.
    outside = sorted((max(0, prices[person]) for person in people), reverse=True)[: over + 2 * shared]
    paid = sum(prices.values()) - sum(outside)
    return sum(rests) + TRIO * joins + SAME_DEPARTMENT * shared + paid
