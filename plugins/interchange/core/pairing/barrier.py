"""
Why a graph has no perfect matching: the Gallai-Edmonds decomposition.

The people whom some maximum matching leaves out fall into circles; the others next to them are the barrier. A circle
can be matched up but for one, and that one must find somebody of the barrier: so at least circles minus barrier stay
over (Tutte and Berge), and by Edmonds' theorem this number is reached. See L. Lovász, M. D. Plummer, Matching Theory,
3.2.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass

from interchange.core.pairing.matching import heaviest


@dataclass(frozen=True, kw_only=True)
class Barrier:
    """
    One part of the decomposition that stands for itself.

    :param circles: whom it leaves over, one of each circle but for as many as the barrier takes; each ascending.
    :param barrier: the only people the circles have anything to do with; ascending.
    """

    circles: tuple[tuple[int, ...], ...]
    barrier: tuple[int, ...]

    @property
    def missing(self) -> int:
        """So many people find nobody, however all are matched."""
        return len(self.circles) - len(self.barrier)


def barriers(neighbours: Sequence[set[int]]) -> tuple[int, list[Barrier]]:
    """
    :param neighbours: for each node, the nodes it may be matched with.
    :return: how many pairs a maximum matching has, and the reasons why it has no more; none if it leaves nobody out.
    """
    size = len(neighbours)
    edges = [(one, other, 1) for one in range(size) for other in neighbours[one] if one < other]
    pairs = heaviest(edges, size)
    mate = [-1] * size
    for one, other in pairs:
        mate[one], mate[other] = other, one
    forest = _Forest(neighbours, mate)
    circles: dict[int, list[int]] = {}
    for node in range(size):
        if forest.outer[node]:
            circles.setdefault(forest.find(node), []).append(node)
    return len(pairs), _split(list(circles.values()), neighbours, forest.outer)


class _Forest:
    """
    Alternating trees from every unmatched node, odd cycles shrunk. With a maximum matching no two trees meet, and the
    outer nodes are just those that some maximum matching leaves out.
    """

    def __init__(self, neighbours: Sequence[set[int]], mate: Sequence[int]) -> None:
        size = len(mate)
        self.mate = mate
        self.outer = [partner < 0 for partner in mate]
        self.parent = [-1] * size  # of an inner node: the outer node that reached it
        self.base = list(range(size))
        self.queue = deque(node for node in range(size) if mate[node] < 0)
        while self.queue:
            node = self.queue.popleft()
            for other in sorted(neighbours[node]):
                if self.outer[other]:
                    if self.find(node) != self.find(other):
                        self._shrink(node, other)
                elif self.parent[other] < 0:
                    self.parent[other] = node
                    self.outer[mate[other]] = True
                    self.queue.append(mate[other])

    def find(self, node: int) -> int:
        while self.base[node] != node:
            self.base[node] = self.base[self.base[node]]
            node = self.base[node]
        return node

    def _up(self, node: int) -> int:
        """The base of the outer node two steps nearer to the root; -1 at the root."""
        inner = self.mate[node]
        return -1 if inner < 0 else self.find(self.parent[inner])

    def _shrink(self, one: int, other: int) -> None:
        path = set()
        node = self.find(one)
        while node >= 0:
            path.add(node)
            node = self._up(node)
        meeting = self.find(other)
        while meeting not in path:
            meeting = self._up(meeting)
        for end in (one, other):
            node = self.find(end)
            while node != meeting:
                inner = self.mate[node]
                above = self._up(node)
                self.base[node] = meeting
                self.base[inner] = meeting
                if not self.outer[inner]:
                    self.outer[inner] = True
                    self.queue.append(inner)
                node = above


def _split(circles: list[list[int]], neighbours: Sequence[set[int]], outer: Sequence[bool]) -> list[Barrier]:
    """Circles that compete for no common person are reasons of their own."""
    around = [
        {other for node in circle for other in neighbours[node] if not outer[other]} for circle in circles
    ]
    by_person: dict[int, list[int]] = {}
    for number, people in enumerate(around):
        for person in people:
            by_person.setdefault(person, []).append(number)
    found: list[Barrier] = []
    seen: set[int] = set()
    for start in range(len(circles)):
        if start in seen:
            continue
        seen.add(start)
        members, barrier, queue = [start], set[int](), [start]
        while queue:
            for person in around[queue.pop()] - barrier:
                barrier.add(person)
                fresh = [number for number in by_person[person] if number not in seen]
                seen.update(fresh)
                members += fresh
                queue += fresh
        parts = sorted(tuple(sorted(circles[number])) for number in members)
        found.append(Barrier(circles=tuple(parts), barrier=tuple(sorted(barrier))))
    return found
