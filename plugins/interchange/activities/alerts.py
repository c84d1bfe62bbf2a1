"""One message when activities have waited too long, and one when that is over."""

from __future__ import annotations

import logging
from collections.abc import Callable
from datetime import datetime, timedelta
from typing import Any

from interchange.core.backlog import alert_due
from interchange.errors import InterchangeError
from interchange.ledger import EffectRef, Ledger, RunRef, State

log = logging.getLogger(__name__)

ALERT = "alert"
BEGIN, END = "begin", "end"


class Alerts:
    """
    :param send: hands a sentence to whoever is to read it. An alert is sent at most once: where its answer is lost it
        is not sent again.
    """

    def __init__(
        self,
        app: str,
        *,
        workflow: str,
        after: timedelta,
        send: Callable[[str], None],
        ledger: Ledger,
        run: RunRef,
        lease_s: float,
    ) -> None:
        self._app = app
        self._workflow = workflow
        self._after = after
        self._send = send
        self._ledger = ledger
        self._run = run
        self._lease_s = lease_s

    def look(self, oldest_waiting_since: datetime | None, waiting: int, now: datetime) -> None:
        """Tell that an outage has begun or ended, if it has and nobody was told."""
        begun, ended = (self._told(side) for side in (BEGIN, END))
        match alert_due(oldest_waiting_since, now, self._after, is_alerting=begun > ended):
            case "begin":
                minutes = (
                    int((now - oldest_waiting_since).total_seconds() / 60) if oldest_waiting_since else 0
                )
                self._tell(
                    f"{begun + 1}/{BEGIN}",
                    f"{self._workflow}, app {self._app}: the oldest of {waiting} activities waits since {minutes} min",
                )
            case "end":
                self._tell(
                    f"{begun}/{END}", f"{self._workflow}, app {self._app}: nothing waits that long any more"
                )

    def _told(self, side: str) -> int:
        """How many outages people were told about; one whose telling had no clear outcome counts."""
        found = self._ledger.list(workflow=self._workflow, kind=ALERT, key_prefix=f"{self._app}/")
        return sum(
            effect.ref.key.endswith(f"/{side}") and effect.state is not State.PLANNED for effect in found
        )

    def _tell(self, number: str, text: str) -> None:
        log.warning("%s", text)

        def send() -> dict[str, Any]:
            self._send(text)
            return {"text": text}

        try:
            self._ledger.perform(
                EffectRef(self._workflow, ALERT, f"{self._app}/{number}"),
                send=send,
                find=None,
                lease_s=self._lease_s,
                run=self._run,
            )
        except InterchangeError as exc:
            # The work itself matters more; the next run tries again unless the alert may have been sent.
            log.warning("The alert could not be sent: %s", exc)
