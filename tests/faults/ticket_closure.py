"""What the fault harness runs of ``ticket_closure``, and what must be so afterwards."""

from __future__ import annotations

import json
from collections import Counter
from datetime import UTC, datetime, timedelta
from typing import Any

from include.sandbox.core import Sandbox
from interchange.ledger import Effect, Ledger, State
from tests.faults.cases import Outcome, Run, Scenario, World

DAG_ID = "ticket_closure"
CUSTOMERS = 5
NOW = Run(name="now", start=datetime(2026, 11, 9, tzinfo=UTC), end=datetime(2026, 11, 16, tzinfo=UTC))
LATER = Run(name="later", start=NOW.end, end=datetime(2026, 11, 23, tzinfo=UTC))
SETTINGS: dict[str, Any] = {
    "source": {"kind": "sheet", "spreadsheet_id": "report", "range": "Sheet1!A2:F"},
    "time_zone": "UTC",
    "batch_size": 2,
}


def prepare(sandbox: Sandbox, _run: int) -> None:
    """Two closed tickets of each customer, some days ago: the weeks of mails are real ones."""
    day = {"date": (datetime.now(UTC).date() - timedelta(days=3)).isoformat()}
    rows: list[list[Any]] = [["Firstname", "Lastname", "Email", "Ticket", "Status", "Date"]]
    for number in range(2 * CUSTOMERS):
        address = f"c{number % CUSTOMERS}@example.com"
        rows.append(["Sam", "Lee", address, f"T-{number}", "Closed", day])
    sandbox.vendor("google").seed({"rows": rows})


def observe(sandbox: Sandbox) -> World:
    """Who was told what."""
    mails = sandbox.vendor("mail_webhook").mails
    told = sorted((mail["to"], mail["body"]) for mail in mails)
    return World(
        things={"mails": told}, counts={"most": max(Counter(to for to, _ in told).values(), default=0)}
    )


def judge(expected: World, outcome: Outcome) -> list[str]:
    """One mail for each customer, and nobody asked: the webhook knows keys."""
    found = [f"a person had to settle {effect.ref}" for effect in outcome.unknown]
    if outcome.world.counts["most"] > 1:
        found.append("somebody got two mails in one week")
    states = Counter((effect.ref.kind, effect.state) for effect in outcome.effects)
    for kind, number in (("mail", CUSTOMERS), ("closing", 2 * CUSTOMERS)):
        if states[kind, State.CONFIRMED] != number:
            found.append(f"the ledger has {states[kind, State.CONFIRMED]} confirmed {kind}s, not {number}")
    return found


def settle(sandbox: Sandbox, ledger: Ledger, effect: Effect) -> None:
    """Nothing to do: what is unclear goes again under its key."""


SHEET = Scenario(
    name="sheet",
    dag_id=DAG_ID,
    settings={f"AIRFLOW_VAR_INTERCHANGE_{DAG_ID.upper()}": json.dumps(SETTINGS)},
    run=NOW,
    prepare=prepare,
    observe=observe,
    judge=judge,
    settle=settle,
)
