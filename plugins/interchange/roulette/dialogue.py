"""
The bot answers: what somebody writes, and what they send back with a card.

Events say only that there is something; what it is and whose is fetched by its id. In a group space the bot hears what
mentions it, and answers to the person alone. An event may come twice, late, and in any order.
"""

from __future__ import annotations

import logging
from typing import Any

from interchange.core.bot_words import read
from interchange.core.wishes import local_day
from interchange.errors import BadRecord
from interchange.roulette.absences import Absences
from interchange.roulette.clicks import Clicks
from interchange.roulette.commands import Commands
from interchange.roulette.desk import Desk
from interchange.roulette.erasing import Erasing
from interchange.roulette.events import MESSAGES, Event, Memo, fetched
from interchange.roulette.informing import Informing
from interchange.roulette.moves import Moves
from interchange.roulette.senders import Sender, identify

log = logging.getLogger(__name__)


class Dialogue:
    """What the bot does about events."""

    def __init__(self, desk: Desk) -> None:
        moves = Moves(desk)
        absences = Absences(desk, moves)
        self._desk = desk
        self._commands = Commands(desk, absences, Erasing(desk, absences))
        self._clicks = Clicks(desk, moves, Informing(desk))

    def handle(self, event: Event) -> str:
        """
        Answer one event, once; a second time it does nothing, and after a kill it goes on.

        :return: what it was, in a word.
        :raises Unavailable: later. :raises OutcomeUnknown: handled again, it finds out what was done.
        """
        desk = self._desk
        try:
            receipt = desk.ledger.perform(
                event.ref,
                send=lambda: {"outcome": self._answer(event)},
                find=None,
                lease_s=desk.lease_s,
                run=desk.run,
                # All it does outside is an effect of its own.
                resend=True,
            )
        except BadRecord as exc:
            log.warning("An event is set aside: %s", exc)
            return "set aside"
        return str(receipt["outcome"])

    def _answer(self, event: Event) -> str:
        memo = Memo(self._desk.ledger, event.ref)
        if event.resource == MESSAGES:
            return self._message(event, memo)
        return self._submission(event, memo)

    def _message(self, event: Event, memo: Memo) -> str:
        message = fetched(self._desk, event, self._desk.bot.message)
        if message.person_id == self._desk.speaker.me:
            return "own"
        sender = identify(self._desk, webex_id=message.person_id, address=message.address)
        if sender is None or not sender.welcome:
            return self._stranger(sender)
        names = () if message.direct else (self._desk.speaker.myself.name,)
        said = read(message.text, names=names)
        decision: dict[str, Any] = memo.once(
            "decision", lambda: self._commands.decide(sender, said, at=message.sent_at)
        )
        self._commands.carry_out(event, sender, decision)
        return str(decision["do"])

    def _submission(self, event: Event, memo: Memo) -> str:
        submission = fetched(self._desk, event, self._desk.bot.submission)
        if submission.person_id == self._desk.speaker.me:
            return "own"
        sender = identify(self._desk, webex_id=submission.person_id)
        if sender is None or not sender.welcome:
            return self._stranger(sender)
        return self._clicks.answer(event, sender, submission.inputs, memo)

    def _stranger(self, sender: Sender | None) -> str:
        """Once a day, so that two bots cannot talk to each other for ever."""
        if sender is not None:
            day = local_day(self._desk.clock(), "UTC").isoformat()
            self._desk.tell(
                f"stranger/{sender.key}/{day}",
                sender.participant,
                "stranger",
                name=sender.participant.shown,
            )
        return "stranger"
