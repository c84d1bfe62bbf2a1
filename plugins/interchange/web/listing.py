"""
What the ledger's page shows, read a page at a time.

Effects that wait for a person come first: those of unknown outcome, those in quarantine, and those whose claim has run
out, which count as unknown. Looking changes nothing, so those keep their state in the database until somebody
decides or the next attempt finds them.
"""

from __future__ import annotations

import dataclasses
import itertools
from collections.abc import Collection, Iterator
from datetime import datetime
from typing import Any, Self

from sqlalchemy import ColumnElement, Engine, Row, and_, func, literal, not_, or_, select, tuple_

from interchange.ledger.database import transaction
from interchange.ledger.model import Effect, EffectRef, Event, State
from interchange.ledger.queries import effect_of, named
from interchange.ledger.schema import UtcDateTime, effects, events, now

PAGE_SIZE = 50
MOST_EVENTS = 100
MOST_KINDS = 500
MOST_COUNTED = 1000
WAITING = "waiting"

_LAPSED = and_(effects.c.state == State.BEGUN, effects.c.claim_expires_at <= now())
_UNKNOWN = or_(effects.c.state == State.UNKNOWN, _LAPSED)
_WAITS = or_(effects.c.state.in_([State.UNKNOWN, State.QUARANTINED]), _LAPSED)
_GROUPS = (_WAITS, not_(_WAITS))
_ORDER = (effects.c.updated_at, effects.c.id)


@dataclasses.dataclass(frozen=True, kw_only=True)
class Filters:
    """
    What somebody looks for; an empty text is anything.

    :param state: a :class:`State`, or :data:`WAITING`. An effect whose claim has run out is ``unknown``.
    :param key: what the key begins with.
    """

    workflow: str = ""
    kind: str = ""
    state: str = ""
    key: str = ""

    def condition(self) -> ColumnElement[bool]:
        """
        :raises ValueError: there is no such state.
        """
        conditions = []
        if self.workflow:
            conditions.append(effects.c.workflow == self.workflow)
        if self.kind:
            conditions.append(effects.c.kind == self.kind)
        if self.key:
            # Not LIKE: SQLite's does not tell cases apart.
            conditions.append(func.substr(effects.c.key, 1, len(self.key)) == self.key)
        if self.state == WAITING:
            conditions.append(_WAITS)
        elif self.state == State.UNKNOWN:
            conditions.append(_UNKNOWN)
        elif self.state == State.BEGUN:
            conditions.append(and_(effects.c.state == State.BEGUN, not_(_LAPSED)))
        elif self.state:
            conditions.append(effects.c.state == State(self.state))
        return and_(literal(value=True), *conditions)


@dataclasses.dataclass(frozen=True)
class Position:
    """The last effect of a page; the next page begins after it."""

    group: int
    updated_at: datetime
    id: int

    def __str__(self) -> str:
        return f"{self.group}.{self.id}.{self.updated_at.isoformat()}"

    @classmethod
    def parse(cls, text: str) -> Self:
        """
        :raises ValueError: no position.
        """
        group, number, at = text.split(".", 2)
        updated_at = datetime.fromisoformat(at)
        if updated_at.tzinfo is None:
            raise ValueError("A position's time has a zone.")
        return cls(int(group), updated_at, int(number))


@dataclasses.dataclass(frozen=True)
class Seen:
    """
    An effect as a person sees it.

    :param lapsed: it is begun, but its claim has run out.
    """

    effect: Effect
    lapsed: bool

    @property
    def ref(self) -> EffectRef:
        return self.effect.ref

    @property
    def state(self) -> State:
        return State.UNKNOWN if self.lapsed else self.effect.state

    @property
    def reason(self) -> str | None:
        return "the claim ran out without an outcome" if self.lapsed else self.effect.reason

    @property
    def waits(self) -> bool:
        return self.state in (State.UNKNOWN, State.QUARANTINED)

    @property
    def receipt(self) -> dict[str, Any]:
        """What the receipt says, without what it lists as personal."""
        receipt = self.effect.receipt or {}
        hidden = {"personal", *self.personal}
        return {name: value for name, value in receipt.items() if name not in hidden}

    @property
    def personal(self) -> list[str]:
        """The names of what the receipt lists as personal."""
        listed = (self.effect.receipt or {}).get("personal")
        return [name for name in listed if isinstance(name, str)] if isinstance(listed, list) else []


