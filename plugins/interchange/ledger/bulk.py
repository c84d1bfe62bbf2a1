"""Many effects of one workflow in one transaction: all of them are changed, or none."""

from __future__ import annotations

import json
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from sqlalchemy import ColumnElement, Connection, Row, and_, bindparam, insert, null, or_, select, update
from sqlalchemy.dialects import postgresql

from interchange.ledger import receipts
from interchange.ledger.database import transaction
from interchange.ledger.model import Effect, EffectRef, Receipt, RunRef, State
from interchange.ledger.queries import effect_of
from interchange.ledger.schema import effects, now

if TYPE_CHECKING:
    from interchange.ledger.store import Ledger

_BATCH = 400
"""Keys in one statement; SQLite takes 999 parameters in old versions."""
_NAME = (effects.c.workflow, effects.c.kind, effects.c.key)


def record(
    ledger: Ledger,
    facts: Mapping[EffectRef, Mapping[str, Any]],
    *,
    plans: Mapping[EffectRef, str | None],
    lease_s: float,
    run: RunRef | None,
) -> dict[EffectRef, Receipt | None]:
    """See :meth:`interchange.ledger.Ledger.record`."""
    texts = {ref: receipts.encode(receipt) for ref, receipt in facts.items()}
    with transaction(ledger.engine) as connection:
        _insert(ledger, connection, dict.fromkeys(texts) | dict(plans), run)
        begun = _begin(ledger, connection, list(texts), lease_s, *_NAME)
        new = {ref: texts[ref] for ref in map(_ref_of, begun)}
        _confirm(ledger, connection, new)
        # Only what was there before is read: reading takes as long as writing.
        known = _rows(connection, [ref for ref in texts if ref not in new], *_NAME, effects.c.receipt)
        there = new | {_ref_of(row): row.receipt for row in known}
    return {ref: None if text is None else json.loads(text) for ref, text in there.items()}


def begin_all(
    ledger: Ledger, refs: Sequence[EffectRef], *, lease_s: float, run: RunRef | None
) -> dict[EffectRef, Effect]:
    """See :meth:`interchange.ledger.Ledger.begin_all`."""
    with transaction(ledger.engine) as connection:
        _insert(ledger, connection, dict.fromkeys(refs), run)
        for condition in _named(refs):
            ledger.expire_in(connection, condition)
        begun = _by_ref(_begin(ledger, connection, refs, lease_s, effects))
        rest = [ref for ref in refs if ref not in begun]
        return begun | _read(connection, rest)


def confirm_all(
    ledger: Ledger, receipts_of: Mapping[EffectRef, Mapping[str, Any]], *, facts: Mapping[EffectRef, Any]
) -> None:
    """See :meth:`interchange.ledger.Ledger.confirm_all`."""
    texts = {ref: receipts.encode(receipt) for ref, receipt in receipts_of.items()}
    fact_texts = {ref: receipts.encode(receipt) for ref, receipt in facts.items()}
    with transaction(ledger.engine) as connection:
        if _confirm(ledger, connection, texts) != len(texts):
            # Unless an answer to the same was lost, or the database counts otherwise.
            found = _read(connection, list(texts))
            for ref, text in texts.items():
                effect = found.get(ref)
                if (
                    effect is None
                    or effect.state is not State.CONFIRMED
                    or effect.receipt != json.loads(text)
                ):
                    ledger.lost("ledger.confirm", ref, effect)
        _insert(ledger, connection, dict.fromkeys(fact_texts), None)
        begun = _begin(ledger, connection, list(fact_texts), 1.0, *_NAME)
        _confirm(ledger, connection, {ref: fact_texts[ref] for ref in map(_ref_of, begun)})


# A statement is compiled once and carried out for many rows: compiling takes longer than the row.


