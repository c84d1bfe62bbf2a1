"""What is being talked about: cards that were sent, proposals to move a meeting, and who agrees."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import ColumnElement, Connection, Engine, Row, delete, insert, select, update

from interchange.ledger.database import insert_unless_there, transaction
from interchange.ledger.roulette_tables import cards, consents, proposals
from interchange.ledger.schema import now

OPEN, AGREED, MOVED = "open", "agreed", "moved"
DECLINED, EXPIRED, REPLACED, VOID = "declined", "expired", "replaced", "void"
LIVE = (OPEN, AGREED)


@dataclass(frozen=True, kw_only=True)
class Proposal:
    """
    To move one meeting.

    :param state: ``open`` until all agree → ``agreed`` → ``moved``; or ``declined`` by one, ``expired`` unanswered,
        ``replaced`` by a later one, ``void`` since the meeting was moved or dropped otherwise.
    :param instead_of: when the meeting was to begin as the proposal was made.
    :param agreed: those who said yes; the proposer need not.
    """

    id: str
    group: str
    person: str
    starts_at: datetime
    instead_of: datetime
    state: str
    expires_at: datetime
    agreed: frozenset[str]
    refused: frozenset[str]


@dataclass(frozen=True, kw_only=True)
class Card:
    """
    One card that was sent: what it is about is here, not on the card.

    :param kind: ``move``: choose a time; ``consent``: yes or no to one; ``met``: did you meet; ``inform``: write an
        announcement; ``send``: send it.
    :param person: who alone may use it. :param used_by: the id of the event that did.
    """

    id: str
    kind: str
    person: str
    group: str | None
    proposal: str | None
    content: str | None
    expires_at: datetime
    used_at: datetime | None
    used_by: str | None


class Talk:
    """Cards and proposals of one deployment."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine

    # Cards

    def issue(
        self,
        id_: str,
        *,
        kind: str,
        person: str,
        expires_at: datetime,
        group: str | None = None,
        proposal: str | None = None,
        content: str | None = None,
    ) -> Card:
        """Know a card before it is sent. One that is known stays as it is."""
        values = {
            "id": id_,
            "kind": kind,
            "person": person,
            "group_id": group,
            "proposal_id": proposal,
            "content": content,
            "made_at": now(),
            "expires_at": expires_at,
        }
        with transaction(self._engine) as connection:
            connection.execute(insert_unless_there(connection, cards, values))
            return _card(connection.execute(select(cards).where(cards.c.id == id_)).one())

    def card(self, id_: str) -> Card | None:
        with transaction(self._engine, write=False) as connection:
            row = connection.execute(select(cards).where(cards.c.id == id_)).one_or_none()
        return None if row is None else _card(row)

    def use(self, id_: str, *, by: str) -> bool:
        """
        :param by: the event it is used by, which may use it again: after a kill it is gone on with.
        :return: False if another event has used it.
        """
        with transaction(self._engine) as connection:
            connection.execute(
                update(cards)
                .where(cards.c.id == id_, cards.c.used_at.is_(None))
                .values(used_at=now(), used_by=by)
            )
            return connection.execute(select(cards.c.used_by).where(cards.c.id == id_)).scalar() == by

    def forget_before(self, moment: datetime) -> int:
        """Delete the cards that nobody could use any more since then. :return: how many."""
        with transaction(self._engine) as connection:
            return connection.execute(delete(cards).where(cards.c.expires_at < moment)).rowcount

    def forget(self, person: str) -> None:
        """Delete somebody's cards and proposals, whatever became of those."""
        with transaction(self._engine) as connection:
            connection.execute(delete(cards).where(cards.c.person == person))
            connection.execute(delete(proposals).where(proposals.c.person == person))

    # Proposals

    def propose(
        self,
        id_: str,
        *,
        group: str,
        person: str,
        starts_at: datetime,
        instead_of: datetime,
        expires_at: datetime,
    ) -> Proposal | None:
        """
        Make a proposal; an open one for the same meeting is replaced by it.

        Made again under the same id, it is returned as it is by now.

        :return: None if all have agreed to another one that is being carried out.
        """
        with transaction(self._engine) as connection:
            known = connection.execute(select(proposals).where(proposals.c.id == id_)).one_or_none()
            if known is None:
                mine = proposals.c.group_id == group
                connection.execute(
                    update(proposals).where(mine, proposals.c.state == OPEN).values(state=REPLACED)
                )
                if connection.execute(
                    select(proposals.c.id).where(mine, proposals.c.state == AGREED)
                ).scalar():
                    return None
                connection.execute(
                    insert(proposals).values(
                        id=id_,
                        group_id=group,
                        person=person,
                        starts_at=starts_at,
                        instead_of=instead_of,
                        state=OPEN,
                        made_at=now(),
                        expires_at=expires_at,
                    )
                )
            return self._one(connection, id_)

    def proposal(self, id_: str) -> Proposal | None:
        with transaction(self._engine, write=False) as connection:
            return self._one(connection, id_)

    def live(self) -> list[Proposal]:
        """All that wait for somebody, or for us."""
        return self._many(proposals.c.state.in_(LIVE))

    def live_of(self, group: str) -> Proposal | None:
        found = self._many((proposals.c.group_id == group) & proposals.c.state.in_(LIVE))
        return found[0] if found else None

    def lately(self, since: datetime) -> list[Proposal]:
        """All that waited for somebody until then, or later; the oldest first."""
        return self._many(proposals.c.expires_at >= since)

    def of_groups(self, groups: Sequence[str]) -> list[Proposal]:
        """Of these meetings, the oldest first."""
        return self._many(proposals.c.group_id.in_(groups))

    def answer(self, id_: str, person: str, agrees: bool) -> bool:
        """
        Keep what somebody says to an open proposal; what they said first counts.

        :return: False if it is not open, or they have said something else before.
        """
        values = {"proposal_id": id_, "person": person, "agrees": agrees, "at": now()}
        with transaction(self._engine) as connection:
            said = connection.execute(
                select(consents.c.agrees).where(consents.c.proposal_id == id_, consents.c.person == person)
            ).scalar()
            if said is not None:
                return bool(said) == agrees
            state = connection.execute(
                select(proposals.c.state).where(proposals.c.id == id_).with_for_update()
            ).scalar()
            if state != OPEN:
                return False
            connection.execute(insert(consents).values(values))
        return True

    def advance(self, id_: str, *, to: str, only_from: Sequence[str]) -> bool:
        """:return: False if it is in none of these states (any more)."""
        with transaction(self._engine) as connection:
            changed = connection.execute(
                update(proposals)
                .where(proposals.c.id == id_, proposals.c.state.in_(only_from))
                .values(state=to)
            ).rowcount
        return bool(changed)

    def void(self, group: str) -> list[Proposal]:
        """End the open proposals of a meeting that is moved or dropped otherwise. :return: those."""
        ended = [entry for entry in self._many(proposals.c.group_id == group) if entry.state == OPEN]
        return [entry for entry in ended if self.advance(entry.id, to=VOID, only_from=[OPEN])]

    def _many(self, condition: ColumnElement[bool]) -> list[Proposal]:
        with transaction(self._engine, write=False) as connection:
            ids = connection.execute(
                select(proposals.c.id).where(condition).order_by(proposals.c.made_at)
            ).scalars()
            found = [self._one(connection, id_) for id_ in list(ids)]
        return [entry for entry in found if entry is not None]

    @staticmethod
    def _one(connection: Connection, id_: str) -> Proposal | None:
        row = connection.execute(select(proposals).where(proposals.c.id == id_)).one_or_none()
        if row is None:
            return None
        said = connection.execute(select(consents).where(consents.c.proposal_id == id_)).all()
        return Proposal(
            id=row.id,
            group=row.group_id,
            person=row.person,
            starts_at=row.starts_at,
            instead_of=row.instead_of,
            state=row.state,
            expires_at=row.expires_at,
            agreed=frozenset(entry.person for entry in said if entry.agrees),
            refused=frozenset(entry.person for entry in said if not entry.agrees),
        )


def _card(row: Row[Any]) -> Card:
    return Card(
        id=row.id,
        kind=row.kind,
        person=row.person,
        group=row.group_id,
        proposal=row.proposal_id,
        content=row.content,
        expires_at=row.expires_at,
        used_at=row.used_at,
        used_by=row.used_by,
    )
