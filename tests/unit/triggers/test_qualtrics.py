"""Waiting for an export job in the triggerer."""

from __future__ import annotations

import asyncio
import json
import time
from pathlib import Path
from typing import Any

import pytest
from airflow.triggers.base import TriggerEvent

from include.sandbox.core import Sandbox
from interchange.core.qualtrics_options import build_export_body
from interchange.hooks.qualtrics import QualtricsHook
from interchange.triggers.qualtrics import ExportJobTrigger
from tests.unit.vendors import WINDOW, Connections, arm, calls

SURVEY = "SV_0symptoms"


@pytest.fixture
def progress_id(
    airflow: Connections, sandbox: Sandbox, ledger_file: Path, monkeypatch: pytest.MonkeyPatch
) -> str:
    """A job that runs, and a ledger that the triggerer finds as Airflow's connection."""
    fields = {"conn_type": "sqlite", "host": str(ledger_file)}
    monkeypatch.setenv("AIRFLOW_CONN_INTERCHANGE_DB", json.dumps(fields))
    hook = QualtricsHook()
    started = hook.start_export(SURVEY, build_export_body("csv", {}, WINDOW))
    hook.close()
    return started


def trigger(progress_id: str, *, deadline_in_s: float, first_wait_s: float = 0.01) -> ExportJobTrigger:
    return ExportJobTrigger(
        conn_id="qualtrics_default",
        survey_id=SURVEY,
        progress_id=progress_id,
        deadline=time.time() + deadline_in_s,
        first_wait_s=first_wait_s,
    )


def status_of(waiting: ExportJobTrigger) -> str:
    """Run a trigger as the triggerer does, from the text it was stored as; what its only event says."""
    path, stored = waiting.serialize()
    assert path == "interchange.triggers.qualtrics.ExportJobTrigger"
    again = ExportJobTrigger(**json.loads(json.dumps(stored)))
    assert again.serialize() == (path, stored)

    async def run() -> list[TriggerEvent]:
        try:
            return [event async for event in again.run()]
        finally:
            await again.cleanup()

    (event,) = asyncio.run(asyncio.wait_for(run(), timeout=30))
    payload: dict[str, Any] = event.payload
    return str(payload["status"])


def options(sandbox: Sandbox, **values: Any) -> None:
    sandbox.vendor("qualtrics").set_options(values)


def test_it_ends_when_the_job_is_complete(sandbox: Sandbox, progress_id: str):
    options(sandbox, polls_until_complete=3)
    assert status_of(trigger(progress_id, deadline_in_s=20)) == "complete"
    assert len(calls(sandbox, "export_progress")) == 4


def test_it_ends_when_the_job_has_failed(sandbox: Sandbox, airflow: Connections):
    options(sandbox, fail_jobs=1)
    hook = QualtricsHook()
    failing = hook.start_export(SURVEY, build_export_body("csv", {}, WINDOW))
    assert status_of(trigger(failing, deadline_in_s=20)) == "failed"


def test_it_ends_when_the_job_is_gone(sandbox: Sandbox, progress_id: str):
    assert status_of(trigger("ES_nowhere", deadline_in_s=20)) == "error"


def test_it_ends_at_the_deadline(sandbox: Sandbox, progress_id: str):
    options(sandbox, polls_until_complete=10**6)
    began = time.monotonic()
    assert status_of(trigger(progress_id, deadline_in_s=0.5)) == "overdue"
    assert time.monotonic() - began < 5
    assert status_of(trigger(progress_id, deadline_in_s=-60)) == "overdue"


def test_a_job_that_is_done_at_the_deadline_counts(sandbox: Sandbox, progress_id: str):
    """The last question is asked at the deadline, not before it."""
    options(sandbox, polls_until_complete=0)
    assert status_of(trigger(progress_id, deadline_in_s=0.3, first_wait_s=60)) == "complete"


def test_it_outlives_a_vendor_in_trouble(sandbox: Sandbox, progress_id: str):
    """Four tries of the hook, and then the trigger's own next question."""
    arm(sandbox, "qualtrics", "reset", operation="export_progress", times=4)
    options(sandbox, polls_until_complete=0)
    assert status_of(trigger(progress_id, deadline_in_s=20)) == "complete"
    assert len(calls(sandbox, "export_progress")) == 5


def test_it_waits_as_long_as_the_vendor_asks(sandbox: Sandbox, progress_id: str):
    arm(sandbox, "qualtrics", "status", status=429, retry_after="60", operation="export_progress")
    assert status_of(trigger(progress_id, deadline_in_s=0.6)) == "overdue"
    assert len(calls(sandbox, "export_progress")) == 1


def test_a_credential_that_is_refused_wakes_the_task(
    sandbox: Sandbox, progress_id: str, airflow: Connections
):
    """The task asks itself and says what is wrong; a trigger's own failure would say less."""
    airflow.change("qualtrics_default", password="wrong")
    assert status_of(trigger(progress_id, deadline_in_s=20)) == "error"


def test_its_stored_form_holds_no_secret(airflow: Connections, progress_id: str):
    text = json.dumps(trigger(progress_id, deadline_in_s=1).serialize())
    assert all(secret not in text for secret in airflow.secrets)
