"""Two runs that work on the same thing take turns, however they were started."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from include.sandbox.core import Sandbox
from interchange.activities.planning import plan_apps
from interchange.errors import Busy
from interchange.ledger import Ledger
from interchange.operators.knack import DeliverActivitiesOperator
from interchange.operators.spinoco import SyncOperator
from interchange.sync.planning import plan_syncs
from tests.unit.test_settings_knack import app
from tests.unit.test_settings_spinoco import sync
from tests.unit.vendors import WINDOW, Connections, context


@pytest.fixture
def another(
    sandbox: Sandbox,
    airflow: Connections,
    worker: Callable[..., Ledger],
    ledger_file: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> Ledger:
    """Another run's ledger; the operators find the same one."""
    fields = {"conn_type": "sqlite", "host": str(ledger_file)}
    monkeypatch.setenv("AIRFLOW_CONN_INTERCHANGE_DB", json.dumps(fields))
    return worker("another run")


def task_context(dag_id: str) -> dict[str, Any]:
    ti = SimpleNamespace(
        dag_id=dag_id, run_id="manual__1", task_id="t", map_index=0, try_number=1, max_tries=2,
        task=SimpleNamespace(retries=2), xcom_push=lambda **_: None,
    )  # fmt: skip
    return {**context(), "ti": ti, "dag_run": SimpleNamespace(start_date=WINDOW.end)}


def test_an_app_that_another_run_works_on_is_waited_for(
    sandbox: Sandbox, another: Ledger, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Defect A11: nothing kept two processes from sending the same activities."""
    monkeypatch.setenv(
        "AIRFLOW_VAR_INTERCHANGE_KNACK_TO_ESB", json.dumps({"apps": [app(name="data-tracker")]})
    )
    knack, bus = sandbox.vendor("knack"), sandbox.vendor("esb")
    knack.seed({"empty": ["data-tracker", "signs-markings"]})
    knack.seed({"records": {"data-tracker": [{"activity": "Identify Asset", "number": 1, "sr": "A"}]}})
    (planned,) = plan_apps({})
    operator = DeliverActivitiesOperator(task_id="deliver", planned=planned.as_json())

    with another.hold("knack_to_esb/app/data-tracker", lease_s=30), pytest.raises(Busy):
        operator.execute(task_context("knack_to_esb"))  # type: ignore[arg-type]  # as much of one as is asked for
    assert bus.messages == []

    operator.execute(task_context("knack_to_esb"))  # type: ignore[arg-type]  # as above
    assert len(bus.messages) == 1


def test_a_tag_that_another_run_works_on_is_waited_for(
    sandbox: Sandbox, another: Ledger, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Defect C13: two of them with one tag took pages from each other."""
    storage = {"provider": "local", "save_to": str(tmp_path / "data")}
    monkeypatch.setenv("AIRFLOW_VAR_INTERCHANGE_SPINOCO_SYNC", json.dumps({"syncs": [sync(storage=storage)]}))
    sandbox.vendor("spinoco").seed({"tasks": [{"recordings": [20_000]}]})
    (planned,) = plan_syncs({})
    operator = SyncOperator(task_id="sync", planned=planned.as_json())

    with another.hold("spinoco_sync/spinoco_default/t", lease_s=30), pytest.raises(Busy):
        operator.execute(task_context("spinoco_sync"))  # type: ignore[arg-type]  # as much of one as is asked for
    assert sandbox.requests.entries() == []

    assert operator.execute(task_context("spinoco_sync"))["stored"] == 1  # type: ignore[arg-type]  # as above
