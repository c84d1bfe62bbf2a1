"""The weekly round in a real Airflow: dry run, booking, clearing, running twice at once."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from tests.deployment import Deployment, wait_until

# The first test of a session also starts Airflow.
pytestmark = pytest.mark.timeout(900)
DAG_ID = "webex_roulette"
PEOPLE = {
    "sales": ["ana@example.test", "bo@example.test"],
    "support": ["emil@example.test", "fatima@example.test"],
}
SETTINGS: dict[str, Any] = {
    "departments": PEOPLE,
    "time_zone": "Europe/Kyiv",
    "slot": {"weekday": "thursday", "start": "15:10", "minutes": 30},
    "weeks": 1,
    "look_again_minutes": 0,
}
_weeks = iter(range(1, 30))


@pytest.fixture
def desk(deployment: Deployment) -> Iterator[Deployment]:
    deployment.calm_vendors()
    deployment.fresh_webex()
    with deployment.variable(f"interchange_{DAG_ID}", SETTINGS):
        yield deployment
    deployment.calm_vendors()


def week() -> str:
    """A day of a week that no other test takes."""
    return (datetime.now(UTC).date() + timedelta(days=7 * next(_weeks))).isoformat()


def live(desk: Deployment) -> list[list[str]]:
    meetings = desk.vendors.vendor("webex").snapshot()["meetings"]
    return sorted(meeting["invitees"] for meeting in meetings if meeting["state"] == "live")


def told(desk: Deployment) -> list[str]:
    return sorted(message["to"][0] for message in desk.vendors.vendor("webex").snapshot()["messages"])


def test_a_dry_run_tells_the_quality_and_nobody_and_the_next_run_does_it(desk: Deployment) -> None:
    day = week()
    dry = desk.run(dag_id=DAG_ID, round_start=day, dry_run=True)

    planned = desk.result(dry, "draw", dag_id=DAG_ID)
    assert desk.states(dry, dag_id=DAG_ID) == {"draw": "success", "book": "skipped"}
    assert planned["quality"]["cross_department_percent"] == 100
    assert (live(desk), told(desk)) == ([], [])

    real = desk.run(dag_id=DAG_ID, round_start=day)

    assert desk.result(real, "draw", dag_id=DAG_ID)["digest"] == planned["digest"]
    assert len(live(desk)) == 2
    assert told(desk) == sorted(PEOPLE["sales"] + PEOPLE["support"])


def test_neither_clearing_nor_another_run_books_twice(desk: Deployment) -> None:
    day = week()
    run_id = desk.run(dag_id=DAG_ID, round_start=day)
    before = (live(desk), told(desk))

    desk.clear(run_id, "draw", "book", dag_id=DAG_ID)
    desk.run(dag_id=DAG_ID, round_start=day)

    assert (live(desk), told(desk)) == before
    assert len(desk.effects("meeting_created")) == 2


def test_a_lost_answer_is_looked_up_by_the_retry(desk: Deployment) -> None:
    desk.fault("webex", "lose_answer", operation="create_meeting", call=1)
    desk.fault("webex", "lose_answer", operation="create_message", call=2)

    run_id = desk.run(dag_id=DAG_ID, round_start=week())

    assert len(live(desk)) == 2
    assert told(desk) == sorted(PEOPLE["sales"] + PEOPLE["support"])
    assert desk.tasks(run_id, dag_id=DAG_ID)["book"]["try_number"] > 1


def test_neither_log_nor_xcom_tells_who_meets_whom(desk: Deployment) -> None:
    run_id = desk.run(dag_id=DAG_ID, round_start=week())
    shown = str(desk.result(run_id, "draw", dag_id=DAG_ID)) + str(desk.result(run_id, "book", dag_id=DAG_ID))
    for task in ("draw", "book"):
        shown += desk.log(run_id, task, dag_id=DAG_ID)
    assert not [address for people in PEOPLE.values() for address in people if address in shown]
    assert "Ana Kovač" not in shown
    assert "Bearer" not in shown


def test_a_backfill_is_refused(desk: Deployment) -> None:
    now = datetime.now(UTC)
    with pytest.raises(Exception, match="backfill"):
        desk.client.create_backfill(
            DAG_ID,
            now - timedelta(days=21),
            now - timedelta(days=7),
            reprocess_behavior="none",
            max_active_runs=1,
        )
    wait_until(lambda: live(desk) == [], "nothing may be booked")
