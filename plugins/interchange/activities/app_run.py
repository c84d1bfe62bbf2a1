"""
One Knack application's activities, brought to the bus: each message once, in order within its service request.

Nothing here knows Airflow. What has happened is in the ledger; what happens next follows from it and from what Knack
says is ready now.
"""

from __future__ import annotations

import base64
import dataclasses
import hashlib
import logging
import queue
import threading
from collections import deque
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, closing
from datetime import UTC, datetime, timedelta
from enum import StrEnum
from typing import Any

from interchange.activities.alerts import Alerts
from interchange.activities.plan import Activity, Plan, Verdict, check_fields, plan_activities
from interchange.activities.status import StatusWriter
from interchange.core.backlog import CircuitBreaker, Head, is_poisonous, next_try_at, probe_order
from interchange.core.esb_message import build_message, load_template
from interchange.core.knack_values import text_of
from interchange.core.knack_zones import zone_of
from interchange.errors import (
    BadRecord,
    Busy,
    Conflict,
    InterchangeError,
    OutcomeUnknown,
    Refused,
    SettingsError,
    Unavailable,
)
from interchange.hooks.alerts import AlertsHook
from interchange.hooks.esb import FAULT, OPERATION, EsbHook, Faulted
from interchange.hooks.http import Limiter
from interchange.hooks.knack import DailyLimit, KnackHook
from interchange.ledger import Effect, EffectRef, Ledger, RunRef, State
from interchange.settings.files import templates_dir
from interchange.settings.knack_to_esb import App

log = logging.getLogger(__name__)

DAG_ID = "knack_to_esb"
MESSAGE = "message"
# The field in the ledger of a message that the bus itself refuses, whatever the record says.
POISON_FIELD = "message"
# A message that the bus has answered with so many faults, while it took another, does not make the run a failure:
# trying it again at once would teach nothing.
SUSPICIOUS = 3
# Requests that the status of one activity takes: a look and a write.
COST = 2
BAD_REQUEST = 400
# So many records are named in an error.
NAMED = 5
# More others than any number of attempts asks for need not be counted.
ENOUGH_OTHERS = 100


@dataclasses.dataclass(kw_only=True)
class Summary:
    """
    What a run did with an app's activities, and what is left.

    :param ready: how many activities Knack gave as ready to be sent.
    :param sent: messages that the bus accepted in this run.
    :param ignored: activities deliberately not sent, marked as such.
    :param marked: statuses written for messages that an earlier run had sent.
    :param held: wait behind another activity of their service request.
    :param quarantined: set aside with field and reason, now or before.
    :param unknown: may have been accepted; a person decides.
    :param waiting: would go, but did not in this run: the bus or Knack was not well, or ``limit`` was reached.
    :param oldest_waiting_s: for how long the first of those has been known, in seconds.
    """

    app: str
    ready: int = 0
    sent: int = 0
    ignored: int = 0
    marked: int = 0
    held: int = 0
    quarantined: int = 0
    unknown: int = 0
    waiting: int = 0
    oldest_waiting_s: int | None = None

    def __str__(self) -> str:
        return ", ".join(f"{value} {name}" for name, value in vars(self).items() if isinstance(value, int))


class Outcome(StrEnum):
    """What came of one message in this run."""

    SENT = "sent"
    LATER = "later"
    """It certainly was not taken, and stays planned."""
    SET_ASIDE = "set aside"
    UNKNOWN = "unknown"


@dataclasses.dataclass(kw_only=True)
class Lane:
    """
    What is left to send for one service request, in order; never two of it at once.

    :param failures: how often its first message was tried in vain.
    :param held_by: why nothing more of it goes in this run.
    """

    rest: deque[Activity]
    failures: int = 0
    held_by: Outcome | None = None


@dataclasses.dataclass(frozen=True, kw_only=True)
class Worker:
    """One thread's own hooks: a session is not shared."""

    knack: KnackHook
    bus: EsbHook
    statuses: StatusWriter


