"""A round in Airflow's web UI: started from the form, moved by the bot, looked at on its page."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from playwright.sync_api import Page, expect

from interchange.core.slots import monday_of, week_of
from tests.browser.conftest import PATIENCE_MS, Shoot
from tests.deployment import Deployment, wait_until
from tools.demo_talk import move_a_meeting

# The first test of a session also starts Airflow.
pytestmark = pytest.mark.timeout(900)
DAG_ID = "webex_roulette"
PEOPLE = {
    "sales": ["ana@example.test", "bo@example.test"],
    "support": ["emil@example.test", "fatima@example.test"],
    "engineering": ["ivan@example.test"],
}
SETTINGS: dict[str, Any] = {
    "departments": PEOPLE,
    "time_zone": "Europe/Kyiv",
    "slot": {"weekday": "thursday", "start": "15:10", "minutes": 30},
    "weeks": 3,
    "odd": "rest",
    "look_again_minutes": 0,
}
# Far from those that tests of the DAG take.
MONDAY = monday_of(datetime.now(UTC).date() + timedelta(days=7 * 70))


@pytest.fixture
def talking(deployment: Deployment) -> Iterator[Deployment]:
    """Webex delivers to this Airflow what people write."""
    deployment.calm_vendors()
    deployment.fresh_webex()
    with deployment.variable(f"interchange_{DAG_ID}", SETTINGS):
        deployment.run(dag_id="webex_upkeep")
        yield deployment
    deployment.calm_vendors()


def test_a_round_is_drawn_booked_moved_and_seen(page: Page, talking: Deployment, shoot: Shoot) -> None:
    expect.set_options(timeout=PATIENCE_MS)
    dry = talking.run(dag_id=DAG_ID, round_start=MONDAY.isoformat(), dry_run=True)
    page.goto(f"/dags/{DAG_ID}/runs/{dry}/tasks/draw/details")
    page.get_by_role("link", name="Round", exact=True).click()
    preview = page.frame_locator("iframe")
    expect(preview.get_by_role("heading", name="What would be drawn")).to_be_visible()
    expect(preview.get_by_role("heading", name="Round of")).to_have_count(3)
    shoot(page, "12-preview")

    page.goto(f"/dags/{DAG_ID}")
    page.get_by_role("button", name="Trigger").first.click()
    dialog = page.get_by_role("dialog")
    expect(dialog).to_contain_text("A day of the week whose round is booked")
    shoot(page, "13-form")
    page.keyboard.press("Escape")

    talking.run(dag_id=DAG_ID, round_start=MONDAY.isoformat())
    webex = talking.vendors.vendor("webex")
    said = list(move_a_meeting(webex.seed, webex.snapshot))
    assert said[-1].startswith("the same meeting is now at")
    wait_until(
        lambda: (
            not [run for run in talking.client.runs("webex_bot") if run["state"] in ("queued", "running")]
        ),
        "the bot's runs do not end",
    )

    page.goto("/")
    page.get_by_role("button", name="Browse").click()
    page.get_by_role("menuitem", name="Webex roulette").click()
    frame = page.frame_locator("iframe")
    expect(frame.get_by_role("heading", name="Webex roulette")).to_be_visible()
    page.goto(f"/plugin/interchange-roulette/interchange/roulette?week={week_of(MONDAY)}")
    frame = page.frame_locator("iframe")
    round_ = frame.get_by_role("region", name=f"Meetings of the round of {week_of(MONDAY)}")
    expect(round_.get_by_role("row")).to_have_count(3)
    expect(round_).to_contain_text("moved")
    # Whether she meets somebody or rests, she has a name there.
    expect(frame.get_by_role("main")).to_contain_text("Ana Kovač")
    expect(frame.get_by_role("heading", name="Without a meeting")).to_be_visible()
    expect(frame.get_by_role("region", name="Moves").first).to_contain_text("moved")
    expect(frame.get_by_role("region", name="Calendar").first).to_contain_text("1 meeting, 1 moved")
    shoot(page, "14-rounds")
