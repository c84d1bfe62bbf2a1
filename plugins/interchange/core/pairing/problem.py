"""The input as numbers: people in the order of their keys, so that nothing depends on the order of the inputs."""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import date
from itertools import pairwise

from interchange.core.pairing.model import DEFAULT_DISTANCE, PairingRules, PastRound, Person, Slot
from interchange.errors import SettingsError

# A meeting counts in quarters, so that one that probably did not happen counts little and all stays whole numbers.
MET = 4
NOT_MET = 1
WHOLE = 1024


@dataclass(frozen=True, kw_only=True)
class Problem:
    """
    People are numbers 0 to ``size`` - 1 in the order of their keys. A pair's code is ``low * size + high``.

    :param kinds: each person's set of departments, as an index into ``kind_names``.
    :param shared: by two kinds: do they share a department?
    :param near: by two kinds: how much nearer than the farthest the departments are, 0 to 100.
    :param days: the rounds' days as ordinals.
    :param present: for each round who takes part, ascending.
    :param blocked: codes of pairs who never meet.
    :param met: by code: day and weight of each past meeting, ascending.
    :param rest_share: of 1024 past rounds of each person, how many they rested; all for who is new.
    :param rested_last: who rested in the last past round they were there for.
    :param last_rest: the day of the last rest, by person.
    :param trio_days: the days of past trios, by person.
    """

    rules: PairingRules
    keys: tuple[str, ...]
    kinds: tuple[int, ...]
    kind_names: tuple[frozenset[str], ...]
    shared: tuple[tuple[bool, ...], ...]
    near: tuple[tuple[int, ...], ...]
    days: tuple[int, ...]
    present: tuple[tuple[int, ...], ...]
    blocked: frozenset[int]
    met: dict[int, tuple[tuple[int, int], ...]]
    rest_share: tuple[int, ...]
    rested_last: frozenset[int]
    last_rest: dict[int, int]
    trio_days: dict[int, tuple[int, ...]]

    @property
    def size(self) -> int:
        return len(self.keys)

    def code(self, one: int, other: int) -> int:
        return one * self.size + other if one < other else other * self.size + one

    def times_met(self, code: int) -> int:
        """Real meetings before the draw."""
        return sum(weight == MET for _, weight in self.met.get(code, ()))


def build_problem(
    people: Iterable[Person], slots: Sequence[Slot], history: Iterable[PastRound], rules: PairingRules
) -> Problem:
    """
    :raises SettingsError: somebody is listed twice or has no department. Names a department or a number, no person.
    :raises ValueError: the slots' days do not ascend, or somebody stands twice in one past round.
    """
    everybody = sorted(people, key=lambda person: person.key)
    keys = tuple(person.key for person in everybody)
    _check(everybody, slots)
    index = {key: number for number, key in enumerate(keys)}
    kind_names = sorted({person.departments for person in everybody}, key=sorted)
    kind_of = {names: number for number, names in enumerate(kind_names)}
    past = sorted(history, key=lambda held: held.day)
    met, trio_days = _meetings(past, index)
    rest_share, rested_last, last_rest = _rests(past, index)
    size = len(keys)
    return Problem(
        rules=rules,
        keys=keys,
        kinds=tuple(kind_of[person.departments] for person in everybody),
        kind_names=tuple(kind_names),
        shared=tuple(tuple(bool(one & other) for other in kind_names) for one in kind_names),
        near=tuple(tuple(_nearness(one, other, rules) for other in kind_names) for one in kind_names),
        days=tuple(slot.day.toordinal() for slot in slots),
        present=tuple(
            tuple(number for number, key in enumerate(keys) if key not in slot.absent) for slot in slots
        ),
        blocked=frozenset(
            min(pair) * size + max(pair)
            for pair in ([index[key] for key in pair if key in index] for pair in rules.blocked)
            if len(pair) == 2
        ),
        met=met,
        rest_share=rest_share,
        rested_last=rested_last,
        last_rest=last_rest,
        trio_days=trio_days,
    )


def _check(everybody: Sequence[Person], slots: Sequence[Slot]) -> None:
    twice = sum(one.key == other.key for one, other in pairwise(everybody))
    if twice:
        raise SettingsError(
            f"people: {twice} of {len(everybody)} are listed again. Give each person once, with all departments"
        )
    without = sum(not person.departments for person in everybody)
    if without:
        raise SettingsError(f"people: {without} of {len(everybody)} have no department")
    if any(one.day >= other.day for one, other in pairwise(slots)):
        raise ValueError("slots: the days of the rounds must ascend, each another day")


def _nearness(one: frozenset[str], other: frozenset[str], rules: PairingRules) -> int:
    """Of people in several departments the nearest two count."""
    if not rules.distances or one & other:
        return 0
    return DEFAULT_DISTANCE - min(
        rules.distances.get(frozenset((mine, theirs)), DEFAULT_DISTANCE) for mine in one for theirs in other
    )


def _meetings(
    past: Sequence[PastRound], index: dict[str, int]
) -> tuple[dict[int, tuple[tuple[int, int], ...]], dict[int, tuple[int, ...]]]:
    size = len(index)
    met: dict[int, tuple[tuple[int, int], ...]] = {}
    trios: dict[int, tuple[int, ...]] = {}
    for held in past:
        seen: set[str] = set()
        day = held.day.toordinal()
        entries: dict[bool, tuple[tuple[int, int], ...]] = {True: ((day, MET),), False: ((day, NOT_MET),)}
        for group in held.groups:
            if not seen.isdisjoint(group.members):
                raise ValueError(f"history: somebody stands in two groups of the round of {held.day}")
            seen |= group.members
            entry = entries[group.met is not False]
            members = sorted(index[key] for key in group.members if key in index)
            for place, low in enumerate(members):
                for high in members[place + 1 :]:
                    code = low * size + high
                    met[code] = met.get(code, ()) + entry
            if len(group.members) > 2:
                for member in members:
                    trios[member] = (*trios.get(member, ()), day)
    return met, trios


def _rests(
    past: Sequence[PastRound], index: dict[str, int]
) -> tuple[tuple[int, ...], frozenset[int], dict[int, int]]:
    rested = [0] * len(index)
    took_part = [0] * len(index)
    last_rest: dict[int, int] = {}
    rested_last: set[int] = set()
    for held in past:
        resting = {index[key] for key in held.rested if key in index}
        served = {index[key] for group in held.groups for key in group.members if key in index} - resting
        for number in resting:
            rested[number] += 1
            took_part[number] += 1
            last_rest[number] = held.day.toordinal()
        for number in served:
            took_part[number] += 1
        rested_last = (rested_last | resting) - served
    shares = tuple(
        (WHOLE * rested[number] // took_part[number]) if took_part[number] else WHOLE
        for number in range(len(index))
    )
    return shares, frozenset(rested_last), last_rest


def meetings_before(problem: Problem, code: int, day: int) -> tuple[int, date | None]:
    """How often a pair really met before this day, and when last."""
    days = [when for when, weight in problem.met.get(code, ()) if weight == MET]
    before = bisect_left(days, day)
    return before, date.fromordinal(days[before - 1]) if before else None
