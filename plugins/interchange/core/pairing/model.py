"""What the pairing reads and what it gives. People are opaque keys; nothing here knows what stands behind one."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from datetime import date
from typing import Literal

from interchange.errors import SettingsError

OddPerson = Literal["trio", "rest"]
SameDepartment = Literal["never", "if_needed"]
Repeats = Literal["if_needed", "never"]

DEFAULT_DISTANCE = 100


@dataclass(frozen=True, kw_only=True)
class Person:
    """
    :param key: stands for the person, unique.
    :param departments: at least one. Two people are of different departments when they share none.
    """

    key: str
    departments: frozenset[str]


@dataclass(frozen=True, kw_only=True)
class PastGroup:
    """
    People who were to meet.

    :param met: their answer. None (nobody answered) counts as a meeting; False counts a quarter of one, and such a pair
        may be drawn again where repeats are forbidden.
    """

    members: frozenset[str]
    met: bool | None = None


@dataclass(frozen=True, kw_only=True)
class PastRound:
    """
    One round that was held. Who is in no group and not in ``rested`` took no part in it (absent, or not there yet).

    :param rested: who would have taken part and found no group.
    """

    day: date
    groups: tuple[PastGroup, ...]
    rested: frozenset[str] = frozenset()


@dataclass(frozen=True, kw_only=True)
class Slot:
    """
    One round to draw.

    :param absent: who pauses or is on holiday then. Keys of unknown people are ignored.
    """

    day: date
    absent: frozenset[str] = frozenset()


@dataclass(frozen=True, kw_only=True)
class PairingRules:
    """
    What is wanted. Whatever stands further up wins where two wishes collide:

    1. a blocked pair never meets, not in a trio either; ``never`` is meant so;
    2. as few people as possible rest, then as few trios as possible;
    3. people of different departments;
    4. nobody rests twice running, then everybody rests equally often in these rounds;
    5. no pair twice in these rounds;
    6. who rested much (or is new) rests less, no pair that met before, rather one that met long ago and seldom,
       trios in turn, far departments.

    :param odd: who is left over where everybody takes part joins a pair (``trio``) or rests (``rest``).
    :param pairs_per_round: at most so many pairs a round, the others rest in turn. None: everybody takes part.
    :param same_department: may two of one department meet where somebody would rest otherwise?
    :param repeats: may a pair meet again where somebody would rest otherwise?
    :param blocked: sets of two people who must not meet. Unknown people are ignored.
    :param distances: how far apart two departments work, 0 (next door) to 100, by the set of the two names. Where none
        is given it is 100. Far ones are preferred, but less than people who never met.
    """

    odd: OddPerson = "trio"
    pairs_per_round: int | None = None
    same_department: SameDepartment = "if_needed"
    repeats: Repeats = "if_needed"
    blocked: frozenset[frozenset[str]] = frozenset()
    distances: Mapping[frozenset[str], int] = field(default_factory=dict)

    def __post_init__(self) -> None:
        """:raises SettingsError: a value outside what is described above; names the setting, never a person."""
        for name, value, allowed in (
            ("odd", self.odd, ("trio", "rest")),
            ("same_department", self.same_department, ("never", "if_needed")),
            ("repeats", self.repeats, ("if_needed", "never")),
        ):
            if value not in allowed:
                raise SettingsError(f"{name}: {value!r} is none of {', '.join(allowed)}")
        if self.pairs_per_round is not None and self.pairs_per_round < 1:
            raise SettingsError(
                f"pairs_per_round: {self.pairs_per_round} pairs are no round. Write 1 or more, or null"
            )
        if any(len(pair) != 2 for pair in self.blocked):
            raise SettingsError("blocked_pairs: each entry names two different people")
        for names, distance in self.distances.items():
            if len(names) != 2 or not 0 <= distance <= DEFAULT_DISTANCE:
                raise SettingsError("distances: each entry is two departments and a number from 0 to 100")


@dataclass(frozen=True, kw_only=True)
class Link:
    """
    Two people of one group, and why they.

    :param times: how often they met before the round, answers "no" not counted.
    :param last_met: the day of the last of these meetings.
    :param other_days: further rounds of the same draw in which they meet.
    :param same_department: they share a department.
    :param text: the same for a person to read: ``last met 2026-03, 9 weeks ago``, then the departments; never people.
    """

    first: str
    second: str
    times: int
    last_met: date | None
    other_days: tuple[date, ...]
    same_department: bool
    text: str


@dataclass(frozen=True, kw_only=True)
class Group:
    """
    Two people, or three.

    :param members: sorted.
    :param links: one for each two of the members, in the order of the members.
    """

    members: tuple[str, ...]
    links: tuple[Link, ...]

    @property
    def text(self) -> str:
        """Why this group: the texts of its links, each once."""
        return "; ".join(dict.fromkeys(link.text for link in self.links))


@dataclass(frozen=True, kw_only=True)
class Rest:
    """Somebody who is there and finds no group. ``text`` says why, without names of people."""

    person: str
    text: str


@dataclass(frozen=True, kw_only=True)
class Round:
    """
    :param groups: sorted by their members; nobody stands in two of them.
    :param rests: sorted by person. Who is neither here nor in a group is absent.
    """

    day: date
    groups: tuple[Group, ...]
    rests: tuple[Rest, ...]


@dataclass(frozen=True, kw_only=True)
class Finding:
    """
    A wish that did not come true, with the smallest reason: the people and departments named suffice to prove it. Where
    no proof is known the text says so.

    :param kind: for programs: ``odd`` (an odd number), ``limit`` (of pairs a round), ``department`` (one too large),
        ``blocked``, ``alone`` (nobody to meet), ``repeats`` (all met before), ``together`` (between the rounds).
    :param text: for people; names departments and numbers, never people.
    :param people: keys of those meant, where they are few.
    :param days: the rounds it holds for.
    """

    kind: str
    text: str
    people: tuple[str, ...]
    days: tuple[date, ...]


@dataclass(frozen=True, kw_only=True)
class Amount:
    """
    How often something unwanted happens, and the number below which it cannot be (proven, not guessed) as long as what
    weighs more is as it is.
    """

    drawn: int
    at_least: int


@dataclass(frozen=True, kw_only=True)
class Quality:
    """
    The draw in numbers.

    :param people: who takes part in at least one round.
    :param groups: of all rounds, trios included.
    :param trios: of these, groups of three.
    :param resting: places of rest over all rounds.
    :param same_department: pairs (also inside trios) who share a department.
    :param repeats: meetings of a pair that has another meeting earlier in these rounds.
    :param past_repeats: meetings of a pair that met before these rounds; ``at_least`` regards each round by itself.
    :param cross_department_share: share of all pairs that share no department, 0 to 1; 1 without pairs.
    :param rests: how often each person rests, only those who do; sorted by key.
    :param rests_twice_running: how often somebody rests in two rounds running, the last past round included.
    :param in_trios: how often each person is in a trio, only those who are; sorted by key.
    :param cost: what the draw costs, see :mod:`interchange.core.pairing.costs`.
    :param lower_bound: no draw under these rules costs less.
    :param gap_text: what could be better at most, for people to read.
    """

    people: int
    groups: int
    trios: int
    resting: Amount
    same_department: Amount
    repeats: Amount
    past_repeats: Amount
    cross_department_share: float
    rests: tuple[tuple[str, int], ...]
    rests_twice_running: int
    in_trios: tuple[tuple[str, int], ...]
    cost: int
    lower_bound: int
    gap_text: str

    @property
    def gap(self) -> float:
        """By what share of its cost the draw could be cheaper at most, 0 to 1."""
        return (self.cost - self.lower_bound) / self.cost if self.cost else 0.0

    @property
    def proven_best(self) -> bool:
        """No better draw exists."""
        return self.cost == self.lower_bound


@dataclass(frozen=True, kw_only=True)
class Draw:
    """
    :param rounds: one for each slot, in its order.
    :param findings: what could not be had and why; empty when every wish came true.
    """

    rounds: tuple[Round, ...]
    findings: tuple[Finding, ...]
    quality: Quality


@dataclass(frozen=True, kw_only=True)
class Mended:
    """
    A round after people left or joined.

    :param kept: groups of ``round`` with the same members as before.
    :param changed: groups that are new, or have lost or won somebody.
    :param dissolved: members of the former groups that no longer exist so.
    """

    round: Round
    kept: tuple[Group, ...]
    changed: tuple[Group, ...]
    dissolved: tuple[tuple[str, ...], ...]
    findings: tuple[Finding, ...]


def people_from(departments: Mapping[str, Iterable[str]]) -> tuple[Person, ...]:
    """People with all the departments that list them, sorted by key; one listed twice is one person."""
    found: dict[str, set[str]] = {}
    for department, keys in departments.items():
        for key in keys:
            found.setdefault(key, set()).add(department)
    return tuple(Person(key=key, departments=frozenset(found[key])) for key in sorted(found))
