"""When a pair must meet again within the draw, by counting."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from interchange.core.pairing.possible import Possible
from interchange.core.pairing.problem import Problem
from interchange.core.pairing.shortage import Reason


@dataclass(frozen=True, kw_only=True)
class Again:
    """
    :param repeats: meetings of a pair that met earlier in the draw, at least.
    :param doubles: pairs of rounds that have a pair of people in common, at least; what the cost counts.
    :param rests: where no pair may meet again: how many must rest over all rounds, at least.
    :param reason: None if nothing must be.
    :param first: the number of the round from which on it must be.
    """

    repeats: int = 0
    doubles: int = 0
    rests: int = 0
    reason: Reason | None = None
    first: int = 0


def must_meet_again(possible: Possible) -> Again:
    """The stronger of two proofs: more meetings than different pairs, or somebody with more rounds than partners."""
    everybody = sorted({person for people in possible.people for person in people})
    partners = partners_of(possible.problem, everybody)
    if possible.problem.rules.repeats == "never":
        found = _rests(possible, partners)
    else:
        found = [_by_pairs(possible, partners), _by_person(possible, partners)]
    # The first of equals: counting pairs is the simpler proof.
    return max(found, key=lambda again: (again.repeats, again.rests))


def partners_of(problem: Problem, everybody: Sequence[int]) -> dict[int, int]:
    """By person, how many of the others they may meet who are of different departments."""
    of_kind: dict[int, int] = {}
    for person in everybody:
        of_kind[problem.kinds[person]] = of_kind.get(problem.kinds[person], 0) + 1
    open_to = {
        kind: sum(count for other, count in of_kind.items() if not problem.shared[kind][other])
        for kind in of_kind
    }
    partners = {person: open_to[problem.kinds[person]] for person in everybody}
    closed = set(problem.blocked)
    if problem.rules.repeats == "never":
        closed |= {code for code in problem.met if problem.times_met(code)}
    for code in closed:
        one, other = divmod(code, problem.size)
        both = one in partners and other in partners
        if both and not problem.shared[problem.kinds[one]][problem.kinds[other]]:
            partners[one] -= 1
            partners[other] -= 1
    return partners


def doubles(times: int, places: int) -> int:
    """So many things put on so many places: how many twos share a place, at least."""
    if not places:
        return 0
    each, more = divmod(times, places)
    return places * each * (each - 1) // 2 + more * each


def _by_pairs(possible: Possible, partners: dict[int, int]) -> Again:
    rounds = len(possible.people)
    different = sum(partners.values()) // 2
    needed, first = 0, rounds
    for number in range(rounds):
        needed += _cross_pairs(possible, number)
        if needed > different:
            first = min(first, number)
    if needed <= different:
        return Again()
    text = f"with {len(partners)} people and {rounds} rounds a pair must meet again from round {first + 1}"
    return Again(
        repeats=needed - different,
        doubles=doubles(needed, different),
        reason=Reason(kind="together", text=text, people=frozenset()),
        first=first,
    )


def _cross_pairs(possible: Possible, number: int) -> int:
    """How many pairs of different departments meet in the round, at least, those inside trios included."""
    problem, pairs = possible.problem, possible.pairs(number)
    most = pairs - possible.same_department(number)
    if not possible.may_join(number) or not possible.over(number):
        return most
    if not possible.one_trio(number):
        return 0  # several trios may be fewer groups than a maximum matching has pairs
    if _clean_trio(possible, number):
        return most + 2
    # The single joins any pair, at the price of as many links within a department as groups may then lack others.
    price = max(len(problem.kind_names[problem.kinds[person]]) for person in possible.people[number])
    return 0 if problem.blocked or problem.rules.repeats == "never" else max(0, most - min(price, 2))


def _clean_trio(possible: Possible, number: int) -> bool:
    """Are the three of a trio always of different departments?"""
    return possible.problem.rules.same_department == "never" or not _share(
        possible.problem, possible.people[number]
    )


def _share(problem: Problem, people: Iterable[int]) -> bool:
    names = [name for person in people for name in problem.kind_names[problem.kinds[person]]]
    return len(names) > len(set(names))


def _by_person(possible: Possible, partners: dict[int, int]) -> Again:
    """Counts where everybody is in a group with somebody of another department in each round."""
    for number, people in enumerate(possible.people):
        if possible.rests(number) or possible.same_department(number) or possible.over(number) > 1:
            return Again()
        if len(people) < 2 or (possible.over(number) and not _clean_trio(possible, number)):
            return Again()
    problem = possible.problem
    there = dict.fromkeys(partners, 0)
    first, tightest = len(possible.people), -1
    for number, people in enumerate(possible.people):
        for person in people:
            there[person] += 1
            if number < first and there[person] > partners[person]:
                first, tightest = number, person
    if tightest < 0:
        return Again()
    names = " and ".join(sorted(problem.kind_names[problem.kinds[tightest]]))
    text = (
        f"somebody in {names} has only {partners[tightest]} possible partners: with {len(possible.people)} rounds "
        f"a pair must meet again from round {first + 1}"
    )
    return Again(
        repeats=_at_least(problem, {who: max(0, times - partners[who]) for who, times in there.items()}),
        doubles=_at_least(problem, {who: doubles(times, partners[who]) for who, times in there.items()}),
        reason=Reason(kind="together", text=text, people=frozenset((tightest,))),
        first=first,
    )


def _at_least(problem: Problem, each: dict[int, int]) -> int:
    """Each has so many meetings of a kind: two people share one, but no two of a department."""
    of_department: dict[str, int] = {}
    for person, count in each.items():
        for name in problem.kind_names[problem.kinds[person]]:
            of_department[name] = of_department.get(name, 0) + count
    return max(-(-sum(each.values()) // 2), *of_department.values())


def _rests(possible: Possible, partners: dict[int, int]) -> list[Again]:
    """Where no pair may meet again, the number of pairs and of partners limits how often people take part."""
    if possible.problem.rules.same_department == "if_needed":
        # Then everybody who is not blocked is a possible partner; the proofs above would need their number.
        return [Again()]
    rounds = len(possible.people)
    different = sum(partners.values()) // 2
    places, first = 0, rounds
    for number in range(rounds):
        places += 2 * possible.pairs(number)
        if places > 2 * different:
            first = min(first, number)
    if first == rounds:
        return [Again()]
    text = (
        f"with {len(partners)} people and {rounds} rounds somebody rests from round {first + 1}: "
        "no pair may meet again"
    )
    total = sum(len(people) for people in possible.people)
    return [
        Again(
            rests=total - 2 * different,
            reason=Reason(kind="together", text=text, people=frozenset()),
            first=first,
        )
    ]
