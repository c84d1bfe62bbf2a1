"""What the fault harness runs of ``ticket_closure``, and what must be so afterwards."""

from __future__ import annotations

import io
import json
from collections import Counter
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any

import openpyxl  # type: ignore[import-untyped]  # it has no types

from include.sandbox.core import Sandbox
from interchange.ledger import Effect, Ledger, State
from tests.faults.cases import Outcome, Run, Scenario, World

DAG_ID = "ticket_closure"
CUSTOMERS = 5
NOW = Run(name="now", start=datetime(2026, 11, 9, tzinfo=UTC), end=datetime(2026, 11, 16, tzinfo=UTC))
LATER = Run(name="later", start=NOW.end, end=datetime(2026, 11, 23, tzinfo=UTC))
SETTINGS: dict[str, Any] = {
    "time_zone": "UTC",
    "batch_size": 2,
}


def report(day: Any) -> list[list[Any]]:
    """Two closed tickets of each customer."""
    rows: list[list[Any]] = [["Firstname", "Lastname", "Email", "Ticket", "Status", "Date"]]
    for number in range(2 * CUSTOMERS):
        address = f"c{number % CUSTOMERS}@example.com"
        rows.append(["Sam", "Lee", address, f"T-{number}", "Closed", day])
    return rows


# Some days ago: the weeks of mails are real ones.


def prepare_sheet(sandbox: Sandbox, _run: int) -> None:
    day = {"date": (datetime.now(UTC).date() - timedelta(days=3)).isoformat()}
    sandbox.vendor("google").seed({"rows": report(day)})


def prepare_workbook(sandbox: Sandbox, _run: int) -> None:
    book = openpyxl.Workbook()
    for row in report(datetime.now(UTC).replace(tzinfo=None) - timedelta(days=3)):
        book.active.append(row)
    stream = io.BytesIO()
    book.save(stream)
    sandbox.vendor("s3").put("reports", "weekly/report.xlsx", stream.getvalue())


REFUSED_ADDRESS = "c3@example.com"


def prepare_refusal(sandbox: Sandbox, run: int) -> None:
    """The webhook refuses every POST with one customer in it: batches are halved."""
    prepare_sheet(sandbox, run)
    sandbox.vendor("mail_webhook").set_options({"refused": [REFUSED_ADDRESS]})


def observe(sandbox: Sandbox) -> World:
    """Who was told what."""
    mails = sandbox.vendor("mail_webhook").mails
    told = sorted((mail["to"], mail["body"]) for mail in mails)
    return World(
        things={"mails": told}, counts={"most": max(Counter(to for to, _ in told).values(), default=0)}
    )


def judge(expected: World, outcome: Outcome, refused: int = 0) -> list[str]:
    """One mail for each customer who is not refused, and nobody asked: the webhook knows keys."""
    found = [f"a person had to settle {effect.ref}" for effect in outcome.unknown]
    if outcome.world.counts["most"] > 1:
        found.append("somebody got two mails in one week")
    states = Counter((effect.ref.kind, effect.state) for effect in outcome.effects)
    told = CUSTOMERS - refused
    for kind, state, number in (
        ("mail", State.CONFIRMED, told),
        ("closing", State.CONFIRMED, 2 * told),
        ("mail", State.QUARANTINED, refused),
        ("closing", State.PLANNED, 2 * refused),
    ):
        if states[kind, state] != number:
            found.append(f"the ledger has {states[kind, state]} {state} {kind}s, not {number}")
    return found


def judge_refusal(expected: World, outcome: Outcome) -> list[str]:
    return judge(expected, outcome, refused=1)


def settle(sandbox: Sandbox, ledger: Ledger, effect: Effect) -> None:
    """Nothing to do: what is unclear goes again under its key."""


def scenario(
    name: str,
    source: dict[str, Any],
    prepare: Callable[[Sandbox, int], None],
    judge: Callable[[World, Outcome], list[str]] = judge,
    **changes: Any,
) -> Scenario:
    settings = json.dumps({**SETTINGS, "source": source, **changes})
    return Scenario(
        name=name,
        dag_id=DAG_ID,
        settings={f"AIRFLOW_VAR_INTERCHANGE_{DAG_ID.upper()}": settings},
        run=NOW,
        prepare=prepare,
        observe=observe,
        judge=judge,
        settle=settle,
    )


OF_SHEET = {"kind": "sheet", "spreadsheet_id": "report", "range": "Sheet1!A2:F"}
SHEET = scenario("sheet", OF_SHEET, prepare_sheet)
EXCEL = scenario(
    "excel", {"kind": "excel", "bucket": "reports", "key": "weekly/report.xlsx"}, prepare_workbook
)
REFUSED = scenario("refused", OF_SHEET, prepare_refusal, judge_refusal, batch_size=CUSTOMERS)
