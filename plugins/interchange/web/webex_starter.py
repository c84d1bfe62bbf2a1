"""
Starting a run of ``webex_bot`` for each event that was recorded, behind the receiver's back.

A start keeps a processor busy for tens of milliseconds, and Airflow's database may be away; Webex must not wait for
either: so runs are started when no delivery is coming in, or after a while all the same. What could not be started, by
this process or by one that has ended since, stays in the ledger without a run, and is started later.
"""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable

from sqlalchemy import Double, Engine, literal, select

from interchange.errors import InterchangeError
from interchange.ledger import EffectRef, Ledger, RunRef, State
from interchange.ledger.database import transaction
from interchange.ledger.schema import effects, later
from interchange.roulette.desk import WORKFLOW
from interchange.roulette.events import EVENT, Event

log = logging.getLogger(__name__)

QUIET_S = 0.1
"""No delivery for so long: a burst of them is over, or has not begun."""
LATEST_S = 2.0
"""So long after an event its run is started although more are coming in."""
LEFT_BEHIND_S = 10.0
"""Then nobody else is about to start it: another process, or a moment ago ourselves."""
AGAIN_S = 15.0
"""So long after a start that did not work, it is tried again; by then it counts as left behind."""
LOOK_EVERY_S = 5.0
"""Deliveries that come faster than that do not have it looked each time for what was left behind."""
MOST_AT_ONCE = 50
MOST_WAITING = 1000
"""More are found in the ledger later."""


def start_run(event: Event) -> None:
    """
    Start the event's run, unless it was started before.

    The interface is Airflow's own, not public: the REST API would need somebody's token.
    """
    from airflow.api.common.trigger_dag import trigger_dag
    from airflow.exceptions import DagRunAlreadyExists
    from airflow.utils.types import DagRunTriggeredByType

    try:
        trigger_dag(
            dag_id=WORKFLOW,
            run_id=event.run_id,
            conf=event.conf,
            triggered_by=DagRunTriggeredByType.REST_API,
            triggering_user_name="webex",
        )
    except DagRunAlreadyExists:
        log.info("%s has its run already", event.ref)


def unstarted(engine: Engine, *, for_s: float, limit: int) -> list[Event]:
    """
    Events that nobody handles, since no run was started for them, the oldest first.

    :param for_s: recorded so many seconds ago, or earlier; by the database's clock.
    """
    query = (
        select(effects.c.key)
        .where(
            effects.c.workflow == WORKFLOW,
            effects.c.kind == EVENT,
            effects.c.state == State.PLANNED.value,
            effects.c.run_id.is_(None),
            effects.c.created_at <= later(literal(-for_s, Double)),
        )
        .order_by(effects.c.id)
        .limit(limit)
    )
    with transaction(engine, write=False) as connection:
        keys = connection.execute(query).scalars().all()
    return [Event.named(EffectRef(WORKFLOW, EVENT, key)) for key in keys]


class Starter:
    """
    One thread of a process, begun with the first event.

    :param start: starts one event's run.
    """

    def __init__(
        self,
        start: Callable[[Event], None] = start_run,
        *,
        left_behind_s: float = LEFT_BEHIND_S,
        again_s: float = AGAIN_S,
    ) -> None:
        self._start = start
        self._left_behind_s = left_behind_s
        self._again_s = again_s
        self._changed = threading.Condition()
        self._waiting: dict[Event, None] = {}
        self._ledger: Ledger | None = None
        self._thread: threading.Thread | None = None
        self._busy = False
        self._last_at = 0.0
        self._looked_at = -LOOK_EVERY_S
        self._left = False
        self._stopped = False

    def add(self, ledger: Ledger, event: Event) -> None:
        """Have a recorded event's run started soon. Returns at once."""
        with self._changed:
            self._ledger = ledger
            self._last_at = time.monotonic()
            if len(self._waiting) < MOST_WAITING:
                self._waiting[event] = None
            if self._thread is None:
                self._thread = threading.Thread(target=self._work, name="interchange-webex", daemon=True)
                self._thread.start()
            self._changed.notify_all()

    def idle(self, timeout_s: float) -> bool:
        """Wait until nothing is to be done now: False if that took too long."""
        with self._changed:
            return self._changed.wait_for(lambda: not self._waiting and not self._busy, timeout_s)

    def stop(self) -> None:
        """End the thread, after what it is doing now."""
        with self._changed:
            self._stopped = True
            self._changed.notify_all()
        if self._thread is not None:
            self._thread.join()

    def _work(self) -> None:
        while True:
            with self._changed:
                self._busy = False
                self._changed.notify_all()
                self._changed.wait_for(
                    lambda: self._waiting or self._stopped, self._again_s if self._left else None
                )
                self._wait_for_quiet()
                if self._stopped:
                    return
                ledger, events = self._ledger, list(self._waiting)
                self._waiting.clear()
                self._busy = True
            assert ledger is not None  # noqa: S101  # set before the thread is begun
            failed = [event for event in events if not self._started(ledger, event)]
            self._left = self._gone_back(ledger) or bool(failed)

    def _wait_for_quiet(self) -> None:
        now = time.monotonic()
        latest = now + LATEST_S
        while not self._stopped and (until := min(self._last_at + QUIET_S, latest)) > now:
            self._changed.wait(until - now)
            now = time.monotonic()

    def _started(self, ledger: Ledger, event: Event) -> bool:
        try:
            known = ledger.get(event.ref)
            if known is None or known.state is not State.PLANNED or known.run_id is not None:
                return True
            self._start(event)
            ledger.plan(event.ref, run=RunRef(WORKFLOW, event.run_id))
        except Exception as exc:  # noqa: BLE001  # Airflow's database, DAGs and plugins may raise anything; the thread goes on
            log.warning("%s: no run was started, it is tried again: %s", event.ref, _told(exc))
            return False
        log.info("%s: run %s is started", event.ref, event.run_id)
        return True

    def _gone_back(self, ledger: Ledger) -> bool:
        """Start what was left behind. :return: whether some may be left."""
        if not self._left and time.monotonic() - self._looked_at < LOOK_EVERY_S:
            return False
        self._looked_at = time.monotonic()
        try:
            found = unstarted(ledger.engine, for_s=self._left_behind_s, limit=MOST_AT_ONCE)
        except Exception as exc:  # noqa: BLE001  # as above
            log.warning("The ledger could not be asked for events without a run: %s", _told(exc))
            return True
        for event in found:
            if not self._started(ledger, event):
                # The others would fare no better now.
                return True
        return len(found) == MOST_AT_ONCE


def _told(exc: Exception) -> str:
    """Our own words as they are; of others' errors only the kind, since their text may hold anything."""
    return str(exc) if isinstance(exc, InterchangeError) else type(exc).__name__
