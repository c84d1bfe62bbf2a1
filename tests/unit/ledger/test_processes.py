"""Several processes, and processes that die: the ledger's reason to exist."""

from __future__ import annotations

import contextlib
import multiprocessing
import os
import signal
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import Engine, event, inspect

from interchange.errors import Busy, OutcomeUnknown
from interchange.ledger import EffectRef, Ledger, State
from interchange.ledger.database import make_engine
from interchange.ledger.schema import REVISION
from interchange.ledger.upgrade import migrate, revision

Start = Callable[..., Any]
ROUNDS = 200


def join(*processes: Any) -> None:
    for process in processes:
        process.join(60)
        assert process.exitcode == 0


# Two processes, one key


def compete(url: str, owner: str, barrier: Any, results: Any) -> None:
    ledger = Ledger(url, owner=owner)
    won = []
    for number in range(ROUNDS):
        barrier.wait(30)
        with contextlib.suppress(Busy):
            effect = ledger.begin(EffectRef("w", "k", str(number)), lease_s=60)
            assert (effect.state, effect.owner) == (State.BEGUN, owner)
            won.append(number)
    results.put((owner, won))


def test_two_processes_competing_for_a_key_have_exactly_one_winner(ledger_url, ledger, in_process):
    # Half of the effects are planned already, half are planned by whoever comes first.
    for number in range(0, ROUNDS, 2):
        ledger.plan(EffectRef("w", "k", str(number)))
    context = multiprocessing.get_context("fork")
    barrier, results = context.Barrier(2), context.Queue()
    processes = [in_process(compete, ledger_url, owner, barrier, results) for owner in ("ann", "bob")]
    won = dict(results.get(timeout=60) for _ in processes)
    join(*processes)

    assert sorted(won["ann"] + won["bob"]) == list(range(ROUNDS))
    # Otherwise they did not compete.
    assert won["ann"]
    assert won["bob"]


def test_two_processes_resuming_one_unknown_outcome_have_exactly_one_winner(ledger_url, ledger, in_process):
    refs = [EffectRef("w", "k", str(number)) for number in range(50)]
    for ref in refs:
        ledger.begin(ref, lease_s=60)
        ledger.mark_unknown(ref, "r")
    context = multiprocessing.get_context("fork")
    barrier, results = context.Barrier(2), context.Queue()

    def resume(owner: str) -> None:
        mine = Ledger(make_engine(ledger_url), owner=owner)
        won = 0
        for ref in refs:
            barrier.wait(30)
            try:
                mine.resume(ref, lease_s=60, reason="r", attempt=1)
                won += 1
            except Busy:
                continue
        results.put(won)

    processes = [in_process(resume, owner) for owner in ("bob", "carla")]
    total = sum(results.get(timeout=60) for _ in processes)
    join(*processes)

    assert total == len(refs)
    assert {effect.attempts for effect in ledger.list()} == {2}


# A process killed between any two steps


class World:
    """The outside: a file that every effect appends one line to, whoever makes it."""

    def __init__(self, path: Path) -> None:
        self.path = path

    @property
    def made(self) -> int:
        return len(self.path.read_text().splitlines()) if self.path.exists() else 0

    def make(self) -> None:
        with self.path.open("a") as file:
            file.write("made\n")

    def find(self) -> dict[str, Any] | None:
        return {"found": True} if self.made else None


class Steps:
    """Counts the steps of an attempt, and kills the process at one of them."""

    def __init__(self, engine: Engine, *, kill_at: int | None = None) -> None:
        self.count = 0
        self.kill_at = kill_at
        for name in ("begin", "before_cursor_execute", "after_cursor_execute", "commit"):
            event.listen(engine, name, self.step)
        # A connection comes back to the pool after its transaction has ended.
        event.listen(engine.pool, "checkin", self.step)

    def step(self, *_: object) -> None:
        self.count += 1
        if self.count == self.kill_at:
            os.kill(os.getpid(), signal.SIGKILL)


def attempt(
    url: str, ref: EffectRef, world: World, kill_at: int | None, resend: bool, steps_taken: Any
) -> None:
    engine = make_engine(url)
    ledger = Ledger(engine, owner="ann")
    steps = Steps(engine, kill_at=kill_at)

    def send() -> dict[str, Any]:
        steps.step()
        world.make()
        steps.step()
        return {"sent": True}

    ledger.perform(ref, send=send, find=world.find, lease_s=60, resend=resend)
    steps_taken.put(steps.count)


