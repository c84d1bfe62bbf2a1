"""Many effects in one transaction."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from interchange.ledger import EffectRef, Ledger, RunRef, State
from interchange.ledger.model import ClaimLost

RUN = RunRef(dag_id="workflow", run_id="run", request="request")
LEASE_S = 30.0


def ref(number: int, kind: str = "file") -> EffectRef:
    return EffectRef("workflow", kind, f"key-{number}")


REFS = [ref(number) for number in range(1000)]
"""More than one statement takes."""


def test_facts_are_confirmed_and_plans_planned(ledger: Ledger) -> None:
    pages = {ref(1, "page"): {"tasks": 2}, ref(2, "page"): {"tasks": 3}}
    found = ledger.record(pages, plans=dict.fromkeys(REFS[:3], "digest"), lease_s=LEASE_S, run=RUN)

    assert found == pages
    assert {effect.state for effect in ledger.list(kind="page")} == {State.CONFIRMED}
    planned = ledger.list(kind="file", state=State.PLANNED)
    assert {effect.ref for effect in planned} == set(REFS[:3])
    assert {(effect.run_id, effect.digest) for effect in planned} == {("run", "digest")}
    assert [event.to_state for event in ledger.events(ref(1, "page"))] == ["planned", "begun", "confirmed"]


def test_a_fact_that_is_there_stays_as_it_is(ledger: Ledger, other: Ledger) -> None:
    ledger.record({ref(1, "page"): {"by": "ann"}}, lease_s=LEASE_S)
    found = other.record(
        {ref(1, "page"): {"by": "bob"}, ref(2, "page"): {"by": "bob"}}, plans={ref(1): None}, lease_s=LEASE_S
    )
    assert [found[ref(number, "page")] for number in (1, 2)] == [{"by": "ann"}, {"by": "bob"}]
    ledger.begin(ref(1), lease_s=LEASE_S)
    other.record({}, plans={ref(1): None}, lease_s=LEASE_S)
    effect = ledger.get(ref(1))
    assert effect is not None
    assert effect.state is State.BEGUN


def test_nothing_is_recorded_of_what_cannot_be_recorded_whole(ledger: Ledger) -> None:
    with pytest.raises(TypeError):
        ledger.record(
            {ref(1, "page"): {}, ref(2, "page"): {"x": object()}}, plans=dict.fromkeys(REFS), lease_s=LEASE_S
        )
    assert ledger.list() == []


def test_many_are_begun_and_confirmed(ledger: Ledger) -> None:
    begun = ledger.begin_all(REFS, lease_s=LEASE_S, run=RUN)
    assert {effect.state for effect in begun.values()} == {State.BEGUN}
    assert set(begun) == set(REFS)
    assert {effect.attempts for effect in begun.values()} == {1}

    ledger.confirm_all({name: {"n": name.key} for name in REFS}, facts={ref(1, "page_done"): {"files": 1000}})

    assert ledger.count() == {**dict.fromkeys(State, 0), State.CONFIRMED: 1001}
    effect = ledger.get(REFS[7])
    assert effect is not None
    assert effect.receipt == {"n": "key-7"}


def test_each_is_begun_by_one(ledger: Ledger, other: Ledger, expire: Callable[[], None]) -> None:
    for state in (3, 4):
        ledger.begin(ref(state), lease_s=LEASE_S)
    ledger.confirm(ref(3), {})
    ledger.begin(ref(5), lease_s=LEASE_S)
    ledger.quarantine(ref(5), field="f", reason="r")
    other.begin(ref(6), lease_s=LEASE_S)

    found = other.begin_all([ref(number) for number in range(2, 7)], lease_s=LEASE_S)

    assert [found[ref(number)].state for number in range(2, 7)] == [
        State.BEGUN, State.CONFIRMED, State.BEGUN, State.QUARANTINED, State.BEGUN,
    ]  # fmt: skip
    assert [found[ref(number)].owner for number in (2, 4, 6)] == ["bob", "ann", "bob"]
    expire()
    assert other.begin_all([ref(4)], lease_s=LEASE_S)[ref(4)].state is State.UNKNOWN


def test_one_that_is_not_ours_confirms_none(ledger: Ledger, other: Ledger) -> None:
    ledger.begin_all(REFS[:2], lease_s=LEASE_S)
    other.begin(REFS[2], lease_s=LEASE_S)
    with pytest.raises(ClaimLost):
        ledger.confirm_all({name: {} for name in REFS[:3]}, facts={ref(1, "page"): {}})
    assert {effect.state for effect in ledger.list()} == {State.BEGUN}


def test_confirming_again_with_the_same_receipts_changes_nothing(ledger: Ledger) -> None:
    ledger.begin_all(REFS[:2], lease_s=LEASE_S)
    for _ in range(2):
        ledger.confirm_all({name: {"a": 1} for name in REFS[:2]}, facts={ref(1, "page"): {}})
    assert len(ledger.events(REFS[0])) == 3


def test_nothing_is_nothing(ledger: Ledger) -> None:
    assert ledger.record({}, lease_s=LEASE_S) == {}
    assert ledger.begin_all([], lease_s=LEASE_S) == {}
    ledger.confirm_all({})
    assert ledger.list() == []
