"""
Knack activities in a real Airflow: what a person starts, sees and mends there.

The ledger is that of the whole session: each test takes activity numbers of its own.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import pytest

from include.sandbox.vendors.knack.seeds import field_key, record_id
from tests.deployment import Deployment
from tools.airflow_client import AirflowError

# The first test of a session also starts Airflow.
pytestmark = pytest.mark.timeout(900)
DAG_ID = "knack_to_esb"
TRACKER, SIGNS = "data-tracker", "signs-markings"


@pytest.fixture
def city(deployment: Deployment) -> Iterator[Deployment]:
    """The two applications, empty, and a bus that is well."""
    deployment.calm_vendors()
    knack = deployment.vendors.vendor("knack")
    with knack.lock:
        knack.seed({"empty": [TRACKER, SIGNS]})
    deployment.vendors.vendor("esb").clear()
    yield deployment
    deployment.calm_vendors()


def has(city: Deployment, app: str, *rows: dict[str, Any]) -> None:
    knack = city.vendors.vendor("knack")
    activity = {TRACKER: "Identify Asset", SIGNS: "Contact Citizen"}[app]
    with knack.lock:
        knack.seed({"records": {app: [{"activity": activity, **row} for row in rows]}})


def accepted(city: Deployment) -> list[str]:
    return [message.fields["id"] for message in city.vendors.vendor("esb").messages]


def status(city: Deployment, app: str, number: int) -> str:
    found: str = city.vendors.vendor("knack").snapshot()["apps"][app][record_id(app, number)]
    return found


def test_a_dry_run_changes_nothing_and_the_next_run_does_its_plan(city: Deployment) -> None:
    has(
        city,
        TRACKER,
        {"number": 2, "sr": "A"},
        {"number": 1, "sr": "A"},
        {"number": 3, "sr": "B", "activity": "Other"},
    )
    dry = city.run(dag_id=DAG_ID, dry_run=True)
    shown = {n: city.result(dry, "deliver", n, dag_id=DAG_ID) for n in (0, 1)}
    assert city.vendors.effects.entries() == []
    planned = [
        entry["record_id"]
        for request in shown[0]["service_requests"]
        for entry in request["activities"]
        if entry["verdict"] == "send"
    ]
    assert planned == [record_id(TRACKER, 1), record_id(TRACKER, 2)]
    assert shown[1]["service_requests"] == []

    run_id = city.run(dag_id=DAG_ID)

    assert accepted(city) == planned
    summary = city.result(run_id, "deliver", 0, dag_id=DAG_ID)
    assert (summary["app"], summary["sent"], summary["ignored"]) == (TRACKER, 2, 1)
    assert [status(city, TRACKER, n) for n in (1, 2, 3)] == ["SENT", "SENT", "DO_NOT_SEND"]


def test_one_application_does_not_stop_another_and_the_form_chooses(city: Deployment) -> None:
    has(city, TRACKER, {"number": 11, "sr": "A"})
    has(city, SIGNS, {"number": 111, "sr": "S"}, {"number": 112, "sr": "S"})
    city.change_connection("knack_default", password="not-the-rest-key-0001")
    try:
        run_id = city.run(dag_id=DAG_ID, state="failed")
    finally:
        city.restore_connections()
    tasks = city.tasks(run_id, dag_id=DAG_ID)
    assert (tasks["deliver[0]"]["state"], tasks["deliver[1]"]["state"]) == ("failed", "success")
    assert tasks["deliver[0]"]["try_number"] == 1
    assert "not-the-rest-key" not in city.log(run_id, "deliver[0]", dag_id=DAG_ID)
    assert [tasks[f"deliver[{n}]"]["rendered_map_index"] for n in (0, 1)] == [TRACKER, SIGNS]
    assert accepted(city) == [record_id(SIGNS, 111), record_id(SIGNS, 112)]

    city.run(dag_id=DAG_ID, apps=[TRACKER], limit=5)
    assert accepted(city)[2:] == [record_id(TRACKER, 11)]


def test_quarantine_is_seen_the_record_corrected_and_delivered(city: Deployment) -> None:
    has(
        city,
        TRACKER,
        {"number": 21, "sr": "A", "activity": "Dance"},
        {"number": 22, "sr": "A"},
        {"number": 23, "sr": "B"},
    )
    run_id = city.run(dag_id=DAG_ID, apps=[TRACKER])
    summary = city.result(run_id, "deliver", 0, dag_id=DAG_ID)
    assert (summary["sent"], summary["quarantined"], summary["held"]) == (1, 1, 1)
    assert "activity_codes does not have" in city.log(run_id, "deliver[0]", dag_id=DAG_ID)

    knack = city.vendors.vendor("knack")
    with knack.lock:
        knack.seed({"edit": {record_id(TRACKER, 21): {field_key(TRACKER, "activity"): "Adjust Timing"}}})
    city.run(dag_id=DAG_ID, apps=[TRACKER])
    assert accepted(city) == [record_id(TRACKER, n) for n in (23, 21, 22)]


def test_a_bus_in_trouble_is_tried_again_by_the_same_run(city: Deployment) -> None:
    has(
        city,
        TRACKER,
        *({"number": n, "sr": f"S{n % 3}", "details": f"secret words {n}"} for n in range(31, 40)),
    )
    city.options("esb", fault_next=2)
    run_id = city.run(dag_id=DAG_ID, apps=[TRACKER])
    tasks = city.tasks(run_id, dag_id=DAG_ID)
    assert tasks["deliver[0]"]["try_number"] == 2
    assert sorted(accepted(city)) == sorted(record_id(TRACKER, n) for n in range(31, 40))
    for number in (1, 2):
        log = city.log(run_id, "deliver[0]", dag_id=DAG_ID, try_number=number)
        assert "App data-tracker" in log
        assert "secret words" not in log


def test_what_may_have_been_accepted_fails_the_run_once_and_shows_in_its_summary(city: Deployment) -> None:
    has(city, TRACKER, {"number": 41, "sr": "A"}, {"number": 42, "sr": "A"})
    city.fault("esb", "lose_answer", operation="submit")
    run_id = city.run(dag_id=DAG_ID, apps=[TRACKER], state="failed")
    assert city.tasks(run_id, dag_id=DAG_ID)["deliver[0]"]["try_number"] == 1
    summary = city.client.xcom(DAG_ID, run_id, "deliver", key="summary", map_index=0)
    assert (summary["unknown"], summary["held"]) == (1, 1)
    again = city.run(dag_id=DAG_ID, apps=[TRACKER])
    assert city.result(again, "deliver", 0, dag_id=DAG_ID)["unknown"] == 1
    assert accepted(city) == [record_id(TRACKER, 41)]


def test_a_wrong_variable_or_name_fails_the_plan(city: Deployment) -> None:
    run_id = city.run(dag_id=DAG_ID, apps=["data-traker"], state="failed")
    assert "Did you mean 'data-tracker'" in city.log(run_id, "plan", dag_id=DAG_ID)
    with city.variable(f"interchange_{DAG_ID}", json.dumps({"apps": []})):
        run_id = city.run(dag_id=DAG_ID, state="failed")
        assert "apps" in city.log(run_id, "plan", dag_id=DAG_ID)


def test_a_backfill_is_refused(city: Deployment) -> None:
    with pytest.raises(AirflowError, match=r"(?i)backfill|run type|schedule"):
        city.client.create_backfill(DAG_ID, city.today, city.today)
