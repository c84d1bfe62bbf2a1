"""
The daily care for the bot: what got stuck goes on, what was missed is answered, what is old is forgotten.

Each of these is safe to do again, at any time, and beside the bot at work.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable
from datetime import UTC, date, datetime, time, timedelta
from typing import TypeVar
from zoneinfo import ZoneInfo

from interchange.core.moments import spoken_day
from interchange.core.slots import monday_of
from interchange.core.wishes import local_day
from interchange.errors import Busy, InterchangeError
from interchange.ledger import Effect, State
from interchange.roulette import figures, taking_back
from interchange.roulette.desk import WORKFLOW, Desk
from interchange.roulette.dialogue import Dialogue
from interchange.roulette.events import EVENT, MESSAGES, Event
from interchange.roulette.moves import Moves
from interchange.roulette.talk import LIVE

log = logging.getLogger(__name__)

SWEEP = timedelta(days=3)
"""So far back messages are looked for that Webex has not told of. Submissions cannot be listed by anybody."""
AT_WORK = timedelta(minutes=15)
"""An event that somebody has touched within this time is left to its own task."""
MOST_ATTEMPTS = 25
ASKED_WITHIN = timedelta(days=7)
ANSWER_WITHIN = timedelta(days=30)
TOLD_AGAIN = timedelta(days=14)
CARDS_KEPT = timedelta(days=90)
WARN_BEFORE = timedelta(days=14)
QUARTER_SETTLES = timedelta(days=7)
"""People answer late whether they have met."""
T = TypeVar("T")


class Upkeep:
    def __init__(self, desk: Desk) -> None:
        self._desk = desk
        self._moves = Moves(desk)
        self._dialogue = Dialogue(desk)

    # Events

    def go_on(self) -> int:
        """
        Handle the events whose tasks have given up, or were never started.

        :return: how many. :raises InterchangeError: the first that went wrong, after the rest was tried.
        """
        desk = self._desk
        desk.ledger.expire_claims()
        waiting = [
            effect
            for state in (State.PLANNED, State.UNKNOWN)
            for effect in desk.ledger.list(workflow=WORKFLOW, kind=EVENT, state=state, newest_first=False)
            if desk.clock() - effect.updated_at >= AT_WORK
        ]
        return _each(waiting, self._again)

    def _again(self, effect: Effect) -> None:
        if effect.attempts >= MOST_ATTEMPTS and effect.state is State.PLANNED:
            self._desk.ledger.quarantine(
                effect.ref, field="event", reason=f"tried {effect.attempts} times without success"
            )
            return
        self._dialogue.handle(Event.named(effect.ref))

    def answer_missed(self) -> int:
        """
        Answer what was written to the bot and Webex has not told of.

        :return: how many messages. :raises InterchangeError: the first that went wrong, after the rest was tried.
        """
        desk = self._desk
        heard = [
            message
            for message in desk.bot.lately_said(desk.clock() - SWEEP)
            if message.person_id != desk.speaker.me
        ]
        events = (
            Event(resource=MESSAGES, id=message.id)
            for message in sorted(heard, key=lambda message: (message.sent_at, message.id))
        )
        missed = [event for event in events if desk.ledger.get(event.ref) is None]
        return _each(missed, self._dialogue.handle)

    # Proposals

    def settle_proposals(self) -> int:
        """
        Carry out, end and tell what waits for nobody any more.

        :return: how many were ended. :raises InterchangeError: the first that went wrong, after the rest was tried.
        """
        desk = self._desk
        ended: list[str] = []

        def settle(id_: str, group: str) -> None:
            with desk.held(group):
                proposal = self._moves.advance(id_)
            if proposal is None or proposal.state not in LIVE:
                ended.append(id_)

        live = desk.talk.live()
        lately = desk.talk.lately(desk.clock() - TOLD_AGAIN)
        try:
            _each(live, lambda proposal: settle(proposal.id, proposal.group))
        finally:
            # Whoever ended one may have been killed before all were told.
            _each(lately, self._moves.tell_outcome)
        return len(ended)

    # What exists twice

    def take_back(self) -> int:
        """
        Cancel second meetings and delete second messages that could not be taken back at once.

        :return: how many. :raises InterchangeError: the first that does not go, after the rest was tried.
        """
        desk = self._desk
        desk.ledger.expire_claims()
        ways = {
            taking_back.MEETING: desk.meetings.cancel_meeting,
            taking_back.MESSAGE: desk.bot.delete_message,
        }

        def again(effect: Effect) -> None:
            taking_back.again(desk.ledger, effect.ref, ways, lease_s=desk.lease_s, run=desk.run)

        return _each(taking_back.left(desk.ledger), again)

    # Afterwards

    def ask_whether_met(self) -> int:
        """
        Ask everybody who had a meeting lately, once, whether it took place.

        :return: how many meetings were asked about.
        """
        desk, now = self._desk, self._desk.clock()
        if not desk.settings.ask_whether_met:
            return 0
        over = [
            group
            for group in desk.rounds.ended(after=now - ASKED_WITHIN, before=now)
            if desk.slot(group).ends_at <= now
        ]

        def ask(id_: str) -> None:
            group = desk.rounds.group(id_)
            if group is None:
                return
            for person in desk.people.of([key for key in group.people if key not in group.met]):
                values = {
                    "name": person.shown,
                    "others": desk.names(desk.others(group, person.key)),
                    "when": desk.when(desk.slot(group), [person.key]),
                }
                desk.tell_card(
                    f"met/{group.id}/{person.key}",
                    person,
                    desk.texts.say("met", **values),
                    card="met",
                    values=values,
                    kind="met",
                    group=group.id,
                    expires_at=desk.slot(group).ends_at + ANSWER_WITHIN,
                )

        return _each([group.id for group in over], ask)

    def report_quarter(self) -> str | None:
        """
        Tell the space for reports, once, how the last quarter was.

        :return: which quarter, if there was anything to tell and its time has come.
        """
        desk = self._desk
        begins = _quarter_of(local_day(desk.clock() - QUARTER_SETTLES, desk.zone))
        before = _quarter_of(begins - timedelta(days=1))
        # Within a week after a quarter's end this is the one before it, which was told of.
        totals = figures.total(desk, since=_midnight(before, desk.zone), until=_midnight(begins, desk.zone))
        if not totals["meetings"]:
            return None
        quarter = f"{before.year}-Q{(before.month + 2) // 3}"
        desk.report(f"quarter/{quarter}", "quarter", quarter=quarter, totals=totals)
        return quarter

    # What is old

    def forget_old(self) -> int:
        """
        Forget rounds older than the settings allow, cards nobody can use, and people of whom nothing else is left.

        :return: how many rounds.
        """
        desk = self._desk
        today = local_day(desk.clock(), desk.zone)
        rounds = desk.rounds.forget_before(
            monday_of(_months_before(today, desk.settings.keep_history_months))
        )
        desk.talk.forget_before(desk.clock() - CARDS_KEPT)
        wanted = {*desk.settings.people, *desk.settings.admins}
        gone = [person for person in desk.people.everybody().values() if person.address not in wanted]
        for person in gone:
            if not desk.rounds.of(person.key):
                desk.talk.forget(person.key)
                desk.people.forget(person.key)
        return rounds

    # The log-in that meetings are booked with

    def check_log_in(self) -> int | None:
        """
        Keep the log-in alive, and warn before it ends.

        :return: how many days it still lasts; None: it does not end, or Webex does not say.
        :raises SettingsError: nobody has logged in. :raises Refused: it has ended.
        """
        desk = self._desk
        if not desk.meetings.renewable:
            return None
        ends = desk.meetings.keeper().current().refresh_ends
        if ends is None:
            return None
        end = datetime.fromtimestamp(ends, UTC)
        rest = end - desk.clock()
        if rest < WARN_BEFORE:
            day = local_day(end, desk.zone)
            log.warning(
                "The log-in of connection %s ends on %s: an admin logs in again at /interchange/webex/login",
                desk.meetings.http_conn_id,
                day,
            )
            keys = desk.people.enrol(desk.settings.admins).values()
            for admin in desk.people.of(sorted(keys)):
                desk.tell(f"token/{day.isoformat()}/{admin.key}", admin, "token_ends", day=spoken_day(day))
        return rest.days


def _each(things: Iterable[T], do: Callable[[T], object]) -> int:
    """
    Do all of it, whatever goes wrong with one.

    :return: how many went well. :raises InterchangeError: the first that did not; the others are logged.
    """
    done, failed = 0, None
    for thing in things:
        try:
            do(thing)
            done += 1
        except Busy:
            # Somebody is at it just now.
            continue
        except InterchangeError as exc:
            log.warning("%s: %s", type(exc).__name__, exc)
            failed = failed or exc
    if failed is not None:
        raise failed
    return done


def _quarter_of(day: date) -> date:
    """The first day of its quarter."""
    return date(day.year, (day.month - 1) // 3 * 3 + 1, 1)


def _midnight(day: date, zone: str) -> datetime:
    return datetime.combine(day, time(), tzinfo=ZoneInfo(zone)).astimezone(UTC)


def _months_before(day: date, months: int) -> date:
    """The first day of the month so many months before a day's."""
    number = day.year * 12 + day.month - 1 - months
    return date(number // 12, number % 12 + 1, 1)
