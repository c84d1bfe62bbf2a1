"""
One Knack application's activities, brought to the bus: each message once, in order within its service request.

Nothing here knows Airflow. What has happened is in the ledger; what happens next follows from it and from what Knack
says is ready now.
"""

from __future__ import annotations

import logging
import queue
from collections import deque
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, closing
from datetime import UTC, datetime, timedelta
from typing import Any

from interchange.activities.alerts import Alerts
from interchange.activities.lanes import DAG_ID, MESSAGE, Lane, Worker, message_ref
from interchange.activities.plan import Plan, Verdict, check_fields, plan_activities
from interchange.activities.sending import Sender
from interchange.activities.settling import Settler
from interchange.activities.status import StatusWriter
from interchange.activities.tally import Summary, Tally, for_today
from interchange.core.knack_values import text_of
from interchange.core.knack_zones import zone_of
from interchange.errors import SettingsError
from interchange.hooks.alerts import AlertsHook
from interchange.hooks.esb import EsbHook
from interchange.hooks.http import Limiter
from interchange.hooks.knack import Allowance, DailyLimit, KnackHook
from interchange.ledger import Ledger, RunRef, State
from interchange.settings.knack_to_esb import App

log = logging.getLogger(__name__)

# No run has a limit so high that more of its messages would have to be counted.
RECENT = 2000


