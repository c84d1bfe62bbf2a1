"""
The effect ledger: each outside effect once, however often we are interrupted.

Every method is one transaction, committed when it returns. A method that may act only on its own claim says
so; called without one it changes nothing and raises :class:`~interchange.ledger.model.ClaimLost`.
"""

from __future__ import annotations

import builtins
import json
import logging
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from datetime import datetime
from typing import Any, NoReturn

from sqlalchemy import (
    URL,
    ColumnElement,
    Connection,
    Double,
    Engine,
    Row,
    and_,
    insert,
    literal,
    null,
    select,
    update,
)
from sqlalchemy.dialects import postgresql, sqlite

from interchange.errors import Busy, Conflict, NotFound
from interchange.ledger import bulk, performing, receipts
from interchange.ledger.claims import NamedClaims
from interchange.ledger.database import make_engine, transaction
from interchange.ledger.model import (
    Cipher,
    ClaimLost,
    Effect,
    EffectRef,
    Receipt,
    RunRef,
    State,
)
from interchange.ledger.queries import LedgerReader, effect_of, named
from interchange.ledger.renewal import Renewal
from interchange.ledger.schema import effects, later, now, pins
from interchange.ledger.upgrade import ensure_current

log = logging.getLogger(__name__)

_MAX_REASON = 2000  # characters: enough for an error's sentence; a whole body never belongs here


