"""Two components of Airflow on one SQLite file: who comes second waits, and nobody fails."""

from __future__ import annotations

import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import Connection, Engine, create_engine, event, text
from sqlalchemy.exc import OperationalError

from tools.sqlite_arguments import ARGUMENTS

Begin = Callable[[Connection], Any]


def engine(path: Path, arguments: dict[str, Any]) -> Engine:
    made = create_engine(f"sqlite:///{path}", connect_args=arguments)
    event.listen(made, "connect", lambda connection, _: connection.execute("PRAGMA journal_mode=WAL"))
    return made


def meet(path: Path, arguments: dict[str, Any], begin: Begin) -> int:
    """One reads, then writes; another writes in between, or has to wait. The number of rows in the end."""
    ours, theirs = engine(path, arguments), engine(path, arguments)
    with ours.begin() as connection:
        connection.execute(text("CREATE TABLE runs (id INTEGER PRIMARY KEY)"))

    def write() -> None:
        with theirs.begin() as connection:
            connection.execute(text("INSERT INTO runs DEFAULT VALUES"))

    other = threading.Thread(target=write)
    try:
        with ours.connect() as connection:
            begin(connection)
            connection.execute(text("SELECT count(*) FROM runs")).scalar()
            other.start()
            # It has written by then, or it waits for us.
            other.join(0.5)
            connection.execute(text("INSERT INTO runs DEFAULT VALUES"))
            connection.commit()
    finally:
        other.join()
        with ours.connect() as connection:
            count: int = connection.execute(text("SELECT count(*) FROM runs")).scalar_one()
        ours.dispose()
        theirs.dispose()
    return count


def savepoint(connection: Connection) -> None:
    connection.begin_nested()


def change(connection: Connection) -> None:
    connection.execute(text("INSERT INTO runs DEFAULT VALUES"))


def test_a_savepoint_begins_as_a_writer(tmp_path: Path) -> None:
    assert meet(tmp_path / "airflow.db", dict(ARGUMENTS), savepoint) == 2


def test_so_does_a_change(tmp_path: Path) -> None:
    assert meet(tmp_path / "airflow.db", dict(ARGUMENTS), change) == 3


def test_without_these_arguments_a_savepoint_fails(tmp_path: Path) -> None:
    with pytest.raises(OperationalError, match="database is locked"):
        meet(tmp_path / "airflow.db", {}, savepoint)


def test_a_savepoint_within_a_transaction_and_its_rollback_work_as_ever(tmp_path: Path) -> None:
    made = engine(tmp_path / "airflow.db", dict(ARGUMENTS))
    with made.begin() as connection:
        connection.execute(text("CREATE TABLE runs (id INTEGER PRIMARY KEY)"))
        with connection.begin_nested():
            change(connection)
        inner = connection.begin_nested()
        change(connection)
        inner.rollback()
    with made.connect() as connection:
        assert connection.execute(text("SELECT count(*) FROM runs")).scalar_one() == 1
    made.dispose()
