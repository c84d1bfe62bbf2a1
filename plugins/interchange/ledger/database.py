"""Engines and transactions: what SQLite and PostgreSQL need so that the ledger can rely on them."""

from __future__ import annotations

import importlib.util
import logging
import os
import time
import weakref
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

from sqlalchemy import URL, Connection, Engine, Insert, Table, create_engine, event, make_url
from sqlalchemy.dialects import postgresql, sqlite
from sqlalchemy.exc import ArgumentError, DBAPIError, InterfaceError, OperationalError
from sqlalchemy.exc import TimeoutError as PoolTimeout

from interchange.errors import SettingsError, Unavailable

log = logging.getLogger(__name__)

BUSY_TIMEOUT_S = 30.0
CONNECT_TIMEOUT_S = 10
_WRITE = "interchange_write"
_engines: weakref.WeakSet[Engine] = weakref.WeakSet()


def _forget_connections_of_parent() -> None:
    # A forked task shares its parent's sockets: closing them here would end the parent's sessions too.
    for engine in list(_engines):
        engine.dispose(close=False)


os.register_at_fork(after_in_child=_forget_connections_of_parent)


def database_url(url: str | URL) -> URL:
    """
    Return the URL with a driver that is installed; ``postgres://`` is understood.

    :raises SettingsError: no URL, or neither SQLite in a file nor PostgreSQL.
    """
    try:
        parsed = make_url(url)
    except ArgumentError:
        # Without its text, which may hold a password.
        raise SettingsError("The ledger's database URL cannot be read.") from None
    if parsed.drivername == "postgres":
        parsed = parsed.set(drivername="postgresql")
    backend = parsed.get_backend_name()
    if backend == "sqlite":
        if parsed.database in (None, "", ":memory:") or "mode" in parsed.query:
            raise SettingsError(
                "The ledger's SQLite database must be a file: in memory it is gone with its process."
            )
        return parsed
    if backend == "postgresql":
        if "+" not in parsed.drivername:
            driver = "psycopg2" if importlib.util.find_spec("psycopg2") else "psycopg"
            parsed = parsed.set(drivername=f"postgresql+{driver}")
        return parsed
    raise SettingsError(f"The ledger needs SQLite or PostgreSQL, not {backend!r}.")


def make_engine(url: str | URL, *, busy_timeout_s: float = BUSY_TIMEOUT_S) -> Engine:
    """
    Make an engine for a ledger.

    :param busy_timeout_s: how long a statement waits for another process's lock.
    :raises SettingsError: see :func:`database_url`.
    """
    parsed = database_url(url)
    if parsed.get_backend_name() == "sqlite":
        engine = create_engine(parsed, connect_args={"timeout": busy_timeout_s}, hide_parameters=True)
        event.listen(engine, "connect", _prepare_sqlite)
        event.listen(engine, "begin", _begin_sqlite)
    else:
        defaults = {
            "connect_timeout": str(CONNECT_TIMEOUT_S),
            "application_name": "interchange",
            "options": f"-c lock_timeout={int(busy_timeout_s * 1000)}",
        }
        engine = create_engine(
            parsed,
            # Each of the ledger's statements is atomic by itself; a snapshot held longer would only hide
            # rows.
            isolation_level="READ COMMITTED",
            pool_pre_ping=True,
            connect_args={name: value for name, value in defaults.items() if name not in parsed.query},
            hide_parameters=True,
        )
    _engines.add(engine)
    return engine


def _prepare_sqlite(dbapi_connection: Any, _record: Any) -> None:
    # The driver's own transaction handling begins too late and too weakly; see _begin_sqlite.
    dbapi_connection.isolation_level = None
    cursor = dbapi_connection.cursor()
    try:
        cursor.execute("PRAGMA foreign_keys=ON")
        # An intent must survive a power cut, or a call would go out that nobody knows of.
        cursor.execute("PRAGMA synchronous=FULL")
        deadline = time.monotonic() + cursor.execute("PRAGMA busy_timeout").fetchone()[0] / 1000
        while cursor.execute("PRAGMA journal_mode").fetchone()[0] != "wal":
            try:
                cursor.execute("PRAGMA journal_mode=WAL")
            except dbapi_connection.OperationalError:
                # Another process is switching: SQLite answers at once here instead of waiting.
                if time.monotonic() > deadline:
                    raise
                time.sleep(0.01)
    finally:
        cursor.close()


def _begin_sqlite(connection: Connection) -> None:
    # A transaction that reads first and writes later may fail half-way; IMMEDIATE waits for its turn up
    # front.
    write = connection.get_execution_options().get(_WRITE, False)
    connection.exec_driver_sql("BEGIN IMMEDIATE" if write else "BEGIN")


@contextmanager
def transaction(engine: Engine, *, write: bool = True) -> Iterator[Connection]:
    """
    One transaction, committed at the end of the block and rolled back by any error.

    :raises Unavailable: the database cannot be reached or stays locked. Where that happens at the commit
        itself, the change may have been made: reading again tells.
    """
    try:
        with engine.connect().execution_options(**{_WRITE: write}) as connection, connection.begin():
            yield connection
    except PoolTimeout as exc:
        raise Unavailable("ledger", "no database connection became free") from exc
    except DBAPIError as exc:
        if isinstance(exc, (OperationalError, InterfaceError)) or exc.connection_invalidated:
            raise Unavailable("ledger", "its database cannot be reached or is locked") from exc
        raise


def insert_unless_there(connection: Connection, table: Table, values: Mapping[str, Any]) -> Insert:
    """A statement that adds a row, or leaves the one alone that has its key already."""
    dialect: Any = postgresql if connection.dialect.name == "postgresql" else sqlite
    statement: Insert = dialect.insert(table).values(dict(values)).on_conflict_do_nothing()
    return statement
