"""Named claims, and claims renewed in the background."""

from __future__ import annotations

import contextlib
import multiprocessing
import os
import signal
import threading
from datetime import timedelta

import pytest
from sqlalchemy import create_engine

from interchange.errors import Busy, NotFound
from interchange.ledger import ClaimLost, Ledger, State
from interchange.ledger.database import make_engine


def test_a_name_is_held_by_one_at_a_time(ledger, other):
    with ledger.hold("ticket_closure", lease_s=60):
        for someone in (other, ledger):
            with (
                pytest.raises(Busy, match="ticket_closure is held by ann") as caught,
                someone.hold("ticket_closure", lease_s=60),
            ):
                pytest.fail("two hold one name")
            assert 40 < caught.value.retry_after_s <= 60
        with other.hold("knack_to_esb", lease_s=60):
            assert [claim.name for claim in ledger.claims.list()] == ["knack_to_esb", "ticket_closure"]

    with other.hold("ticket_closure", lease_s=60):
        [claim] = other.claims.list()
        assert (claim.owner, claim.live) == ("bob", True)
    assert other.claims.list() == []


def test_an_error_in_the_block_frees_the_name_and_comes_through(ledger, other):
    with pytest.raises(ZeroDivisionError), ledger.hold("name", lease_s=60):
        raise ZeroDivisionError

    with other.hold("name", lease_s=60):
        pass


def test_a_database_that_is_gone_at_the_end_does_not_undo_what_the_block_did(ledger_url, database, caplog):
    ledger = Ledger(make_engine(ledger_url, busy_timeout_s=0.1), owner="ann")
    lock = {"sqlite": "BEGIN IMMEDIATE", "postgresql": "LOCK TABLE claims IN EXCLUSIVE MODE"}[database]
    blocker = create_engine(ledger.engine.url)

    with blocker.connect() as connection, ledger.hold("name", lease_s=60):
        connection.exec_driver_sql(lock)

    assert "could not be given back" in caplog.text
    blocker.dispose()
    ledger.engine.dispose()


def test_a_name_whose_lease_ran_out_can_be_taken(ledger, other, until):
    ledger.claims.take("name", holder="run-1", lease_s=0.2)

    def taken() -> bool:
        with contextlib.suppress(Busy):
            return other.claims.take("name", holder="run-2", lease_s=60).owner == "bob"
        return False

    until(taken)
    with pytest.raises(ClaimLost):
        ledger.claims.renew("name", holder="run-1", lease_s=60)
    assert ledger.claims.drop("name", holder="run-1") is False
    assert other.claims.list()[0].live


def test_tasks_of_one_run_share_its_claim(ledger, other):
    ledger.claims.take("name", holder="run-1", lease_s=5)
    claim = other.claims.take("name", holder="run-1", lease_s=60)

    assert claim.expires_at - claim.taken_at > timedelta(seconds=50)
    with pytest.raises(Busy):
        other.claims.take("name", holder="run-2", lease_s=60)
    assert ledger.claims.drop("name", holder="run-1") is True


def test_a_held_name_outlives_its_lease_while_the_block_runs(ledger, other, until):
    with ledger.hold("name", lease_s=1.5) as claim:
        first = ledger.claims.list()[0].expires_at
        until(lambda: ledger.claims.list()[0].expires_at > first + timedelta(seconds=1))
        with pytest.raises(Busy):
            other.claims.take("name", holder="x", lease_s=60)
        claim.check()


def test_whoever_loses_a_name_is_told(ledger, other, until, sql):
    with (  # noqa: PT012 - it is leaving the block that raises
        pytest.raises(ClaimLost, match="lost while the work went on"),
        ledger.hold("name", lease_s=0.6) as claim,
    ):
        assert other.claims.break_("name", by="carla", reason="the worker is gone").owner == "ann"
        other.claims.take("name", holder="x", lease_s=60)
        until(lambda: claim.lost)
        with pytest.raises(ClaimLost):
            claim.check()

    assert [claim.owner for claim in other.claims.list()] == ["bob"]
    assert sql("SELECT claim, from_state, to_state, by, reason FROM events") == [
        ("name", "held", "broken", "carla", "the worker is gone")
    ]
    with pytest.raises(NotFound):
        other.claims.break_("nobody's", by="carla", reason="r")


def test_losing_a_name_does_not_hide_the_blocks_own_error(ledger, other, until):
    with pytest.raises(ZeroDivisionError), ledger.hold("name", lease_s=0.3) as claim:  # noqa: PT012 - two steps
        other.claims.break_("name", by="carla", reason="r")
        until(lambda: claim.lost)
        raise ZeroDivisionError


def test_a_heartbeat_keeps_an_effect_ours_and_tells_when_it_is_not(ledger, other, ref, until, expire):
    first = ledger.begin(ref, lease_s=1.5)
    with ledger.heartbeat(ref, lease_s=1.5):
        until(lambda: ledger.get(ref).claim_expires_at > first.claim_expires_at + timedelta(seconds=1))

    def taken_over() -> bool:
        expire()
        with contextlib.suppress(Busy):
            return other.begin(ref, lease_s=60).state is State.UNKNOWN
        return False

    with pytest.raises(ClaimLost), ledger.heartbeat(ref, lease_s=1.5) as beat:  # noqa: PT012 - leaving raises
        until(taken_over)
        until(lambda: beat.lost)


def test_no_thread_is_left_behind(ledger, ref):
    before = threading.active_count()
    ledger.begin(ref, lease_s=60)
    with ledger.hold("name", lease_s=60), ledger.heartbeat(ref, lease_s=60):
        assert threading.active_count() == before + 2

    assert threading.active_count() == before


def test_a_killed_holder_frees_the_name_when_its_lease_has_passed(ledger_url, ledger, in_process, until):
    held = multiprocessing.get_context("fork").Event()

    def hold_and_die() -> None:
        with Ledger(ledger_url, owner="victim").hold("name", lease_s=2):
            held.set()
            os.kill(os.getpid(), signal.SIGKILL)

    in_process(hold_and_die)
    assert held.wait(10)
    with pytest.raises(Busy):
        ledger.claims.take("name", holder="x", lease_s=60)

    def taken() -> bool:
        with contextlib.suppress(Busy):
            return ledger.claims.take("name", holder="x", lease_s=60).live
        return False

    until(taken)


def race(url: str, owner: str, barrier: object, results: object) -> None:
    ledger = Ledger(url, owner=owner)
    won = 0
    for number in range(50):
        barrier.wait(30)
        with contextlib.suppress(Busy):
            ledger.claims.take(f"name-{number}", holder=owner, lease_s=60)
            won += 1
    results.put(won)


def test_processes_racing_for_a_name_have_one_winner(ledger_url, in_process):
    context = multiprocessing.get_context("fork")
    barrier, results = context.Barrier(3), context.Queue()
    for owner in ("ann", "bob", "carla"):
        in_process(race, ledger_url, owner, barrier, results)

    assert sum(results.get(timeout=60) for _ in range(3)) == 50
