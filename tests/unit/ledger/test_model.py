"""The ledger against a model of it, for whatever sequence of calls hypothesis thinks of."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule, run_state_machine_as_test

from interchange.errors import Busy, Conflict, InterchangeError, NotFound
from interchange.ledger import TRANSITIONS, ClaimLost, EffectRef, Ledger, State

OWNERS = ("ann", "bob")
owners = st.sampled_from(OWNERS)
keys = st.sampled_from(("1", "2"))


class Expected:
    """What one effect should be."""

    def __init__(self) -> None:
        self.state: State | None = None
        self.owner: str | None = None
        self.live = False
        self.attempts = 0
        self.receipt: dict[str, Any] | None = None
        self.story: list[State] = []

    def become(self, state: State, owner: str | None = None, receipt: dict[str, Any] | None = None) -> None:
        assert self.state is None or state in TRANSITIONS[self.state]
        if state is State.BEGUN:
            self.attempts += 1
        self.state, self.owner, self.receipt = state, owner, receipt
        self.live = state is State.BEGUN
        self.story.append(state)


def machine_for(engine: Any) -> type[RuleBasedStateMachine]:
    ledgers = {owner: Ledger(engine, owner=owner) for owner in OWNERS}
    rounds = iter(range(10**6))

    class LedgerMachine(RuleBasedStateMachine):
        @initialize()
        def new_keys(self) -> None:
            # Effects are never deleted: each example has its own.
            self.prefix = f"{next(rounds)}-"
            self.expected = {key: Expected() for key in ("1", "2")}

        def ref(self, key: str) -> EffectRef:
            return EffectRef("w", "k", self.prefix + key)

        def call(self, error: type[InterchangeError] | None, method: Any, *args: Any, **kwargs: Any) -> None:
            if error is None:
                method(*args, **kwargs)
            else:
                with pytest.raises(error):
                    method(*args, **kwargs)

        @rule(key=keys, owner=owners)
        def plan(self, key: str, owner: str) -> None:
            ledgers[owner].plan(self.ref(key), digest=owner)
            if self.expected[key].state is None:
                self.expected[key].become(State.PLANNED)

        @rule(key=keys, owner=owners)
        def begin(self, key: str, owner: str) -> None:
            is_now = self.expected[key]
            self.call(Busy if is_now.live else None, ledgers[owner].begin, self.ref(key), lease_s=1000)
            if is_now.state is None:
                is_now.become(State.PLANNED)
            if is_now.state is State.PLANNED:
                is_now.become(State.BEGUN, owner)
            elif is_now.state is State.BEGUN and not is_now.live:
                is_now.become(State.UNKNOWN, is_now.owner)

        @rule(key=keys)
        def lease_passes(self, key: str) -> None:
            with engine.execution_options(interchange_write=True).begin() as connection:
                connection.exec_driver_sql(
                    "UPDATE effects SET claim_expires_at = '2001-01-01 00:00:00.000000'"
                    f" WHERE state = 'begun' AND key = '{self.ref(key).key}'"
                )
            self.expected[key].live = False

        @rule(key=keys, owner=owners)
        def renew(self, key: str, owner: str) -> None:
            is_now = self.expected[key]
            ours = is_now.state is State.BEGUN and is_now.owner == owner
            error = NotFound if is_now.state is None else None if ours else ClaimLost
            self.call(error, ledgers[owner].renew, self.ref(key), lease_s=1000)
            is_now.live = is_now.live or ours

        @rule(key=keys, owner=owners, number=st.integers(0, 1))
        def confirm(self, key: str, owner: str, number: int) -> None:
            is_now = self.expected[key]
            receipt = {"n": number}
            ours = is_now.state in (State.BEGUN, State.UNKNOWN) and is_now.owner == owner
            same = is_now.state is State.CONFIRMED and is_now.receipt == receipt
            error = None if ours or same else NotFound if is_now.state is None else ClaimLost
            self.call(error, ledgers[owner].confirm, self.ref(key), receipt)
            if ours:
                is_now.become(State.CONFIRMED, receipt=receipt)

        @rule(key=keys, owner=owners, to=st.sampled_from([State.PLANNED, State.UNKNOWN]))
        def give_up(self, key: str, owner: str, to: State) -> None:
            is_now = self.expected[key]
            ours = is_now.state is State.BEGUN and is_now.owner == owner
            method = ledgers[owner].release if to is State.PLANNED else ledgers[owner].mark_unknown
            self.call(
                None if ours else NotFound if is_now.state is None else ClaimLost, method, self.ref(key), "r"
            )
            if ours:
                is_now.become(to, owner if to is State.UNKNOWN else None)

        @rule(key=keys, owner=owners)
        def resume(self, key: str, owner: str) -> None:
            is_now = self.expected[key]
            error = self.unless(is_now, State.UNKNOWN)
            self.call(error, ledgers[owner].resume, self.ref(key), lease_s=1000, reason="r")
            if error is None:
                is_now.become(State.BEGUN, owner)

        @rule(key=keys, owner=owners)
        def quarantine(self, key: str, owner: str) -> None:
            is_now = self.expected[key]
            ours = is_now.state is State.BEGUN and is_now.owner == owner
            error = None if ours else self.unless(is_now, State.PLANNED)
            self.call(error, ledgers[owner].quarantine, self.ref(key), field="f", reason="r")
            if error is None:
                if ours:
                    is_now.become(State.PLANNED)
                is_now.become(State.QUARANTINED)

        @rule(key=keys, owner=owners)
        def replay(self, key: str, owner: str) -> None:
            error = self.unless(self.expected[key], State.QUARANTINED)
            self.call(error, ledgers[owner].replay, self.ref(key), by="carla", reason="r")
            if error is None:
                self.expected[key].become(State.PLANNED)

        @rule(key=keys, owner=owners, to=st.sampled_from([State.PLANNED, State.CONFIRMED]))
        def settle(self, key: str, owner: str, to: State) -> None:
            is_now = self.expected[key]
            if is_now.state is State.BEGUN and not is_now.live:
                is_now.become(State.UNKNOWN, is_now.owner)
            receipt = {"n": 2} if to is State.CONFIRMED else None
            error = self.unless(is_now, State.UNKNOWN)
            self.call(
                error, ledgers[owner].settle, self.ref(key), to=to, by="carla", reason="r", receipt=receipt
            )
            if error is None:
                is_now.become(to, receipt=receipt)

        @staticmethod
        def unless(is_now: Expected, wanted: State) -> type[InterchangeError] | None:
            if is_now.state is wanted:
                return None
            if is_now.state is None:
                return NotFound
            return Busy if is_now.state is State.BEGUN else Conflict

        @invariant()
        def the_ledger_is_as_expected(self) -> None:
            for key, is_now in getattr(self, "expected", {}).items():
                effect = ledgers["ann"].get(self.ref(key))
                if is_now.state is None:
                    assert effect is None
                    continue
                assert effect is not None
                assert (effect.state, effect.owner, effect.attempts, effect.receipt) == (
                    is_now.state,
                    is_now.owner,
                    is_now.attempts,
                    is_now.receipt,
                )
                assert [event.to_state for event in ledgers["ann"].events(self.ref(key))] == is_now.story

    return LedgerMachine


def test_every_sequence_of_calls_does_what_the_model_says(engine):
    run_state_machine_as_test(
        machine_for(engine),
        settings=settings(
            max_examples=25,
            stateful_step_count=25,
            deadline=None,
            derandomize=True,
            suppress_health_check=list(HealthCheck),
        ),
    )
