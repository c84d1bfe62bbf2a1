"""
An afternoon: many people write and click at once, twice, late, on each other's cards and on forged ones.

Whatever they do, and in whatever order the bot hears of it: each group has one live meeting, none is moved without
everybody's consent, and nothing is said twice.
"""

from __future__ import annotations

import contextlib
import random
import sqlite3
import threading
from collections import Counter
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from datetime import UTC
from pathlib import Path

import pytest

from include.sandbox.core import Sandbox
from interchange.errors import InterchangeError
from interchange.ledger import Ledger, State
from interchange.roulette.events import Event
from interchange.roulette.rounds import BOOKED, DROPPED, Group
from interchange.roulette.talk import MOVED
from interchange.roulette.upkeep import Upkeep
from tests.unit.roulette.office import Office
from tests.unit.vendors import Connections, effects

WORDS = (
    "change",
    "1",
    "2",
    "1",
    "1",
    "hello",
    "/skip",
    "/pause until 2031-03-20",
    "/resume",
    "2nd",
    "/stats",
    "/help",
)
WEIGHTS = (6, 6, 2, 6, 6, 1, 0.6, 0.4, 1, 1, 1, 1)
DAYS = ("2031-03-04", "05/03/2031", "2031-03-07", "11/03/2031", "2031-03-10", "2031-03-08", "nonsense")
CLOCKS = ("09:00", "10:00", "11:30", "14:00", "15:10")
THREADS = 4


