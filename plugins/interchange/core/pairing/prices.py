"""
Prices of people that no pair can undercut: a lower bound of a round where departments are at different distances.

They come from a transportation problem between departments (each sends its people to the others, at the distances): its
dual variables, the mean of a department's two, are such prices, and the best ones. With at most so many departments as
``_MOST_KINDS`` it is solved; else, and where it has no solution because one department is too large, simpler prices do.
"""

from __future__ import annotations

from collections.abc import Sequence

from interchange.core.pairing.costs import NEAR
from interchange.core.pairing.problem import Problem

_MOST_KINDS = 24

Costs = list[list[int | None]]


def floors(problem: Problem, people: Sequence[int]) -> dict[int, int]:
    """A price for each, such that no two of different departments meet for less than both prices together."""
    counts: dict[int, int] = {}
    for person in people:
        counts[problem.kinds[person]] = counts.get(problem.kinds[person], 0) + 1
    order = sorted(counts, key=lambda kind: (-counts[kind], kind))
    costs: Costs = [
        [None if problem.shared[kind][other] else NEAR * problem.near[kind][other] for other in order]
        for kind in order
    ]
    found = None
    if len(order) <= _MOST_KINDS and any(map(any, costs)):
        found = _transport([counts[kind] for kind in order], costs)
    price = dict(zip(order, found or _simple(costs), strict=True))
    return {person: price[problem.kinds[person]] for person in people}


def _simple(costs: Costs) -> list[int]:
    """Half of each one's cheapest, raised where the others leave room."""
    kinds = range(len(costs))
    price = [min((cost for cost in row if cost is not None), default=0) // 2 for row in costs]
    for kind in kinds:
        room = [cost - price[other] for other, cost in enumerate(costs[kind]) if cost is not None]
        price[kind] = min(room, default=0)
    return price


def _transport(counts: Sequence[int], costs: Costs) -> list[int] | None:
    """Shortest paths from who is still to be sent to who is still to be sent to, until all are."""
    kinds = range(len(counts))
    sending, receiving = list(counts), list(counts)
    flow = [[0] * len(counts) for _ in kinds]
    while any(sending):
        start = [0 if sending[kind] else None for kind in kinds]
        near, far, back, forth = _distances(start, flow, costs)
        ends = [kind for kind in kinds if receiving[kind] and far[kind] is not None]
        if not ends:
            return None
        end = min(ends, key=lambda kind: (far[kind], kind))
        path, other = [], end
        while True:
            kind = back[other]
            path.append((kind, other))
            if forth[kind] < 0:
                break
            other = forth[kind]
            path.append((kind, other))
        turns = [flow[kind][other] for kind, other in path[1::2]]
        amount = min(sending[path[-1][0]], receiving[end], *turns)
        sending[path[-1][0]] -= amount
        receiving[end] -= amount
        for place, (kind, other) in enumerate(path):
            flow[kind][other] += -amount if place % 2 else amount
    near, far, _, _ = _distances([0 for _ in kinds], flow, costs)
    return [((far[kind] or 0) - (near[kind] or 0)) // 2 for kind in kinds]


def _distances(
    start: list[int | None], flow: list[list[int]], costs: Costs
) -> tuple[list[int | None], list[int | None], list[int], list[int]]:
    """To each as sender and as receiver, and by which receiver's sender and which sender's receiver one comes there."""
    near: list[int | None] = list(start)
    far: list[int | None] = [None] * len(start)
    back, forth = [-1] * len(start), [-1] * len(start)
    changed = True
    while changed:
        changed = False
        for kind, here in enumerate(near):
            for other, cost in enumerate(costs[kind]):
                if here is None or cost is None:
                    continue
                there = far[other]
                if there is None or here + cost < there:
                    far[other], back[other], changed = here + cost, kind, True
        for other, there in enumerate(far):
            for kind in range(len(start)):
                cost = costs[kind][other]
                if there is None or cost is None or not flow[kind][other]:
                    continue
                here = near[kind]
                if here is None or there - cost < here:
                    near[kind], forth[kind], changed = there - cost, other, True
    return near, far, back, forth
