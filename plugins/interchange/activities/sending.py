"""Messages to the bus: in order within a service request, few while it is not sure that the bus is well."""

from __future__ import annotations

import base64
import hashlib
import logging
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from typing import Any

from interchange.activities.lanes import DAG_ID, MESSAGE, Lane, Outcome, Worker, message_ref
from interchange.activities.plan import Activity, Verdict
from interchange.activities.settling import Settler, may_resend
from interchange.activities.tally import Tally
from interchange.core.backlog import Head, is_poisonous, next_try_at, probe_order
from interchange.core.esb_message import build_message, load_template
from interchange.errors import (
    BadRecord,
    Busy,
    Conflict,
    OutcomeUnknown,
    Refused,
    RemoteError,
    SettingsError,
    Unavailable,
)
from interchange.hooks.esb import OPERATION, EsbHook, Faulted
from interchange.ledger import EffectRef, Ledger, RunRef, State
from interchange.settings.files import templates_dir
from interchange.settings.knack_to_esb import App

log = logging.getLogger(__name__)

# The field in the ledger of a message that the bus itself refuses, whatever the record says.
POISON_FIELD = "message"
# A message that the bus has answered with so many faults, while it took another, does not make the run a failure:
# trying it again at once would teach nothing.
SUSPICIOUS = 3
# In the ledger's reason for a fault that came while the bus took other messages.
WHILE_WELL = "while it takes others"
# With these a bus may answer a GET, which it need not know.
_NOT_FOR_LOOKS = (401, 403, 404)
# More others than any number of attempts asks for need not be counted.
ENOUGH_OTHERS = 100


class StillUnclear(OutcomeUnknown):
    """A message of unknown outcome was sent again, and that was not taken: an earlier attempt still may have been."""


