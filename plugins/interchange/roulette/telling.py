"""Saying something, once: to a person, where it can be found again, or in a space, where it cannot."""

from __future__ import annotations

import json
import logging
from collections.abc import Callable, Mapping
from datetime import datetime, timedelta
from typing import Any

from interchange.errors import BadRecord, Conflict, NotFound, OutcomeUnknown, RateLimited
from interchange.hooks.webex import WebexHook
from interchange.hooks.webex_values import Person
from interchange.ledger import EffectRef, Ledger, Receipt, RunRef, State
from interchange.ledger.keys import keyed_hash
from interchange.roulette import taking_back
from interchange.roulette.people import Participant

log = logging.getLogger(__name__)

MESSAGE, REPORT = "message", "report"
CLOCKS_APART = timedelta(minutes=2)
"""Webex's clock and the ledger's may differ by so much."""


class Speaker:
    """
    What a workflow says through the bot.

    :param workflow: whose effects they are. :param look_again: so long after an attempt whose answer was lost, a
        message that cannot be found counts as not sent.
    """

    def __init__(
        self,
        hook: WebexHook,
        ledger: Ledger,
        *,
        workflow: str,
        run: RunRef,
        lease_s: float,
        look_again: timedelta,
        clock: Callable[[], datetime],
    ) -> None:
        self._hook = hook
        self._ledger = ledger
        self._workflow = workflow
        self._run = run
        self._lease_s = lease_s
        self._look_again = look_again
        self._clock = clock
        self._myself: Person | None = None

    @property
    def myself(self) -> Person:
        """The bot as Webex knows it; asked once."""
        if self._myself is None:
            self._myself = self._hook.me()
        return self._myself

    @property
    def me(self) -> str:
        """The bot's own person id."""
        return self.myself.id

    def tell(
        self,
        key: str,
        to: Participant,
        text: str,
        *,
        card: Mapping[str, Any] | None = None,
        card_id: str | None = None,
        image: str | None = None,
    ) -> bool:
        """
        Say something to one person, once for the key.

        :param card_id: stands in the card, which is found again by it.
        :return: False if they cannot be told: that message is quarantined, with the reason.
        :raises OutcomeUnknown: it may have been said; said again with the same key, it is looked for first.
        """
        ref = EffectRef(self._workflow, MESSAGE, key)
        if to.address is None:
            return False
        address, before = to.address, self._ledger.get(ref)

        def send() -> dict[str, Any]:
            try:
                return _receipt(self._hook.send(markdown=text, address=address, card=card, file_url=image))
            except NotFound:
                raise BadRecord(
                    "address", "Webex knows nobody with it, or the bot may not write to them"
                ) from None

        def find() -> dict[str, Any] | None:
            found = self._said(address, text, card_id, since=before.created_at if before else self._clock())
            if found is None:
                self.wait_for_lists(ref, before.updated_at if before else self._clock())
            return found

        def undo(ours: Receipt, theirs: Receipt | None) -> None:
            if theirs is None or theirs.get("message", ours["message"]) != ours["message"]:
                taking_back.take_back(
                    self._ledger,
                    taking_back.MESSAGE,
                    ours["message"],
                    self._hook.delete_message,
                    lease_s=self._lease_s,
                    run=self._run,
                )

        try:
            self._ledger.perform(ref, send=send, find=find, lease_s=self._lease_s, run=self._run, undo=undo)
        except BadRecord as exc:
            log.warning("%s was not said: %s", ref, exc)
            return False
        return True

    def report(self, key: str, room_id: str | None, text: str) -> None:
        """
        Say something in a space, at most once: a bot cannot look up there what it has said.

        What may have been said already, or the space does not take, is left at that: nobody has to decide about it.
        """
        if room_id is None:
            return
        ref = EffectRef(self._workflow, REPORT, key)
        try:
            self._ledger.perform(
                ref,
                send=lambda: {"message": self._hook.send(markdown=text, room_id=room_id)},
                find=None,
                lease_s=self._lease_s,
                run=self._run,
            )
        except OutcomeUnknown as exc:
            log.warning("Whether %s was said is not known; it is not said again: %s", ref, exc)
            self._leave_it(ref)
        except NotFound:
            log.warning(
                "%s was not said: the space of setting report_room_id is not there, or without the bot", ref
            )

    def wait_for_lists(self, ref: EffectRef, attempted_at: datetime) -> None:
        """
        Let nothing count as not done before Webex's lists must show it.

        :raises RateLimited: it is too early to say.
        """
        rest_s = (attempted_at + self._look_again - self._clock()).total_seconds()
        if rest_s > 0:
            raise RateLimited(
                "webex.look_again",
                f"{ref} may have been done and is not in Webex's lists, which lag behind",
                retry_after_s=rest_s,
            )

    def _said(
        self, address: str, text: str, card_id: str | None, *, since: datetime
    ) -> dict[str, Any] | None:
        taken = self._known(since - 2 * CLOCKS_APART)
        for message in self._hook.direct_messages(address, since=since - CLOCKS_APART):
            if message.person_id != self.me or message.id in taken:
                continue
            same = (
                card_id in json.dumps(message.cards) if card_id else text in (message.markdown, message.text)
            )
            if same:
                return _receipt(message.id)
        return None

    def _known(self, since: datetime) -> frozenset[str]:
        """Messages that others than this effect are known to have brought: the same may be said twice on purpose."""
        said = self._ledger.list(kind=MESSAGE, state=State.CONFIRMED, since=since)
        return frozenset(str((effect.receipt or {}).get("message")) for effect in said)

    def _leave_it(self, ref: EffectRef) -> None:
        try:
            self._ledger.settle(
                ref,
                to=State.CONFIRMED,
                by=self._ledger.owner,
                reason="a report that may be missing is better than one that comes twice",
                receipt={"outcome": "not known"},
            )
        except Conflict:
            # Somebody else is at it.
            return


def _receipt(message_id: str) -> dict[str, Any]:
    # It leads to what was said to somebody.
    return {"message": message_id, "personal": ["message"]}


def card_id_of(effect: str) -> str:
    """What a card holds of us: the same for the same effect, and nothing that anybody could guess."""
    return keyed_hash(f"card/{effect}")