class Afternoon:
    """:param people: how many; nine groups in ten are pairs."""

    def __init__(self, office: Office, people: int, seed: int) -> None:
        self.office = office
        self.drawn = random.Random(seed)
        self.addresses = [f"p{number:03}@example.test" for number in range(people)]
        office.webex.set_options({"requests_per_minute": 0, "meetings_per_day": 100_000})
        office.hand(people=[{"email": address, "displayName": address[:4]} for address in self.addresses])
        half = people // 2
        departments = {"sales": self.addresses[:half], "support": self.addresses[half:]}
        office.settings = type(office.settings).model_validate(
            {**office.settings.model_dump(), "departments": departments, "admins": [self.addresses[0]]}
        )
        office.limited = False
        office.desk = office.new_desk()
        office.desk.people.enrol(office.settings.people)
        self.groups = [office.book(*members) for members in self._groups()]
        self._late: list[Event] = []
        self._told: list[Event] = []

    def _groups(self) -> Iterator[list[str]]:
        waiting = self.drawn.sample(self.addresses, len(self.addresses))
        while waiting:
            size = 3 if len(waiting) == 3 or (len(waiting) > 4 and self.drawn.random() < 0.1) else 2
            yield [waiting.pop() for _ in range(size)]

    def act(self) -> Event:
        """Somebody does something."""
        office, drawn = self.office, self.drawn
        person = drawn.choice(self.addresses)
        cards = [message for message in office.messages(person) if message.get("attachments")]
        if not cards or drawn.random() < 0.3:
            return office.writes(person, drawn.choices(WORDS, WEIGHTS)[0])
        card = cards[-1] if drawn.random() < 0.8 else drawn.choice(cards)
        kind = drawn.random()
        if kind < 0.06:
            key = "".join(drawn.choices("0123456789abcdef", k=32))
            return office.forges(person, {"k": key, "answer": "yes", "day": DAYS[2], "clock": "11:30"})
        if kind < 0.14:
            # Somebody else's card, got hold of somehow.
            person = drawn.choice(self.addresses)
        return self._press(person, card)

    def _press(self, person: str, card: dict[str, object]) -> Event:
        content: dict[str, list[dict[str, object]]] = card["attachments"][0]["content"]  # type: ignore[index]
        buttons = len(content["actions"])
        inputs = {"day": self.drawn.choice(DAYS), "clock": self.drawn.choice(CLOCKS)}
        # People agree more often than not.
        button = 0 if buttons == 1 or self.drawn.random() < 0.75 else 1
        return self.office.presses(person, button, message=card["id"], inputs=inputs if buttons == 1 else {})

    def hear(self, pool: ThreadPoolExecutor, event: Event) -> list[Future[None]]:
        """Webex tells of an event: now, later, twice; and of former ones once more."""
        drawn, now = self.drawn, []
        if drawn.random() < 0.15:
            self._late.append(event)
        else:
            now.append(event)
        if drawn.random() < 0.15:
            now.append(event)
        if self._told and drawn.random() < 0.1:
            now.append(drawn.choice(self._told))
        if self._late and drawn.random() < 0.2:
            now.append(self._late.pop(drawn.randrange(len(self._late))))
        self._told += now
        return [pool.submit(self._answer, one) for one in now]

    def _answer(self, event: Event) -> None:
        """As a task does: tried again until it is done."""
        for _ in range(60):
            with contextlib.suppress(InterchangeError):
                self.office.handle(event)
                return
            threading.Event().wait(0.05)
        self.office.handle(event)

    def happen(self, number: int) -> None:
        waiting: list[Future[None]] = []
        with ThreadPoolExecutor(THREADS) as pool:
            for turn in range(number):
                waiting += self.hear(pool, self.act())
                if turn % 5 == 4:
                    for future in waiting:
                        future.result()
                    waiting.clear()
            waiting += [pool.submit(self._answer, event) for event in self._late]
            for future in waiting:
                future.result()
        care = Upkeep(self.office.new_desk())
        care.answer_missed()
        care.settle_proposals()

    # What must be so

    def addresses_of(self, keys: tuple[str, ...]) -> list[str]:
        return sorted(str(person.address) for person in self.office.desk.people.of(keys))

    def check_meetings(self) -> None:
        """One live meeting for each group that is booked, at its time and with its people; none for one that is not."""
        live = {
            meeting["meeting_id"]: (meeting["start"], sorted(meeting["invitees"]))
            for meeting in self.office.snapshot["meetings"]
            if meeting["state"] == "live"
        }
        expected = {}
        for group in self._now():
            if group.state == BOOKED and group.starts_at is not None:
                start = group.starts_at.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
                expected[group.meeting_id] = (start, self.addresses_of(group.people))
        assert live == expected
        assert len(effects(self.office.sandbox, "meeting_created")) == len(self.groups)

    def _now(self) -> list[Group]:
        return [self.office.group(group.id) for group in self.groups]

    def check_consent(self) -> int:
        """
        Each move was suggested by one of the meeting, agreed to by all others on a card of their own, and made once.

        :return: how many there were.
        """
        office = self.office
        pressed = {
            (action.inputs.get("k"), office.webex.world.people[action.person_id].email)
            for action in office.webex.world.actions.values()
            if action.inputs.get("answer") == "yes"
        }
        moves = Counter(
            (effect["meeting_id"], effect["start"]) for effect in effects(office.sandbox, "meeting_updated")
        )
        agreed: Counter[tuple[str, str]] = Counter()
        for group in self.groups:
            for proposal in office.desk.talk.of_groups([group.id]):
                if proposal.state != MOVED:
                    continue
                start = proposal.starts_at.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
                agreed[str(group.meeting_id), start] += 1
                assert proposal.person in group.people
                assert proposal.agreed <= set(group.people) - {proposal.person}
                # Who had left by then need not agree.
                assert proposal.agreed | {proposal.person} >= set(office.group(group.id).people) or (
                    office.group(group.id).state == DROPPED
                )
                assert len(proposal.agreed) >= 1
                for person in proposal.agreed:
                    card = office.desk.card_id(f"proposal/{proposal.id}/ask/{person}")
                    assert (card, self.addresses_of((person,))[0]) in pressed
        assert moves == agreed
        return sum(moves.values())

    def check_messages(self, ledger_file: Path) -> int:
        """
        Each message stands in the receipt of one effect, and nothing is left open.

        :return: how many there were.
        """
        ledger = self.office.desk.ledger
        receipts = Counter(
            (effect.receipt or {}).get("message")
            for kind in ("message", "report")
            for effect in ledger.list(workflow="webex_bot", kind=kind, state=State.CONFIRMED)
        )
        bot = self.office.webex.bot.id
        said = Counter(
            message["id"] for message in self.office.snapshot["messages"] if message["personId"] == bot
        )
        assert said == receipts
        with contextlib.closing(sqlite3.connect(ledger_file)) as database:
            rest = database.execute(
                "SELECT kind, key, state FROM effects WHERE state <> 'confirmed'"
            ).fetchall()
        assert rest == []
        return len(said)


@pytest.mark.timeout(1800)
@pytest.mark.parametrize(
    ("people", "number", "seed"),
    [
        (16, 120, 1),
        *(pytest.param(200, 1500, seed, marks=pytest.mark.campaign) for seed in (1, 2, 3)),
    ],
)
def test_whatever_people_do(
    sandbox: Sandbox,
    worker: Callable[..., Ledger],
    airflow: Connections,
    ledger_file: Path,
    people: int,
    number: int,
    seed: int,
) -> None:
    afternoon = Afternoon(Office(sandbox, worker, airflow), people, seed)
    afternoon.happen(number)

    afternoon.check_meetings()
    moves = afternoon.check_consent()
    messages = afternoon.check_messages(ledger_file)
    # Something did happen.
    assert moves >= 2
    assert messages >= number // 2
