"""The weekly round against the sandbox's Webex, with a real ledger."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from datetime import UTC, date, datetime, timedelta
from typing import Any

import pytest

from include.sandbox.core import Sandbox
from include.sandbox.faults import Fault, FaultKind
from interchange.core.slots import Slot, monday_of, week_of
from interchange.hooks.webex import WebexHook
from interchange.ledger import Ledger, RunRef
from interchange.ledger.limits import RateLimiter
from interchange.ledger.tokens import TokenVault
from interchange.roulette.announcing import Announcing
from interchange.roulette.booking import WORKFLOW, Booking
from interchange.roulette.drawing import Plan, keep_plan, plan_round, slot_for
from interchange.roulette.people import People
from interchange.roulette.rounds import Rounds
from interchange.roulette.telling import Speaker
from interchange.roulette.texts import Texts
from interchange.settings import load_settings
from interchange.settings.webex_roulette import Settings
from tests.unit.claims import let_claims_run_out
from tests.unit.vendors import Connections, Waits
from tests.webex_spec import check_journal

LEASE_S = 30.0
SETTINGS: dict[str, Any] = {
    "departments": {
        "sales": ["ana@example.test", "bo@example.test", "chidi@example.test"],
        "support": ["emil@example.test", "fatima@example.test", "goran@example.test"],
    },
    "time_zone": "Europe/Kyiv",
    "slot": {"weekday": "thursday", "start": "15:10", "minutes": 30},
    "weeks": 3,
    "look_again_minutes": 0,
}


class World:
    """
    Webex, settings and a ledger.

    :param settings: changed as a test likes. :param ahead: so much later it is for us than for the machine.
    """

    def __init__(self, sandbox: Sandbox, worker: Callable[..., Ledger], connections: Connections) -> None:
        self.sandbox = sandbox
        self.connections = connections
        self.webex = sandbox.vendor("webex")
        self.ledger = worker("a person")
        self.worker = worker
        self.settings: dict[str, Any] = json.loads(json.dumps(SETTINGS))
        self.people, self.rounds = People(self.ledger.engine), Rounds(self.ledger.engine)
        self.pauses = Waits()
        self.ahead = timedelta()
        self._tries = 0

    # What Webex holds

    @property
    def meetings(self) -> list[dict[str, Any]]:
        """Those that were not cancelled."""
        found = self.webex.snapshot()["meetings"]
        return [meeting for meeting in found if meeting["state"] == "live"]

    @property
    def messages(self) -> list[tuple[str, str]]:
        """Receiver and text of every message of the bot, sorted."""
        return sorted((message["to"][0], message["text"]) for message in self.webex.snapshot()["messages"])

    def fault(self, kind: str, operation: str, **facts: Any) -> None:
        self.sandbox.arm(Fault(vendor="webex", kind=FaultKind(kind), operation=operation, **facts))

    def calls(self, operation: str) -> int:
        return len(self.sandbox.requests.entries(operation=operation))

    # Runs

    def clock(self) -> datetime:
        return datetime.now(UTC) + self.ahead

    @property
    def monday(self) -> date:
        """Of a week that lies wholly before us."""
        return monday_of(self.clock().date()) + timedelta(days=7)

    @property
    def week(self) -> str:
        return week_of(self.monday)

    @property
    def loaded(self) -> Settings:
        text = json.dumps(self.settings)
        made: Settings = load_settings(WORKFLOW, variable=lambda _: text)
        return made

    @property
    def slot(self) -> Slot:
        return slot_for(self.loaded, self.monday)

    def plan(self, monday: date | None = None) -> Plan:
        return plan_round(self.loaded, monday=monday or self.monday, people=self.people, rounds=self.rounds)

    def draw(self, monday: date | None = None) -> Plan:
        plan = self.plan(monday)
        keep_plan(plan, self.rounds)
        return plan

    def work(self) -> Booking:
        """What one try of the task books with."""
        self._tries += 1
        settings, ledger, texts = self.loaded, self.worker(f"try {self._tries}"), Texts()
        limiter = RateLimiter(ledger.engine)
        run = RunRef(dag_id=WORKFLOW, run_id=f"run-{self._tries}", request=f"request-{self._tries}")
        self.bot = WebexHook(settings.bot_conn_id, limiter=limiter, pause=self.pauses)
        speaker = Speaker(
            self.bot,
            ledger,
            workflow=WORKFLOW,
            run=run,
            lease_s=LEASE_S,
            look_again=timedelta(minutes=settings.look_again_minutes),
            clock=self.clock,
        )
        self.hook = WebexHook(
            settings.meetings_conn_id, limiter=limiter, vault=TokenVault(ledger), pause=self.pauses
        )
        self.booking = Booking(
            settings,
            hook=self.hook,
            ledger=ledger,
            people=self.people,
            rounds=self.rounds,
            speaker=speaker,
            texts=texts,
            run=run,
            lease_s=LEASE_S,
            clock=self.clock,
        )
        self.announcing = Announcing(
            settings, hook=self.bot, people=self.people, rounds=self.rounds, speaker=speaker, texts=texts
        )
        return self.booking

    def book(self) -> None:
        """One try of the task: whatever it books, people are told."""
        booking = self.work()
        groups = self.rounds.groups(self.week)
        self.announcing.get_to_know(key for group in groups for key in group.people)
        try:
            booking.book(self.week, self.slot)
        finally:
            self.announcing.announce(self.week)
            self.announcing.report(self.week, self.slot, repeats=0)

    def expire(self) -> None:
        """Claims of processes that were killed, or stand still, have run out."""
        let_claims_run_out(self.ledger)

    def names(self, keys: Any) -> set[str]:
        """The first part of the addresses of people."""
        return {str(person.address).partition("@")[0] for person in self.people.of(list(keys))}


@pytest.fixture
def world(sandbox: Sandbox, worker: Callable[..., Ledger], airflow: Connections) -> Iterator[World]:
    """Each call made in it was one the vendor describes, and was answered as it describes."""
    yield World(sandbox, worker, airflow)
    check_journal(sandbox.requests.entries())
