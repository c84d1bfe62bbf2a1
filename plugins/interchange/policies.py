"""
What Airflow does about each class of error: retry now, later, or not at all.

Retrying lives here and nowhere else above the HTTP layer: hooks do not loop on writes, tasks do not catch and
sleep. Give :data:`OUTBOUND` to every task that talks to another system. It cannot go beyond the task's
``retries``.
"""

from __future__ import annotations

import os
import zlib
from datetime import timedelta
from typing import TYPE_CHECKING, Any

from airflow.sdk import RetryDecision, RetryPolicy

from interchange.errors import (
    BadRecord,
    Busy,
    OutcomeUnknown,
    RateLimited,
    Refused,
    RemoteError,
    SettingsError,
    Unavailable,
)

if TYPE_CHECKING:
    from airflow.sdk import Context

BASE_VARIABLE = "INTERCHANGE_RETRY_BASE_S"
"""Environment variable: seconds before the first repeat, 30 if it is not set."""
DEFAULT_BASE_S = 30.0
LONGEST_BACKOFF_S = 15 * 60.0
LONGEST_REQUESTED_WAIT_S = 24 * 3600.0
"""A vendor that asks for more than a day is obeyed for a day, then asked again."""
_JITTER = 0.1


class OutboundPolicy(RetryPolicy):
    """
    By class of error:

    ==================================  ===================================================================
    SettingsError, Refused, BadRecord   fail now: the same again would fail again
    RateLimited                         retry after the time the other side asked for, and a little more
    Busy                                retry when the claim could have run out; whoever holds it then is at work,
                                        and is waited for ever longer, like Unavailable
    OutcomeUnknown                      retry: the next try looks the effect up before doing anything
    Unavailable                         retry after 30 s, 60 s, 120 s …, at most 15 minutes
    anything else                       what the task's own ``retries`` and ``retry_delay`` say
    ==================================  ===================================================================

    The little more, up to a tenth, differs from task instance to task instance, so that mapped tasks do not
    all come back in the same second. It is computed, not drawn: the same try always gets the same delay.
    """

    def evaluate(
        self,
        exception: BaseException,
        try_number: int,
        max_tries: int,
        context: Context | None = None,
    ) -> RetryDecision:
        """See the class; called by Airflow in the worker, after a failure."""
        name = _name(exception)
        if isinstance(exception, (SettingsError, Refused, BadRecord)):
            return RetryDecision.fail(f"{name}: repeating it unchanged would fail again")
        if isinstance(exception, Busy):
            before = self._tries_before(try_number, max_tries, context)
            wait_s = max(exception.retry_after_s, self._backoff_s(before - 1) if before else 0.0)
            return _retry(name, wait_s, try_number, context)
        if isinstance(exception, RateLimited):
            wait_s = min(max(exception.retry_after_s, 0.0), LONGEST_REQUESTED_WAIT_S)
            return _retry(name, wait_s, try_number, context)
        if isinstance(exception, (Unavailable, OutcomeUnknown)):
            before = self._tries_before(try_number, max_tries, context)
            return _retry(name, self._backoff_s(before), try_number, context)
        return RetryDecision.default()

    def serialize(self) -> dict[str, Any]:
        """Nothing but its name: it has no settings of its own."""
        return {"__type": f"{type(self).__module__}.{type(self).__qualname__}"}

    @classmethod
    def deserialize(cls, data: dict[str, Any]) -> OutboundPolicy:
        """The policy again."""
        return cls()

    @staticmethod
    def _tries_before(try_number: int, max_tries: int, context: Context | None) -> int:
        """
        How many tries there were before this one since the task was last cleared.

        ``try_number`` counts on over clearings, so after a few of them it alone would start with the longest
        wait.
        """
        first = 1
        if context is not None:
            first = max(max_tries - (context["ti"].task.retries or 0), 0) + 1
        return min(max(try_number - first, 0), 30)

    @staticmethod
    def _backoff_s(tries_before: int) -> float:
        """Doubles with each try."""
        return float(min(_base_s() * 2**tries_before, LONGEST_BACKOFF_S))


def _base_s() -> float:
    # Read at each failure, so that tests and the demo can make repeats quick without reloading anything.
    try:
        base = float(os.environ.get(BASE_VARIABLE, ""))
    except ValueError:
        return DEFAULT_BASE_S
    return base if 0 <= base <= LONGEST_BACKOFF_S else DEFAULT_BASE_S


def _retry(name: str, wait_s: float, try_number: int, context: Context | None) -> RetryDecision:
    instance = str(context["ti"].id) if context is not None else ""
    share = zlib.crc32(f"{instance}/{try_number}".encode()) / 0xFFFFFFFF
    delay = timedelta(seconds=round(wait_s * (1 + _JITTER * share), 3))
    return RetryDecision.retry(delay, f"{name}: next try in {delay.total_seconds():.0f} s")


def _name(exception: BaseException) -> str:
    """The error for Airflow's log and UI: its class and our name of the call, never its text."""
    kind = type(exception).__name__
    if isinstance(exception, RemoteError):
        return f"{kind} in {exception.operation}"
    return kind


OUTBOUND = OutboundPolicy()
"""For every task that reads from or writes to another system."""
RETRY_DELAY = timedelta(seconds=_base_s())
"""``retry_delay`` beside it: for tries that end without an exception, such as a killed worker's. Read at each parse."""
