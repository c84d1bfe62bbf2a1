"""Rounds: who is to meet whom in which week, what was booked, and what came of it."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import date, datetime
from typing import Any

from sqlalchemy import ColumnElement, Connection, Engine, Row, delete, insert, select, update

from interchange.core.slots import week_of
from interchange.ledger.database import transaction
from interchange.ledger.roulette_tables import groups, members, rests, rounds
from interchange.ledger.schema import now

PLANNED, BOOKED, DROPPED = "planned", "booked", "dropped"


@dataclass(frozen=True, kw_only=True)
class Group:
    """
    :param people: keys of those who take part (still), sorted.
    :param state: ``planned`` → ``booked`` → ``dropped``, or ``planned`` → ``dropped``.
    :param starts_at: UTC; with ``minutes`` and ``meeting_id`` once it is booked.
    """

    id: str
    week: str
    people: tuple[str, ...]
    reason: str
    state: str
    starts_at: datetime | None
    minutes: int | None
    meeting_id: str | None
    web_link: str | None
    moved: int
    met: Mapping[str, bool]


@dataclass(frozen=True, kw_only=True)
class Wanted:
    """A group as a draw made it."""

    people: tuple[str, ...]
    reason: str


@dataclass(frozen=True, kw_only=True)
class Drawn:
    """One round as a draw made it. :param rests: reasons by person."""

    monday: date
    groups: tuple[Wanted, ...]
    rests: Mapping[str, str]


@dataclass(frozen=True, kw_only=True)
class Round:
    """:param settled: its groups are final, meetings are booked from now on."""

    week: str
    monday: date
    draw: str
    seed: str
    quality: Mapping[str, Any]
    settled: bool


def group_id(week: str, people: Sequence[str]) -> str:
    """The same for the same people in the same week, whoever asks."""
    return hashlib.sha256("\0".join([week, *sorted(people)]).encode()).hexdigest()[:24]


class Rounds:
    """The rounds of one deployment."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine

    def get(self, week: str) -> Round | None:
        with transaction(self._engine, write=False) as connection:
            row = connection.execute(select(rounds).where(rounds.c.week == week)).one_or_none()
        return None if row is None else _round(row)

    def all(self) -> list[Round]:
        """Every round there is, the newest first."""
        with transaction(self._engine, write=False) as connection:
            return [_round(row) for row in connection.execute(select(rounds).order_by(rounds.c.week.desc()))]

    def keep_draw(self, drawn: Sequence[Drawn], *, draw: str, seed: str, quality: Mapping[str, Any]) -> None:
        """Keep the rounds of a draw. A week that has a round keeps the one it has."""
        with transaction(self._engine) as connection:
            for entry in drawn:
                week = week_of(entry.monday)
                if connection.execute(select(rounds.c.week).where(rounds.c.week == week)).scalar():
                    continue
                connection.execute(
                    insert(rounds).values(
                        week=week,
                        monday=entry.monday.isoformat(),
                        draw=draw,
                        seed=seed,
                        quality=json.dumps(dict(quality)),
                        drawn_at=now(),
                    )
                )
                _add(connection, week, entry.groups)
                _rest(connection, week, entry.rests)

    def settle(self, entry: Drawn) -> bool:
        """
        Make the groups of a round final, as they are given: those it had and has no more are deleted.

        :return: False if they were final already; nothing was changed then.
        """
        week = week_of(entry.monday)
        with transaction(self._engine) as connection:
            changed = connection.execute(
                update(rounds)
                .where(rounds.c.week == week, rounds.c.settled_at.is_(None))
                .values(settled_at=now())
            ).rowcount
            if not changed:
                return False
            wanted = {group_id(week, group.people) for group in entry.groups}
            connection.execute(
                delete(groups).where(
                    groups.c.week == week, groups.c.id.not_in(wanted), groups.c.state == PLANNED
                )
            )
            known = set(connection.execute(select(groups.c.id).where(groups.c.week == week)).scalars())
            _add(
                connection,
                week,
                [group for group in entry.groups if group_id(week, group.people) not in known],
            )
            connection.execute(delete(rests).where(rests.c.week == week))
            _rest(connection, week, entry.rests)
        return True

    def groups(self, week: str) -> list[Group]:
        """Of one round, in a lasting order."""
        return self._groups(groups.c.week == week)

    def group(self, id_: str) -> Group | None:
        found = self._groups(groups.c.id == id_)
        return found[0] if found else None

    def rests(self, week: str) -> dict[str, str]:
        """Who rests in a round, and why."""
        with transaction(self._engine, write=False) as connection:
            rows = connection.execute(select(rests).where(rests.c.week == week).order_by(rests.c.person))
            return {row.person: row.reason for row in rows}

    def rest(self, week: str, person: str, reason: str) -> None:
        with transaction(self._engine) as connection:
            there = select(rests.c.person).where(rests.c.week == week, rests.c.person == person)
            if connection.execute(there).scalar() is None:
                _rest(connection, week, {person: reason})

    def coming(self, person: str, *, after: datetime) -> list[Group]:
        """The meetings somebody has before them, the next one first."""
        mine = select(members.c.group_id).where(members.c.person == person, members.c.left_at.is_(None))
        found = self._groups(
            groups.c.id.in_(mine) & (groups.c.state == BOOKED) & (groups.c.starts_at > after)
        )
        return sorted(found, key=lambda group: (group.starts_at or after, group.id))

    def of(self, person: str) -> list[Group]:
        """Every group somebody is or was in, the oldest first; those they left too, without them in ``people``."""
        return self._groups(groups.c.id.in_(select(members.c.group_id).where(members.c.person == person)))

    def ended(self, *, after: datetime, before: datetime) -> list[Group]:
        """Booked meetings that began in this time."""
        return [group for group in self.started(after=after, before=before) if group.state == BOOKED]

    def started(self, *, after: datetime | None, before: datetime) -> list[Group]:
        """Meetings that began in this time, or would have, had they not been cancelled."""
        condition = groups.c.starts_at <= before
        if after is not None:
            condition &= groups.c.starts_at > after
        return self._groups(condition)

    def history(self, *, before: date) -> list[Group]:
        """All groups of the rounds before a Monday that were not dropped."""
        earlier = select(rounds.c.week).where(rounds.c.monday < before.isoformat())
        return self._groups(groups.c.week.in_(earlier) & (groups.c.state != DROPPED))

    def rested(self, *, before: date) -> dict[str, list[str]]:
        """The weeks in which people rested before a Monday, by person."""
        earlier = select(rounds.c.week).where(rounds.c.monday < before.isoformat())
        found: dict[str, list[str]] = {}
        with transaction(self._engine, write=False) as connection:
            for row in connection.execute(
                select(rests).where(rests.c.week.in_(earlier)).order_by(rests.c.week)
            ):
                found.setdefault(row.person, []).append(row.week)
        return found

    # What becomes of a group

    def book(self, id_: str, *, meeting_id: str, web_link: str, starts_at: datetime, minutes: int) -> None:
        self._set(
            id_,
            groups.c.state == PLANNED,
            state=BOOKED,
            meeting_id=meeting_id,
            web_link=web_link,
            starts_at=starts_at,
            minutes=minutes,
        )

    def move(self, id_: str, *, starts_at: datetime) -> bool:
        """:return: False if it is there already, or not booked."""
        condition = (groups.c.state == BOOKED) & (groups.c.starts_at != starts_at)
        return self._set(id_, condition, starts_at=starts_at, moved=groups.c.moved + 1)

    def drop(self, id_: str) -> bool:
        """:return: False if it was dropped before."""
        return self._set(id_, groups.c.state != DROPPED, state=DROPPED)

    def leave(self, id_: str, person: str) -> None:
        """Somebody takes part no more; the others do."""
        with transaction(self._engine) as connection:
            connection.execute(
                update(members)
                .where(members.c.group_id == id_, members.c.person == person, members.c.left_at.is_(None))
                .values(left_at=now())
            )

    def answer(self, id_: str, person: str, met: bool) -> bool:
        """Whether they met, as one of them says. :return: False if this person is not of the group."""
        with transaction(self._engine) as connection:
            changed = connection.execute(
                update(members)
                .where(members.c.group_id == id_, members.c.person == person, members.c.left_at.is_(None))
                .values(met=met)
            ).rowcount
        return bool(changed)

    def forget_before(self, monday: date) -> int:
        """Delete the rounds before a Monday with all that belongs to them. :return: how many."""
        with transaction(self._engine) as connection:
            weeks = list(
                connection.execute(
                    select(rounds.c.week).where(rounds.c.monday < monday.isoformat())
                ).scalars()
            )
            connection.execute(delete(groups).where(groups.c.week.in_(weeks)))
            connection.execute(delete(rounds).where(rounds.c.week.in_(weeks)))
        return len(weeks)

    def _set(self, id_: str, condition: ColumnElement[bool], **values: Any) -> bool:
        with transaction(self._engine) as connection:
            changed = connection.execute(
                update(groups).where(groups.c.id == id_, condition).values(**values)
            ).rowcount
        return bool(changed)

    def _groups(self, condition: ColumnElement[bool]) -> list[Group]:
        with transaction(self._engine, write=False) as connection:
            rows = connection.execute(
                select(groups).where(condition).order_by(groups.c.week, groups.c.id)
            ).all()
            of: dict[str, list[Row[Any]]] = {}
            chosen = select(groups.c.id).where(condition)
            for member in connection.execute(select(members).where(members.c.group_id.in_(chosen))):
                of.setdefault(member.group_id, []).append(member)
        return [_group(row, of.get(row.id, [])) for row in rows]