@dataclasses.dataclass(frozen=True, kw_only=True)
class Page:
    """
    :param after: where the next page begins; None if this is the last one.
    """

    waiting: list[Seen]
    others: list[Seen]
    after: Position | None


class Listing:
    """
    What somebody may see of a ledger.

    :param workflows: only these.
    """

    def __init__(self, engine: Engine, workflows: Collection[str]) -> None:
        self._engine = engine
        self._visible = effects.c.workflow.in_(sorted(workflows))

    def page(self, filters: Filters, after: Position | None = None) -> Page:
        """
        One page, what waits for a person first; in each part the last changed first.

        :raises ValueError: see :meth:`Filters.condition`.
        """
        parts: list[list[Row[Any]]] = [[], []]
        left = PAGE_SIZE
        last: Position | None = None
        more = False
        with transaction(self._engine, write=False) as connection:
            for group, condition in enumerate(_GROUPS):
                if more or (after is not None and after.group > group):
                    continue
                query = (
                    select(effects, _LAPSED.label("lapsed"))
                    .where(self._visible, filters.condition(), condition)
                    .order_by(*(column.desc() for column in _ORDER))
                    # One more than fits tells whether there is a next page.
                    .limit(left + 1)
                )
                if after is not None and after.group == group:
                    before = tuple_(literal(after.updated_at, UtcDateTime()), literal(after.id))
                    query = query.where(tuple_(*_ORDER) < before)
                rows = list(connection.execute(query))
                more = len(rows) > left
                parts[group] = rows[:left]
                left -= len(parts[group])
                if parts[group]:
                    last = Position(group, parts[group][-1].updated_at, parts[group][-1].id)
        waiting, others = ([_seen(row) for row in rows] for rows in parts)
        return Page(waiting=waiting, others=others, after=last if more else None)

    def waiting(self, filters: Filters) -> int:
        """How many effects wait for a person; counting ends at :data:`MOST_COUNTED`."""
        some = select(effects.c.id).where(self._visible, filters.condition(), _WAITS).limit(MOST_COUNTED)
        with transaction(self._engine, write=False) as connection:
            return int(connection.execute(select(func.count()).select_from(some.subquery())).scalar_one())

    def one(self, ref: EffectRef) -> Seen | None:
        """An effect, None if it is not in the ledger or not to be seen."""
        query = select(effects, _LAPSED.label("lapsed")).where(named(ref), self._visible)
        with transaction(self._engine, write=False) as connection:
            row = connection.execute(query).one_or_none()
        return None if row is None else _seen(row)

    def events(self, ref: EffectRef) -> list[Event]:
        """The last :data:`MOST_EVENTS` things that happened to an effect, oldest first."""
        query = (
            select(events)
            .join(effects, effects.c.id == events.c.effect_id)
            .where(named(ref), self._visible)
            .order_by(events.c.id.desc())
            .limit(MOST_EVENTS)
        )
        with transaction(self._engine, write=False) as connection:
            rows = list(connection.execute(query))
        return [
            Event(at=row.at, from_state=row.from_state, to_state=row.to_state, by=row.by, reason=row.reason)
            for row in reversed(rows)
        ]


def kinds_of(engine: Engine) -> list[tuple[str, str]]:
    """The workflows and kinds in a ledger, in order. Goes from one to the next in the index, however many rows."""
    with transaction(engine, write=False) as connection:

        def found() -> Iterator[tuple[str, str]]:
            name = (effects.c.workflow, effects.c.kind)
            query = select(*name).order_by(*name).limit(1)
            row = connection.execute(query).one_or_none()
            while row is not None:
                yield (row.workflow, row.kind)
                beyond = tuple_(*name) > tuple_(literal(row.workflow), literal(row.kind))
                row = connection.execute(query.where(beyond)).one_or_none()

        return list(itertools.islice(found(), MOST_KINDS))


def _seen(row: Row[Any]) -> Seen:
    return Seen(effect_of(row), bool(row.lapsed))
