"""
Taking back what exists twice, because a process stood still for longer than its claim.

What is to go is on the ledger before it goes: if that fails, or is killed, the daily care goes on with it.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping

from interchange.errors import InterchangeError
from interchange.ledger import Effect, EffectRef, Ledger, Receipt, RunRef, State

log = logging.getLogger(__name__)

WORKFLOW, SURPLUS = "webex_upkeep", "surplus"
MEETING, MESSAGE = "meeting", "message"


def take_back(
    ledger: Ledger, what: str, id_: str, do: Callable[[str], bool], *, lease_s: float, run: RunRef
) -> None:
    """
    Cancel a meeting or delete a message that was made a second time. What goes wrong is left to :func:`again`.

    :param what: :data:`MEETING` or :data:`MESSAGE`; :param id_: Webex's. :param do: takes it back by that id.
    """
    try:
        _perform(ledger, EffectRef(WORKFLOW, SURPLUS, f"{what}/{id_}"), do, lease_s=lease_s, run=run)
    except InterchangeError as exc:
        log.warning("A second %s stays until webex_upkeep takes it back: %s", what, exc)


def left(ledger: Ledger) -> list[Effect]:
    """What is to go and is still there."""
    return [
        effect
        for state in (State.PLANNED, State.UNKNOWN)
        for effect in ledger.list(workflow=WORKFLOW, kind=SURPLUS, state=state)
    ]


def again(
    ledger: Ledger, ref: EffectRef, ways: Mapping[str, Callable[[str], bool]], *, lease_s: float, run: RunRef
) -> None:
    """
    Take back what :func:`left` names.

    :param ways: how, by what it is.
    :raises InterchangeError: it does not go this time either.
    """
    _perform(ledger, ref, ways[ref.key.partition("/")[0]], lease_s=lease_s, run=run)


def _perform(
    ledger: Ledger, ref: EffectRef, do: Callable[[str], bool], *, lease_s: float, run: RunRef
) -> None:
    def send() -> Receipt:
        return {"was_there": do(ref.key.partition("/")[2])}

    # A second deletion finds nothing.
    ledger.perform(ref, send=send, find=None, resend=True, lease_s=lease_s, run=run)