def _add(connection: Connection, week: str, wanted: Iterable[Wanted]) -> None:
    for group in wanted:
        id_ = group_id(week, group.people)
        connection.execute(insert(groups).values(id=id_, week=week, reason=group.reason, state=PLANNED))
        for person in group.people:
            connection.execute(insert(members).values(group_id=id_, person=person))


def _rest(connection: Connection, week: str, reasons: Mapping[str, str]) -> None:
    for person, reason in reasons.items():
        connection.execute(insert(rests).values(week=week, person=person, reason=reason))


def _round(row: Row[Any]) -> Round:
    return Round(
        week=row.week,
        monday=date.fromisoformat(row.monday),
        draw=row.draw,
        seed=row.seed,
        quality=json.loads(row.quality),
        settled=row.settled_at is not None,
    )


def _group(row: Row[Any], of: Sequence[Row[Any]]) -> Group:
    active = [member for member in of if member.left_at is None]
    return Group(
        id=row.id,
        week=row.week,
        people=tuple(sorted(member.person for member in active)),
        reason=row.reason,
        state=row.state,
        starts_at=row.starts_at,
        minutes=row.minutes,
        meeting_id=row.meeting_id,
        web_link=row.web_link,
        moved=row.moved,
        met={member.person: member.met for member in active if member.met is not None},
    )
