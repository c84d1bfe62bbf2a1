"""The bot and its upkeep in a real Airflow: a meeting moved in chat, doubled runs, late answers, the daily care."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from tests.deployment import Deployment

# The first test of a session also starts Airflow.
pytestmark = pytest.mark.timeout(900)
BOT, CARE, ROUND = "webex_bot", "webex_upkeep", "webex_roulette"
ANA, EMIL = "ana@example.test", "emil@example.test"
SETTINGS: dict[str, Any] = {
    "departments": {"sales": [ANA], "support": [EMIL]},
    "time_zone": "Europe/Kyiv",
    "slot": {"weekday": "thursday", "start": "15:10", "minutes": 30},
    "weeks": 1,
    "look_again_minutes": 0,
}
# Apart from those of the other tests of these DAGs.
_weeks = iter(range(40, 60))


@pytest.fixture
def desk(deployment: Deployment) -> Iterator[Deployment]:
    deployment.calm_vendors()
    deployment.fresh_webex()
    with deployment.variable(f"interchange_{ROUND}", SETTINGS):
        yield deployment
    deployment.calm_vendors()


def hand(desk: Deployment, **seed: Any) -> str:
    """Somebody does something in Webex. :return: the id of what came of it."""
    done = desk.vendors.vendor("webex").seed(seed)
    return str(next(iter(done.values()))[0])


def answer(desk: Deployment, resource: str, id_: str) -> str:
    event = {"resource": resource, "event": "created", "id": id_}
    return desk.run(dag_id=BOT, event=event)


def writes(desk: Deployment, address: str, text: str) -> str:
    """Somebody writes, and a run answers. :return: the run."""
    return answer(desk, "messages", hand(desk, say={"person": address, "text": text}))


def presses(desk: Deployment, address: str, button: str | int = 0, **inputs: str) -> str:
    pressed = hand(desk, submit={"person": address, "button": button, "inputs": inputs})
    return answer(desk, "attachmentActions", pressed)


def told(desk: Deployment, address: str) -> list[str]:
    messages = desk.vendors.vendor("webex").snapshot()["messages"]
    return [message["text"] for message in messages if message["to"] == [address]]


def day() -> datetime:
    """The Thursday of a week that no other test takes."""
    monday = datetime.now(UTC) + timedelta(days=7 * next(_weeks) - datetime.now(UTC).weekday())
    return monday + timedelta(days=3)


def test_a_meeting_is_moved_in_chat_and_a_doubled_run_changes_nothing(desk: Deployment) -> None:
    thursday = day()
    desk.run(dag_id=ROUND, round_start=thursday.date().isoformat())
    friday = (thursday + timedelta(days=1)).date()

    runs = [writes(desk, ANA, "change"), writes(desk, ANA, "1")]
    runs.append(presses(desk, ANA, day=friday.strftime("%d/%m/%Y"), clock="11:00"))
    yes = hand(desk, submit={"person": EMIL, "button": "Yes"})
    runs += [answer(desk, "attachmentActions", yes) for _ in range(2)]

    [meeting] = [m for m in desk.vendors.vendor("webex").snapshot()["meetings"] if m["state"] == "live"]
    assert meeting["start"].startswith(friday.isoformat())
    assert len(desk.effects("meeting_updated")) == 1
    assert len([text for text in told(desk, ANA) if "all agree" in text]) == 1
    outcomes = [desk.result(run, "answer", dag_id=BOT) for run in runs]
    assert outcomes == ["list", "number", "propose", "consent", "consent"]
    shown = "".join(desk.log(run, "answer", dag_id=BOT) for run in runs)
    assert not [
        secret for secret in (ANA, EMIL, "Kovač", "Sørensen", "all agree", "Bearer") if secret in shown
    ]


def test_what_cannot_be_read_yet_is_read_by_the_retry(desk: Deployment) -> None:
    desk.options("webex", lag_reads=1)
    run = writes(desk, EMIL, "/help")
    assert desk.tasks(run, dag_id=BOT)["answer"]["try_number"] == 2
    assert len(told(desk, EMIL)) == 1


def test_a_run_without_an_event_fails_at_once(desk: Deployment) -> None:
    run = desk.run(dag_id=BOT, state="failed", event={"resource": "rooms", "id": "x"})
    assert desk.tasks(run, dag_id=BOT)["answer"]["try_number"] == 1


def test_the_daily_care_does_all_its_parts_and_nothing_twice(desk: Deployment) -> None:
    hand(desk, say={"person": ANA, "text": "hello?"})
    for _ in range(2):
        run = desk.run(dag_id=CARE)
        assert set(desk.states(run, dag_id=CARE).values()) == {"success"}
    hooks = desk.vendors.vendor("webex").snapshot()["webhooks"]
    assert sorted(hook["resource"] for hook in hooks) == ["attachmentActions", "messages"]
    assert len(told(desk, ANA)) == 1