@pytest.mark.parametrize("outcome_can_be", ["looked up", "neither", "sent again"])
def test_a_process_killed_at_any_step_neither_loses_nor_doubles_the_effect(
    ledger_url, ledger, in_process, tmp_path, expire, outcome_can_be
):
    queue = multiprocessing.get_context("fork").Queue()
    fault_free = World(tmp_path / "fault-free")
    join(in_process(attempt, ledger_url, EffectRef("w", "k", "fault-free"), fault_free, None, False, queue))
    steps = queue.get(timeout=10)
    # Two transactions of a begin, statements and a commit each, and the call between them.
    assert steps >= 14
    left = dict.fromkeys(State, 0)

    for kill_at in range(1, steps + 1):
        ref, world = EffectRef("w", "k", f"kill-{kill_at}"), World(tmp_path / f"kill-{kill_at}")
        victim = in_process(attempt, ledger_url, ref, world, kill_at, False, queue)
        victim.join(30)
        assert victim.exitcode == -signal.SIGKILL
        made_by_victim = world.made
        before = ledger.get(ref)
        if before is not None:
            left[before.state] += 1
            # Nothing was sent before the intent was committed.
            assert before.state in (State.BEGUN, State.CONFIRMED)
        else:
            assert made_by_victim == 0
        expire()

        def send(world: World = world) -> dict[str, Any]:
            world.make()
            return {"sent": True}

        successor = Ledger(ledger.engine, owner="bob")
        find = world.find if outcome_can_be == "looked up" else None
        resend = outcome_can_be == "sent again"
        was_begun = before is not None and before.state is State.BEGUN
        if was_begun and outcome_can_be == "neither":
            with pytest.raises(OutcomeUnknown):
                successor.perform(ref, send=send, find=find, lease_s=60)
            assert ledger.get(ref).state is State.UNKNOWN
            assert world.made == made_by_victim
            continue
        successor.perform(ref, send=send, find=find, lease_s=60, resend=resend)
        assert ledger.get(ref).state is State.CONFIRMED
        assert world.made == (made_by_victim + 1 if was_begun and resend else 1)

    # The kills did hit before, in and after the attempt.
    assert left[State.BEGUN] >= 6
    assert left[State.CONFIRMED] >= 1


@pytest.mark.parametrize("it_happened", [True, False], ids=["it happened", "it did not"])
def test_a_process_killed_at_any_step_of_clearing_up_after_another_does_no_harm(
    ledger_url, ledger, in_process, tmp_path, expire, it_happened
):
    queue = multiprocessing.get_context("fork").Queue()
    kill_at, steps = 0, None
    while steps is None or kill_at < steps:
        ref, world = EffectRef("w", "k", f"kill-{kill_at}"), World(tmp_path / f"kill-{kill_at}")
        ledger.begin(ref, lease_s=60)
        if it_happened:
            world.make()
        expire()

        # The first round is left alone, to count the steps.
        clearing_up = in_process(attempt, ledger_url, ref, world, kill_at or None, False, queue)
        clearing_up.join(30)
        if steps is None:
            steps = queue.get(timeout=10)
        else:
            assert clearing_up.exitcode == -signal.SIGKILL
        expire()
        Ledger(ledger.engine, owner="bob").perform(
            ref, send=lambda world=world: world.make() or {}, find=world.find, lease_s=60
        )

        assert ledger.get(ref).state is State.CONFIRMED
        assert world.made == 1
        kill_at += 1


# Forks, and databases made by several processes at once


# A socket used by two processes hangs inside the driver, where no signal reaches Python.
@pytest.mark.timeout(60, method="thread")
def test_a_forked_process_does_not_use_its_parents_connections(ledger, ref, in_process, until):
    ledger.plan(ref)
    child_refs = [EffectRef("w", "child", str(number)) for number in range(20)]

    def use_inherited_ledger() -> None:
        for child_ref in child_refs:
            ledger.begin(child_ref, lease_s=60)
            ledger.confirm(child_ref, {"id": child_ref.key})

    child = in_process(use_inherited_ledger)
    own_refs = [EffectRef("w", "parent", str(number)) for number in range(20)]
    for own_ref in own_refs:
        ledger.begin(own_ref, lease_s=60)
        ledger.confirm(own_ref, {"id": own_ref.key})
    join(child)

    for each in (*child_refs, *own_refs):
        assert ledger.get(each).receipt == {"id": each.key}


def open_at_once(url: str, barrier: Any) -> None:
    barrier.wait(30)
    ledger = Ledger(url, owner=f"process {os.getpid()}")
    ledger.begin(EffectRef("w", "k", str(os.getpid())), lease_s=60)


def test_several_processes_may_create_the_ledger_at_once(empty_database_url, in_process):
    barrier = multiprocessing.get_context("fork").Barrier(4)
    processes = [in_process(open_at_once, empty_database_url, barrier) for _ in range(4)]
    join(*processes)

    engine = make_engine(empty_database_url)
    assert revision(engine) == REVISION
    assert len(Ledger(engine, owner="ann").list()) == 4
    engine.dispose()


def test_a_migration_that_is_killed_half_way_leaves_nothing(empty_database_url, in_process):
    def migrate_and_die() -> None:
        engine = make_engine(empty_database_url)

        def die(_connection: Any, _cursor: Any, statement: str, *_: Any) -> None:
            if "TRIGGER effects_" in statement:
                os.kill(os.getpid(), signal.SIGKILL)

        event.listen(engine, "after_cursor_execute", die)
        migrate(engine)

    victim = in_process(migrate_and_die)
    victim.join(30)
    assert victim.exitcode == -signal.SIGKILL

    engine = make_engine(empty_database_url)
    assert revision(engine) is None
    assert inspect(engine).get_table_names() == []
    assert migrate(engine) == (None, REVISION)
    engine.dispose()
