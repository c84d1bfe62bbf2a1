"""All rounds at once without a pair twice."""

from __future__ import annotations

import random
from itertools import combinations

import pytest

from interchange.core.pairing.climb import climb


def rounds(
    sizes: list[int], number: int, seats: int = 0, tired: tuple[int, ...] = ()
) -> list[list[tuple[int, ...]]]:
    kinds = [kind for kind, size in enumerate(sizes) for _ in range(size)]
    everybody = range(len(kinds))
    partners = [[two for two in everybody if kinds[one] != kinds[two]] for one in everybody]
    found = climb([everybody] * number, partners, [seats] * number, everybody, tired, random.Random(1))
    assert found is not None
    for pairs in found:
        assert len({who for pair in pairs for who in pair}) == 2 * len(pairs) == len(kinds) - seats
        assert all(kinds[one] != kinds[two] for one, two in pairs)
    return found


@pytest.mark.parametrize("number", [4, 12, 30, 60])
def test_everybody_meets_everybody_once(number: int) -> None:
    found = rounds([1] * number, number - 1)

    assert sorted(pair for pairs in found for pair in pairs) == list(combinations(range(number), 2))


@pytest.mark.parametrize(("sizes", "number"), [([15, 15], 15), ([5, 5, 5, 5], 15), ([8, 8, 8], 16)])
def test_everybody_meets_everybody_of_other_departments_once(sizes: list[int], number: int) -> None:
    found = [pair for pairs in rounds(sizes, number) for pair in pairs]

    assert len(found) == len(set(found)) == number * sum(sizes) // 2


def test_an_odd_number_rests_in_turn_and_the_tired_later() -> None:
    found = rounds([1] * 9, 9, seats=1, tired=(0, 1, 2, 3, 4, 5, 6))

    resting = [set(range(9)).difference(*pairs) for pairs in found]
    assert sorted(who for some in resting for who in some) == list(range(9))
    assert resting[0] <= {7, 8}


def test_what_cannot_be_ends_without_an_answer() -> None:
    everybody = range(4)
    partners = [[two for two in everybody if two != one] for one in everybody]

    assert climb([everybody] * 4, partners, [0] * 4, everybody, (), random.Random(1)) is None
