"""What the bot works with while it answers, moves and looks after things: everything at hand, opened once."""

from __future__ import annotations

import uuid
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from datetime import UTC, date, datetime, timedelta
from typing import Any

from tenacity import Retrying, retry_if_exception_type, stop_after_delay, wait_fixed

from interchange.core.moments import spoken
from interchange.core.slots import Slot
from interchange.errors import Busy
from interchange.hooks.webex import WebexHook
from interchange.hooks.webex_values import Person
from interchange.ledger import EffectRef, Ledger, RunRef
from interchange.roulette.drawing import slot_for
from interchange.roulette.people import Participant, People
from interchange.roulette.rounds import Group, Rounds
from interchange.roulette.talk import Talk
from interchange.roulette.telling import MESSAGE, Speaker, card_id_of
from interchange.roulette.texts import Texts
from interchange.settings.webex_roulette import Settings

WORKFLOW = "webex_bot"
PATIENCE_S = 15.0
"""Two people who press their buttons at once take turns: so long one waits for the other before Airflow has to."""


def _utc_now() -> datetime:
    return datetime.now(UTC)


class Desk:
    """
    :param bot: talks. :param meetings: moves and cancels meetings.
    :param run: who asks, for the ledger. :param lease_s: of its claims.
    :param clock: aware.
    """

    def __init__(
        self,
        settings: Settings,
        *,
        ledger: Ledger,
        bot: WebexHook,
        meetings: WebexHook,
        run: RunRef,
        lease_s: float,
        texts: Texts | None = None,
        clock: Callable[[], datetime] = _utc_now,
        patience_s: float = PATIENCE_S,
    ) -> None:
        self.settings = settings
        self.ledger = ledger
        self.bot = bot
        self.meetings = meetings
        self.run = run
        self.lease_s = lease_s
        self.clock = clock
        self.texts = texts or Texts()
        self.people = People(ledger.engine)
        self.rounds = Rounds(ledger.engine)
        self.talk = Talk(ledger.engine)
        self.speaker = Speaker(
            bot,
            ledger,
            workflow=WORKFLOW,
            run=run,
            lease_s=lease_s,
            look_again=timedelta(minutes=settings.look_again_minutes),
            clock=clock,
        )
        self._patience_s = patience_s

    def close(self) -> None:
        self.bot.close()
        self.meetings.close()

    # Claims

    @contextmanager
    def held(self, group: str) -> Iterator[None]:
        """
        The only one to change a meeting while the block runs, booking included.

        :raises Busy: another process is at it, and stays at it.
        """
        with self._held(f"webex_roulette/group/{group}"):
            yield

    @contextmanager
    def _held(self, name: str) -> Iterator[None]:
        holder = uuid.uuid4().hex
        Retrying(
            retry=retry_if_exception_type(Busy),
            stop=stop_after_delay(self._patience_s),
            wait=wait_fixed(0.1),
            reraise=True,
        )(self.ledger.claims.take, name, holder=holder, lease_s=self.lease_s)
        with self.ledger.hold(name, lease_s=self.lease_s, holder=holder):
            yield

    # Words

    @property
    def zone(self) -> str:
        return self.settings.time_zone

    @property
    def holidays(self) -> frozenset[date]:
        return frozenset(date.fromisoformat(day) for day in self.settings.holidays)

    def slot(self, group: Group) -> Slot:
        """When a booked meeting is, in the settings' zone."""
        if group.starts_at is None or group.minutes is None:
            raise ValueError("a group that is not booked has no time")
        return Slot.at(group.starts_at, zone=self.zone, minutes=group.minutes)

    def slot_of_week(self, monday: date) -> Slot:
        """When the round of a week meets unless its meetings are moved."""
        return slot_for(self.settings, monday)

    def others(self, group: Group, than: str) -> list[Participant]:
        """Those of a meeting besides one of them, with their names."""
        return [self.acquainted(one) for one in self.people.of([key for key in group.people if key != than])]

    def acquainted(self, participant: Participant) -> Participant:
        """The same person with name and zone as Webex has them; unchanged if it knows nobody with the address."""
        if participant.webex_id is not None or participant.address is None:
            return participant
        person = self.bot.person_of(participant.address)
        return participant if person is None else self.enrolled(participant.address, person)

    def enrolled(self, address: str, person: Person) -> Participant:
        """Somebody whom we know from now on, as Webex has them."""
        key = self.people.enrol([address])[address]
        self.people.note(key, webex_id=person.id, name=person.name, zone=person.zone)
        return self.people.of([key])[0]

    def names(self, people: Sequence[Participant]) -> list[str]:
        return [person.shown for person in people]

    def when(self, slot: Slot, people: Sequence[str]) -> str:
        """A time in words, with the local time of those of these people who are in other zones."""
        zones = {person.shown: person.zone for person in self.people.of(people)}
        return spoken(slot, zones)

    # Saying

    def tell(self, key: str, to: Participant | None, text: str, /, **values: Any) -> bool:
        """
        Say one of the texts to a person, once for the key.

        :return: False if they cannot be told.
        """
        return to is not None and self.speaker.tell(key, to, self.texts.say(text, **values))

    def tell_card(
        self, key: str, to: Participant, text: str, *, card: str, values: Mapping[str, Any], **about: Any
    ) -> bool:
        """
        Send a card, once for the key; it is known before it is sent.

        :param text: what clients show that show no cards.
        :param card: which template. :param about: see :meth:`interchange.roulette.talk.Talk.issue`.
        """
        card_id = self.card_id(key)
        self.talk.issue(card_id, person=to.key, **about)
        filled = self.texts.card(card, k=card_id, **values)
        return self.speaker.tell(key, to, text, card=filled, card_id=card_id)

    def card_id(self, key: str) -> str:
        """Of the card that is sent with the message of a key."""
        return card_id_of(str(self.ref(MESSAGE, key)))

    def report(self, key: str, text: str, /, **values: Any) -> None:
        """Say one of the texts in the space for reports, if there is one."""
        if self.settings.report_room_id is not None:
            self.speaker.report(key, self.settings.report_room_id, self.texts.say(text, **values))

    def ref(self, kind: str, key: str) -> EffectRef:
        return EffectRef(WORKFLOW, kind, key)
