"""What needs no bus: statuses of what was sent or is not to be sent, and records that are set aside."""

from __future__ import annotations

import logging
from collections import deque

from interchange.activities.lanes import Lane, Outcome, Worker, message_ref
from interchange.activities.plan import Activity, Verdict
from interchange.activities.tally import BAD_REQUEST, Tally, for_today
from interchange.errors import Busy, InterchangeError, Refused
from interchange.hooks.knack import Allowance, DailyLimit
from interchange.ledger import Effect, EffectRef, Ledger, RunRef, State
from interchange.settings.knack_to_esb import App

log = logging.getLogger(__name__)

# Requests that the status of one activity takes: a look and a write.
COST = 2


class Settler:
    """Brings Knack up to what is certain, and finds out what may be sent."""

    def __init__(self, app: App, *, ledger: Ledger, run: RunRef, tally: Tally) -> None:
        self._app = app
        self._ledger = ledger
        self._run = run
        self._tally = tally

    def clear_up(self, worker: Worker) -> None:
        """Look up the statuses whose outcome nobody saw."""
        try:
            self._tally.add_undone(worker.statuses.clear_up())
        except InterchangeError as exc:
            self._tally.stop(exc)

    def settle(self, worker: Worker, lane: Lane) -> None:
        """All that needs no bus: statuses of what was sent or is not to be sent, and what is set aside."""
        rest: deque[Activity] = deque()
        for activity in lane.rest:
            effect = self._known(activity)
            if effect is None:
                if self.mark(worker, activity, self._app.statuses.ignored):
                    self._tally.add("ignored")
                continue
            if effect.state is State.CONFIRMED:
                log.info(
                    "Record %s is ready and was sent before: only its status is written", activity.record_id
                )
                if self.mark(worker, activity, self._app.statuses.sent):
                    self._tally.add("marked")
                continue
            if not rest:
                lane.failures = effect.attempts
                ignored = activity.verdict is Verdict.IGNORE
                if effect.state is State.UNKNOWN and (
                    ignored or not may_resend(self._app, self._ledger, effect.ref)
                ):
                    lane.held_by = Outcome.UNKNOWN
                elif effect.state is State.QUARANTINED:
                    lane.held_by = Outcome.SET_ASIDE
            rest.append(activity)
        lane.rest = rest

    def _known(self, activity: Activity) -> Effect | None:
        """
        The message's effect: planned, or set aside as the plan says. None for one that is not to be sent and never was.
        """
        ref = message_ref(self._app.name, activity.record_id)
        if activity.verdict is Verdict.IGNORE:
            # Settings that say so only now do not undo what was sent, or may have been.
            before = self._ledger.get(ref)
            return None if before is None or before.state in (State.PLANNED, State.QUARANTINED) else before
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

    def mark(self, worker: Worker, activity: Activity, status: str) -> bool:
        """Write the status; False if that did not work now: the record stays ready, and a later run does it."""
        if self._tally.stopped:
            return False
        try:
            worker.statuses.write(activity.record_id, status)
        except Busy as exc:
            # Of a process that was killed: its claim has yet to run out.
            log.info("%s", exc)
            self._tally.add_undone()
            return False
        except DailyLimit as exc:
            self._tally.stop(for_today(exc))
            return False
        except Refused as exc:
            if exc.status != BAD_REQUEST:
                self._tally.stop(exc)
                return False
            # A rule of the application forbids it for this one record; the others can go on.
            log.warning("Record %s: its status is refused: %s", activity.record_id, exc)
            self._tally.add_unmarked(activity.record_id)
            return False
        except InterchangeError as exc:
            self._tally.stop(exc)
            return False
        self.check_allowance(worker.knack.allowance)
        return True

    def check_allowance(self, left: Allowance | None) -> None:
        """Stop the run where only the reserve is left of the day's requests."""
        if left is not None and left.remaining < self._app.daily_reserve + COST:
            self._tally.stop(
                Refused(
                    "knack.allowance",
                    f"{left.remaining} of the day's {left.limit} requests are left, {self._app.daily_reserve} are kept "
                    f"for others (daily_reserve); the rest goes after the reset in {left.resets_in_s / 3600:.1f} h",
                )
            )


def may_resend(app: App, ledger: Ledger, ref: EffectRef) -> bool:
    """Whether a message of unknown outcome is sent again: only where the same bytes are at hand."""
    return app.on_unknown_outcome == "resend" and ledger.load_progress(ref) is not None