class AppRun:
    """One run over one app: :meth:`read` what is ready, then :meth:`deliver` it, or :meth:`preview` that."""

    def __init__(self, app: App, *, ledger: Ledger, limiter: Limiter, run: RunRef, lease_s: float) -> None:
        self._app = app
        self._ledger = ledger
        self._limiter = limiter
        self._run = run
        self._lease_s = lease_s
        self._allowance: Allowance | None = None
        self._tally = Tally(app.name, outage_after=app.outage_after)
        self._settler = Settler(app, ledger=ledger, run=run, tally=self._tally)
        self._sender = Sender(
            app, ledger=ledger, run=run, lease_s=lease_s, tally=self._tally, settler=self._settler
        )

    @property
    def summary(self) -> Summary:
        """What was done so far."""
        return self._tally.summary

    # What is ready

    def read(self) -> Plan:
        """
        The plan for everything that is ready now. Changes nothing.

        :raises SettingsError: the app has been edited: a configured field, view or object is not there.
        :raises Unavailable: Knack does not answer.
        """
        app, fields = self._app, self._app.fields
        with closing(KnackHook(app.knack_conn_id, limiter=self._limiter)) as knack:
            known = knack.application()
            if app.object_key not in known.objects:
                raise SettingsError(
                    f"app {app.name!r}: the Knack application {known.name!r} has no {app.object_key}"
                )
            scene = app.scene or known.scene_of(app.view)
            rules = [
                {"field": fields.emi_id, "operator": "is not blank"},
                {"field": fields.esb_status, "operator": "is", "value": app.statuses.ready},
            ]
            try:
                records = knack.view_records(scene, app.view, {"match": "and", "rules": rules})
            except DailyLimit as exc:
                raise for_today(exc) from exc
            self._allowance = knack.allowance
        check_fields(app, known.columns.get(app.view), records)
        # Knack may pass over a rule that it does not understand any more.
        ready = [
            record
            for record in records
            if text_of(record, fields.esb_status) == app.statuses.ready
            and text_of(record, fields.emi_id).strip()
        ]
        self.summary.ready = len(ready)
        return plan_activities(ready, app, zone_of(app.time_zone or known.time_zone))

    def preview(self, plan: Plan, *, limit: int | None = None) -> dict[str, Any]:
        """
        The plan as a person may see it, with what the ledger has of each message. Changes nothing.

        ``goes``: whether a run now would send it, if the bus is well.
        """
        shown = plan.summary()
        left = limit
        for request in shown["service_requests"]:
            held = False
            for entry in request["activities"]:
                effect = self._ledger.get(message_ref(self._app.name, entry["record_id"]))
                state = effect.state if effect else None
                entry["ledger"] = state.value if state else None
                done = state is State.CONFIRMED or (
                    entry["verdict"] == Verdict.IGNORE and state in (None, State.PLANNED, State.QUARANTINED)
                )
                may_go = entry["verdict"] == Verdict.SEND and state in (None, State.PLANNED)
                entry["goes"] = may_go and not held and left != 0
                if entry["goes"] and left is not None:
                    left -= 1
                held |= not done and not may_go
        return {"app": self._app.name, "ready": self.summary.ready, **shown}

    # Delivering

    def deliver(self, plan: Plan, *, limit: int | None = None) -> None:
        """
        Write what is certain back to Knack, send what may go, count the rest in :attr:`summary`.

        :param limit: at most so many messages in this run, its tries together: the first ones of the plan.
        :raises Unavailable: the bus or Knack is not well; what is left goes with a later run.
        :raises Refused: a person must act, or there are new messages of unknown outcome to be settled.
        """
        # What a killed process left counts as unknown from the moment its claim has run out.
        mine = f"{self._app.name}/"
        killed = sum(
            (effect.ref.workflow, effect.ref.kind) == (DAG_ID, MESSAGE) and effect.ref.key.startswith(mine)
            for effect in self._ledger.expire_claims()
        )
        self._tally.add_unknown(killed)
        self._settler.check_allowance(self._allowance)
        lanes = [Lane(rest=deque(request.activities)) for request in plan.service_requests]
        with ExitStack() as stack:
            workers: queue.SimpleQueue[Worker] = queue.SimpleQueue()
            threads = max(min(self._app.parallel, len(lanes)), 1)
            for _ in range(threads):
                workers.put(self._worker(stack))
            pool = stack.enter_context(ThreadPoolExecutor(threads, thread_name_prefix="activities"))

            def each(do: Callable[[Worker, Lane], None]) -> None:
                def with_worker(lane: Lane) -> None:
                    worker = workers.get()
                    try:
                        do(worker, lane)
                    finally:
                        workers.put(worker)

                for _ in pool.map(with_worker, lanes):
                    continue

            first = workers.get()
            self._settler.clear_up(first)
            workers.put(first)
            each(self._settler.settle)
            if limit is not None:
                self._share_out(lanes, max(limit - self._sent_before(), 0))
            first = workers.get()
            self._sender.prove(first, lanes)
            workers.put(first)
            if self._tally.proven:
                # Those that fail every time must not make a well bus look unwell before the others had their turn.
                lanes.sort(key=lambda lane: lane.failures)
                each(self._sender.send_lane)
        oldest = self._count(lanes)
        log.info("App %s: %s", self._app.name, self.summary)
        self._alert(oldest)
        self._tally.complain()

    def _sent_before(self) -> int:
        """How many messages earlier tries of this request have given to the bus, or may have."""
        mine: dict[str, Any] = {"workflow": DAG_ID, "kind": MESSAGE, "key_prefix": f"{self._app.name}/"}
        return sum(
            effect.request == self._run.request and effect.attempts > 0
            for state in (State.CONFIRMED, State.UNKNOWN)
            for effect in self._ledger.list(**mine, state=state, newest_first=True, limit=RECENT)
        )

    @staticmethod
    def _share_out(lanes: Sequence[Lane], left: int) -> None:
        """Let the first ones of the plan go, whichever thread comes first."""
        for lane in lanes:
            going = 0 if lane.held_by else sum(entry.verdict is Verdict.SEND for entry in lane.rest)
            lane.share = min(going, left)
            left -= lane.share

    def _worker(self, stack: ExitStack) -> Worker:
        app = self._app
        knack = stack.enter_context(closing(KnackHook(app.knack_conn_id, limiter=self._limiter)))
        bus = stack.enter_context(closing(EsbHook(app.esb_conn_id, limiter=self._limiter)))
        # Here, by one thread: Airflow is asked for the connections.
        _ = knack.session, bus.session
        statuses = StatusWriter(
            knack,
            workflow=DAG_ID,
            prefix=app.name,
            object_key=app.object_key,
            field=app.fields.esb_status,
            ready=app.statuses.ready,
            ledger=self._ledger,
            run=self._run,
            lease_s=self._lease_s,
        )
        return Worker(knack=knack, bus=bus, statuses=statuses)

    # The end

    def _count(self, lanes: Sequence[Lane]) -> datetime | None:
        """What is left, and why; since when the first of what waits, for whatever reason, has been known."""
        oldest: datetime | None = None
        for lane in lanes:
            held = False
            for activity in lane.rest:
                effect = self._ledger.get(message_ref(self._app.name, activity.record_id))
                state = effect.state if effect else State.PLANNED
                if state is State.QUARANTINED:
                    self._tally.add("quarantined")
                elif state in (State.UNKNOWN, State.BEGUN):
                    self._tally.add("unknown")
                else:
                    self._tally.add("held" if held else "waiting")
                    if effect is not None:
                        oldest = min(oldest or effect.created_at, effect.created_at)
                held |= state is not State.PLANNED
        if oldest is not None:
            self.summary.oldest_waiting_s = int((datetime.now(UTC) - oldest).total_seconds())
        return oldest

    def _alert(self, oldest: datetime | None) -> None:
        conn_id = self._app.alert.conn_id

        def send(text: str) -> None:
            if conn_id is not None:
                with closing(AlertsHook(conn_id, limiter=self._limiter)) as alerts:
                    alerts.send(text)

        Alerts(
            self._app.name,
            workflow=DAG_ID,
            after=timedelta(minutes=self._app.alert.after_minutes),
            send=send,
            ledger=self._ledger,
            run=self._run,
            lease_s=self._lease_s,
        ).look(oldest, self.summary.waiting + self.summary.held, datetime.now(UTC))
