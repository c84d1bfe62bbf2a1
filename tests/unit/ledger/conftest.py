"""What the ledger's tests share."""

from __future__ import annotations

import multiprocessing
import time
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from sqlalchemy import Engine

from interchange.ledger import EffectRef, Ledger
from interchange.ledger.database import make_engine

REF = EffectRef("workflow", "upload", "file/2027-03-01")
Sql = Callable[..., list[Any]]


@pytest.fixture
def engine(ledger_url: str) -> Iterator[Engine]:
    engine = make_engine(ledger_url)
    yield engine
    engine.dispose()


@pytest.fixture
def ledger(engine: Engine) -> Ledger:
    return Ledger(engine, owner="ann")


@pytest.fixture
def other(ledger_url: str) -> Iterator[Ledger]:
    """The same ledger as another owner on other connections."""
    engine = make_engine(ledger_url)
    yield Ledger(engine, owner="bob")
    engine.dispose()


@pytest.fixture
def ref() -> EffectRef:
    return REF


@pytest.fixture
def sql(engine: Engine) -> Sql:
    """Run one statement as a person with an SQL client would, past the ledger's code."""

    def run(statement: str) -> list[Any]:
        with engine.execution_options(interchange_write=True).begin() as connection:
            result = connection.exec_driver_sql(statement)
            return [tuple(row) for row in result] if result.returns_rows else []

    return run


@pytest.fixture
def expire(sql: Sql) -> Callable[[], None]:
    """Let every claim on an effect run out at once, as if its lease had passed."""

    def run() -> None:
        sql("UPDATE effects SET claim_expires_at = '2001-01-01 00:00:00.000000' WHERE state = 'begun'")

    return run


def wait_until(condition: Callable[[], bool], *, within_s: float = 10.0) -> None:
    """Wait for a condition, asking often; fail if it does not come true in time."""
    deadline = time.monotonic() + within_s
    pause = multiprocessing.get_context().Event()
    while not condition():
        assert time.monotonic() < deadline, "the condition did not come true in time"
        pause.wait(0.01)


@pytest.fixture
def until() -> Callable[..., None]:
    return wait_until


@pytest.fixture
def in_process() -> Iterator[Callable[..., multiprocessing.Process]]:
    """Start a function in a forked process, as Airflow's LocalExecutor starts a task."""
    context = multiprocessing.get_context("fork")
    started: list[Any] = []

    def start(target: Callable[..., None], *args: Any) -> Any:
        process = context.Process(target=target, args=args)
        process.start()
        started.append(process)
        return process

    yield start
    for process in started:
        process.kill()
        process.join()