def _insert(
    ledger: Ledger, connection: Connection, digests: Mapping[EffectRef, str | None], run: RunRef | None
) -> None:
    """Plan what is not there yet."""
    there = set(map(_ref_of, _rows(connection, list(digests), *_NAME)))
    given = RunRef() if run is None else run
    rows = [
        {
            "workflow": ref.workflow,
            "kind": ref.kind,
            "key": ref.key,
            "digest": digest,
            "state": State.PLANNED.value,
            "changed_by": ledger.owner,
            "dag_id": given.dag_id,
            "run_id": given.run_id,
            "request": given.request,
        }
        for ref, digest in digests.items()
        if ref not in there
    ]
    if not rows:
        return
    values: dict[str, Any] = {name: bindparam(name) for name in rows[0]}
    values |= {"created_at": now(), "updated_at": now()}
    if connection.dialect.name == "postgresql":
        statement = postgresql.insert(effects).values(values)
        connection.execute(statement.on_conflict_do_nothing(constraint="effects_name"), rows)
    else:
        # SQLite runs one writer at a time: what was absent a moment ago in this transaction still is.
        connection.execute(insert(effects).values(values), rows)


def _confirm(ledger: Ledger, connection: Connection, texts: Mapping[EffectRef, str]) -> int:
    """
    Those that are ours.

    :return: how many they were; another number if the database does not count.
    """
    rows = [
        {"of_workflow": ref.workflow, "of_kind": ref.kind, "of_key": ref.key, "text": text}
        for ref, text in texts.items()
    ]
    if not rows:
        return 0
    ours = and_(
        effects.c.workflow == bindparam("of_workflow"),
        effects.c.kind == bindparam("of_kind"),
        effects.c.key == bindparam("of_key"),
        effects.c.owner == ledger.owner,
        or_(effects.c.state == State.BEGUN.value, effects.c.state == State.UNKNOWN.value),
    )
    confirmed: int = connection.execute(
        update(effects)
        .where(ours)
        .values(
            state=State.CONFIRMED.value,
            receipt=bindparam("text"),
            owner=null(),
            claim_expires_at=null(),
            field=null(),
            reason=null(),
            progress=null(),
            changed_by=ledger.owner,
            updated_at=now(),
        ),
        rows,
    ).rowcount
    return confirmed


def _begin(
    ledger: Ledger, connection: Connection, refs: Sequence[EffectRef], lease_s: float, *columns: Any
) -> Iterator[Row[Any]]:
    """Claim those that are planned; the columns asked for of each."""
    for condition in _named(refs):
        statement = update(effects).where(and_(condition, effects.c.state == State.PLANNED))
        yield from connection.execute(statement.values(ledger.claim_values(lease_s)).returning(*columns))


def _read(connection: Connection, refs: Sequence[EffectRef]) -> dict[EffectRef, Effect]:
    return _by_ref(_rows(connection, refs, effects))


def _rows(connection: Connection, refs: Sequence[EffectRef], *columns: Any) -> Iterator[Row[Any]]:
    for condition in _named(refs):
        yield from connection.execute(select(*columns).where(condition))


def _by_ref(rows: Iterable[Row[Any]]) -> dict[EffectRef, Effect]:
    return {effect.ref: effect for effect in map(effect_of, rows)}


def _ref_of(row: Row[Any]) -> EffectRef:
    """Of a row that has the columns of :data:`_NAME`."""
    return EffectRef(row.workflow, row.kind, row.key)


def _named(refs: Iterable[EffectRef]) -> Iterator[ColumnElement[bool]]:
    """Conditions that together name all of them."""
    keys: dict[tuple[str, str], list[str]] = defaultdict(list)
    for ref in refs:
        keys[ref.workflow, ref.kind].append(ref.key)
    for (workflow, kind), named in keys.items():
        for part in _parts(named):
            yield and_(effects.c.workflow == workflow, effects.c.kind == kind, effects.c.key.in_(part))


def _parts(items: Sequence[Any]) -> Iterator[Sequence[Any]]:
    for start in range(0, len(items), _BATCH):
        yield items[start : start + _BATCH]
