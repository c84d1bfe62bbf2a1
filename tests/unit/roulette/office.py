"""Colleagues who are paired, their Webex, and a bot that answers them: what the tests of the dialogue share."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, date, datetime, timedelta
from typing import Any

from sqlalchemy import event

from include.sandbox.core import Sandbox
from interchange.core.slots import Slot
from interchange.hooks.webex import WebexHook
from interchange.ledger import Ledger, RunRef
from interchange.ledger.limits import RateLimiter
from interchange.ledger.tokens import TokenVault
from interchange.roulette.desk import Desk
from interchange.roulette.dialogue import Dialogue
from interchange.roulette.events import ACTIONS, MESSAGES, Event
from interchange.roulette.people import person_key
from interchange.roulette.rounds import Drawn, Group, Wanted, group_id
from interchange.roulette.talk import Proposal
from interchange.roulette.texts import Texts
from interchange.settings.model import validate
from interchange.settings.webex_roulette import Settings
from tests.unit.vendors import Connections

ANA, BO, CHIDI, DANA = (f"{name}@example.test" for name in ("ana", "bo", "chidi", "dana"))
EMIL, FATIMA, GORAN, HANA = (f"{name}@example.test" for name in ("emil", "fatima", "goran", "hana"))
STRANGER = "lena@example.test"
ZONE = "Europe/Kyiv"
MONDAY = date(2031, 3, 3)
NOON = datetime(2031, 3, 3, 10, tzinfo=UTC)
"""Noon in Kyiv, on the Monday of the first round; it meets on Thursday at 15:10."""
THURSDAY, FRIDAY = "2031-03-06T13:10:00Z", "2031-03-07T09:00:00Z"
"""When it meets; and 11:00 of the day after, which is suggested instead."""
SETTINGS: dict[str, Any] = {
    "departments": {"sales": [ANA, BO, CHIDI, DANA], "support": [EMIL, FATIMA, GORAN, HANA]},
    "time_zone": ZONE,
    "slot": {"weekday": "thursday", "start": "15:10", "minutes": 30},
    "holidays": ["2031-03-10"],
    "admins": [ANA],
    "look_again_minutes": 0,
}


class Office:
    """
    :param at: what the clock shows at first, in Webex and for the bot.
    """

    def __init__(
        self,
        sandbox: Sandbox,
        worker: Callable[..., Ledger],
        connections: Connections,
        *,
        settings: Mapping[str, Any] | None = None,
        at: datetime | None = NOON,
    ) -> None:
        self.sandbox = sandbox
        self.connections = connections
        self.webex = sandbox.vendor("webex")
        self.worker = worker
        if at is not None:
            sandbox.clock.advance((at - sandbox.clock.now()).total_seconds())
            # Its tokens are as old as it is.
            self.webex.clear()
        self.report_room = self.hand(rooms={"title": "Roulette", "members": [ANA, self.webex.bot.email]})[0]
        checked, problems = validate(
            Settings, {**SETTINGS, "report_room_id": self.report_room, **(settings or {})}
        )
        assert checked is not None, problems
        self.settings: Settings = checked
        self._templates = Texts()
        self._workers = itertools.count(1)
        self.limited = True
        """Whether Webex's limits of requests a minute are kept to."""
        self.desk = self.new_desk()
        self.desk.people.enrol(self.settings.people)
        self.handled: list[Event] = []

    def new_desk(self, **options: Any) -> Desk:
        """As one more task has it: with hooks and a ledger's owner of its own."""
        ledger = self.worker(f"webex_bot/test/answer/-1/{next(self._workers)}")
        event.listen(ledger.engine, "connect", _without_waiting_for_the_disk)
        ledger.engine.dispose()
        limiter = RateLimiter(ledger.engine) if self.limited else None
        return Desk(
            self.settings,
            ledger=ledger,
            bot=WebexHook("webex_bot", limiter=limiter, pause=lambda _: None),
            meetings=WebexHook(
                "webex_meetings", limiter=limiter, vault=TokenVault(ledger), pause=lambda _: None
            ),
            run=RunRef(dag_id="webex_bot", run_id="test"),
            lease_s=30,
            texts=self._templates,
            **{"clock": self.sandbox.clock.now, "patience_s": 2.0, **options},
        )

    # Webex, by hand

    def hand(self, **seeds: Any) -> list[str]:
        """People do something in Webex. :return: the ids of what came of it."""
        done = self.webex.seed(seeds) or {}
        return [unique for ids in done.values() for unique in ids]

    def writes(self, address: str, text: str, **more: Any) -> Event:
        """Somebody writes to the bot, which has not heard of it yet."""
        return Event(resource=MESSAGES, id=self.hand(say={"person": address, "text": text, **more})[0])

    def presses(self, address: str, button: str | int = 0, **more: Any) -> Event:
        """Somebody fills the last card they got, or ``message``'s, and presses a button."""
        asked = {"person": address, "button": button, **more}
        if "message" not in more:
            asked["message"] = self.last_card(address)["id"]
        return Event(resource=ACTIONS, id=self.hand(submit=asked)[0])

    def forges(self, address: str, inputs: Mapping[str, Any]) -> Event:
        """Somebody sends something back that no card of ours has asked for."""
        message = self.webex.world.messages[self.last_card(address)["id"]]
        person = self.webex.person_at(address)
        with self.webex.lock:
            return Event(resource=ACTIONS, id=self.webex._act(message, person, dict(inputs)).id)

    def handle(self, *events: Event, desk: Desk | None = None) -> list[str]:
        """The bot answers, each event in a task of its own."""
        self.handled += events
        return [Dialogue(desk or self.new_desk()).handle(event) for event in events]

    def says(self, address: str, text: str, **more: Any) -> str:
        """Somebody writes, and the bot answers. :return: its answer to them."""
        self.handle(self.writes(address, text, **more))
        return self.last(address)

    def clicks(self, address: str, button: str | int = 0, **more: Any) -> str:
        """Somebody presses, and the bot answers. :return: what it then says to them."""
        self.handle(self.presses(address, button, **more))
        return self.last(address)

    def messages(self, address: str) -> list[dict[str, Any]]:
        """What the bot has said to somebody alone, the oldest first."""
        webex = self.webex
        # Without those of everybody else: there are thousands.
        with webex.lock:
            room = next((one.id for one in webex.world.rooms.values() if self._is_direct(one, address)), None)
            return [
                webex.shown_message(message)
                for message in webex.world.messages.values()
                if message.room_id == room and message.person_id == webex.bot.id and not message.deleted
            ]

    def _is_direct(self, room: Any, address: str) -> bool:
        people = [self.webex.world.people[unique] for unique in self.webex.members(room.id)]
        others = [person.email for person in people if person.id != self.webex.bot.id]
        return room.kind == "direct" and others == [address] and len(people) == 2

    @property
    def snapshot(self) -> dict[str, Any]:
        """All that Webex holds, at one moment."""
        with self.webex.lock:
            found: dict[str, Any] = self.webex.snapshot()
        return found

    def texts(self, address: str) -> list[str]:
        return [message["markdown"] for message in self.messages(address)]

    def last(self, address: str) -> str:
        return self.texts(address)[-1]

    def last_card(self, address: str) -> dict[str, Any]:
        return [message for message in self.messages(address) if message.get("attachments")][-1]

    def card_ids(self, address: str) -> list[str]:
        """What the cards hold that somebody has got."""
        found = []
        for message in self.messages(address):
            for attachment in message.get("attachments") or ():
                found += [action["data"]["k"] for action in attachment["content"]["actions"]]
        return found

    @property
    def reports(self) -> list[str]:
        return [
            message["markdown"]
            for message in self.snapshot["messages"]
            if message["roomId"] == self.report_room
        ]

    @property
    def meetings(self) -> dict[str, str]:
        """The beginnings of the live meetings, in UTC, by id."""
        return {
            meeting["meeting_id"]: meeting["start"]
            for meeting in self.snapshot["meetings"]
            if meeting["state"] == "live"
        }

    # Rounds

    def book(self, *people: str, monday: date = MONDAY, local: datetime | None = None) -> Group:
        """A meeting of these, in the slot of a week unless another time is given."""
        keys = tuple(sorted(person_key(address) for address in people))
        week = f"{monday.isocalendar()[0]}-W{monday.isocalendar()[1]:02}"
        desk, id_ = self.desk, group_id(week, keys)
        if desk.rounds.get(week) is None:
            empty = Drawn(monday=monday, groups=(), rests={})
            desk.rounds.keep_draw([empty], draw="test", seed="1", quality={})
        self._add(week, keys)
        slot = desk.slot_of_week(monday)
        if local is not None:
            slot = Slot(local=local, zone=ZONE, minutes=30)
        made = desk.meetings.create_meeting(
            title="Coffee",
            agenda="",
            slot=slot,
            addresses=people,
            tag=id_,
            join_before_host_minutes=5,
        )
        desk.rounds.book(
            id_, meeting_id=made.id, web_link=made.web_link, starts_at=slot.starts_at, minutes=slot.minutes
        )
        return self.group(id_)

    def _add(self, week: str, keys: Sequence[str]) -> None:
        from interchange.ledger.database import transaction
        from interchange.roulette.rounds import _add

        with transaction(self.desk.ledger.engine) as connection:
            _add(connection, week, [Wanted(people=tuple(keys), reason="never met, sales x support")])

    def group(self, id_: str) -> Group:
        found = self.desk.rounds.group(id_)
        assert found is not None
        return found

    def pass_time(self, **time: float) -> None:
        self.sandbox.clock.advance(timedelta(**time).total_seconds())

    def suggest(self, address: str, day: str = "2031-03-07", clock: str = "11:00", number: int = 1) -> Event:
        """Somebody suggests another time for a meeting, and the bot has asked the others. :return: the submission."""
        self.says(address, "change")
        self.says(address, str(number))
        event = self.presses(address, inputs={"day": day, "clock": clock})
        self.handle(event)
        return event


def proposals(office: Office, group: Group) -> list[Proposal]:
    return office.desk.talk.of_groups([group.id])


def states(office: Office, group: Group) -> list[str]:
    return [proposal.state for proposal in proposals(office, group)]


def _without_waiting_for_the_disk(connection: Any, _record: Any) -> None:
    # No test here cuts the power, and each dialogue writes dozens of times.
    connection.execute("PRAGMA synchronous=OFF")