class AppRun:
    """One run over one app: :meth:`read` what is ready, then :meth:`deliver` it, or :meth:`preview` that."""

    def __init__(self, app: App, *, ledger: Ledger, limiter: Limiter, run: RunRef, lease_s: float) -> None:
        self._app = app
        self._ledger = ledger
        self._limiter = limiter
        self._run = run
        self._lease_s = lease_s
        self._template = load_template(templates_dir())
        self._lock = threading.Lock()
        self._left: int | None = None
        self._breaker = CircuitBreaker(app.outage_after)
        self._proven = False
        self._stopped: InterchangeError | None = None
        self._new_unknown = 0
        self._undone = 0
        self._unmarked: list[str] = []
        self.summary = Summary(app=app.name)

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
                raise self._for_today(exc) from exc
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

    def preview(self, plan: Plan) -> dict[str, Any]:
        """The plan as a person may see it, with what the ledger has of each message. Changes nothing."""
        shown = plan.summary()
        for request in shown["service_requests"]:
            for entry in request["activities"]:
                effect = self._ledger.get(self._ref(entry["record_id"]))
                entry["ledger"] = effect.state.value if effect else None
        return {"app": self._app.name, "ready": self.summary.ready, **shown}

    # Delivering

    def deliver(self, plan: Plan, *, limit: int | None = None) -> None:
        """
        Write what is certain back to Knack, send what may go, count the rest in :attr:`summary`.

        :param limit: at most so many messages in this run.
        :raises Unavailable: the bus or Knack is not well; what is left goes with a later run.
        :raises Refused: a person must act, or there are new messages of unknown outcome to be settled.
        """
        self._left = limit
        # What a killed process left counts as unknown from the moment its claim has run out.
        mine = f"{self._app.name}/"
        self._new_unknown += sum(
            (effect.ref.workflow, effect.ref.kind) == (DAG_ID, MESSAGE) and effect.ref.key.startswith(mine)
            for effect in self._ledger.expire_claims()
        )
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
            self._clear_up(first)
            workers.put(first)
            each(self._settle_certain)
            first = workers.get()
            self._prove(first, lanes)
            workers.put(first)
            if self._proven:
                each(self._send_lane)
        oldest = self._count(lanes)
        log.info("App %s: %s", self._app.name, self.summary)
        self._alert(oldest)
        self._complain()

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

    # What is certain already

    def _clear_up(self, worker: Worker) -> None:
        try:
            self._undone += worker.statuses.clear_up()
        except InterchangeError as exc:
            self._stop(exc)

    def _settle_certain(self, worker: Worker, lane: Lane) -> None:
        """All that needs no bus: statuses of what was sent or is not to be sent, and what is set aside."""
        rest: deque[Activity] = deque()
        for activity in lane.rest:
            if activity.verdict is Verdict.IGNORE:
                if self._mark(worker, activity, self._app.statuses.ignored):
                    self._add("ignored")
                continue
            effect = self._known(activity)
            if effect.state is State.CONFIRMED:
                if self._mark(worker, activity, self._app.statuses.sent):
                    self._add("marked")
                continue
            if not rest:
                lane.failures = effect.attempts
                if effect.state is State.UNKNOWN and not self._may_resend(effect.ref):
                    lane.held_by = Outcome.UNKNOWN
                elif effect.state is State.QUARANTINED:
                    lane.held_by = Outcome.SET_ASIDE
            rest.append(activity)
        lane.rest = rest

    def _known(self, activity: Activity) -> Effect:
        """The message's effect: planned, or set aside as the plan says."""
        ref = self._ref(activity.record_id)
        effect = self._ledger.plan(ref, digest=activity.digest, run=self._run)
        if effect.state is State.QUARANTINED and self._is_mended(effect, activity):
            reason = "the record or the settings were corrected"
            self._ledger.replay(ref, by=self._ledger.owner, reason=reason)
            effect = self._ledger.plan(ref, digest=activity.digest, run=self._run)
        if activity.verdict is Verdict.SET_ASIDE and effect.state is State.PLANNED:
            effect = self._ledger.quarantine(ref, field=activity.field, reason=activity.reason)
            log.warning("Record %s is set aside: %s %s", activity.record_id, activity.field, activity.reason)
        return effect

    def _is_mended(self, effect: Effect, activity: Activity) -> bool:
        """
        Whether what it was set aside for may be over: the record was edited, or the plan finds nothing wrong with the
        field any more. What the schema or the bus refused only they can judge, so it stays until somebody acts.
        """
        if effect.digest != activity.digest:
            return True
        return activity.verdict is Verdict.SEND and effect.field in self._app.fields.meanings()

    def _mark(self, worker: Worker, activity: Activity, status: str) -> bool:
        """Write the status; False if that did not work now: the record stays ready, and a later run does it."""
        if self._stopped is not None:
            return False
        try:
            worker.statuses.write(activity.record_id, status)
        except Busy as exc:
            # Of a process that was killed: its claim has yet to run out.
            log.info("%s", exc)
            self._add_undone()
            return False
        except DailyLimit as exc:
            self._stop(self._for_today(exc))
            return False
        except Refused as exc:
            if exc.status != BAD_REQUEST:
                self._stop(exc)
                return False
            # A rule of the application forbids it for this one record; the others can go on.
            log.warning("Record %s: its status is refused: %s", activity.record_id, exc)
            with self._lock:
                self._unmarked.append(activity.record_id)
            return False
        except InterchangeError as exc:
            self._stop(exc)
            return False
        left = worker.knack.allowance
        if left is not None and left.remaining < self._app.daily_reserve + COST:
            self._stop(
                Refused(
                    "knack.allowance",
                    f"{left.remaining} of the day's {left.limit} requests are left, {self._app.daily_reserve} are kept "
                    f"for others (daily_reserve); the rest goes after the reset in {left.resets_in_s / 3600:.1f} h",
                )
            )
        return True

    @staticmethod
    def _for_today(exc: DailyLimit) -> Refused:
        """A task that waited for midnight would keep all later runs waiting as well."""
        hours = exc.retry_after_s / 3600
        return Refused(
            exc.operation, f"{exc.detail}; later runs go on after the reset in {hours:.1f} h", status=429
        )

    # Sending

    def _prove(self, worker: Worker, lanes: Sequence[Lane]) -> None:
        """
        One message after another, until the bus has taken one: only then it is sure that it is well.

        While it is not, a run costs it very few messages.
        """
        by_record = {lane.rest[0].record_id: lane for lane in lanes if lane.rest and lane.held_by is None}
        heads = [
            Head(record_id=record_id, number=lane.rest[0].number or 0, failures=lane.failures)
            for record_id, lane in by_record.items()
        ]
        if not heads or self._is_halted() or not self._may_be_tried() or not self._answers(worker):
            return
        for head in probe_order(heads):
            if self._is_halted() or self._proven:
                return
            self._send_next(worker, by_record[head.record_id])

    def _may_be_tried(self) -> bool:
        """A bus that loses its answers is given a message only now and then."""
        messages: dict[str, Any] = {"workflow": DAG_ID, "kind": MESSAGE, "key_prefix": f"{self._app.name}/"}
        taken = self._ledger.list(**messages, state=State.CONFIRMED, limit=1)
        lost = sorted(
            effect.updated_at
            for effect in self._ledger.list(**messages, state=State.UNKNOWN)
            if (effect.reason or "").startswith(OPERATION)
            and (not taken or effect.updated_at > taken[0].updated_at)
        )
        at = next_try_at(lost) if self._app.on_unknown_outcome == "hold" else None
        if at is None or at <= datetime.now(UTC):
            return True
        self._stop(
            Unavailable(
                OPERATION,
                f"the bus has lost {len(lost)} answer(s) in a row; it is tried again from {at:%H:%M} UTC on",
            )
        )
        return False

    def _answers(self, worker: Worker) -> bool:
        """Whether the bus answers at all; costs no message."""
        try:
            worker.bus.probe()
        except (Refused, SettingsError, Unavailable) as exc:
            self._stop(exc)
            return False
        return True

    def _send_lane(self, worker: Worker, lane: Lane) -> None:
        while lane.rest and lane.held_by is None and not self._is_halted():
            self._send_next(worker, lane)

    def _is_halted(self) -> bool:
        return self._stopped is not None or self._breaker.open or self._left == 0

    def _send_next(self, worker: Worker, lane: Lane) -> None:
        """Send the lane's first message and, if it was taken, write that back."""
        activity = lane.rest[0]
        effect = self._ledger.get(self._ref(activity.record_id))
        if effect is not None and effect.state is State.QUARANTINED:
            lane.held_by = Outcome.SET_ASIDE
            return
        if not self._take_from_limit():
            return
        outcome = self._send(worker.bus, activity)
        if outcome is not Outcome.SENT:
            lane.held_by = outcome
            return
        lane.rest.popleft()
        self._add("sent")
        self._mark(worker, activity, self._app.statuses.sent)

    def _send(self, bus: EsbHook, activity: Activity) -> Outcome:
        ref = self._ref(activity.record_id)
        try:
            self._ledger.perform(
                ref,
                send=lambda: self._submit(ref, activity, bus),
                find=None,
                lease_s=self._lease_s,
                digest=activity.digest,
                run=self._run,
                resend=self._may_resend(ref),
            )
        except BadRecord as exc:
            log.warning("Record %s is set aside: %s %s", activity.record_id, exc.field, exc.reason)
            return Outcome.SET_ASIDE
        except Busy as exc:
            # Of a process that was killed: its claim has yet to run out.
            log.info("%s", exc)
            self._add_undone()
            return Outcome.LATER
        except Faulted as exc:
            log.warning("Record %s: %s", activity.record_id, exc)
            self._failed(activity)
            return self._judge(ref)
        except OutcomeUnknown as exc:
            log.warning("Record %s: its message may have been accepted: %s", activity.record_id, exc)
            self._lost(activity, by_the_bus=exc.operation == OPERATION)
            return Outcome.UNKNOWN
        except Unavailable as exc:
            log.warning("Record %s: %s", activity.record_id, exc)
            self._failed(activity)
            self._add_undone()
            return Outcome.LATER
        except (Refused, SettingsError) as exc:
            self._stop(exc)
            return Outcome.LATER
        with self._lock:
            self._breaker.record_success()
            self._proven = True
        return Outcome.SENT

    def _submit(self, ref: EffectRef, activity: Activity, bus: EsbHook) -> dict[str, Any]:
        """
        The bytes are kept, encrypted, before they are sent: what is sent again is the same to the letter.

        After an answer that was lost they are sent again as they were, even if the record was changed since.
        """
        kept = self._ledger.load_progress(ref)
        if kept is not None and (kept["digest"] == activity.digest or self._was_unknown(ref)):
            message = base64.b64decode(kept["message"])
        else:
            message = build_message(activity.values(datetime.now(UTC)), self._template)
            kept = {"digest": activity.digest, "message": base64.b64encode(message).decode()}
            self._ledger.save_progress(ref, kept)
        accepted = bus.submit(message)
        return {
            "service_request": activity.sr_number,
            "number": activity.number,
            "code": activity.code,
            "bytes": len(message),
            "sha256": hashlib.sha256(message).hexdigest(),
            "status": accepted.status,
            "request_id": accepted.request_id,
        }

    def _may_resend(self, ref: EffectRef) -> bool:
        """Whether a message of unknown outcome is sent again: only where the same bytes are at hand."""
        return self._app.on_unknown_outcome == "resend" and self._ledger.load_progress(ref) is not None

    def _was_unknown(self, ref: EffectRef) -> bool:
        return self._ledger.events(ref)[-1].from_state == State.UNKNOWN

    def _failed(self, activity: Activity) -> None:
        with self._lock:
            self._breaker.record_failure(activity.record_id)

    def _lost(self, activity: Activity, *, by_the_bus: bool) -> None:
        with self._lock:
            self._new_unknown += 1
            if not by_the_bus:
                return
            self._breaker.record_failure(activity.record_id)
            if not self._proven:
                self._stop(
                    Unavailable(
                        OPERATION, "the bus has given no usable answer; nothing more is sent in this run"
                    )
                )

    def _judge(self, ref: EffectRef) -> Outcome:
        """Whether a message that the bus answers with a fault is itself the reason, by what is known of it."""
        faults: list[datetime] = []
        for event in self._ledger.events(ref):
            if event.from_state == State.QUARANTINED:
                # Put back: it gets its chances anew.
                faults.clear()
            elif (event.from_state, event.to_state) == (State.BEGUN, State.PLANNED) and FAULT in (
                event.reason or ""
            ):
                faults.append(event.at)
        taken = self._ledger.list(
            workflow=DAG_ID,
            kind=MESSAGE,
            state=State.CONFIRMED,
            key_prefix=f"{self._app.name}/",
            since=faults[0] if faults else None,
            limit=ENOUGH_OTHERS,
        )
        if not is_poisonous(
            failures=len(faults),
            first_failed_at=faults[0] if faults else None,
            # What a person has settled was not seen to be taken.
            others_accepted_since=sum("sha256" in (effect.receipt or {}) for effect in taken),
            now=datetime.now(UTC),
            attempts=self._app.poison.attempts,
            after=timedelta(minutes=self._app.poison.after_minutes),
        ):
            if len(faults) < SUSPICIOUS or not self._proven:
                self._add_undone()
            return Outcome.LATER
        reason = f"the bus has refused it {len(faults)} times since {faults[0]:%Y-%m-%d %H:%M} UTC and taken others"
        try:
            self._ledger.quarantine(ref, field=POISON_FIELD, reason=reason)
        except Conflict:
            return Outcome.LATER
        return Outcome.SET_ASIDE

    # The end

    def _count(self, lanes: Sequence[Lane]) -> datetime | None:
        """What is left, and why; since when the first of what waits has been known."""
        oldest: datetime | None = None
        for lane in lanes:
            held = False
            for activity in lane.rest:
                effect = self._ledger.get(self._ref(activity.record_id))
                state = effect.state if effect else State.PLANNED
                if state is State.QUARANTINED:
                    self._add("quarantined")
                elif state in (State.UNKNOWN, State.BEGUN):
                    self._add("unknown")
                elif held:
                    self._add("held")
                else:
                    self._add("waiting")
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
        ).look(oldest, self.summary.waiting, datetime.now(UTC))

    def _complain(self) -> None:
        """A run that leaves something undone, or something new for a person to settle, is no success."""
        if self._new_unknown:
            raise Refused(
                OPERATION,
                f"{self._new_unknown} message(s) may have been accepted and are not sent again. Look at the bus, then: "
                "python -m interchange unknown list, and settle",
            )
        if self._stopped is not None:
            raise self._stopped
        if self._breaker.open:
            raise Unavailable(
                OPERATION,
                f"{self._app.outage_after} messages in a row were not taken: the bus is not well; "
                f"{self.summary.waiting} activities wait and go by themselves when it is",
            )
        if self._unmarked:
            raise Refused(
                "knack.update_record",
                f"Knack refuses the status of {len(self._unmarked)} record(s): {', '.join(self._unmarked[:NAMED])}. "
                "Correct them or the field's rules in Knack; their messages are not sent again",
                status=BAD_REQUEST,
            )
        if self._undone:
            raise Unavailable(
                OPERATION, f"{self._undone} message(s) or status(es) are not done; they are tried again"
            )

    # Small things

    def _ref(self, record_id: str) -> EffectRef:
        return EffectRef(DAG_ID, MESSAGE, f"{self._app.name}/{record_id}")

    def _take_from_limit(self) -> bool:
        with self._lock:
            if self._left == 0:
                return False
            if self._left is not None:
                self._left -= 1
            return True

    def _add(self, name: str) -> None:
        with self._lock:
            setattr(self.summary, name, getattr(self.summary, name) + 1)

    def _add_undone(self) -> None:
        with self._lock:
            self._undone += 1

    def _stop(self, exc: InterchangeError) -> None:
        self._stopped = self._stopped or exc
