"""More people than are matched exactly: the same promises, with a bound that proves them."""

from __future__ import annotations

import random
import tracemalloc
from itertools import pairwise
from typing import Any

import pytest

from interchange.core.pairing import PastRound, Person, mend_round
from interchange.core.pairing.costs import NEAR
from interchange.core.pairing.model import PairingRules
from interchange.core.pairing.prices import floors
from interchange.core.pairing.problem import build_problem
from tests.unit.core.pairing.cases import blocked, draw, members, met, resting, slots, staff


def years(people: tuple[Person, ...], rounds: int, seed: int = 1) -> list[PastRound]:
    rng = random.Random(seed)
    keys = [person.key for person in people]
    held = []
    for week in range(1, rounds + 1):
        rng.shuffle(keys)
        groups = [" ".join(pair) for pair in zip(keys[::2], keys[1::2], strict=False)]
        held.append(met(week, *groups))
    return held


@pytest.mark.parametrize(
    ("sizes", "more"),
    [
        ((150, 100, 50), {}),
        ((151, 100, 50), {}),
        ((151, 100, 50), {"odd": "rest"}),
        ((250, 100, 50), {"same_department": "never"}),
        ((251, 100, 50), {}),
        ((150, 100, 150), {"pairs_per_round": 30}),
    ],
)
def test_hundreds_of_people_at_the_proven_best(sizes: tuple[int, ...], more: dict[str, Any]) -> None:
    found = draw(staff(*sizes), 6, **more)

    assert found.quality.repeats.drawn == 0
    assert found.quality.proven_best
    for before, after in pairwise(found.rounds):
        if "pairs_per_round" not in more:
            assert not set(resting(before)) & set(resting(after))


def test_thousands_of_people_are_paired_without_a_list_of_all_pairs() -> None:
    """Defect E7: six million pairs of 4,000 people were listed in a text file, and struck out one by one."""
    tracemalloc.start()
    try:
        found = draw(staff(2_000, 1_000, 1_000), 3)
        most = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()

    assert found.quality.repeats.drawn == 0
    assert found.quality.proven_best
    assert not any(resting(one) for one in found.rounds)
    assert most < 100 * 2**20


def test_a_dense_past_is_avoided() -> None:
    people = staff(100, 80, 60)
    found = draw(people, 4, history=years(people, 100))

    assert found.quality.past_repeats.drawn == 0
    assert found.quality.proven_best


def test_many_blocks_are_kept() -> None:
    """Of 240 people, those of a and b may not meet: c has to do for both."""
    people = staff(80, 80, 80)
    apart = blocked(*(f"a{one} b{two}" for one in range(80) for two in range(80)))
    found = draw(people, 1, blocked=apart, same_department="never")

    assert len(found.rounds[0].groups) == 80
    assert len(resting(found.rounds[0])) == 80


def test_far_departments_are_sought_and_the_bound_is_below() -> None:
    near = {frozenset(("a", "b")): 20, frozenset(("c", "d")): 0, frozenset(("a", "c")): 60}
    found = draw(staff(70, 70, 60, 60), 2, distances=near)

    kinds = [group[0][0] + group[1][0] for one in found.rounds for group in members(one)]
    assert kinds.count("cd") == 0
    assert kinds.count("ab") <= 2 * 10 + 4
    assert found.quality.lower_bound > 0
    assert found.quality.proven_best


def test_prices_are_below_every_distance() -> None:
    near = {frozenset(("a", "b")): 20, frozenset(("c", "d")): 0, frozenset(("a", "c")): 60}
    problem = build_problem(staff(3, 3, 3, 3), slots(1), (), PairingRules(distances=near))
    prices = floors(problem, problem.present[0])

    for one in problem.present[0]:
        for other in problem.present[0]:
            kinds = problem.kinds[one], problem.kinds[other]
            if kinds[0] != kinds[1]:
                assert prices[one] + prices[other] <= NEAR * problem.near[kinds[0]][kinds[1]]


def test_the_same_input_gives_the_same_large_draw() -> None:
    people = staff(120, 90, 60)

    assert draw(people, 3) == draw(people[::-1], 3)


def test_a_large_round_is_mended_by_few() -> None:
    people = staff(150, 100, 51)
    drawn = draw(people).rounds[0]
    gone = frozenset({"a0", "a1", "b7", "c9"})
    mended = mend_round(drawn, people, absent=gone, seed=1)

    assert len(mended.kept) >= len(drawn.groups) - 5
    assert not {key for group in members(mended.round) for key in group} & gone
    assert resting(mended.round) == []


def test_a_pool_of_hundreds_is_mended_too() -> None:
    people = staff(200, 150, 150)
    rules = PairingRules(pairs_per_round=40)
    drawn = draw(people, pairs_per_round=40).rounds[0]
    gone = frozenset(key for group in members(drawn)[:10] for key in group)
    mended = mend_round(drawn, people, absent=gone, rules=rules, seed=1)

    assert len(mended.round.groups) == 40
    assert len(mended.kept) == 30
