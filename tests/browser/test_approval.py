"""A plan of mails approved and rejected where a person does it: on the task's page in Airflow's web UI."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from playwright.sync_api import Page, expect

from tests.browser.conftest import Shoot
from tests.dags.test_mails_in_airflow import (
    DAG_ID,
    SETTINGS,
    SLOW_S,
    WAITS,
    customer,
    desk,
    report,
    sent,
    state,
)
from tests.deployment import Deployment, wait_until

# The first test of a session also starts Airflow.
pytestmark = pytest.mark.timeout(900)
__all__ = ["desk"]

Ask = Callable[[Page], str]


def open_question(page: Page, desk: Deployment) -> str:
    """Start a run that asks, and open what it asks; the run's id."""
    desk.client.import_variables({f"interchange_{DAG_ID}": {**SETTINGS, "require_approval": True}})
    run_id = desk.start(dag_id=DAG_ID)
    wait_until(lambda: state(desk, run_id) == WAITS, "nobody is asked")
    # Airflow on SQLite may lose an answer that comes while the task is still being parked.
    page.wait_for_timeout(SLOW_S * 1000)
    page.goto(f"/dags/{DAG_ID}/runs/{run_id}/tasks/approve/required_actions")
    expect(page.get_by_text("1 mails about 1 closed tickets")).to_be_visible()
    return run_id


def test_an_approved_plan_goes_as_it_was_shown(page: Page, desk: Deployment, shoot: Shoot) -> None:
    address, ticket, row = customer()
    report(desk, row)
    run_id = open_question(page, desk)
    shoot(page, "approval")
    expect(page.get_by_text(address)).to_have_count(0)
    link = page.get_by_role("link", name="The mails exactly as they would go")
    mails = link.get_attribute("href")

    page.get_by_role("button", name="Approve", exact=True).click()

    desk.finished(run_id, dag_id=DAG_ID)
    assert sent(desk) == [(address, ticket)]
    assert mails is not None
    page.goto(mails)
    frame = page.frame_locator("iframe")
    expect(frame.get_by_text(f"Ticket no. {ticket} was closed on")).to_be_visible()
    expect(frame.get_by_text(address)).to_be_visible()
    shoot(page, "approval-mails")


def test_a_rejected_plan_does_not_go(page: Page, desk: Deployment, shoot: Shoot) -> None:
    _, _, row = customer()
    report(desk, row)
    run_id = open_question(page, desk)

    page.get_by_role("button", name="Reject", exact=True).click()

    desk.finished(run_id, dag_id=DAG_ID)
    assert sent(desk) == []
    assert desk.states(run_id, dag_id=DAG_ID)["send"] == "skipped"
