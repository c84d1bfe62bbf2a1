"""The pattern for one outside change: see :meth:`interchange.ledger.Ledger.perform`."""

from __future__ import annotations

import json
import logging
from collections.abc import Callable
from typing import TYPE_CHECKING

from tenacity import Retrying, retry_if_exception_type, stop_after_delay, wait_exponential

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
from interchange.ledger import receipts
from interchange.ledger.model import ClaimLost, Effect, EffectRef, Receipt, RunRef, State
from interchange.ledger.renewal import Renewal

if TYPE_CHECKING:
    from interchange.ledger.store import Ledger

log = logging.getLogger(__name__)

# How long a receipt in hand is worth waiting for a ledger that does not answer: a database's fail-over.
CONFIRM_PATIENCE_S = 60.0


def perform(
    ledger: Ledger,
    ref: EffectRef,
    *,
    send: Callable[[], Receipt],
    find: Callable[[], Receipt | None] | None,
    lease_s: float,
    digest: str | None,
    run: RunRef | None,
    resend: bool,
    undo: Callable[[Receipt, Receipt | None], None] | None,
) -> Receipt:
    effect = ledger.begin(ref, lease_s=lease_s, digest=digest, run=run)
    if effect.state is State.UNKNOWN:
        try:
            effect = _clear_up(ledger, effect, find=find, resend=resend, lease_s=lease_s)
        except Conflict:
            effect = _settled_by_another(ledger, ref)
    if effect.state is State.QUARANTINED:
        raise BadRecord(effect.field or "record", f"{ref} is quarantined: {effect.reason}")
    if effect.receipt is not None:
        return effect.receipt
    return _send(ledger, ref, send=send, lease_s=lease_s, undo=undo)


def _clear_up(
    ledger: Ledger, effect: Effect, *, find: Callable[[], Receipt | None] | None, resend: bool, lease_s: float
) -> Effect:
    """
    Find out what an earlier attempt did: confirmed if found, begun by us if it may be sent (again).

    The ``attempt`` given along makes sure that nobody else tried between our look-up and our claim.
    """
    ref, attempt = effect.ref, effect.attempts
    if find is not None:
        found = find()
        if found is not None:
            return ledger.settle(
                ref,
                to=State.CONFIRMED,
                by=ledger.owner,
                reason="found by look-up",
                receipt=found,
                attempt=attempt,
            )
        return ledger.resume(ref, lease_s=lease_s, reason="looked up: it was not done", attempt=attempt)
    if resend:
        return ledger.resume(ref, lease_s=lease_s, reason="sent again with the same key", attempt=attempt)
    raise OutcomeUnknown(
        "ledger.perform",
        f"{ref}: attempt {attempt} by {effect.owner} may have done it ({effect.reason}), and it can be "
        "neither looked up nor sent again. A person decides: "
        f"python -m interchange settle {ref} --to confirmed|planned --reason …",
    )


def _settled_by_another(ledger: Ledger, ref: EffectRef) -> Effect:
    """
    What somebody else made of the effect while we looked it up.

    :raises Busy: it is not done; the next try begins anew.
    """
    effect = ledger.get(ref)
    if effect is None or effect.state is not State.CONFIRMED:
        raise Busy("ledger.perform", f"{ref} has changed while it was looked up", retry_after_s=1)
    return effect


def _send(
    ledger: Ledger,
    ref: EffectRef,
    *,
    send: Callable[[], Receipt],
    lease_s: float,
    undo: Callable[[Receipt, Receipt | None], None] | None,
) -> Receipt:
    try:
        with Renewal(lambda: ledger.renew(ref, lease_s=lease_s), str(ref), lease_s):
            receipt: Receipt = json.loads(receipts.encode(send()))
    except BadRecord as exc:
        field, reason = exc.field, exc.reason
        _note(ref, lambda: ledger.quarantine(ref, field=field, reason=reason))
        raise
    except OutcomeUnknown as exc:
        reason = str(exc)
        _note(ref, lambda: ledger.mark_unknown(ref, reason))
        raise
    except (Unavailable, Refused, SettingsError) as exc:
        reason = str(exc)
        _note(ref, lambda: ledger.release(ref, reason))
        raise
    except BaseException as exc:
        # A bug, a time-out, a kill in the middle of the call: nobody knows how far it came. Only the error's
        # class is kept: its text may hold anything.
        reason = f"interrupted by {type(exc).__name__}"
        _note(ref, lambda: ledger.mark_unknown(ref, reason))
        raise
    try:
        confirm_patiently(ledger, ref, receipt)
    except ClaimLost:
        if undo is None:
            raise
        return _given_way(ledger, ref, receipt, undo)
    return receipt


def _given_way(
    ledger: Ledger, ref: EffectRef, ours: Receipt, undo: Callable[[Receipt, Receipt | None], None]
) -> Receipt:
    """
    Take back what we did after another process had taken over, since ours stood still for longer than its claim.

    :raises Busy: the other one is still at it. :raises ClaimLost: nobody is: the look-up of the next try finds ours.
    """
    effect = ledger.get(ref)
    if effect is None or effect.state not in (State.BEGUN, State.CONFIRMED):
        raise ClaimLost(
            "ledger.perform", f"{ref} was done while its claim ran out; the next try looks for it"
        )
    undo(ours, effect.receipt)
    log.warning("%s: this process stood still for too long, and what it did is taken back", ref)
    if effect.receipt is None:
        raise Busy("ledger.perform", f"another process is at {ref}", retry_after_s=1)
    return effect.receipt


def confirm_patiently(ledger: Ledger, ref: EffectRef, receipt: Receipt) -> None:
    """
    Record what was done, waiting for a ledger that does not answer for a while.

    Whatever became of the claim meanwhile, the receipt is offered: the ledger decides.

    :raises OutcomeUnknown: the ledger does not answer.
    """
    try:
        for attempt in Retrying(
            retry=retry_if_exception_type(Unavailable),
            stop=stop_after_delay(CONFIRM_PATIENCE_S),
            wait=wait_exponential(multiplier=0.2, max=5),
            reraise=True,
        ):
            with attempt:
                ledger.confirm(ref, receipt)
    except Unavailable as exc:
        raise OutcomeUnknown(
            "ledger.perform", f"{ref} was done, but the ledger did not answer to record it"
        ) from exc


def _note(ref: EffectRef, record: Callable[[], object]) -> None:
    """Record how an attempt ended. Should that fail, the claim runs out, which counts as unknown."""
    try:
        record()
    except InterchangeError as exc:
        log.warning("How the attempt at %s ended could not be recorded: %s", ref, exc)
