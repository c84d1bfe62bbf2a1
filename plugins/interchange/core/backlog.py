"""
Order and failure of a backlog: who is tried first, when a bus counts as unwell, when a message as poisonous.

The bus answers the same status for a bad message and for its own trouble, so nothing here is decided by one answer:
only by what else it takes or refuses.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Literal

LONGEST_PAUSE = timedelta(hours=1)
FIRST_PAUSE = timedelta(minutes=5)


@dataclass(frozen=True, kw_only=True)
class Head:
    """
    The first message of a service request that may go.

    :param failures: how often it was tried in vain.
    """

    record_id: str
    number: int
    failures: int


def probe_order(heads: Sequence[Head]) -> list[Head]:
    """
    In which order heads are tried while it is not known whether the bus is well.

    Those that failed least come first: so a few poisonous ones, which fail every time, cannot keep the others waiting.
    """
    return sorted(heads, key=lambda head: (head.failures, head.number, head.record_id))


class CircuitBreaker:
    """
    Open once so many *different* messages have failed in a row: then it is not the messages.

    :param outage_after: how many.
    """

    def __init__(self, outage_after: int) -> None:
        self._outage_after = outage_after
        self._failed: set[str] = set()
        self.open = False

    def record_success(self) -> None:
        self._failed.clear()

    def record_failure(self, record_id: str) -> None:
        self._failed.add(record_id)
        self.open |= len(self._failed) >= self._outage_after


def is_poisonous(
    *,
    failures: int,
    first_failed_at: datetime | None,
    others_accepted_since: int,
    now: datetime,
    attempts: int,
    after: timedelta,
) -> bool:
    """
    Whether a message that is refused again and again is itself the reason.

    :param others_accepted_since: messages that the bus took after it had refused this one for the first time. One is
        not enough: an outage may have begun or ended between two messages. So many as the attempts that are asked for.
    """
    return (
        first_failed_at is not None
        and failures >= attempts
        and now - first_failed_at >= after
        and others_accepted_since >= attempts
    )


def next_try_at(lost: Sequence[datetime]) -> datetime | None:
    """
    When a bus that loses its answers may be given one more message.

    Each such message is one for a person to settle. One may be chance; from the second on the pauses double: 10, 20,
    40 minutes, at most an hour.

    :param lost: when messages got lost since the bus last took one, oldest first.
    """
    if len(lost) < 2:
        return None
    pause: timedelta = min(FIRST_PAUSE * 2 ** min(len(lost) - 1, 10), LONGEST_PAUSE)
    return lost[-1] + pause


def alert_due(
    oldest_waiting_since: datetime | None, now: datetime, after: timedelta, *, is_alerting: bool
) -> Literal["begin", "end"] | None:
    """Whether people are to be told that something waits too long, or that nothing does any more."""
    is_late = oldest_waiting_since is not None and now - oldest_waiting_since >= after
    if is_late == is_alerting:
        return None
    return "begin" if is_late else "end"
