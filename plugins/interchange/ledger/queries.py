"""Reading the ledger."""

from __future__ import annotations

import builtins
import json
from collections.abc import Collection
from datetime import datetime
from typing import Any

from sqlalchemy import ColumnElement, Engine, Row, and_, collate, func, select

from interchange.ledger.database import transaction
from interchange.ledger.model import Effect, EffectRef, Event, State
from interchange.ledger.schema import effects, events


class LedgerReader:
    """What can be asked of a ledger without changing it."""

    def __init__(self, engine: Engine) -> None:
        self.engine = engine

    def get(self, ref: EffectRef) -> Effect | None:
        """Return the effect, None if it was never planned."""
        with transaction(self.engine, write=False) as connection:
            row = connection.execute(select(effects).where(named(ref))).one_or_none()
        return None if row is None else effect_of(row)

    def list(
        self,
        *,
        workflow: str | None = None,
        kind: str | None = None,
        state: State | None = None,
        key_prefix: str | None = None,
        since: datetime | None = None,
        created_before: datetime | None = None,
        limit: int | None = None,
        newest_first: bool = True,
    ) -> builtins.list[Effect]:
        """
        Return effects that match all that is given, ordered by their last change.

        :param since: changed at this time or later.
        :param created_before: planned before this time.
        :param limit: at most so many; None for all.
        """
        query = select(effects).limit(limit)
        for column, value in (
            (effects.c.workflow, workflow),
            (effects.c.kind, kind),
            (effects.c.state, state),
        ):
            if value is not None:
                query = query.where(column == str(value))
        if key_prefix:
            # Not LIKE: SQLite's does not tell cases apart.
            query = query.where(func.substr(effects.c.key, 1, len(key_prefix)) == key_prefix)
        if since is not None:
            query = query.where(effects.c.updated_at >= since)
        if created_before is not None:
            query = query.where(effects.c.created_at < created_before)
        order = (effects.c.updated_at, effects.c.id)
        query = query.order_by(*((column.desc() for column in order) if newest_first else order))
        with transaction(self.engine, write=False) as connection:
            return [effect_of(row) for row in connection.execute(query)]

    def keys(
        self,
        *,
        workflow: str,
        kind: str,
        states: Collection[State],
        first: str,
        last: str | None = None,
        greatest: int | None = None,
    ) -> frozenset[str]:
        """
        Return the keys of all effects of a kind in some states: much cheaper than :meth:`list`.

        :param first: keys from here on, compared as text, byte by byte.
        :param last: keys before it; None: to the end.
        :param greatest: only so many, the last ones in the order of the text.
        """
        key = collate(effects.c.key, "C") if self.engine.dialect.name == "postgresql" else effects.c.key
        query = select(effects.c.key).where(
            effects.c.workflow == workflow,
            effects.c.kind == kind,
            effects.c.state.in_([str(state) for state in states]),
            key >= first,
        )
        if last is not None:
            query = query.where(key < last)
        if greatest is not None:
            query = query.order_by(key.desc()).limit(greatest)
        with transaction(self.engine, write=False) as connection:
            return frozenset(connection.execute(query).scalars())

    def has_progress(self, ref: EffectRef) -> bool:
        """Whether an attempt has left progress, readable or not."""
        query = select(effects.c.progress.is_not(None)).where(named(ref))
        with transaction(self.engine, write=False) as connection:
            return bool(connection.execute(query).scalar())

    def count(self, *, workflow: str | None = None) -> dict[State, int]:
        """Return how many effects are in each state."""
        query = select(effects.c.state, func.count()).group_by(effects.c.state)
        if workflow is not None:
            query = query.where(effects.c.workflow == workflow)
        with transaction(self.engine, write=False) as connection:
            found = {State(row[0]): int(row[1]) for row in connection.execute(query)}
        return {state: found.get(state, 0) for state in State}

    def attempts_since(self, workflow: str, kind: str, since: datetime) -> builtins.list[datetime]:
        """When effects of a kind were begun since then, the oldest first: each may have been one call to a vendor."""
        query = (
            select(events.c.at)
            .join(effects, effects.c.id == events.c.effect_id)
            .where(
                effects.c.workflow == workflow,
                effects.c.kind == kind,
                events.c.to_state == State.BEGUN.value,
                events.c.at >= since,
            )
            .order_by(events.c.at)
        )
        with transaction(self.engine, write=False) as connection:
            return list(connection.execute(query).scalars())

    def events(self, ref: EffectRef) -> builtins.list[Event]:
        """Return everything that happened to an effect, oldest first."""
        query = (
            select(events)
            .join(effects, effects.c.id == events.c.effect_id)
            .where(named(ref))
            .order_by(events.c.id)
        )
        with transaction(self.engine, write=False) as connection:
            return [
                Event(
                    at=row.at, from_state=row.from_state, to_state=row.to_state, by=row.by, reason=row.reason
                )
                for row in connection.execute(query)
            ]


def named(ref: EffectRef) -> ColumnElement[bool]:
    return and_(effects.c.workflow == ref.workflow, effects.c.kind == ref.kind, effects.c.key == ref.key)


def effect_of(row: Row[Any]) -> Effect:
    return Effect(
        ref=EffectRef(row.workflow, row.kind, row.key),
        state=State(row.state),
        digest=row.digest,
        owner=row.owner,
        claim_expires_at=row.claim_expires_at,
        attempts=row.attempts,
        field=row.field,
        reason=row.reason,
        receipt=None if row.receipt is None else json.loads(row.receipt),
        dag_id=row.dag_id,
        run_id=row.run_id,
        request=row.request,
        created_at=row.created_at,
        updated_at=row.updated_at,
    )
