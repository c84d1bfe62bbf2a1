"""People, slots and histories for the tests of pairing, and what must hold of every draw."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from datetime import date, timedelta
from itertools import combinations
from typing import Any

from hypothesis import strategies as st

from interchange.core.pairing import (
    Draw,
    PairingRules,
    PastGroup,
    PastRound,
    Person,
    Round,
    Slot,
    draw_rounds,
    people_from,
)

DAY = date(2026, 11, 5)
WEEK = timedelta(days=7)


def staff(*sizes: int, **named: int) -> tuple[Person, ...]:
    """``staff(2, 1)``: two people of a, one of b, with the keys a0, a1, b0; ``staff(sales=2)`` likewise."""
    departments = {chr(ord("a") + place): size for place, size in enumerate(sizes)} | named
    return people_from({name: [f"{name}{who}" for who in range(size)] for name, size in departments.items()})


def strangers(number: int) -> tuple[Person, ...]:
    """Each of a department of their own."""
    return tuple(Person(key=f"p{who:02}", departments=frozenset((f"d{who:02}",))) for who in range(number))


def slots(number: int) -> list[Slot]:
    return [Slot(day=DAY + week * WEEK) for week in range(number)]


def met(weeks_ago: int, *groups: str, answer: bool | None = None, rested: str = "") -> PastRound:
    """``met(3, "a0 b0", rested="a1")``"""
    return PastRound(
        day=DAY - weeks_ago * WEEK,
        groups=tuple(PastGroup(members=frozenset(group.split()), met=answer) for group in groups),
        rested=frozenset(rested.split()),
    )


def blocked(*pairs: str) -> frozenset[frozenset[str]]:
    return frozenset(frozenset(pair.split()) for pair in pairs)


def draw(people: Iterable[Person], weeks: int | Sequence[Slot] = 1, **more: Any) -> Draw:
    """A draw with these rules, checked."""
    history, seed = more.pop("history", ()), more.pop("seed", 1)
    rules, chosen = PairingRules(**more), slots(weeks) if isinstance(weeks, int) else weeks
    found = draw_rounds(people, chosen, history=history, rules=rules, seed=seed)
    check(found, tuple(people), chosen, rules)
    return found


def members(one: Round) -> list[tuple[str, ...]]:
    return [group.members for group in one.groups]


def resting(one: Round) -> list[str]:
    return [rest.person for rest in one.rests]


def pairs_of(found: Draw) -> list[tuple[str, ...]]:
    """All pairs of all rounds, those inside trios too."""
    return [pair for one in found.rounds for group in one.groups for pair in combinations(group.members, 2)]


def check(found: Draw, people: Sequence[Person], chosen: Sequence[Slot], rules: PairingRules) -> None:
    """What holds whatever the input."""
    departments = {person.key: person.departments for person in people}
    assert [one.day for one in found.rounds] == [slot.day for slot in chosen]
    for one, slot in zip(found.rounds, chosen, strict=True):
        placed = [key for group in one.groups for key in group.members] + resting(one)
        assert sorted(placed) == sorted(departments.keys() - slot.absent), "each once, nobody forgotten"
        assert all(len(group.members) in {2, 3} for group in one.groups)
        assert rules.odd == "trio" or all(len(group.members) == 2 for group in one.groups)
        if rules.pairs_per_round is not None:
            assert len(one.groups) <= max(rules.pairs_per_round, 0)
        for group in one.groups:
            assert [(link.first, link.second) for link in group.links] == list(combinations(group.members, 2))
            for link in group.links:
                shared = bool(departments[link.first] & departments[link.second])
                assert frozenset((link.first, link.second)) not in rules.blocked
                assert link.same_department is shared
                assert not (shared and rules.same_department == "never")
                assert not (link.other_days and rules.repeats == "never")
                assert not (link.times and rules.repeats == "never")
    for amount in (
        found.quality.resting,
        found.quality.same_department,
        found.quality.repeats,
        found.quality.past_repeats,
    ):
        assert amount.drawn >= amount.at_least
    assert found.quality.gap >= 0


def groupings(people: Sequence[int], *, trios: bool) -> Iterator[list[tuple[int, ...]]]:
    """Every way to put some of the people into pairs and trios."""
    if not people:
        yield []
        return
    first, others = people[0], people[1:]
    yield from groupings(others, trios=trios)
    for size in (1, 2) if trios else (1,):
        for partners in combinations(others, size):
            left = [person for person in others if person not in partners]
            for rest in groupings(left, trios=trios):
                yield [(first, *partners), *rest]


@st.composite
def situations(
    make: st.DrawFn, most: int = 8, weeks: int = 1
) -> tuple[list[Person], list[Slot], list[PastRound], PairingRules]:
    """People in overlapping departments, with a past, blocks, absences and any rules."""
    number = make(st.integers(2, most))
    names = [f"d{place}" for place in range(make(st.integers(1, 4)))]
    people = [
        Person(
            key=f"p{who}",
            departments=make(st.frozensets(st.sampled_from(names), min_size=1, max_size=min(2, len(names)))),
        )
        for who in range(number)
    ]
    keys = [person.key for person in people]
    some = st.frozensets(st.sampled_from(keys), max_size=2)
    history = [_past(make, keys, weeks_ago) for weeks_ago in range(1, make(st.integers(1, 4)))]
    pair = st.frozensets(st.sampled_from(keys), min_size=2, max_size=2)
    rules = PairingRules(
        odd=make(st.sampled_from(["trio", "rest"])),
        same_department=make(st.sampled_from(["if_needed", "never"])),
        repeats=make(st.sampled_from(["if_needed", "never"])),
        pairs_per_round=make(st.sampled_from([None, None, 1, 2])),
        blocked=make(st.frozensets(pair, max_size=6)),
        distances={frozenset(("d0", "d1")): 20},
    )
    chosen = [Slot(day=DAY + week * WEEK, absent=make(some)) for week in range(make(st.integers(1, weeks)))]
    return people, chosen, history, rules


def _past(make: st.DrawFn, keys: list[str], weeks_ago: int) -> PastRound:
    there = make(st.permutations(keys))[: make(st.integers(2, len(keys)))]
    first = 3 if len(there) > 4 and make(st.booleans()) else 2
    groups = [there[:first], *(there[place : place + 2] for place in range(first, len(there) - 1, 2))]
    grouped = {key for group in groups for key in group}
    return PastRound(
        day=DAY - weeks_ago * WEEK,
        groups=tuple(
            PastGroup(members=frozenset(group), met=make(st.sampled_from([True, False, None])))
            for group in groups
        ),
        rested=frozenset(there) - grouped,
    )
