"""
The effect ledger: what should happen outside, what is being done, what was done, with receipts.

    planned → begun → confirmed
    begun → planned       certainly not done
    begun → unknown       may have happened
    unknown → confirmed | planned | begun
    planned → quarantined → planned
"""

from __future__ import annotations

from interchange.ledger.model import (
    TRANSITIONS,
    Cipher,
    ClaimLost,
    Effect,
    EffectRef,
    Event,
    NamedClaim,
    Receipt,
    RunRef,
    State,
)
from interchange.ledger.renewal import Renewal
from interchange.ledger.store import Ledger

__all__ = [
    "TRANSITIONS",
    "Cipher",
    "ClaimLost",
    "Effect",
    "EffectRef",
    "Event",
    "Ledger",
    "NamedClaim",
    "Receipt",
    "Renewal",
    "RunRef",
    "State",
]
