"""One round: exact, shown by trying everything and by another library's matching."""

from __future__ import annotations

import random
from itertools import combinations

import networkx as nx
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from interchange.core.pairing import PairingRules, PastRound, Person, Slot
from interchange.core.pairing.barrier import barriers
from interchange.core.pairing.costs import Member, Schedule
from interchange.core.pairing.matching import RoundSolver, heaviest
from interchange.core.pairing.problem import Problem, build_problem
from tests.unit.core.pairing.cases import DAY, WEEK, groupings, met, situations, slots, staff

Situation = tuple[list[Person], list[Slot], list[PastRound], PairingRules]


def solver_of(problem: Problem, seed: int = 1) -> RoundSolver:
    return RoundSolver(
        Schedule(problem),
        0,
        problem.present[0],
        limit=problem.rules.pairs_per_round,
        trios=problem.rules.odd == "trio",
        rng=random.Random(seed),
    )


def harms(problem: Problem, groups: list[Member]) -> tuple[int, int, int, int] | None:
    """Rests, trios, links within a department, rests twice running, counted from the definition; None: not allowed."""
    links = [pair for group in groups for pair in combinations(group, 2)]
    shared = [problem.kind_names[problem.kinds[a]] & problem.kind_names[problem.kinds[b]] for a, b in links]
    if any(problem.code(*pair) in problem.blocked for pair in links):
        return None
    if problem.rules.same_department == "never" and any(shared):
        return None
    if problem.rules.repeats == "never" and any(problem.times_met(problem.code(*pair)) for pair in links):
        return None
    rests = set(problem.present[0]).difference(*groups)
    return (
        len(rests),
        sum(len(group) == 3 for group in groups),
        sum(map(bool, shared)),
        len(rests & problem.rested_last),
    )


@settings(max_examples=120, deadline=None)
@given(situations())
def test_no_grouping_is_better_than_the_one_found(situation: Situation) -> None:
    problem = build_problem(*situation)
    solver = solver_of(problem)
    found = solver.solve()

    alone = Schedule(problem)
    best_harms, best_cost = [], []
    for groups in groupings(problem.present[0], trios=solver.trios):
        if solver.limit is not None and len(groups) > solver.limit:
            continue
        if (harm := harms(problem, groups)) is not None:
            best_harms.append(harm)
            best_cost.append(alone.round_cost(0, groups))
    assert harms(problem, found) == min(best_harms)
    assert solver.total(found) == alone.round_cost(0, found) == min(best_cost)
    assert solver.lower_bound <= min(best_cost)


@pytest.mark.parametrize("seed", range(6))
def test_another_exact_matching_finds_no_cheaper_round(seed: int) -> None:
    rng = random.Random(seed)
    people = staff(*(rng.randint(8, 16) for _ in range(4)))
    keys = [person.key for person in people]
    history = []
    for week in range(1, 30):
        rng.shuffle(keys)
        history.append(met(week, *(" ".join(pair) for pair in zip(keys[::2], keys[1::2], strict=False))))
    blocks = frozenset(frozenset(rng.sample(keys, 2)) for _ in range(200))
    rules = PairingRules(odd="rest", same_department=rng.choice(["never", "if_needed"]), blocked=blocks)
    problem = build_problem(people, slots(1), history, rules)
    solver = solver_of(problem)
    cost = solver.total(solver.solve())

    graph = nx.Graph()
    graph.add_nodes_from(problem.present[0])
    alone = Schedule(problem)
    rest = {person: alone.rest_cost(0, person) for person in problem.present[0]}
    for one, other in combinations(problem.present[0], 2):
        if (price := alone.pair_cost(0, one, other)) is not None:
            graph.add_edge(one, other, weight=rest[one] + rest[other] - price)
    theirs = nx.max_weight_matching(graph)
    assert cost == alone.round_cost(0, [tuple(sorted(pair)) for pair in theirs])


def test_among_equal_rounds_the_seed_decides() -> None:
    problem = build_problem(staff(5, 5), slots(1), (), PairingRules())

    found = {tuple(solver_of(problem, seed).solve()) for seed in range(40)}
    assert len(found) > 20


def test_weights_beyond_64_bits_decide_rightly() -> None:
    great = 1 << 100
    edges = [(0, 1, great + 1), (1, 2, great + 2), (2, 3, great), (0, 3, great + 1)]

    assert heaviest(edges, 4) == [(0, 3), (1, 2)]


@settings(max_examples=120, deadline=None)
@given(st.integers(1, 9), st.randoms(use_true_random=False), st.floats(0.05, 0.9))
def test_a_barrier_explains_just_what_a_maximum_matching_lacks(
    size: int, rng: random.Random, share: float
) -> None:
    near: list[set[int]] = [set() for _ in range(size)]
    for one, other in combinations(range(size), 2):
        if rng.random() < share:
            near[one].add(other)
            near[other].add(one)
    graph = nx.Graph([(one, other) for one in range(size) for other in near[one]])
    graph.add_nodes_from(range(size))
    most = len(nx.max_weight_matching(graph, maxcardinality=True))

    pairs, found = barriers(near)

    assert pairs == most
    assert sum(part.missing for part in found) == size - 2 * most
    assert all(part.missing > 0 for part in found)
    missable = {
        node
        for node in range(size)
        if len(nx.max_weight_matching(graph.subgraph(set(graph) - {node}), maxcardinality=True)) == most
    }
    assert {node for part in found for circle in part.circles for node in circle} == missable
    for part in found:
        for one, other in combinations(part.circles, 2):
            assert not any(near[node] & set(other) for node in one)
        for circle in part.circles:
            assert len(circle) % 2
            assert set().union(*(near[node] for node in circle)) <= set(circle) | set(part.barrier)


def test_a_schedule_prices_a_round_by_the_others() -> None:
    problem = build_problem(staff(2, 2), slots(3), [met(1, "a0 b0", rested="a1")], PairingRules())
    schedule = Schedule(problem)
    a0, a1, b0, b1 = range(4)
    fresh = schedule.pair_cost(2, a0, b1)
    schedule.put(0, [(a0, b1)])
    schedule.put(1, [(a0, b1), (a1, b0)])

    assert fresh == 0
    once = schedule.pair_cost(2, a0, b1)
    assert once is not None
    assert once > (schedule.pair_cost(2, a1, b0) or 0) > (schedule.pair_cost(2, a0, b0) or 0) > 0
    assert schedule.rest_cost(2, a1) < schedule.rest_cost(1, a1), "not twice running"
    before = schedule.total()
    assert schedule.lift(1) == ((a0, b1), (a1, b0))
    schedule.put(1, [(a0, b1), (a1, b0)])
    assert schedule.total() == before
    assert WEEK.days == problem.days[1] - DAY.toordinal()
