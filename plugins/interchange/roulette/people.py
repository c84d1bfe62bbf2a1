"""Who takes part, and what they have told the bot about themselves."""

from __future__ import annotations

import json
import secrets
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import date
from typing import Any

from sqlalchemy import Engine, Row, select, update

from interchange.ledger.database import insert_unless_there, transaction
from interchange.ledger.keys import keyed_hash
from interchange.ledger.roulette_tables import people
from interchange.ledger.schema import now

FOR_EVER = date(9999, 12, 31)


@dataclass(frozen=True, kw_only=True)
class Participant:
    """
    :param key: names them everywhere; :param address: None after they were forgotten.
    :param webex_id, name, zone: as Webex tells, once it was asked.
    :param paused_until: back on this day. :param skipped_week: the Monday of a week they are absent from.
    """

    key: str
    address: str | None
    name: str | None
    webex_id: str | None
    zone: str | None
    paused_until: date | None
    skipped_week: date | None

    @property
    def shown(self) -> str:
        """What others call them."""
        return self.name or self.address or "somebody"

    def absent(self, *, monday: date, day: date) -> bool:
        """Whether they do not take part in the round of a week, which meets on a day."""
        return self.skipped_week == monday or (self.paused_until is not None and day < self.paused_until)


def person_key(address: str) -> str:
    """What stands for a normalised address in keys, logs and XCom."""
    return keyed_hash(f"person/{address}")


class People:
    """The participants of one deployment."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine

    def enrol(self, addresses: Iterable[str]) -> dict[str, str]:
        """
        Know these from now on; what is known of them stays.

        :param addresses: normalised. :return: their keys by address.
        """
        keys = {address: person_key(address) for address in addresses}
        with transaction(self._engine) as connection:
            known = set(connection.execute(select(people.c.person)).scalars())
            for address, key in keys.items():
                if key not in known:
                    row = {"person": key, "address": address, "changed_at": now()}
                    connection.execute(insert_unless_there(connection, people, row))
        return keys

    def everybody(self) -> dict[str, Participant]:
        """All that are known, by key; those who were forgotten are not there."""
        with transaction(self._engine, write=False) as connection:
            rows = connection.execute(select(people).where(people.c.address.is_not(None)))
            return {row.person: _participant(row) for row in rows}

    def get(self, key: str) -> Participant | None:
        with transaction(self._engine, write=False) as connection:
            row = connection.execute(select(people).where(people.c.person == key)).one_or_none()
        return None if row is None else _participant(row)

    def of(self, keys: Sequence[str]) -> list[Participant]:
        """In the order of the keys; unknown ones are left out."""
        with transaction(self._engine, write=False) as connection:
            rows = connection.execute(select(people).where(people.c.person.in_(keys)))
            found = {row.person: _participant(row) for row in rows}
        return [found[key] for key in keys if key in found]

    def with_webex_id(self, webex_id: str) -> Participant | None:
        with transaction(self._engine, write=False) as connection:
            row = connection.execute(select(people).where(people.c.webex_id == webex_id)).first()
        return None if row is None else _participant(row)

    def note(self, key: str, *, webex_id: str, name: str, zone: str | None) -> None:
        """Keep what Webex tells of somebody."""
        self._set(key, webex_id=webex_id, name=name, zone=zone)

    def pause(self, key: str, until: date | None) -> None:
        """Until the day before; None: not paused any more."""
        self._set(key, paused_until=None if until is None else until.isoformat())

    def skip(self, key: str, monday: date | None) -> None:
        self._set(key, skipped_week=None if monday is None else monday.isoformat())

    def list_to(self, key: str, groups: Sequence[str]) -> None:
        """Keep which meetings were listed to somebody, and so what their numbers mean."""
        self._set(key, listing=json.dumps(list(groups)))

    def listed(self, key: str) -> list[str]:
        with transaction(self._engine, write=False) as connection:
            text = connection.execute(select(people.c.listing).where(people.c.person == key)).scalar()
        return [] if text is None else list(json.loads(text))

    def forget(self, key: str) -> str | None:
        """
        Take out what tells who somebody is: their rounds stay, under a random key that leads nowhere.

        :return: the random key; None if nobody has this one.
        """
        stranger = f"forgotten-{secrets.token_hex(12)}"
        nothing: Mapping[str, Any] = dict.fromkeys(
            ("address", "name", "webex_id", "zone", "paused_until", "skipped_week", "listing")
        )
        with transaction(self._engine) as connection:
            # All other tables follow, by their foreign keys.
            changed = connection.execute(
                update(people)
                .where(people.c.person == key)
                .values(person=stranger, changed_at=now(), **nothing)
            ).rowcount
        return stranger if changed else None

    def _set(self, key: str, **values: Any) -> None:
        with transaction(self._engine) as connection:
            connection.execute(
                update(people).where(people.c.person == key).values(changed_at=now(), **values)
            )


def _participant(row: Row[Any]) -> Participant:
    return Participant(
        key=row.person,
        address=row.address,
        name=row.name,
        webex_id=row.webex_id,
        zone=row.zone,
        paused_until=_day(row.paused_until),
        skipped_week=_day(row.skipped_week),
    )


def _day(text: str | None) -> date | None:
    return None if text is None else date.fromisoformat(text)
