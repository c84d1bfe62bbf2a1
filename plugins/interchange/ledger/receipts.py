"""Receipts as the ledger keeps them, and how personal data leaves them."""

from __future__ import annotations

import json
from collections.abc import Mapping
from datetime import date, datetime
from typing import Any

from sqlalchemy import ColumnElement, Engine, select, update

from interchange.ledger.database import transaction
from interchange.ledger.model import State
from interchange.ledger.schema import effects, now

_BATCH = 500


def encode(receipt: Mapping[str, Any]) -> str:
    """
    Return a receipt as JSON. Times become ISO text; everything else JSON does not know is refused.

    :raises TypeError: not JSON. :raises ValueError: NaN or infinity, which JSON does not know either.
    """
    return json.dumps(dict(receipt), allow_nan=False, default=_plain)


def _plain(value: object) -> str:
    if isinstance(value, date):
        return value.isoformat()
    raise TypeError(f"A receipt holds JSON values, not {type(value).__name__}.")


def forget_personal_data(engine: Engine, before: datetime, *, by: str) -> int:
    """See :meth:`interchange.ledger.Ledger.forget_personal_data`."""
    return _forget(engine, effects.c.updated_at < before, by=by)


def forget_personal_data_of(engine: Engine, workflow: str, part: str, *, by: str) -> int:
    """
    Drop the personal keys from the receipts of one person's effects.

    :param part: of the keys of those effects, such as the keyed hash that stands for the person.
    :return: how many receipts were changed.
    """
    return _forget(
        engine, (effects.c.workflow == workflow) & effects.c.key.contains(part, autoescape=True), by=by
    )


def _forget(engine: Engine, which: ColumnElement[bool], *, by: str) -> int:
    changed = 0
    last = 0
    while True:
        query = (
            select(effects.c.id, effects.c.receipt)
            .where(
                effects.c.id > last,
                effects.c.state == State.CONFIRMED,
                which,
                effects.c.receipt.contains('"personal"'),
            )
            .order_by(effects.c.id)
            .limit(_BATCH)
        )
        with transaction(engine) as connection:
            rows = connection.execute(query).all()
            for row in rows:
                receipt = without_personal(json.loads(row.receipt))
                if receipt is None:
                    continue
                connection.execute(
                    update(effects)
                    .where(effects.c.id == row.id)
                    .values(
                        receipt=encode(receipt),
                        changed_by=by,
                        reason="personal data dropped",
                        updated_at=now(),
                    )
                )
                changed += 1
        if len(rows) < _BATCH:
            return changed
        last = rows[-1].id


def without_personal(receipt: dict[str, Any]) -> dict[str, Any] | None:
    """Return the receipt without the keys it lists under ``personal``; None if it lists none."""
    listed = receipt.get("personal")
    if not isinstance(listed, list):
        return None
    names = [name for name in listed if isinstance(name, str)]
    kept = {name: value for name, value in receipt.items() if name not in names and name != "personal"}
    return {**kept, "forgotten": sorted({*receipt.get("forgotten", []), *names})}