class Ledger(LedgerReader):
    """
    The ledger as seen by one owner.

    :param engine: an SQLAlchemy engine from :func:`~interchange.ledger.database.make_engine`, or a URL. The
        database is migrated if needed.
    :param owner: who acts: one try of one task instance, such as ``dag/run/task/map_index/try``. Two that may
        run at the same time must not share it; one that is deferred and resumed keeps it.
    :param cipher: encrypts progress. Without one, progress is not kept at all.
    :raises SettingsError: the database is not one a ledger can live in.
    :raises Unavailable: the database cannot be reached.
    """

    def __init__(self, engine: Engine | URL | str, *, owner: str, cipher: Cipher | None = None) -> None:
        if not owner:
            raise ValueError("A ledger needs an owner's name: it tells whose claim is whose.")
        super().__init__(engine if isinstance(engine, Engine) else make_engine(engine))
        self.owner = owner
        self._cipher = cipher
        ensure_current(self.engine)
        self.claims = NamedClaims(self.engine, owner=owner)

    # Planning and claiming

    def plan(self, ref: EffectRef, *, digest: str | None = None, run: RunRef | None = None) -> Effect:
        """
        Write down that the effect is wanted, or return what is there.

        While it is still planned, a digest or run that is given replaces the old one; later it changes
        nothing: the caller compares.

        :param digest: of the content, to tell whether it changed.
        """
        with transaction(self.engine) as connection:
            return effect_of(self._plan(connection, ref, digest, run))

    def begin(
        self, ref: EffectRef, *, lease_s: float, digest: str | None = None, run: RunRef | None = None
    ) -> Effect:
        """
        Claim the effect for one attempt, planning it first if need be.

        :param lease_s: seconds until the claim runs out unless renewed, by the database's clock.
        :return: ``begun`` if it is ours now. ``unknown`` if an attempt's outcome is not known, which includes
            one whose claim has run out. ``confirmed`` and ``quarantined`` as they are. Only ``begun`` permits
            acting.
        :raises Busy: a live claim is on it; ``retry_after_s`` is the rest of its lease. Our own counts too.
        """
        with transaction(self.engine) as connection:
            row = self._plan(connection, ref, digest, run)
            if row.state == State.PLANNED:
                claimed = self._change(
                    connection, ref, effects.c.state == State.PLANNED, State.BEGUN, lease_s=lease_s
                )
                if claimed is not None:
                    return effect_of(claimed)
            elif row.state == State.BEGUN:
                for lost in self.expire_in(connection, named(ref)):
                    return lost
            # Neither: it is settled, or another process was faster.
            row = connection.execute(select(effects, now().label("read_at")).where(named(ref))).one()
        if row.state in (State.BEGUN, State.PLANNED):
            rest = (
                0.0 if row.claim_expires_at is None else (row.claim_expires_at - row.read_at).total_seconds()
            )
            raise Busy(
                "ledger.begin",
                f"{ref} is being done by {row.owner or 'another process'}",
                retry_after_s=max(rest, 0.1),
            )
        return effect_of(row)

    def resume(self, ref: EffectRef, *, lease_s: float, reason: str, attempt: int | None = None) -> Effect:
        """
        Claim an effect of unknown outcome for another attempt: it was looked up and is not there, or sending
        it again with the same key does no harm.

        :param attempt: the ``attempts`` of the effect that was looked up: only while that is still the last
            one.
        :raises Busy: another process was faster and is at it.
        :raises Conflict: it is not of unknown outcome (any more).
        """
        condition = effects.c.state == State.UNKNOWN
        if attempt is not None:
            condition = and_(condition, effects.c.attempts == attempt)
        with transaction(self.engine) as connection:
            row = self._change(connection, ref, condition, State.BEGUN, lease_s=lease_s, reason=reason)
            if row is None:
                self._explain(connection, "ledger.resume", ref, "of unknown outcome")
        return effect_of(row)

    def renew(self, ref: EffectRef, *, lease_s: float) -> Effect:
        """Extend our own claim to ``lease_s`` seconds from now, even one that ran out if left alone since."""
        with transaction(self.engine) as connection:
            row = connection.execute(
                update(effects)
                .where(named(ref), self._ours())
                .values(claim_expires_at=_lease_end(lease_s), updated_at=now())
                .returning(effects)
            ).one_or_none()
        return effect_of(self._still_ours("ledger.renew", ref, row))

    # Outcomes

    def confirm(self, ref: EffectRef, receipt: Receipt) -> Effect:
        """
        Record our own attempt as done. Progress is dropped.

        An attempt of ours that meanwhile counts as unknown, because it outlived its lease, is confirmed too:
        the receipt is better knowledge. Confirming again with the same receipt changes nothing.

        :param receipt: JSON values: ids, sizes, hashes, times; never secrets. Keys that hold personal data
            are listed under ``personal``, see :meth:`forget_personal_data`.
        :raises TypeError: not JSON. :raises ValueError: not JSON.
        :raises ClaimLost: somebody else acted on it.
        """
        text = receipts.encode(receipt)
        ours = and_(effects.c.owner == self.owner, effects.c.state.in_([State.BEGUN, State.UNKNOWN]))
        with transaction(self.engine) as connection:
            row = self._change(connection, ref, ours, State.CONFIRMED, receipt=text, progress=null())
            if row is None:
                # Our commit may have arrived although its answer did not.
                row = connection.execute(
                    select(effects).where(named(ref), effects.c.receipt == text)
                ).one_or_none()
        return effect_of(self._still_ours("ledger.confirm", ref, row))

    def release(self, ref: EffectRef, reason: str) -> Effect:
        """Give our own attempt back as certainly not done; progress is kept for the next one."""
        with transaction(self.engine) as connection:
            row = self._change(connection, ref, self._ours(), State.PLANNED, reason=reason)
        return effect_of(self._still_ours("ledger.release", ref, row))

    def mark_unknown(self, ref: EffectRef, reason: str) -> Effect:
        """End our own attempt without knowing whether it happened."""
        with transaction(self.engine) as connection:
            row = self._change(
                connection,
                ref,
                self._ours(),
                State.UNKNOWN,
                owner=self.owner,
                reason=reason or "no reason given",
            )
        return effect_of(self._still_ours("ledger.mark_unknown", ref, row))

    def quarantine(self, ref: EffectRef, *, field: str, reason: str) -> Effect:
        """
        Set an effect aside because its record is wrong: one that is planned, or that we ourselves have begun
        and certainly not done.

        :param field: what is wrong, in the vendor's spelling.
        :param reason: why, without personal data.
        :raises Conflict: it is neither planned nor ours.
        """
        with transaction(self.engine) as connection:
            self._change(connection, ref, self._ours(), State.PLANNED, reason=reason)
            row = self._change(
                connection,
                ref,
                effects.c.state == State.PLANNED,
                State.QUARANTINED,
                field=field or "record",
                reason=reason or "no reason given",
                progress=null(),
            )
            if row is None:
                self._explain(connection, "ledger.quarantine", ref, "planned")
        return effect_of(row)

    # Many at once

    def record(
        self,
        facts: Mapping[EffectRef, Receipt],
        *,
        plans: Mapping[EffectRef, str | None] | None = None,
        lease_s: float,
        run: RunRef | None = None,
    ) -> dict[EffectRef, Receipt | None]:
        """
        Write down what is already so, and what is wanted because of it, in one transaction.

        :param facts: receipts of things that have happened, such as a page that was received: confirmed from the
            start. One that is in the ledger already is left as it is.
        :param plans: effects that are wanted, each with its digest. One that is there already is left as it is.
        :return: the receipts as the ledger has them; None: it is there and was not confirmed.
        """
        return bulk.record(self, facts, plans=plans or {}, lease_s=lease_s, run=run)

    def begin_all(
        self, refs: Sequence[EffectRef], *, lease_s: float, run: RunRef | None = None
    ) -> dict[EffectRef, Effect]:
        """
        As :meth:`begin` for each, in one transaction, without raising.

        :return: each as it is now: only those permit acting that are ``begun`` and whose ``owner`` is ours.
        """
        return bulk.begin_all(self, refs, lease_s=lease_s, run=run)

    def confirm_all(
        self, receipts_of: Mapping[EffectRef, Receipt], *, facts: Mapping[EffectRef, Receipt] | None = None
    ) -> None:
        """
        As :meth:`confirm` for each, and as :meth:`record` for the facts, in one transaction.

        :raises ClaimLost: somebody else acted on one of them; none is confirmed.
        """
        bulk.confirm_all(self, receipts_of, facts=facts or {})

    # A person's decisions

    def replay(self, ref: EffectRef, *, by: str, reason: str) -> Effect:
        """
        Put a quarantined effect back to planned: the next run tries it again.

        :raises Conflict: it is not quarantined.
        """
        with transaction(self.engine) as connection:
            row = self._change(
                connection, ref, effects.c.state == State.QUARANTINED, State.PLANNED, by=by, reason=reason
            )
            if row is None:
                self._explain(connection, "ledger.replay", ref, "quarantined")
        return effect_of(row)

    def settle(
        self,
        ref: EffectRef,
        *,
        to: State,
        by: str,
        reason: str,
        receipt: Receipt | None = None,
        attempt: int | None = None,
    ) -> Effect:
        """
        Decide what became of an effect of unknown outcome. One whose claim has run out counts as such.

        :param to: ``confirmed``: it happened. ``planned``: it certainly did not, the next run does it.
        :param receipt: for ``confirmed``; without one, who settled it and why is the receipt.
        :param attempt: only while this is still the last attempt, as in :meth:`resume`.
        :raises ValueError: another ``to``.
        :raises Conflict: its outcome is not unknown.
        """
        values: dict[str, Any] = {}
        if to is State.CONFIRMED:
            values = {
                "receipt": receipts.encode(
                    receipt if receipt is not None else {"settled_by": by, "reason": reason}
                ),
                "progress": null(),
            }
        elif to is not State.PLANNED:
            raise ValueError(f"An unknown outcome is settled to confirmed or planned, not {to}.")
        condition = effects.c.state == State.UNKNOWN
        if attempt is not None:
            condition = and_(condition, effects.c.attempts == attempt)
        with transaction(self.engine) as connection:
            self.expire_in(connection, named(ref))
            row = self._change(connection, ref, condition, to, by=by, reason=reason, **values)
            if row is None:
                self._explain(connection, "ledger.settle", ref, "of unknown outcome")
        return effect_of(row)

    def expire_claims(self) -> builtins.list[Effect]:
        """Turn every effect whose claim has run out to ``unknown``, and return those."""
        with transaction(self.engine) as connection:
            return self.expire_in(connection)

    # Progress of an attempt

    def save_progress(self, ref: EffectRef, progress: Mapping[str, Any]) -> bool:
        """
        Keep how far our own attempt is, so that the next one can go on from there. Encrypted.

        :param progress: JSON values; secrets such as an upload session's URL are welcome here.
        :return: False if there is no cipher: then nothing is kept, rather than in clear.
        :raises ClaimLost: the claim is not ours (any more).
        """
        text = self.seal(json.dumps(dict(progress), allow_nan=False))
        if text is None:
            return False
        with transaction(self.engine) as connection:
            row = connection.execute(
                update(effects)
                .where(named(ref), self._ours())
                .values(progress=text, updated_at=now())
                .returning(effects)
            ).one_or_none()
        self._still_ours("ledger.save_progress", ref, row)
        return True

    def load_progress(self, ref: EffectRef) -> dict[str, Any] | None:
        """Return the last progress kept, None if there is none or the key that encrypted it is gone."""
        with transaction(self.engine, write=False) as connection:
            sealed = connection.execute(select(effects.c.progress).where(named(ref))).scalar()
        text = None if sealed is None else self.unseal(sealed)
        if text is None:
            if sealed is not None and self._cipher is not None:
                log.warning("The progress of %s was encrypted with another Fernet key: starting it anew", ref)
            return None
        progress: dict[str, Any] = json.loads(text)
        return progress

    # Secrets

    def seal(self, text: str) -> str | None:
        """Encrypt a text; None if there is no key: then it must not be kept."""
        return None if self._cipher is None else self._cipher.encrypt(text.encode()).decode("ascii")

    def unseal(self, sealed: str) -> str | None:
        """Decrypt it; None if there is no key, or another than the one that encrypted it."""
        from cryptography.fernet import InvalidToken

        if self._cipher is None:
            return None
        try:
            return self._cipher.decrypt(sealed.encode("ascii")).decode()
        except InvalidToken:
            return None

    # The whole pattern

    def perform(
        self,
        ref: EffectRef,
        *,
        send: Callable[[], Receipt],
        find: Callable[[], Receipt | None] | None,
        lease_s: float,
        digest: str | None = None,
        run: RunRef | None = None,
        resend: bool = False,
        undo: Callable[[Receipt, Receipt | None], None] | None = None,
    ) -> Receipt:
        """
        Make one outside change, once, however often we are interrupted and retried.

        The intent is committed before ``send`` is called, so a crash leaves ``begun`` behind, never a gap.

        :param send: make the change, return its receipt. What it raises says what happened:
            ``OutcomeUnknown`` → unknown; ``Unavailable``, ``Refused``, ``SettingsError`` → certainly not
            done; ``BadRecord`` → quarantined; anything else, time-outs and kills included → unknown. All are
            raised on.
        :param find: look the change up after an attempt whose outcome is unknown: its receipt, or None if it
            **certainly** was not made. Where the vendor's search may lag it raises ``OutcomeUnknown`` instead
            of None. Pass None where the vendor has no look-up.
        :param lease_s: the claim's length; it is renewed in the background while ``send`` runs.
        :param resend: True where the vendor takes the same key twice for one change (or the settings accept a
            second message): an unknown outcome that cannot be looked up is sent again.
        :param undo: take back what ``send`` has made, given its receipt and, if it is known, that of the process
            that did it as well, because ours stood still for longer than its claim. They may be the same thing, found
            by look-up: then it stays.
        :return: the receipt as stored, the same at every call.
        :raises Busy: somebody else is at it; nothing was sent.
        :raises BadRecord: it is quarantined; nothing was sent.
        :raises OutcomeUnknown: an earlier attempt may have done it and it can be neither looked up nor sent
            again; a person settles it. Nothing was sent.
        """
        return performing.perform(
            self,
            ref,
            send=send,
            find=find,
            lease_s=lease_s,
            digest=digest,
            run=run,
            resend=resend,
            undo=undo,
        )

    @contextmanager
    def heartbeat(self, ref: EffectRef, *, lease_s: float) -> Iterator[Renewal]:
        """
        Renew our own claim in the background while the block runs.

        The block may ask :meth:`Renewal.check`; leaving it without an error raises :class:`ClaimLost` if the
        claim was lost on the way.
        """
        with Renewal(lambda: self.renew(ref, lease_s=lease_s), str(ref), lease_s) as renewal:
            yield renewal
        renewal.check()

    @contextmanager
    def hold(self, name: str, *, lease_s: float, holder: str | None = None) -> Iterator[Renewal]:
        """See :meth:`interchange.ledger.claims.NamedClaims.hold`."""
        with self.claims.hold(name, lease_s=lease_s, holder=holder) as renewal:
            yield renewal

    def forget_personal_data(self, before: datetime) -> int:
        """
        Drop the keys that receipts list under ``personal``, for effects confirmed before a time.

        Their names stay, under ``forgotten``; every receipt changed leaves an event.

        :return: how many receipts were changed.
        """
        return receipts.forget_personal_data(self.engine, before, by=self.owner)

    def pin(self, name: str, value: str) -> bool:
        """Remember a fact about this deployment for ever; False if another value was remembered before."""
        with transaction(self.engine, write=False) as connection:
            pinned: str | None = connection.execute(select(pins.c.value).where(pins.c.name == name)).scalar()
        if pinned is None:
            dialect = postgresql if self.engine.dialect.name == "postgresql" else sqlite
            statement = dialect.insert(pins).values(name=name, value=value).on_conflict_do_nothing()
            with transaction(self.engine) as connection:
                connection.execute(statement)
                pinned = connection.execute(select(pins.c.value).where(pins.c.name == name)).scalar_one()
        return pinned == value

    # How a row changes

    def _plan(
        self, connection: Connection, ref: EffectRef, digest: str | None, run: RunRef | None
    ) -> Row[Any]:
        given = {"digest": digest}
        if run is not None:
            given |= {"dag_id": run.dag_id, "run_id": run.run_id, "request": run.request}
        given = {name: value for name, value in given.items() if value is not None}
        row = connection.execute(select(effects).where(named(ref))).one_or_none()
        if row is None:
            values = {
                "workflow": ref.workflow,
                "kind": ref.kind,
                "key": ref.key,
                "state": State.PLANNED.value,
                "created_at": now(),
                "updated_at": now(),
                "changed_by": self.owner,
                **given,
            }
            connection.execute(_insert_if_absent(connection, values))
            return connection.execute(select(effects).where(named(ref))).one()
        if row.state == State.PLANNED and any(getattr(row, name) != value for name, value in given.items()):
            changed = connection.execute(
                update(effects)
                .where(named(ref), effects.c.state == State.PLANNED)
                .values(**given, updated_at=now())
                .returning(effects)
            ).one_or_none()
            row = changed or connection.execute(select(effects).where(named(ref))).one()
        return row

    def _change(
        self,
        connection: Connection,
        ref: EffectRef,
        condition: ColumnElement[bool],
        to: State,
        *,
        by: str | None = None,
        lease_s: float | None = None,
        **values: Any,
    ) -> Row[Any] | None:
        """One compare-and-set of one effect: its row if the condition held, else None and nothing changed."""
        row = {"owner": null(), "claim_expires_at": null(), "field": null(), "reason": null(), **values}
        if lease_s is not None:
            row |= self._claim(lease_s)
        if isinstance(row["reason"], str):
            row["reason"] = row["reason"][:_MAX_REASON]
        return connection.execute(
            update(effects)
            .where(named(ref), condition)
            .values(**row, state=to.value, changed_by=by or self.owner, updated_at=now())
            .returning(effects)
        ).one_or_none()

    def _claim(self, lease_s: float) -> dict[str, Any]:
        return {
            "owner": self.owner,
            "claim_expires_at": _lease_end(lease_s),
            "attempts": effects.c.attempts + 1,
        }

    def claim_values(self, lease_s: float) -> dict[str, Any]:
        """The columns of an effect that is planned, when it is begun by us."""
        unset = {"field": null(), "reason": null()}
        state = {"state": State.BEGUN.value, "changed_by": self.owner, "updated_at": now()}
        return {**unset, **self._claim(lease_s), **state}

    def expire_in(
        self, connection: Connection, only: ColumnElement[bool] | None = None
    ) -> builtins.list[Effect]:
        """Turn begun effects whose claim has run out to unknown; the owner stays as who tried last."""
        statement = update(effects).where(effects.c.state == State.BEGUN, effects.c.claim_expires_at <= now())
        if only is not None:
            statement = statement.where(only)
        rows = connection.execute(
            statement.values(
                state=State.UNKNOWN.value,
                claim_expires_at=null(),
                reason="the claim ran out without an outcome",
                changed_by=self.owner,
                updated_at=now(),
            ).returning(effects)
        )
        return [effect_of(row) for row in rows]

    def _ours(self) -> ColumnElement[bool]:
        return and_(effects.c.state == State.BEGUN, effects.c.owner == self.owner)

    def _still_ours(self, operation: str, ref: EffectRef, row: Row[Any] | None) -> Row[Any]:
        if row is None:
            self.lost(operation, ref, self.get(ref))
        return row

    @staticmethod
    def lost(operation: str, ref: EffectRef, found: Effect | None) -> NoReturn:
        """
        :raises NotFound: there is no such effect. :raises ClaimLost: it is not ours.
        """
        if found is None:
            raise NotFound(operation, f"{ref} is not in the ledger")
        holder = f", claimed by {found.owner}" if found.owner else ""
        raise ClaimLost(operation, f"{ref} is not ours to change: it is {found.state}{holder}")

    def _explain(self, connection: Connection, operation: str, ref: EffectRef, wanted: str) -> NoReturn:
        row = connection.execute(select(effects, now().label("read_at")).where(named(ref))).one_or_none()
        if row is None:
            raise NotFound(operation, f"{ref} is not in the ledger")
        if row.state == State.BEGUN:
            rest = (row.claim_expires_at - row.read_at).total_seconds()
            raise Busy(operation, f"{ref} is being done by {row.owner}", retry_after_s=max(rest, 0.1))
        raise Conflict(operation, f"{ref} is {row.state}, not {wanted}")


def _insert_if_absent(connection: Connection, values: dict[str, Any]) -> Any:
    if connection.dialect.name == "postgresql":
        return postgresql.insert(effects).values(values).on_conflict_do_nothing(constraint="effects_name")
    # SQLite runs one writer at a time: what was absent a moment ago in this transaction still is.
    return insert(effects).values(values)


def _lease_end(lease_s: float) -> later:
    if not 0 < lease_s < 10**7:
        raise ValueError(f"A lease is a positive number of seconds, not {lease_s}.")
    return later(literal(float(lease_s), Double))
