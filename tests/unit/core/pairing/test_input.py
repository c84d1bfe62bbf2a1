"""What is wrong in the input is named, and nobody with it."""

from __future__ import annotations

from typing import Any

import pytest

from interchange.core.pairing import PairingRules, PastGroup, PastRound, Person, Slot, draw_rounds
from interchange.errors import SettingsError
from tests.unit.core.pairing.cases import DAY, slots, strangers

ANN = "ann@example.com"


@pytest.mark.parametrize(
    ("wrong", "text"),
    [
        ({"odd": "sit"}, "odd: 'sit' is none of trio, rest"),
        ({"same_department": True}, "same_department: True is none of never, if_needed"),
        ({"repeats": "no"}, "repeats: 'no' is none of if_needed, never"),
        ({"pairs_per_round": 0}, "pairs_per_round: 0 pairs are no round"),
        ({"blocked": frozenset({frozenset({ANN})})}, "blocked_pairs: each entry names two different people"),
        ({"distances": {frozenset({"a", "b"}): 101}}, "distances: each entry is two departments"),
        ({"distances": {frozenset({"a"}): 10}}, "distances: each entry is two departments"),
    ],
)
def test_a_wrong_rule(wrong: dict[str, Any], text: str) -> None:
    with pytest.raises(SettingsError) as caught:
        PairingRules(**wrong)
    assert str(caught.value).startswith(text)
    assert ANN not in str(caught.value)


def test_somebody_listed_twice() -> None:
    twice = [Person(key=ANN, departments=frozenset({name})) for name in "ab"]
    with pytest.raises(SettingsError, match=r"^people: 1 of 2 are listed again\.") as caught:
        draw_rounds(twice, slots(1), seed=1)
    assert ANN not in str(caught.value)


def test_somebody_without_a_department() -> None:
    with pytest.raises(SettingsError, match=r"^people: 1 of 1 have no department$"):
        draw_rounds([Person(key=ANN, departments=frozenset())], slots(1), seed=1)


@pytest.mark.parametrize("days", [(DAY, DAY), (slots(2)[1].day, DAY)])
def test_slots_out_of_order(days: tuple[Any, ...]) -> None:
    with pytest.raises(ValueError, match=r"^slots: the days of the rounds must ascend"):
        draw_rounds(strangers(2), [Slot(day=day) for day in days], seed=1)


def test_somebody_twice_in_a_past_round() -> None:
    groups = tuple(PastGroup(members=frozenset({ANN, other})) for other in "bc")
    with pytest.raises(ValueError, match=f"^history: somebody stands in two groups of the round of {DAY}$"):
        draw_rounds(strangers(2), slots(1), history=[PastRound(day=DAY, groups=groups)], seed=1)


def test_unknown_people_in_the_past_the_blocks_and_the_absences_mean_nothing() -> None:
    people = strangers(4)
    history = [
        PastRound(day=DAY, groups=(PastGroup(members=frozenset({ANN, "p00"})),), rested=frozenset({"x"}))
    ]
    rules = PairingRules(blocked=frozenset({frozenset({ANN, "p01"})}))
    found = draw_rounds(
        people, [Slot(day=DAY, absent=frozenset({ANN}))], history=history, rules=rules, seed=1
    )

    assert len(found.rounds[0].groups) == 2
