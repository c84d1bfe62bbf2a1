"""The ledger's words: effects, their states, and which state may follow which."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from datetime import datetime
from enum import StrEnum
from typing import Any, Protocol

from interchange.errors import OutcomeUnknown

Receipt = dict[str, Any]


class State(StrEnum):
    """Where an effect stands."""

    PLANNED = "planned"
    """Wanted and certainly not done."""
    BEGUN = "begun"
    """Somebody with a claim is doing it now."""
    CONFIRMED = "confirmed"
    """Done, with a receipt."""
    UNKNOWN = "unknown"
    """It may have happened: to be looked up or settled, never sent again blindly."""
    QUARANTINED = "quarantined"
    """Its record is wrong and set aside, with field and reason."""


TRANSITIONS: Mapping[State, frozenset[State]] = {
    State.PLANNED: frozenset({State.BEGUN, State.QUARANTINED}),
    State.BEGUN: frozenset({State.CONFIRMED, State.PLANNED, State.UNKNOWN}),
    State.UNKNOWN: frozenset({State.CONFIRMED, State.PLANNED, State.BEGUN}),
    State.QUARANTINED: frozenset({State.PLANNED}),
    State.CONFIRMED: frozenset(),
}
"""What may follow what. The database's triggers enforce the same table; a test compares the two."""


@dataclasses.dataclass(frozen=True)
class EffectRef:
    """
    The name of one effect: the same however often it is tried.

    :param workflow: the DAG's name, such as ``knack_to_esb``. No slash.
    :param kind: what is done, such as ``upload``. No slash.
    :param key: which one, 1 to 512 characters. Neither run nor try belongs here, nor personal data in clear
        (see :func:`interchange.ledger.keys.keyed_hash`).
    :raises ValueError: a part is empty, too long, or has a slash where none may be.
    """

    workflow: str
    kind: str
    key: str

    def __post_init__(self) -> None:
        for name, value, most in (
            ("workflow", self.workflow, 128),
            ("kind", self.kind, 128),
            ("key", self.key, 512),
        ):
            if not 1 <= len(value) <= most:
                raise ValueError(f"An effect's {name} has 1 to {most} characters, not {len(value)}.")
            if "\0" in value or (name != "key" and "/" in value):
                raise ValueError(f"An effect's {name} may not contain a slash or a NUL character.")

    def __str__(self) -> str:
        return f"{self.workflow}/{self.kind}/{self.key}"

    @classmethod
    def parse(cls, text: str) -> EffectRef:
        """
        Read ``workflow/kind/key``; the key may itself contain slashes.

        :raises ValueError: fewer than three parts.
        """
        parts = text.split("/", 2)
        if len(parts) != 3:
            raise ValueError(f"An effect is named workflow/kind/key, not {text!r}.")
        return cls(*parts)


@dataclasses.dataclass(frozen=True)
class RunRef:
    """
    Who asked for an effect. For information: never part of its identity.

    :param request: text that names one request (a run and how often it was cleared), where that matters.
    """

    dag_id: str | None = None
    run_id: str | None = None
    request: str | None = None


@dataclasses.dataclass(frozen=True, kw_only=True)
class Effect:
    """
    One row of the ledger, as it was when read. Times are aware UTC, by the database's clock.

    ``owner`` is who holds the claim while begun, who tried last while unknown, else None. ``attempts`` counts
    how often it was begun; together with the state it tells one attempt from the next.
    """

    ref: EffectRef
    state: State
    digest: str | None
    owner: str | None
    claim_expires_at: datetime | None
    attempts: int
    field: str | None
    reason: str | None
    receipt: Receipt | None
    dag_id: str | None
    run_id: str | None
    request: str | None
    created_at: datetime
    updated_at: datetime


@dataclasses.dataclass(frozen=True, kw_only=True)
class Event:
    """
    One change of one effect or one broken claim: written by the database's own triggers, never altered.

    ``from_state`` is None where the effect was first planned; it equals ``to_state`` where a receipt was
    altered. ``by`` is the owner or person, or ``sql:<user>`` for a change made by hand.
    """

    at: datetime
    from_state: str | None
    to_state: str
    by: str
    reason: str | None


@dataclasses.dataclass(frozen=True, kw_only=True)
class NamedClaim:
    """A claim on a name, such as a workflow's right to run. ``holder`` tells two uses by one owner apart."""

    name: str
    owner: str
    holder: str
    taken_at: datetime
    expires_at: datetime
    live: bool


class Cipher(Protocol):
    """What encrypts progress; Airflow's Fernet is one."""

    def encrypt(self, msg: bytes, /) -> bytes: ...

    def decrypt(self, msg: bytes, /) -> bytes: ...


class ClaimLost(OutcomeUnknown):
    """Our claim ran out and somebody else acted on it: what we did meanwhile may have happened."""
