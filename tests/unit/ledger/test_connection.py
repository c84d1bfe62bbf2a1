"""Where the ledger is, by Airflow's configuration."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from cryptography.fernet import Fernet
from sqlalchemy import make_url

from interchange.errors import SettingsError, Unavailable
from interchange.ledger import EffectRef, Ledger
from interchange.ledger.connection import ledger_url, open_ledger

CONN = "AIRFLOW_CONN_INTERCHANGE_DB"
EXECUTOR = "AIRFLOW__CORE__EXECUTOR"
METADATA = "AIRFLOW__DATABASE__SQL_ALCHEMY_CONN"
FERNET = "AIRFLOW__CORE__FERNET_KEY"


@pytest.fixture(autouse=True)
def deployment(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> pytest.MonkeyPatch:
    """An Airflow of one machine, without the connection."""
    from airflow.sdk.crypto import get_fernet

    monkeypatch.setenv("AIRFLOW_HOME", str(tmp_path))
    monkeypatch.setenv(METADATA, f"sqlite:///{tmp_path}/airflow.db")
    monkeypatch.setenv(EXECUTOR, "LocalExecutor")
    monkeypatch.setenv(FERNET, Fernet.generate_key().decode())
    monkeypatch.delenv(CONN, raising=False)
    monkeypatch.delenv("AIRFLOW_IS_K8S_EXECUTOR_POD", raising=False)
    # Airflow reads its key once per process.
    get_fernet.cache_clear()
    yield monkeypatch
    get_fernet.cache_clear()


def test_without_a_connection_the_ledger_is_a_file_in_airflows_home(tmp_path):
    ledger = open_ledger(owner="ann")

    assert ledger.engine.url.database == str(tmp_path / "interchange.db")
    assert open_ledger(owner="bob").engine is ledger.engine


@pytest.mark.parametrize(
    ("connection", "path"),
    [
        ("sqlite:////data/ledger.db", "/data/ledger.db"),
        ("sqlite://%2Fdata%2Fledger.db", "/data/ledger.db"),
        ("sqlite:///ledger.db", "{home}/ledger.db"),
        ({"conn_type": "sqlite", "host": "/data/ledger.db"}, "/data/ledger.db"),
        ({"conn_type": "sqlite", "host": "/data", "schema": "ledger.db"}, "/data/ledger.db"),
        ({"conn_type": "sqlite", "extra": {"path": "/data/ledger.db"}}, "/data/ledger.db"),
    ],
)
def test_a_connection_may_name_a_file(deployment, tmp_path, connection, path):
    deployment.setenv(CONN, connection if isinstance(connection, str) else json.dumps(connection))

    assert ledger_url().database == path.format(home=tmp_path)


@pytest.mark.parametrize(
    ("connection", "expected"),
    [
        ("postgres://ann:p%40ss@db:5433/ledger", "postgresql+psycopg2://ann:p%40ss@db:5433/ledger"),
        (
            "postgresql://ann@db/ledger?sslmode=require&cursor=x",
            "postgresql+psycopg2://ann@db/ledger?sslmode=require",
        ),
        (
            {"conn_type": "postgres", "host": "/run/postgresql", "login": "ann", "schema": "ledger"},
            "postgresql+psycopg2://ann@/ledger?host=%2Frun%2Fpostgresql",
        ),
        (
            {
                "conn_type": "postgres",
                "host": "db",
                "schema": "ledger",
                "extra": {"keepalives_idle": 30, "nested": {}},
            },
            "postgresql+psycopg2://db/ledger?keepalives_idle=30",
        ),
    ],
)
def test_a_connection_may_lead_to_postgresql(deployment, connection, expected):
    deployment.setenv(CONN, connection if isinstance(connection, str) else json.dumps(connection))

    assert ledger_url() == make_url(expected)
    assert "p%40ss" not in str(ledger_url())


@pytest.mark.parametrize(
    "connection", ["mysql://db/ledger", {"conn_type": "sqlite"}, {"conn_type": "http", "host": "h"}]
)
def test_a_connection_that_is_no_ledger_is_refused(deployment, connection):
    deployment.setenv(CONN, connection if isinstance(connection, str) else json.dumps(connection))

    with pytest.raises(SettingsError, match="interchange_db"):
        ledger_url()


def test_a_ledger_in_postgresql_is_opened_through_the_connection(deployment, new_postgresql_database):
    deployment.setenv(EXECUTOR, "CeleryExecutor")
    deployment.setenv(CONN, new_postgresql_database)
    ref = EffectRef("w", "k", "x")

    ledger = open_ledger(owner="ann")
    ledger.begin(ref, lease_s=60)

    assert ledger.save_progress(ref, {"url": "secret"})
    assert ledger.engine.dialect.name == "postgresql"
    ledger.engine.dispose()


@pytest.mark.parametrize(
    ("executor", "named"),
    [
        ("CeleryExecutor", "CeleryExecutor"),
        ("LocalExecutor,KubernetesExecutor", "KubernetesExecutor"),
        ("airflow.providers.edge3.executors.EdgeExecutor", "EdgeExecutor"),
        ("LocalExecutor,mine:company.executors.Farm", "Farm"),
        ("LocalExecutor;team_a=CeleryExecutor", "CeleryExecutor"),
    ],
)
def test_a_file_is_refused_where_tasks_run_on_several_machines(deployment, executor, named, tmp_path):
    deployment.setenv(EXECUTOR, executor)

    with pytest.raises(SettingsError, match=f"{named} runs tasks on several machines.*interchange_db"):
        open_ledger(owner="ann")

    assert not (tmp_path / "interchange.db").exists()


def test_a_file_is_refused_in_a_kubernetes_pod(deployment):
    deployment.setenv("AIRFLOW_IS_K8S_EXECUTOR_POD", "True")

    with pytest.raises(SettingsError, match="KubernetesExecutor"):
        open_ledger(owner="ann")


@pytest.mark.parametrize(
    ("connection", "metadata"),
    [
        ("sqlite:////data/airflow.db", "sqlite:////data/../data/airflow.db"),
        ("postgres://ann:one@db/airflow", "postgresql+psycopg2://airflow:two@db:5432/airflow"),
        ("postgres://ann:one@db/airflow", "postgresql+asyncpg://airflow:two@db/airflow?ssl=1"),
    ],
)
def test_airflows_own_database_is_refused(deployment, connection, metadata):
    deployment.setenv(CONN, connection)
    deployment.setenv(METADATA, metadata)

    with pytest.raises(SettingsError, match="Airflow's own"):
        ledger_url()


def test_another_database_on_airflows_server_is_fine(deployment):
    deployment.setenv(CONN, "postgres://ann:one@db/interchange")
    deployment.setenv(METADATA, "postgresql+psycopg2://airflow:two@db/airflow")

    assert ledger_url().database == "interchange"


@pytest.mark.parametrize("key", ["", "{FERNET_KEY}"])
def test_without_a_fernet_key_progress_is_not_kept(deployment, key):
    deployment.setenv(FERNET, key)
    ledger = open_ledger(owner="ann")
    ledger.begin(EffectRef("w", "k", "x"), lease_s=60)

    assert ledger.save_progress(EffectRef("w", "k", "x"), {"url": "secret"}) is False


def test_a_key_that_is_none_is_a_setting_to_be_corrected(deployment):
    deployment.setenv(FERNET, "not a key")

    with pytest.raises(SettingsError, match="fernet_key"):
        open_ledger(owner="ann")


def test_a_lost_fernet_key_is_noticed_before_anything_is_done_twice(deployment):
    from airflow.sdk.configuration import conf

    open_ledger(owner="ann")
    old, new = conf.get("core", "fernet_key"), Fernet.generate_key().decode()

    deployment.setenv(FERNET, f"{new},{old}")
    open_ledger(owner="ann")
    deployment.setenv(FERNET, new)
    with pytest.raises(SettingsError, match="former key"):
        open_ledger(owner="ann")


class Supervisor:
    """What a task sees of Airflow's API server: it answers every question with one error."""

    def __init__(self, error: Any) -> None:
        self.error = error

    def send(self, question: Any) -> Any:
        from airflow.sdk.exceptions import AirflowRuntimeError
        from airflow.sdk.execution_time.comms import ErrorResponse

        raise AirflowRuntimeError(ErrorResponse(error=self.error))


@pytest.mark.parametrize("error", ["API_SERVER_ERROR", "GENERIC_ERROR", "PERMISSION_DENIED"])
def test_an_error_is_not_taken_for_a_missing_connection(deployment, tmp_path, error):
    from airflow.sdk.exceptions import ErrorType
    from airflow.sdk.execution_time import task_runner

    deployment.setattr(task_runner, "SUPERVISOR_COMMS", Supervisor(ErrorType[error]), raising=False)

    with pytest.raises((Unavailable, PermissionError)):
        open_ledger(owner="ann")
    assert not (tmp_path / "interchange.db").exists()

    deployment.setattr(
        task_runner, "SUPERVISOR_COMMS", Supervisor(ErrorType.CONNECTION_NOT_FOUND), raising=False
    )
    assert isinstance(open_ledger(owner="ann"), Ledger)
