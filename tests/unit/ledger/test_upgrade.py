"""Migrations."""

from __future__ import annotations

import pytest
from alembic.autogenerate import compare_metadata
from alembic.migration import MigrationContext
from sqlalchemy import event, inspect

from interchange.errors import SettingsError, Unavailable
from interchange.ledger import (
    Ledger,
    roulette_tables,  # noqa: F401  # adds its tables to the metadata
)
from interchange.ledger.database import make_engine
from interchange.ledger.schema import REVISION, VERSION_TABLE, metadata
from interchange.ledger.upgrade import migrate, revision


@pytest.fixture
def empty(empty_database_url):
    engine = make_engine(empty_database_url)
    yield engine
    engine.dispose()


def test_migrating_makes_the_tables_that_queries_are_written_against(empty):
    assert revision(empty) is None

    assert migrate(empty) == (None, REVISION)

    with empty.connect() as connection:
        context = MigrationContext.configure(
            connection,
            opts={
                "version_table": VERSION_TABLE,
                "compare_type": True,
                "include_object": lambda _object, name, *_: name != VERSION_TABLE,
            },
        )
        assert compare_metadata(context, metadata) == []
    assert migrate(empty) == (REVISION, REVISION)


def test_opening_a_ledger_that_is_current_asks_once(ledger_url):
    engine = make_engine(ledger_url)
    statements: list[str] = []
    event.listen(engine, "before_cursor_execute", lambda _c, _u, statement, *_: statements.append(statement))
    Ledger(engine, owner="ann")
    Ledger(engine, owner="bob")

    asked = [statement for statement in statements if not statement.startswith("BEGIN")]
    assert len(asked) == 1
    assert VERSION_TABLE in asked[0]
    engine.dispose()


def test_a_ledger_of_a_newer_version_is_left_alone(empty):
    migrate(empty)
    with empty.begin() as connection:
        connection.exec_driver_sql(f"UPDATE {VERSION_TABLE} SET version_num = '9999'")

    with pytest.raises(SettingsError, match="newer"):
        Ledger(empty, owner="ann")


def test_airflows_own_database_is_left_alone(empty):
    with empty.begin() as connection:
        connection.exec_driver_sql("CREATE TABLE dag_run (id integer)")
        connection.exec_driver_sql("CREATE TABLE task_instance (id integer)")

    with pytest.raises(SettingsError, match="Airflow's own"):
        Ledger(empty, owner="ann")

    assert set(inspect(empty).get_table_names()) == {"dag_run", "task_instance"}


def test_a_database_that_cannot_be_reached_is_unavailable_and_no_secret_is_told(tmp_path):
    for url in (f"sqlite:///{tmp_path}/missing/ledger.db", "postgresql://ann:hunter22@127.0.0.1:1/ledger"):
        with pytest.raises(Unavailable) as caught:
            Ledger(url, owner="ann")
        error: BaseException | None = caught.value
        while error is not None:
            assert "hunter22" not in str(error)
            error = error.__cause__ or error.__context__


def test_sqlite_is_opened_so_that_it_can_be_relied_on(tmp_path):
    engine = make_engine(f"sqlite:///{tmp_path}/ledger.db")
    with engine.connect() as connection:
        found = {
            name: connection.exec_driver_sql(f"PRAGMA {name}").scalar_one()
            for name in ("journal_mode", "foreign_keys", "synchronous", "busy_timeout")
        }

    assert found == {"journal_mode": "wal", "foreign_keys": 1, "synchronous": 2, "busy_timeout": 30_000}
    engine.dispose()
