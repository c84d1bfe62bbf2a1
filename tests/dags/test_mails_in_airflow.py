"""
The weekly mail in a real Airflow: plan, approval, sending, and what a person sees and sets there.

Ledger and state are those of the whole session: each test takes customers and tickets of its own.
"""

from __future__ import annotations

import contextlib
import itertools
import time
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from tests.deployment import Deployment, wait_until

# The first test of a session also starts Airflow.
pytestmark = pytest.mark.timeout(900)
DAG_ID = "ticket_closure"
SETTINGS: dict[str, Any] = {
    "source": {"kind": "sheet", "spreadsheet_id": "report", "range": "Sheet1!A2:F"},
    "time_zone": "Australia/Sydney",
    # Each test writes the report anew.
    "limits": {"rows_drop_percent": 100, "mails_jump_from": 1000},
}
WAITS = "awaiting_input"
SLOW_S = 2.0
HEADER = ["Firstname", "Lastname", "Email", "Ticket", "Status", "Date"]
_numbers = itertools.count(1)


@pytest.fixture
def desk(deployment: Deployment) -> Iterator[Deployment]:
    """An empty report, a webhook that is well, and the run done that the schedule starts by itself."""
    deployment.calm_vendors()
    wait_until(
        lambda: not [run for run in deployment.client.runs(DAG_ID) if run["state"] in ("queued", "running")],
        "the scheduled run does not end",
    )
    report(deployment)
    deployment.vendors.vendor("mail_webhook").clear()
    with deployment.variable(f"interchange_{DAG_ID}", SETTINGS):
        yield deployment
    deployment.calm_vendors()


def report(desk: Deployment, *rows: list[Any]) -> None:
    google = desk.vendors.vendor("google")
    with google.lock:
        google.seed({"rows": [HEADER, *rows]})


def customer(days_ago: int = 3) -> tuple[str, str, list[Any]]:
    """Nobody was ever told of: address, ticket and the report's row."""
    number = next(_numbers)
    address, ticket = f"customer{number}@example.com", f"AF-{number:04}"
    day = {"date": (datetime.now(UTC).date() - timedelta(days=days_ago)).isoformat()}
    return address, ticket, ["Ann", "Ito", address, ticket, "Closed", day]


def sent(desk: Deployment) -> list[tuple[str, str]]:
    """Who was told of which ticket."""
    return [(mail["to"], mail["body"].split()[2]) for mail in desk.vendors.vendor("mail_webhook").mails]


def answer(desk: Deployment, run_id: str, option: str) -> dict[str, Any]:
    """
    Wait for the question and answer it, as the page does; what was asked.

    SQLite has no row locks: an answer that comes while Airflow is still parking the task can get lost. A person is not
    that quick, and would clear the task.
    """
    path = f"/dags/{DAG_ID}/dagRuns/{run_id}/taskInstances/approve/-1/hitlDetails"
    for _ in range(3):
        wait_until(lambda: state(desk, run_id) == WAITS, "nobody is asked")
        time.sleep(SLOW_S)
        asked: dict[str, Any] = desk.client.request("GET", path)
        desk.client.request("PATCH", path, body={"chosen_options": [option], "params_input": {}})
        with contextlib.suppress(AssertionError):
            wait_until(lambda: state(desk, run_id) != WAITS, "the answer got lost", timeout_s=30)
            return asked
        desk.client.clear(DAG_ID, run_id, task_ids=["approve"])
    raise AssertionError("the answer gets lost")


def state(desk: Deployment, run_id: str) -> str | None:
    return desk.states(run_id, dag_id=DAG_ID).get("approve")


def test_a_dry_run_changes_nothing_and_the_next_run_does_its_plan(desk: Deployment) -> None:
    address, ticket, row = customer()
    report(desk, row)

    dry = desk.run(dag_id=DAG_ID, dry_run=True)

    planned = desk.result(dry, "plan", dag_id=DAG_ID)
    assert (planned["mails"], planned["tickets"]) == (1, 1)
    assert desk.states(dry, dag_id=DAG_ID) == {"plan": "success", "approve": "skipped", "send": "skipped"}
    assert sent(desk) == []

    real = desk.run(dag_id=DAG_ID)

    assert desk.result(real, "plan", dag_id=DAG_ID)["digest"] == planned["digest"]
    assert sent(desk) == [(address, ticket)]


def test_neither_clearing_nor_another_run_nor_a_backfill_sends_twice(desk: Deployment) -> None:
    """Defect B15: run twice, mailed twice."""
    address, ticket, row = customer(days_ago=20)
    report(desk, row)
    run_id = desk.run(dag_id=DAG_ID)

    desk.clear(run_id, "plan", "approve", "send", dag_id=DAG_ID)
    desk.run(dag_id=DAG_ID)
    now = datetime.now(UTC)
    backfill = desk.client.create_backfill(
        DAG_ID,
        now - timedelta(days=21),
        now - timedelta(days=8),
        reprocess_behavior="completed",
        max_active_runs=2,
    )
    desk.client.wait_backfill(backfill)

    assert sent(desk) == [(address, ticket)]


