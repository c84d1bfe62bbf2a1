"""Bring a ledger's database to the present revision, safely from several processes at once."""

from __future__ import annotations

import logging
import weakref
from pathlib import Path

from sqlalchemy import Connection, Engine, String, column, inspect, select, table, text
from sqlalchemy.exc import ProgrammingError

from interchange.errors import SettingsError, Unavailable
from interchange.ledger.database import transaction
from interchange.ledger.schema import REVISION, VERSION_TABLE

log = logging.getLogger(__name__)

_SCRIPTS = Path(__file__).parent / "migrations"
# Any number will do as long as nobody else in this database takes it: "interchg" in ASCII.
_ADVISORY_LOCK = 0x696E746572636867
# Tables that only Airflow's own database has together.
_AIRFLOW_TABLES = {"dag_run", "task_instance"}
_ready: weakref.WeakSet[Engine] = weakref.WeakSet()


def revision(engine: Engine) -> str | None:
    """Return the revision the database is at, None if it holds no ledger yet. One query."""
    query = select(column("version_num", String)).select_from(table(VERSION_TABLE))
    try:
        with transaction(engine, write=False) as connection:
            return connection.execute(query).scalar()
    except (ProgrammingError, Unavailable):
        # No such table, or no answer: the catalogue tells which.
        with transaction(engine, write=False) as connection:
            if not inspect(connection).has_table(VERSION_TABLE):
                return None
            return connection.execute(query).scalar()


def ensure_current(engine: Engine) -> None:
    """
    Migrate unless the database is current; after the first time in a process this costs nothing.

    :raises SettingsError: see :func:`migrate`.
    :raises Unavailable: the database cannot be reached.
    """
    if engine in _ready:
        return
    if revision(engine) != REVISION:
        migrate(engine)
    _ready.add(engine)


def migrate(engine: Engine) -> tuple[str | None, str]:
    """
    Bring the database to :data:`REVISION` in one transaction, under a lock that all processes share.

    :return: the revision before and after.
    :raises SettingsError: the database is Airflow's own, or was made by a newer version of this package.
    :raises Unavailable: the database cannot be reached, or another process kept the lock too long.
    """
    # Loaded here: a ledger that is current never needs it.
    from alembic import command
    from alembic.config import Config
    from alembic.migration import MigrationContext
    from alembic.script import ScriptDirectory

    config = Config()
    config.set_main_option("script_location", str(_SCRIPTS).replace("%", "%%"))
    with transaction(engine) as connection:
        if engine.dialect.name == "postgresql":
            connection.execute(text("SELECT pg_advisory_xact_lock(:lock)"), {"lock": _ADVISORY_LOCK})
        # On SQLite the transaction itself is the lock: it began with BEGIN IMMEDIATE.
        _refuse_airflows_own(connection)
        before = MigrationContext.configure(
            connection, opts={"version_table": VERSION_TABLE}
        ).get_current_revision()
        known = {script.revision for script in ScriptDirectory.from_config(config).walk_revisions()}
        if before is not None and before not in known:
            raise SettingsError(
                f"The ledger's database is at revision {before!r}, which this version of the package does "
                "not know: it was migrated by a newer one. Install that version."
            )
        if before != REVISION:
            config.attributes["connection"] = connection
            command.upgrade(config, "head")
            log.info("Migrated the ledger from %s to %s", before or "nothing", REVISION)
    return before, REVISION


def _refuse_airflows_own(connection: Connection) -> None:
    if set(inspect(connection).get_table_names()) >= _AIRFLOW_TABLES:
        raise SettingsError(
            "The ledger's database is Airflow's own metadata database. Give connection interchange_db a "
            "database of its own: Airflow's is not ours to change."
        )
