"""What the page of the rounds shows, read from the ledger's database."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from typing import Any
from zoneinfo import ZoneInfo

from sqlalchemy import Engine, Integer, case, cast, func, select

from interchange.core.moments import told
from interchange.core.slots import monday_of, week_of
from interchange.ledger.database import transaction
from interchange.ledger.roulette_tables import groups, members
from interchange.roulette.people import People
from interchange.roulette.rounds import BOOKED, DROPPED, Drawn, Group, Round, Rounds
from interchange.roulette.talk import Proposal, Talk

BEFORE, AFTER = 5, 6
"""So many weeks of the calendar before and after the one that is looked at."""
GROUPS_SHOWN = 100
_WEEK = timedelta(days=7)


@dataclass(frozen=True, kw_only=True)
class Day:
    """:param meetings: that take place. :param moved: of these, so many were moved here."""

    day: date
    meetings: int
    moved: int
    today: bool


@dataclass(frozen=True, kw_only=True)
class Week:
    """
    One line of the calendar, and one bar of the chart.

    :param drawn: there is a round. :param met, not_met, unsaid: of meetings that lie behind: what people say.
    :param to_come: booked and ahead. :param planned: drawn, not booked yet. :param dropped: cancelled, or never booked.
    """

    week: str
    monday: date
    days: tuple[Day, ...]
    drawn: bool
    met: int = 0
    not_met: int = 0
    unsaid: int = 0
    to_come: int = 0
    planned: int = 0
    dropped: int = 0


@dataclass(frozen=True, kw_only=True)
class Line:
    """One group, as it is shown."""

    names: tuple[str, ...]
    when: str
    state: str
    moved: int
    reason: str
    met: str


@dataclass(frozen=True, kw_only=True)
class Move:
    names: tuple[str, ...]
    by: str
    to: str
    state: str


class View:
    """:param zone: of the settings. :param now: aware."""

    def __init__(self, engine: Engine, *, zone: str, now: datetime) -> None:
        self._engine = engine
        self._zone = ZoneInfo(zone)
        self._zone_name = zone
        self._now = now
        self._people = People(engine)
        self._rounds = Rounds(engine)
        self._talk = Talk(engine)
        self._names: dict[str, str] = {}

    def this_week(self) -> date:
        """The Monday of the week that is looked at unless another is asked for: the newest round up to next week's."""
        today = self._now.astimezone(self._zone).date()
        mondays = [entry.monday for entry in self._rounds.all() if entry.monday <= monday_of(today) + _WEEK]
        return max(mondays, default=monday_of(today))

    def round(self, week: str) -> Round | None:
        return self._rounds.get(week)

    def calendar(self, monday: date) -> list[Week]:
        """The weeks around one, each with what is known of its round."""
        mondays = [monday + number * _WEEK for number in range(-BEFORE, AFTER + 1)]
        weeks = [week_of(entry) for entry in mondays]
        by_day, moved, states = self._counted(weeks)
        answers = self._answers(weeks)
        today = self._now.astimezone(self._zone).date()
        return [
            Week(
                week=week,
                monday=first,
                days=tuple(
                    Day(day=day, meetings=by_day[day], moved=moved[day], today=day == today)
                    for day in (first + timedelta(days=number) for number in range(7))
                ),
                drawn=self._rounds.get(week) is not None,
                **answers[week],
                **states[week],
            )
            for week, first in zip(weeks, mondays, strict=True)
        ]

    def lines(self, week: str, first: int) -> tuple[list[Line], int]:
        """Groups of a round from a number on, and how many there are."""
        found = self._rounds.groups(week)
        shown = found[first : first + GROUPS_SHOWN]
        self._know([person for group in shown for person in group.people])
        return [self._line(group) for group in shown], len(found)

    def drawn_lines(self, drawn: Drawn) -> list[Line]:
        """Groups of a preview."""
        shown = drawn.groups[:GROUPS_SHOWN]
        self._know([person for group in shown for person in group.people])
        return [
            Line(
                names=tuple(self._name(person) for person in group.people),
                when="",
                state="preview",
                moved=0,
                reason=group.reason,
                met="",
            )
            for group in shown
        ]

    def rests(self, reasons: Mapping[str, str]) -> list[tuple[str, str]]:
        """Names and reasons of those who rest."""
        shown = list(reasons)[:GROUPS_SHOWN]
        self._know(shown)
        return sorted((self._name(person), reasons[person]) for person in shown)

    def rests_of(self, week: str) -> dict[str, str]:
        return self._rounds.rests(week)

    def moves(self, week: str) -> list[Move]:
        """Proposals to move meetings of a round, the newest first."""
        by_id = {group.id: group for group in self._rounds.groups(week)}
        found = self._talk.of_groups(list(by_id))[-GROUPS_SHOWN:]
        self._know(
            [person for proposal in found for person in (proposal.person, *by_id[proposal.group].people)]
        )
        return [self._move(by_id[proposal.group], proposal) for proposal in reversed(found)]

    def _line(self, group: Group) -> Line:
        said = set(group.met.values())
        state = group.state
        if state == BOOKED and group.starts_at is not None and group.starts_at <= self._now:
            state = "past"
        return Line(
            names=tuple(self._name(person) for person in group.people),
            when="" if group.starts_at is None else told(group.starts_at, self._zone_name),
            state=state,
            moved=group.moved,
            reason=group.reason,
            met="met" if True in said else "did not meet" if said else "",
        )

    def _move(self, group: Group, proposal: Proposal) -> Move:
        return Move(
            names=tuple(self._name(person) for person in group.people),
            by=self._name(proposal.person),
            to=told(proposal.starts_at, self._zone_name),
            state=proposal.state,
        )

    def _know(self, keys: Sequence[str]) -> None:
        unknown = sorted(set(keys) - set(self._names))
        for number in range(0, len(unknown), 500):
            for person in self._people.of(unknown[number : number + 500]):
                self._names[person.key] = person.shown

    def _name(self, key: str) -> str:
        return self._names.get(key, "somebody")

    def _counted(
        self, weeks: Sequence[str]
    ) -> tuple[Counter[date], Counter[date], Mapping[str, dict[str, int]]]:
        """Meetings by local day, those of them that were moved, and groups by what is to come of them."""
        by_day: Counter[date] = Counter()
        moved: Counter[date] = Counter()
        states = {week: {"to_come": 0, "planned": 0, "dropped": 0} for week in weeks}
        was_moved = case((groups.c.moved > 0, 1), else_=0)
        query = (
            select(
                groups.c.week,
                groups.c.starts_at,
                groups.c.state,
                was_moved.label("moved"),
                func.count().label("n"),
            )
            .where(groups.c.week.in_(weeks))
            .group_by(groups.c.week, groups.c.starts_at, groups.c.state, was_moved)
        )
        with transaction(self._engine, write=False) as connection:
            for row in connection.execute(query):
                if row.state == DROPPED:
                    states[row.week]["dropped"] += row.n
                elif row.state != BOOKED:
                    states[row.week]["planned"] += row.n
                else:
                    day = row.starts_at.astimezone(self._zone).date()
                    by_day[day] += row.n
                    moved[day] += row.n * row.moved
                    states[row.week]["to_come"] += row.n * (row.starts_at > self._now)
        return by_day, moved, states

    def _answers(self, weeks: Sequence[str]) -> dict[str, dict[str, int]]:
        """Of meetings that lie behind: how many were held, as one of them says."""
        # PostgreSQL has no greatest truth value.
        yes = func.max(cast(members.c.met, Integer)).label("yes")
        of_group = (
            select(groups.c.week, members.c.group_id, yes)
            .join(members, members.c.group_id == groups.c.id)
            .where(groups.c.week.in_(weeks), groups.c.state == BOOKED, groups.c.starts_at <= self._now)
            .group_by(groups.c.week, members.c.group_id)
            .subquery()
        )
        query = select(of_group.c.week, of_group.c.yes, func.count().label("n")).group_by(
            of_group.c.week, of_group.c.yes
        )
        found = {week: {"met": 0, "not_met": 0, "unsaid": 0} for week in weeks}
        word: Mapping[Any, str] = {1: "met", 0: "not_met", None: "unsaid"}
        with transaction(self._engine, write=False) as connection:
            for row in connection.execute(query):
                found[row.week][word[row.yes]] += row.n
        return found


def now() -> datetime:
    return datetime.now(UTC)
