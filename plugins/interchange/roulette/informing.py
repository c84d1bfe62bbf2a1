"""An admin's announcement: written on a card, shown to its author first, then sent to everybody, once each."""

from __future__ import annotations

import json
from collections.abc import Mapping
from datetime import timedelta
from typing import Any
from urllib.parse import urlsplit

from interchange.errors import Refused
from interchange.hooks.webex import LONGEST_TEXT
from interchange.roulette.desk import Desk
from interchange.roulette.events import Event, Memo
from interchange.roulette.senders import Sender
from interchange.roulette.talk import Card

LONGEST = 2000
"""Characters of an announcement."""
_LONGEST_LINK = 2000
LIFE = timedelta(days=7)
_UNREADABLE_IMAGE = 400
Decision = dict[str, Any]


class Informing:
    def __init__(self, desk: Desk) -> None:
        self._desk = desk

    def decide(self, card: Card, inputs: Mapping[str, Any]) -> Decision:
        """What is wrong with an announcement, or that it is to be shown to its author."""
        text, image = (str(inputs.get(name) or "").strip() for name in ("text", "image"))
        problem = _problem(text, image)
        if problem is not None:
            return {
                "do": "refused",
                "say": self._desk.texts.say(f"inform_{problem}", length=len(text), most=LONGEST),
            }
        return {"do": "preview", "card": card.id, "text": text, "image": image}

    def preview(self, event: Event, sender: Sender, decision: Decision) -> None:
        """Send it to its author, with a card whose button sends it to everybody. The first card may be used again."""
        desk, me = self._desk, sender.participant
        text, image = decision["text"], decision["image"]
        try:
            desk.speaker.tell(f"{event.reply(me.key)}/preview", me, text, image=image or None)
        except Refused as exc:
            if exc.status != _UNREADABLE_IMAGE:
                raise
            desk.tell(event.reply(me.key), me, "inform_not_taken")
            return
        sealed = desk.ledger.seal(json.dumps({"text": text, "image": image}))
        count = len(desk.settings.people)
        desk.tell_card(
            event.reply(me.key),
            me,
            desk.texts.say("inform_check", count=count),
            card="send",
            values={"count": count},
            kind="send",
            content=sealed,
            expires_at=desk.clock() + LIFE,
        )

    def send(self, event: Event, sender: Sender, decision: Decision, memo: Memo) -> None:
        """
        Send it to everybody who takes part; whoever has it already does not get it again.

        :raises RateLimited: later it goes on with the rest.
        """
        desk, me = self._desk, sender.participant
        if not desk.talk.use(decision["card"], by=event.id):
            desk.tell(event.reply(me.key), me, "card_used")
            return
        card = desk.talk.card(decision["card"])
        text = desk.ledger.unseal(card.content) if card is not None and card.content else None
        if text is None:
            desk.tell(event.reply(me.key), me, "card_expired")
            return
        content = json.loads(text)
        keys: list[str] = memo.once(
            "recipients", lambda: sorted(desk.people.enrol(desk.settings.people).values())
        )
        told = 0
        for person in desk.people.of(keys):
            told += desk.speaker.tell(
                f"inform/{decision['card']}/{person.key}",
                person,
                content["text"],
                image=content["image"] or None,
            )
        desk.tell(event.reply(me.key), me, "inform_sent", told=told, untold=len(keys) - told)


def _problem(text: str, image: str) -> str | None:
    """What is wrong, as the end of a text's name."""
    if not text:
        return "empty"
    if len(text) > LONGEST or len(text.encode()) > LONGEST_TEXT:
        return "too_long"
    if image and not _is_https(image):
        return "image"
    return None


def _is_https(link: str) -> bool:
    try:
        parts = urlsplit(link)
        parts.port  # noqa: B018 - raises for a port that is none
    except ValueError:
        return False
    return (
        parts.scheme == "https"
        and bool(parts.hostname)
        and parts.username is None
        and len(link) <= _LONGEST_LINK
        and link.isprintable()
        and " " not in link
    )
