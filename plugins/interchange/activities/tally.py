"""What a run has done so far, and whether it goes on: shared by its threads."""

from __future__ import annotations

import dataclasses
import threading

from interchange.core.backlog import CircuitBreaker
from interchange.errors import InterchangeError, Refused, Unavailable
from interchange.hooks.esb import OPERATION
from interchange.hooks.knack import DailyLimit

BAD_REQUEST = 400
# So many records are named in an error.
NAMED = 5


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
    :param oldest_waiting_s: for how long the first of those, and of the held ones, has been known, in seconds.
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


class Tally:
    """
    Counts, and the reasons to stop.

    :param outage_after: so many messages in a row that were not taken are an outage.
    """

    def __init__(self, app: str, *, outage_after: int) -> None:
        self.summary = Summary(app=app)
        self.proven = False
        """Whether the bus has taken a message in this run."""
        self._outage_after = outage_after
        self._breaker = CircuitBreaker(outage_after)
        self._lock = threading.Lock()
        self._stopped: InterchangeError | None = None
        self._new_unknown = 0
        self._undone = 0
        self._unmarked: list[str] = []

    @property
    def stopped(self) -> bool:
        """Something fails that would fail for every record."""
        return self._stopped is not None

    def is_halted(self) -> bool:
        """Whether no further message goes in this run."""
        return self.stopped or self._breaker.open

    def stop(self, reason: InterchangeError) -> None:
        """The first reason is the one that is told."""
        self._stopped = self._stopped or reason

    def add(self, name: str) -> None:
        """:param name: of one of the :class:`Summary`'s counts."""
        with self._lock:
            setattr(self.summary, name, getattr(self.summary, name) + 1)

    def add_undone(self, number: int = 1) -> None:
        """Messages or statuses that a later try has to do."""
        with self._lock:
            self._undone += number

    def add_unknown(self, number: int = 1) -> None:
        """Messages that may have been accepted; a person decides."""
        with self._lock:
            self._new_unknown += number

    def add_unmarked(self, record_id: str) -> None:
        """A record whose status Knack refuses."""
        with self._lock:
            self._unmarked.append(record_id)

    def was_taken(self) -> None:
        with self._lock:
            self._breaker.record_success()
            self.proven = True

    def was_not_taken(self, record_id: str) -> None:
        with self._lock:
            self._breaker.record_failure(record_id)

    def complain(self) -> None:
        """
        A run that leaves something undone, or something new for a person to settle, is no success.

        :raises Unavailable: what is left goes with a later try or run.
        :raises Refused: a person must act.
        """
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
                f"{self._outage_after} messages in a row were not taken: the bus is not well; "
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


def for_today(exc: DailyLimit) -> Refused:
    """A task that waited for midnight would keep all later runs waiting as well."""
    hours = exc.retry_after_s / 3600
    return Refused(
        exc.operation, f"{exc.detail}; later runs go on after the reset in {hours:.1f} h", status=429
    )
