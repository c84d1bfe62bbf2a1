"""One app against the sandbox's Knack and bus, worked on as one task's try does."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import pytest

from include.sandbox.core import Sandbox
from include.sandbox.vendors.knack.seeds import field_key, record_id
from interchange.activities.app_run import AppRun, Summary
from interchange.activities.plan import Plan
from interchange.ledger import Effect, EffectRef, Ledger, RunRef
from interchange.settings import load_settings
from interchange.settings.knack_to_esb import App
from tests.unit.test_settings_knack import app as app_settings
from tests.unit.vendors import Connections

NAME = "data-tracker"
LEASE_S = 30.0


class World:
    """What the tests put into Knack, and what they see afterwards. The ledger is that of all tries."""

    def __init__(self, sandbox: Sandbox, worker: Callable[..., Ledger]) -> None:
        self.sandbox = sandbox
        self._worker = worker
        self._tries = 0
        self._runs = 0
        self.knack = sandbox.vendor("knack")
        self.bus = sandbox.vendor("esb")
        # The vendor's ten a second would be waited for; test_limits.py does.
        self.knack.set_options({"requests_per_second": 10_000})
        self.knack.seed({"empty": [NAME, "signs-markings"]})
        self.ledger = worker("a person")

    def has(self, *rows: dict[str, Any]) -> None:
        """Records in Knack: ``{"number", "sr"}`` and what is not as usual."""
        self.knack.seed({"records": {NAME: [{"activity": "Identify Asset", **row} for row in rows]}})

    def edit(self, activity: int, /, **values: Any) -> None:
        """A person changes a record."""
        changes = {field_key(NAME, name): value for name, value in values.items()}
        self.knack.seed({"edit": {record_id(NAME, activity): changes}})

    def settings(self, **changes: Any) -> App:
        entry = app_settings(name=NAME, **changes)
        made: App = load_settings("knack_to_esb", variable=lambda _: json.dumps({"apps": [entry]})).apps[0]
        return made

    def work(self, *, same_try: bool = False, **settings: Any) -> AppRun:
        """:param same_try: another try of the run before, not another run."""
        self._tries += 1
        self._runs += not same_try
        return AppRun(
            self.settings(**settings),
            ledger=self._worker(f"try {self._tries}"),
            limiter=None,  # type: ignore[arg-type]  # as for the Test button: nothing is counted
            run=RunRef(dag_id="knack_to_esb", run_id=f"run-{self._runs}", request=f"request-{self._runs}"),
            lease_s=LEASE_S,
        )

    def run(self, *, limit: int | None = None, **settings: Any) -> Summary:
        """One run from beginning to end."""
        work = self.work(**settings)
        work.deliver(work.read(), limit=limit)
        return work.summary

    def plan(self, **settings: Any) -> Plan:
        return self.work(**settings).read()

    def accepted(self) -> list[int]:
        """Activity numbers of the messages the bus has taken, in their order."""
        numbers = {record_id(NAME, number): number for number in range(2000)}
        return [numbers[message.fields["id"]] for message in self.bus.messages]

    def details(self, number: int) -> str:
        (found,) = [m.fields for m in self.bus.messages if m.fields["id"] == record_id(NAME, number)]
        text: str = found["activity_details"]
        return text

    def status(self, number: int) -> str:
        found: str = self.knack.snapshot()["apps"][NAME][record_id(NAME, number)]
        return found

    def statuses(self) -> list[str]:
        return list(self.knack.snapshot()["apps"][NAME].values())

    def effect(self, number: int) -> Effect:
        found = self.ledger.get(self.ref(number))
        assert found is not None
        return found

    @staticmethod
    def ref(number: int) -> EffectRef:
        return EffectRef("knack_to_esb", "message", f"{NAME}/{record_id(NAME, number)}")


@pytest.fixture
def world(sandbox: Sandbox, airflow: Connections, worker: Callable[..., Ledger]) -> World:
    return World(sandbox, worker)
