"""What Airflow shows and keeps of all that has happened: no secret, no message, nobody's answers."""

from __future__ import annotations

import json
import re
import sqlite3
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest

from include.sandbox.connections import (
    MODO_CHANNEL_TOKEN,
    MODO_DIRECTORY_TOKEN,
    QUALTRICS_SECRET,
    connections,
)
from tests.deployment import DAG_ID, DAY, Deployment, export

pytestmark = pytest.mark.timeout(900)
BODY = "a message for one person only"
ANSWER = "what-the-person-answered"
# A signed token; the credential in an upload or download address.
TOKENS = re.compile(r"eyJ[\w-]{8,}\.[\w-]{8,}\.[\w-]{8,}|tempauth=(?!…|\.\.\.|\*)\w{4,}|Bearer [\w.-]{12,}")
RULE = {
    "name": "personal",
    "when": {"column": "Q1", "equals": "1"},
    "title": "For you",
    "body": f"<p>{BODY}: {{{{ row.NetID }}}}</p>",
    "send_tag": "all",
}


@pytest.fixture(scope="module")
def eventful(deployment: Deployment) -> str:
    """A run with messages and a large upload, and trouble that makes tasks retry and hooks complain; its id."""
    deployment.calm_vendors()
    start = deployment.today - 3 * DAY
    deployment.respond("R_personal", start + DAY / 2, Q1=1, NetID=ANSWER)
    deployment.seed(large={"survey_id": "SV_0larger", "bytes": 6_000_000})
    deployment.set_exports(export("secret", notify=[RULE]), export("larger", survey_id="SV_0larger"))
    deployment.fault("qualtrics", "status", operation="export_file", times=6, status=503)
    deployment.fault("upload", "reset", operation="fragment", call=2, times=6)
    run_id = deployment.run(window=(start, start + DAY))
    tasks = deployment.tasks(run_id)
    assert max(task["try_number"] for task in tasks.values()) > 1
    # One of them sends no message, for it has no rules.
    assert sorted(tasks[f"move.notify[{n}]"]["state"] for n in (0, 1)) == ["skipped", "success"]
    assert len(deployment.effects("message_sent")) == 1
    return run_id


@pytest.fixture(scope="module")
def secrets(deployment: Deployment, eventful: str) -> list[str]:
    """Everything that must not be found, as it is."""
    key = (
        Path(connections(deployment.vendors)["onedrive_default"]["extra"]["private_key"])
        .read_text()
        .splitlines()
    )
    tokens = list(deployment.vendors.vendor("qualtrics").access.tokens)
    assert len(key) > 10
    assert tokens
    return [QUALTRICS_SECRET, MODO_DIRECTORY_TOKEN, MODO_CHANNEL_TOKEN, *key[1:3], *tokens, BODY, ANSWER]


def leaks(text: str, secrets: list[str]) -> list[str]:
    """Which of them a text holds; each with a little of what is around it."""
    places = [text.find(secret) for secret in secrets] + [found.start() for found in TOKENS.finditer(text)]
    return [text[max(place - 80, 0) : place + 40] for place in places if place >= 0]


def tables(database: Path) -> Iterator[str]:
    with closing(sqlite3.connect(f"file:{database}?mode=ro", uri=True)) as connection:
        yield from connection.iterdump()


def test_the_search_finds_what_it_looks_for(secrets: list[str]) -> None:
    for text in (
        *secrets,
        "GET /x?tempauth=abcdef.1",
        "Authorization: Bearer abcdefghijkl",
        "eyJhbGciOi1.eyJpc3MiOiJ.c2lnbmF0dXJl",
    ):
        assert leaks(f"before {text} after", secrets)


def test_no_log_holds_a_secret(deployment: Deployment, eventful: str, secrets: list[str]) -> None:
    home = deployment.stack.home.folder
    logs = [*(home / "logs").rglob("*.log"), *(home / "components").glob("*.log")]
    assert any(f"run_id={eventful}" in str(log) for log in logs)
    texts = {str(log.relative_to(home)): log.read_text(errors="replace") for log in logs}
    assert any("qualtrics" in text for text in texts.values())
    assert {name: found for name, text in texts.items() if (found := leaks(text, secrets))} == {}


@pytest.mark.parametrize("name", ["airflow.db", "interchange.db"])
def test_no_table_holds_a_secret(deployment: Deployment, secrets: list[str], name: str) -> None:
    text = "\n".join(tables(deployment.stack.home.folder / name))
    assert "survey-export" in text or "delivery" in text
    assert leaks(text, secrets) == []


def test_the_api_shows_no_secret(deployment: Deployment, eventful: str, secrets: list[str]) -> None:
    run = f"/dags/{DAG_ID}/dagRuns/{eventful}"
    paths = ["/connections", "/variables", f"{run}/taskInstances", "/assets/events", "/eventLogs", run]
    for task in deployment.tasks(eventful).values():
        entries = f"{run}/taskInstances/{task['task_id']}/xcomEntries"
        for entry in deployment.client.request("GET", entries, query={"map_index": task["map_index"]})[
            "xcom_entries"
        ]:
            value = deployment.client.xcom(
                DAG_ID, eventful, task["task_id"], key=entry["key"], map_index=task["map_index"]
            )
            assert leaks(json.dumps(value), secrets) == [], (task["task_id"], entry["key"])
    for path in paths:
        answer = json.dumps(deployment.client.request("GET", path, query={"limit": 500}), ensure_ascii=False)
        assert leaks(answer, secrets) == [], path
    rendered = deployment.tasks(eventful)["move.export[0]"]["rendered_fields"]
    assert rendered["planned"]["name"] == "secret"
