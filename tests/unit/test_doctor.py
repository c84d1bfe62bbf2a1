"""`python -m interchange doctor` looks at this deployment, as its own Airflow has it."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path

import boto3  # type: ignore[import-untyped]  # it has no types
import pytest
import yaml
from airflow.models.base import Base
from airflow.models.connection import Connection
from airflow.models.variable import Variable
from sqlalchemy import create_engine, insert, update

from include.sandbox.connections import connections
from include.sandbox.core import Sandbox
from include.sandbox.emulators import S3
from interchange.doctor import forget_personal_data
from interchange.ledger import EffectRef, Ledger
from interchange.ledger.schema import effects
from tests.unit.vendors import FERNET_KEY, Connections

ROOT = Path(__file__).resolve().parents[2]
EXPORT = {
    "name": "a",
    "survey_id": "SV_0symptoms",
    "destination": {"user": "reports@contoso.example", "file_name": "a"},
}


@pytest.fixture
def home(tmp_path: Path, sandbox: Sandbox, ledger_file: Path) -> Path:
    """An Airflow whose connections are in its database, with a ledger and settings of one export."""
    engine = create_engine(f"sqlite:///{tmp_path}/airflow.db")
    # Only what is read here: all of Airflow's tables would take longer than the test.
    tables = [Base.metadata.tables[model.__tablename__] for model in (Connection, Variable)]
    Base.metadata.create_all(engine, tables=tables)
    made = connections(sandbox)
    with engine.begin() as connection:
        for conn_id in ("qualtrics_default", "onedrive_default"):
            # In clear: which Fernet key this process has depends on the tests before.
            row = {**made[conn_id], "conn_id": conn_id, "extra": json.dumps(made[conn_id]["extra"])}
            connection.execute(insert(tables[0]).values(is_encrypted=False, is_extra_encrypted=False, **row))
    engine.dispose()
    ledger_file.rename(tmp_path / "interchange.db")
    (tmp_path / "qualtrics_to_onedrive.yaml").write_text(yaml.safe_dump({"exports": [EXPORT]}))
    return tmp_path


def doctor(home: Path) -> tuple[int, dict[str, dict[str, str]]]:
    """The exit code, and the findings by subject."""
    inherited = {
        name: value
        for name, value in os.environ.items()
        if "AIRFLOW" not in name or name.startswith("AIRFLOW_CONN_AWS")
    }
    env = {
        **inherited,
        "AIRFLOW_HOME": str(home),
        "AIRFLOW__DATABASE__SQL_ALCHEMY_CONN": f"sqlite:///{home}/airflow.db",
        "AIRFLOW__CORE__EXECUTOR": "LocalExecutor",
        "AIRFLOW__CORE__LOAD_EXAMPLES": "False",
        "AIRFLOW__CORE__FERNET_KEY": FERNET_KEY,
        "INTERCHANGE_CONFIG_DIR": str(home),
        "PYTHONPATH": os.pathsep.join([str(ROOT), str(ROOT / "plugins")]),
    }
    command = [sys.executable, "-m", "interchange", "doctor", "--json"]
    done = subprocess.run(command, env=env, cwd=home, capture_output=True, text=True, check=False)
    lines = [json.loads(line) for line in done.stdout.splitlines() if line.startswith("{")]
    assert lines, done.stderr
    return done.returncode, {line["subject"]: line for line in lines}


def test_connections_of_airflows_database_are_tried(home: Path) -> None:
    code, found = doctor(home)
    assert {subject: line["health"] for subject, line in found.items()} == {
        "settings of qualtrics_to_onedrive": "ok",
        "settings of knack_to_esb": "look",
        "settings of ticket_closure": "look",
        "settings of spinoco_sync": "look",
        "settings of webex_roulette": "look",
        "settings of webex_upkeep": "ok",
        "settings of interchange_doctor": "ok",
        "connection qualtrics_default": "ok",
        "connection onedrive_default": "ok",
        "ledger": "ok",
    }
    assert code == 0


def test_what_a_killed_process_left_is_told(home: Path) -> None:
    ledger = Ledger(f"sqlite:///{home}/interchange.db", owner="a process")
    ref = EffectRef("modo_directory", "directory", "a/b")
    ledger.plan(ref)
    ledger.begin(ref, lease_s=0.001)
    ledger.engine.dispose()
    code, found = doctor(home)
    assert found["unknown effects"]["health"] == "look"
    assert code == 0


def test_personal_data_leave_old_receipts(
    airflow: Connections,
    ledger_file: Path,
    worker: Callable[..., Ledger],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """After as many days as the settings say, also where no file does."""
    monkeypatch.setenv("INTERCHANGE_CONFIG_DIR", str(tmp_path))
    connection = {"conn_type": "sqlite", "extra": {"path": str(ledger_file)}}
    monkeypatch.setenv("AIRFLOW_CONN_INTERCHANGE_DB", json.dumps(connection))
    ledger = worker("ann")
    old, young = EffectRef("w", "k", "old"), EffectRef("w", "k", "young")
    for ref in (old, young):
        ledger.begin(ref, lease_s=60)
        ledger.confirm(ref, {"item_id": "01ABC", "web_url": "https://a/ann_b", "personal": ["web_url"]})
    with ledger.engine.execution_options(interchange_write=True).begin() as connection:
        past = datetime.now(UTC) - timedelta(days=181)
        connection.execute(update(effects).where(effects.c.key == "old").values(updated_at=past))
    assert forget_personal_data() == 1
    assert ledger.get(old).receipt == {"item_id": "01ABC", "forgotten": ["web_url"]}
    assert "web_url" in ledger.get(young).receipt
    (tmp_path / "interchange_doctor.yaml").write_text("personal_data_days: null")
    assert forget_personal_data() == 0
    (tmp_path / "interchange_doctor.yaml").write_text("personal_data_days: 0.00001")
    time.sleep(1)
    assert forget_personal_data() == 1


def test_a_missing_connection_is_wrong(home: Path) -> None:
    text = yaml.safe_dump({"exports": [{**EXPORT, "conn_id": "elsewhere"}]})
    (home / "qualtrics_to_onedrive.yaml").write_text(text)
    code, found = doctor(home)
    assert found["connection elsewhere"]["health"] == "wrong"
    assert "create it (type qualtrics)" in found["connection elsewhere"]["detail"]
    assert code == 1


def test_the_queue_that_starts_runs_is_looked_at(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    settings = {
        "source": {"kind": "excel", "bucket": "reports", "key": "weekly/report.xlsx"},
        "time_zone": "UTC",
    }
    path = home / "ticket_closure.yaml"
    with S3() as s3:
        monkeypatch.setenv("AIRFLOW_CONN_AWS_QUEUE", json.dumps(s3.connection()))
        client = boto3.client(
            "sqs",
            endpoint_url=s3.url,
            region_name=s3.region,
            aws_access_key_id="sandbox",
            aws_secret_access_key="sandbox",
        )
        queue_url = client.create_queue(QueueName="arrivals")["QueueUrl"]
        events = {"queue_url": queue_url, "conn_id": "aws_queue"}
        path.write_text(yaml.safe_dump({**settings, "events": events}))
        _, found = doctor(home)
        assert found["queue of ticket_closure"]["health"] == "ok", found

        events["queue_url"] += "-of-nobody"
        path.write_text(yaml.safe_dump({**settings, "events": events}))
        _, found = doctor(home)
    assert found["queue of ticket_closure"]["health"] == "wrong"
    assert "NonExistentQueue" in found["queue of ticket_closure"]["detail"]