class Sender:
    """
    Sends what may go.

    :param settler: writes the status of what was taken.
    """

    def __init__(
        self, app: App, *, ledger: Ledger, run: RunRef, lease_s: float, tally: Tally, settler: Settler
    ) -> None:
        self._app = app
        self._ledger = ledger
        self._run = run
        self._lease_s = lease_s
        self._tally = tally
        self._settler = settler
        self._template = load_template(templates_dir())

    def prove(self, worker: Worker, lanes: Sequence[Lane]) -> None:
        """
        One message after another, until the bus has taken one: only then it is sure that it is well.

        While it is not, a run costs it very few messages.
        """
        by_record = {
            lane.rest[0].record_id: lane
            for lane in lanes
            if lane.rest and lane.held_by is None and lane.share != 0
        }
        heads = [
            Head(record_id=record_id, number=lane.rest[0].number or 0, failures=lane.failures)
            for record_id, lane in by_record.items()
        ]
        if not heads or self._tally.is_halted() or not self._may_be_tried() or not self._answers(worker):
            return
        for head in probe_order(heads):
            if self._tally.is_halted() or self._tally.proven:
                return
            self._send_next(worker, by_record[head.record_id])

    def _may_be_tried(self) -> bool:
        """A bus that loses its answers is given a message only now and then."""
        messages: dict[str, Any] = {"workflow": DAG_ID, "kind": MESSAGE, "key_prefix": f"{self._app.name}/"}
        taken = self._ledger.list(**messages, state=State.CONFIRMED, limit=1)
        lost = sorted(
            event.at
            for effect in self._ledger.list(**messages, state=State.UNKNOWN)
            for event in self._ledger.events(effect.ref)
            if event.to_state == State.UNKNOWN
            and (event.reason or "").startswith(OPERATION)
            and (not taken or event.at > taken[0].updated_at)
        )
        # What is sent again costs nobody a decision, so there a second chance comes sooner.
        at = next_try_at(lost if self._app.on_unknown_outcome == "hold" else lost[1:])
        if at is None or at <= datetime.now(UTC):
            return True
        self._tally.stop(
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
            if isinstance(exc, Refused) and exc.status in _NOT_FOR_LOOKS:
                # It answers. A bus may know nothing but messages; whether it lets ours in, one of them shows.
                log.info("The bus answers a look with HTTP %s", exc.status)
                return True
            self._tally.stop(exc)
            return False
        return True

    def send_lane(self, worker: Worker, lane: Lane) -> None:
        while lane.rest and lane.held_by is None and not self._tally.is_halted():
            self._send_next(worker, lane)

    def _send_next(self, worker: Worker, lane: Lane) -> None:
        """Send the lane's first message and, if it was taken, write that back."""
        activity = lane.rest[0]
        if activity.verdict is Verdict.IGNORE:
            # It may have been sent before the settings said so.
            lane.held_by = Outcome.UNKNOWN
            return
        effect = self._ledger.get(message_ref(self._app.name, activity.record_id))
        if effect is not None and effect.state is State.QUARANTINED:
            lane.held_by = Outcome.SET_ASIDE
            return
        if (
            effect is not None
            and effect.state is State.UNKNOWN
            and not may_resend(self._app, self._ledger, effect.ref)
        ):
            lane.held_by = Outcome.UNKNOWN
            return
        if lane.share == 0:
            lane.held_by = Outcome.LATER
            return
        if lane.share is not None:
            lane.share -= 1
        outcome = self._send(worker.bus, activity)
        if outcome is not Outcome.SENT:
            lane.held_by = outcome
            return
        lane.rest.popleft()
        self._tally.add("sent")
        self._settler.mark(worker, activity, self._app.statuses.sent)

    def _send(self, bus: EsbHook, activity: Activity) -> Outcome:
        ref = message_ref(self._app.name, activity.record_id)
        try:
            self._ledger.perform(
                ref,
                send=lambda: self._submit(ref, activity, bus),
                find=None,
                lease_s=self._lease_s,
                digest=activity.digest,
                run=self._run,
                resend=may_resend(self._app, self._ledger, ref),
            )
        except BadRecord as exc:
            log.warning("Record %s is set aside: %s %s", activity.record_id, exc.field, exc.reason)
            return Outcome.SET_ASIDE
        except Busy as exc:
            # Of a process that was killed: its claim has yet to run out.
            log.info("%s", exc)
            self._tally.add_undone()
            return Outcome.LATER
        except Faulted as exc:
            log.warning("Record %s: %s", activity.record_id, exc)
            self._tally.was_not_taken(activity.record_id)
            return self._judge(ref)
        except StillUnclear as exc:
            log.warning("Record %s: %s", activity.record_id, exc)
            self._tally.was_not_taken(activity.record_id)
            self._tally.add_undone()
            return Outcome.UNKNOWN
        except OutcomeUnknown as exc:
            log.warning("Record %s: its message may have been accepted: %s", activity.record_id, exc)
            self._lost(activity, by_the_bus=exc.operation == OPERATION)
            return Outcome.UNKNOWN
        except Unavailable as exc:
            log.warning("Record %s: %s", activity.record_id, exc)
            self._tally.was_not_taken(activity.record_id)
            self._tally.add_undone()
            return Outcome.LATER
        except (Refused, SettingsError) as exc:
            self._tally.stop(exc)
            return Outcome.LATER
        self._tally.was_taken()
        return Outcome.SENT

    def _submit(self, ref: EffectRef, activity: Activity, bus: EsbHook) -> dict[str, Any]:
        """
        The bytes are kept, encrypted, before they are sent: what is sent again is the same to the letter.

        After an answer that was lost they are sent again as they were, even if the record was changed since. Where it
        is certain that they were not taken, a corrected record, code or template makes a new message.
        """
        kept = self._ledger.load_progress(ref)
        again = self._was_unknown(ref)
        made_from = f"{activity.digest}/{self._template.digest}"
        if kept is None or (kept["made_from"] != made_from and not again):
            message = build_message(activity.values(datetime.now(UTC)), self._template)
            kept = {
                "made_from": made_from,
                "made_at": datetime.now(UTC).isoformat(),
                "code": activity.code,
                "message": base64.b64encode(message).decode(),
            }
            self._ledger.save_progress(ref, kept)
        message = base64.b64decode(kept["message"])
        try:
            accepted = bus.submit(message)
        except (Unavailable, Refused) as exc:
            if not again:
                self._note_company(exc)
                raise
            raise StillUnclear(
                OPERATION,
                f"it was sent again and not taken ({exc.detail}); an earlier attempt may have been",
                status=exc.status,
            ) from exc
        return {
            "service_request": activity.sr_number,
            "number": activity.number,
            "code": kept["code"],
            "bytes": len(message),
            "sha256": hashlib.sha256(message).hexdigest(),
            "status": accepted.status,
            "request_id": accepted.request_id,
        }

    def _was_unknown(self, ref: EffectRef) -> bool:
        return self._ledger.events(ref)[-1].from_state == State.UNKNOWN

    def _note_company(self, exc: RemoteError) -> None:
        """A fault says something of the message only where the bus took others in the same run."""
        if isinstance(exc, Faulted) and self._tally.proven:
            raise Faulted(
                exc.operation,
                f"{exc.detail} {WHILE_WELL}",
                status=exc.status,
                request_id=exc.request_id,
                code=exc.code,
            ) from exc

    def _lost(self, activity: Activity, *, by_the_bus: bool) -> None:
        self._tally.add_unknown()
        if not by_the_bus:
            return
        self._tally.was_not_taken(activity.record_id)
        if not self._tally.proven:
            self._tally.stop(
                Unavailable(OPERATION, "the bus has given no usable answer; nothing more is sent in this run")
            )

    def _judge(self, ref: EffectRef) -> Outcome:
        """Whether a message that the bus answers with a fault is itself the reason, by what is known of it."""
        faults: list[datetime] = []
        kept = self._ledger.load_progress(ref) or {}
        for event in self._ledger.events(ref):
            if event.from_state == State.QUARANTINED:
                # Put back: it gets its chances anew.
                faults.clear()
            elif (
                (event.from_state, event.to_state) == (State.BEGUN, State.PLANNED)
                # Those of an outage say nothing of the message, and those of another text nothing of this one.
                and WHILE_WELL in (event.reason or "")
                and event.at.isoformat() >= kept.get("made_at", "")
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
            if len(faults) < SUSPICIOUS or not self._tally.proven:
                self._tally.add_undone()
            return Outcome.LATER
        reason = f"the bus has refused it {len(faults)} times since {faults[0]:%Y-%m-%d %H:%M} UTC and taken others"
        try:
            self._ledger.quarantine(ref, field=POISON_FIELD, reason=reason)
        except Conflict:
            return Outcome.LATER
        return Outcome.SET_ASIDE
