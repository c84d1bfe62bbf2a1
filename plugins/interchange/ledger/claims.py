"""Named claims: one workflow, one spreadsheet, one account at a time, whatever started the runs."""

from __future__ import annotations

import builtins
import logging
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from sqlalchemy import ColumnElement, Double, Engine, Row, delete, insert, literal, or_, select, update
from sqlalchemy.dialects import postgresql, sqlite

from interchange.errors import Busy, NotFound, Unavailable
from interchange.ledger.database import transaction
from interchange.ledger.model import ClaimLost, NamedClaim
from interchange.ledger.renewal import Renewal
from interchange.ledger.schema import claims, events, later, now

log = logging.getLogger(__name__)


class NamedClaims:
    """
    Claims on names. Each is one row, taken by one atomic statement and free again when dropped or run out.

    :param owner: who takes them, for a person to read; ``holder`` is what tells claims apart.
    """

    def __init__(self, engine: Engine, *, owner: str) -> None:
        self._engine = engine
        self._owner = owner

    def take(self, name: str, *, holder: str, lease_s: float) -> NamedClaim:
        """
        Take a name that is free, has run out, or is held under the same ``holder`` (then this renews it).

        Tasks of one run share a claim by giving the same holder, such as the run's id.

        :raises Busy: somebody else holds it; ``retry_after_s`` is the rest of the lease.
        """
        new = {
            "name": name,
            "owner": self._owner,
            "holder": holder,
            "taken_at": now(),
            "expires_at": later(literal(float(lease_s), Double)),
        }
        dialect = postgresql if self._engine.dialect.name == "postgresql" else sqlite
        statement = dialect.insert(claims).values(new)
        statement = statement.on_conflict_do_update(
            index_elements=[claims.c.name],
            set_={
                column: statement.excluded[column] for column in ("owner", "holder", "taken_at", "expires_at")
            },
            where=or_(claims.c.expires_at <= now(), claims.c.holder == holder),
        ).returning(claims, (claims.c.expires_at > now()).label("live"))
        with transaction(self._engine) as connection:
            row = connection.execute(statement).one_or_none()
            if row is not None:
                return _claim(row)
            held = connection.execute(
                select(claims, now().label("read_at")).where(claims.c.name == name)
            ).one_or_none()
        if held is None:
            raise Busy("ledger.hold", f"{name} was just released", retry_after_s=0.1)
        rest = (held.expires_at - held.read_at).total_seconds()
        raise Busy("ledger.hold", f"{name} is held by {held.owner}", retry_after_s=max(rest, 0.1))

    def renew(self, name: str, *, holder: str, lease_s: float) -> None:
        """
        Extend a claim that is ours; also one that ran out but that nobody took.

        :raises ClaimLost: it is not ours any more.
        """
        with transaction(self._engine) as connection:
            renewed = connection.execute(
                update(claims)
                .where(_held(name, holder))
                .values(expires_at=later(literal(float(lease_s), Double)))
                .returning(claims.c.name)
            ).one_or_none()
        if renewed is None:
            raise ClaimLost("ledger.renew", f"the claim on {name} ran out and was taken or broken")

    def drop(self, name: str, *, holder: str) -> bool:
        """Free a name that is ours. False if it was not ours (any more)."""
        with transaction(self._engine) as connection:
            return connection.execute(delete(claims).where(_held(name, holder))).rowcount > 0

    @contextmanager
    def hold(self, name: str, *, lease_s: float, holder: str | None = None) -> Iterator[Renewal]:
        """
        Hold a name while the block runs, renewed in the background; freed at its end, errors included.

        :param lease_s: after a crash the name is free again when this has passed.
        :param holder: see :meth:`take`; without one nobody else shares the claim, not even the same owner.
        :raises Busy: somebody else holds it.
        :raises ClaimLost: at the end of the block, if it was lost on the way and nothing else was raised;
            :meth:`Renewal.check` tells earlier.
        """
        chosen = holder or uuid.uuid4().hex
        self.take(name, holder=chosen, lease_s=lease_s)
        try:
            with Renewal(lambda: self.renew(name, holder=chosen, lease_s=lease_s), name, lease_s) as renewal:
                yield renewal
        finally:
            try:
                self.drop(name, holder=chosen)
            except Unavailable as exc:
                # What the block did, or why it failed, matters more: the claim frees itself after its lease.
                log.warning("The claim on %s could not be given back: %s", name, exc)
        renewal.check()

    def list(self) -> builtins.list[NamedClaim]:
        """Return all claims; those not ``live`` have run out and are free."""
        query = select(claims, (claims.c.expires_at > now()).label("live")).order_by(claims.c.name)
        with transaction(self._engine, write=False) as connection:
            return [_claim(row) for row in connection.execute(query)]

    def break_(self, name: str, *, by: str, reason: str) -> NamedClaim:
        """
        Take a claim away from its holder, who notices at the next renewal. Leaves an event.

        :raises NotFound: nobody holds it.
        """
        with transaction(self._engine) as connection:
            row = connection.execute(
                delete(claims)
                .where(claims.c.name == name)
                .returning(claims, (claims.c.expires_at > now()).label("live"))
            ).one_or_none()
            if row is None:
                raise NotFound("ledger.break_claim", f"nobody holds {name}")
            connection.execute(
                insert(events).values(
                    claim=name, at=now(), from_state="held", to_state="broken", by=by, reason=reason
                )
            )
        return _claim(row)


def _held(name: str, holder: str) -> ColumnElement[bool]:
    return (claims.c.name == name) & (claims.c.holder == holder)


def _claim(row: Row[Any]) -> NamedClaim:
    return NamedClaim(
        name=row.name,
        owner=row.owner,
        holder=row.holder,
        taken_at=row.taken_at,
        expires_at=row.expires_at,
        live=bool(row.live),
    )
