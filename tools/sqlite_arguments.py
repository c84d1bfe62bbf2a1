"""
How Airflow opens its SQLite file; named in ``[database] sql_alchemy_connect_args``.

SQLite has one writer at a time. A transaction that begins as a reader and writes later fails at once ("database is
locked") if another component has written meanwhile; one that begins as a writer waits for its turn. Left to itself,
Airflow does the former wherever it uses savepoints: creating a backfill fails so, and takes runs with it that the
scheduler is working on, which ends the scheduler.
"""

from __future__ import annotations

import sqlite3
from typing import Any


class WaitingCursor(sqlite3.Cursor):
    """Begins a transaction before a savepoint; the module itself only does so before a change."""

    def execute(self, sql: str, parameters: Any = (), /) -> WaitingCursor:
        """Run one statement."""
        if sql.startswith("SAVEPOINT") and not self.connection.in_transaction:
            super().execute("BEGIN IMMEDIATE")
        super().execute(sql, parameters)
        return self


class WaitingConnection(sqlite3.Connection):
    """Waits for its turn to write at the beginning of each transaction."""

    def cursor(self, factory: Any = WaitingCursor) -> Any:
        """A cursor of our kind."""
        return super().cursor(factory)


ARGUMENTS: dict[str, Any] = {"factory": WaitingConnection, "isolation_level": "IMMEDIATE", "timeout": 60.0}