def test_an_approved_plan_is_sent_and_a_rejected_one_is_not(desk: Deployment) -> None:
    address, ticket, row = customer()
    report(desk, row)
    desk.client.import_variables({f"interchange_{DAG_ID}": {**SETTINGS, "require_approval": True}})
    rejected = desk.start(dag_id=DAG_ID)
    asked = answer(desk, rejected, "Reject")
    desk.finished(rejected, dag_id=DAG_ID)
    assert sent(desk) == []
    assert desk.states(rejected, dag_id=DAG_ID)["send"] == "skipped"

    approved = desk.start(dag_id=DAG_ID)
    answer(desk, approved, "Approve")
    desk.finished(approved, dag_id=DAG_ID)

    digest = desk.result(approved, "plan", dag_id=DAG_ID)["digest"]
    assert digest in asked["body"]
    assert address not in asked["body"]
    assert sent(desk) == [(address, ticket)]


def test_what_was_approved_is_sent_whatever_the_report_says_by_then(desk: Deployment) -> None:
    first, second = customer(), customer()
    report(desk, first[2])
    desk.client.import_variables({f"interchange_{DAG_ID}": {**SETTINGS, "approve_above": 0}})
    run_id = desk.start(dag_id=DAG_ID)
    wait_until(lambda: desk.states(run_id, dag_id=DAG_ID).get("plan") == "success", "no plan")
    report(desk, first[2], second[2])
    answer(desk, run_id, "Approve")
    desk.finished(run_id, dag_id=DAG_ID)

    assert sent(desk) == [first[:2]]


def test_a_report_that_has_changed_stops_before_the_first_mail(desk: Deployment) -> None:
    _, _, row = customer()
    report(desk, [row[2], row[3], *row[:2], *row[4:]])
    # Addresses in the place of names, tickets in that of addresses: no address can be read.
    run_id = desk.run(dag_id=DAG_ID)
    assert desk.result(run_id, "plan", dag_id=DAG_ID)["set_aside"] == 1

    report(desk, [*row[:5], "2026-11-20"])
    failed = desk.run(dag_id=DAG_ID, state="failed")

    assert "Date is not written like" in desk.log(failed, "plan", dag_id=DAG_ID)
    assert desk.tasks(failed, dag_id=DAG_ID)["plan"]["try_number"] == 1
    assert sent(desk) == []


def test_the_watermark_is_seen_and_set_by_a_person(desk: Deployment) -> None:
    old, new = customer(days_ago=60), customer(days_ago=2)
    report(desk, old[2], new[2])
    assets = desk.client.request("GET", "/assets", query={"name_pattern": "ticket-closings"})["assets"]
    path = f"/assets/{assets[0]['id']}/state-store/watermark"
    before = desk.client.request("GET", path)["value"]
    assert datetime.fromisoformat(before).date() < datetime.now(UTC).date() - timedelta(days=500)
    mine = (datetime.now(UTC).date() - timedelta(days=30)).isoformat()

    desk.client.request("PUT", path, body={"value": mine})
    try:
        desk.run(dag_id=DAG_ID)
        assert sent(desk) == [new[:2]]
        assert desk.client.request("GET", path)["value"] == mine
    finally:
        desk.client.request("PUT", path, body={"value": before})


def test_a_broken_watermark_stops_with_its_place(desk: Deployment) -> None:
    """Defect B9: it was replaced in silence by a mass mailing."""
    report(desk, customer()[2])
    assets = desk.client.request("GET", "/assets", query={"name_pattern": "ticket-closings"})["assets"]
    path = f"/assets/{assets[0]['id']}/state-store/watermark"
    before = desk.client.request("GET", path)["value"]
    desk.client.request("PUT", path, body={"value": "05/11/2026"})
    try:
        failed = desk.run(dag_id=DAG_ID, state="failed")
        assert "state watermark" in desk.log(failed, "plan", dag_id=DAG_ID)
    finally:
        desk.client.request("PUT", path, body={"value": before})
    assert sent(desk) == []


def test_no_address_and_no_text_is_in_logs_or_xcom(desk: Deployment) -> None:
    """Defect B13: the report was printed."""
    address, ticket, row = customer()
    report(desk, row, ["Zebediah", "Oh", "nobody at example.com", "AF-bad", "Closed", row[5]])
    run_id = desk.run(dag_id=DAG_ID)

    shown = "\n".join(desk.log(run_id, name, dag_id=DAG_ID) for name in ("plan", "approve", "send"))
    shown += str([desk.result(run_id, name, dag_id=DAG_ID) for name in ("plan", "approve", "send")])

    assert sent(desk) == [(address, ticket)]
    assert not [word for word in (address, "nobody at", "Zebediah", "was closed on") if word in shown]
    assert "Row 3 is set aside: Email" in shown
