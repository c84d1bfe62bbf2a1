"""The weekly mail against the sandbox's webhook: a report that tests write, tries and runs, a clock that tests move."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable
from datetime import date, datetime
from typing import Any
from zoneinfo import ZoneInfo

import pytest

from include.sandbox.core import Sandbox
from interchange.core.report import Cell, ReportRow
from interchange.hooks.mail_webhook import MailWebhookHook
from interchange.ledger import Effect, Ledger, RunRef, State
from interchange.mails.planning import plan_mails
from interchange.mails.plans import WORKFLOW, read_plan
from interchange.mails.sending import CLOSING, MAIL, MailRun, Summary
from interchange.mails.watermark import Memory
from interchange.settings import load_settings
from interchange.settings.ticket_closure import Settings
from tests.unit.vendors import Connections

LEASE_S = 30.0
ZONE = ZoneInfo("Australia/Sydney")
# In the past: the ledger has a clock of its own, which must not be behind.
MONDAY = datetime(2025, 11, 24, 7, tzinfo=ZONE)
NOTHING = Memory(watermark=None, rows=None, mails=None)


def settings_of(**changes: Any) -> Settings:
    entry = {
        "source": {"kind": "sheet", "spreadsheet_id": "report", "range": "Sheet1!A2:F"},
        "time_zone": "Australia/Sydney",
        **changes,
    }
    made: Settings = load_settings("ticket_closure", variable=lambda _: json.dumps(entry))
    return made


class World:
    """The ledger is that of all tries."""

    def __init__(self, sandbox: Sandbox, worker: Callable[..., Ledger], connections: Connections) -> None:
        self.sandbox = sandbox
        self.connections = connections
        self.webhook = sandbox.vendor("mail_webhook")
        self.ledger = worker("a person")
        self.now = MONDAY
        self.rows: list[tuple[Cell, ...]] = []
        self._worker = worker
        self._tries = 0
        self._runs = 0

    def has(
        self, ticket: str, who: str, closed: date | str, *, name: str | None = None, status: str = "Closed"
    ) -> None:
        """One more row; ``who`` is the local part of the address."""
        day = closed if isinstance(closed, str) else closed.strftime("%d/%m/%Y")
        self.rows.append((name or who.title(), "Ito", f"{who}@example.com", ticket, status, day))

    def report(self) -> Iterable[ReportRow]:
        return [ReportRow(number=number, cells=cells) for number, cells in enumerate(self.rows, 2)]

    def plan(
        self,
        *,
        memory: Memory = NOTHING,
        since: date | None = None,
        until: date | None = None,
        **settings: Any,
    ) -> dict[str, Any]:
        self._runs += 1
        return plan_mails(
            self.report(),
            settings=settings_of(**settings),
            ledger=self.ledger,
            memory=memory,
            run=self._run(),
            lease_s=LEASE_S,
            now=self.now,
            since=since,
            until=until,
        )

    def send(self, planned: dict[str, Any], **settings: Any) -> Summary:
        """Another try of sending a plan."""
        self._tries += 1
        chosen = settings_of(**settings)
        ledger = self._worker(f"try {self._tries}")
        work = MailRun(
            ledger=ledger,
            hook=MailWebhookHook(chosen.webhook_conn_id, pause=lambda _: None),
            run=self._run(),
            lease_s=LEASE_S,
            clock=lambda: self.now,
            batch_size=chosen.batch_size,
            opted_out=chosen.opt_out,
        )
        self.last = work.summary
        work.deliver(read_plan(ledger, planned["digest"]) if planned["mails"] else ())
        return work.summary

    def run(self, **settings: Any) -> Summary:
        return self.send(self.plan(**settings), **settings)

    def _run(self) -> RunRef:
        return RunRef(dag_id=WORKFLOW, run_id=f"run-{self._runs}", request=f"request-{self._runs}")

    @property
    def sent(self) -> list[tuple[str, str]]:
        """Who was told what, as the webhook has it."""
        return [(mail["to"].partition("@")[0], mail["body"]) for mail in self.webhook.mails]

    @property
    def told(self) -> dict[str, list[str]]:
        """The tickets each customer was told of, in order."""
        found: dict[str, list[str]] = {}
        for who, body in self.sent:
            found.setdefault(who, []).extend(line.split()[2] for line in body.splitlines() if line)
        return found

    def effects(self, kind: str, state: State | None = None) -> list[Effect]:
        return self.ledger.list(workflow=WORKFLOW, kind=kind, state=state, newest_first=False)

    def states(self) -> dict[str, list[str]]:
        return {kind: sorted(str(effect.state) for effect in self.effects(kind)) for kind in (MAIL, CLOSING)}

    def is_settled(self) -> bool:
        """Every mail and closing has come to an end."""
        return not any(
            effect.state in (State.BEGUN, State.UNKNOWN)
            for kind in (MAIL, CLOSING)
            for effect in self.effects(kind)
        )


@pytest.fixture
def world(sandbox: Sandbox, airflow: Connections, worker: Callable[..., Ledger]) -> World:
    return World(sandbox, worker, airflow)
