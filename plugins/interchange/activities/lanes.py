"""What a run works through: a lane for each service request, and the workers that do it."""

from __future__ import annotations

import dataclasses
from collections import deque
from enum import StrEnum

from interchange.activities.plan import Activity
from interchange.activities.status import StatusWriter
from interchange.hooks.esb import EsbHook
from interchange.hooks.knack import KnackHook
from interchange.ledger import EffectRef

DAG_ID = "knack_to_esb"
MESSAGE = "message"


def message_ref(app: str, record_id: str) -> EffectRef:
    """The effect of one record's message: once for ever."""
    return EffectRef(DAG_ID, MESSAGE, f"{app}/{record_id}")


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
    :param share: so many of its messages may go in this run; None: all.
    """

    rest: deque[Activity]
    failures: int = 0
    held_by: Outcome | None = None
    share: int | None = None


@dataclasses.dataclass(frozen=True, kw_only=True)
class Worker:
    """One thread's own hooks: a session is not shared."""

    knack: KnackHook
    bus: EsbHook
    statuses: StatusWriter
