"""One event of the bot's: something was written, or a card was sent back. Handled as a whole, however often tried."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import timedelta
from typing import Any, TypeVar

from interchange.errors import BadRecord, NotFound, SettingsError, Unavailable
from interchange.ledger import EffectRef, Ledger
from interchange.roulette.desk import WORKFLOW, Desk

EVENT = "event"
MESSAGES, ACTIONS = "messages", "attachmentActions"
READABLE_WITHIN = timedelta(minutes=10)
"""Webex: 99.5 % of what a webhook tells of can be read ten minutes later."""
_LONGEST_ID = 400
T = TypeVar("T")


@dataclass(frozen=True, kw_only=True)
class Event:
    """:param resource: ``messages`` or ``attachmentActions``. :param id: of the message or the submission."""

    resource: str
    id: str

    @classmethod
    def of(cls, given: Any) -> Event:
        """
        :param given: ``{"resource", "id"}``, and whatever else.
        :raises SettingsError: it is no such thing.
        """
        resource = given.get("resource") if isinstance(given, Mapping) else None
        unique = given.get("id") if isinstance(given, Mapping) else None
        if resource not in (MESSAGES, ACTIONS):
            raise SettingsError(f"event: resource must be {MESSAGES} or {ACTIONS}")
        if not isinstance(unique, str) or not 1 <= len(unique) <= _LONGEST_ID or "\0" in unique:
            raise SettingsError("event: id must be the id that Webex has given")
        return cls(resource=resource, id=unique)

    @classmethod
    def named(cls, ref: EffectRef) -> Event:
        """The event of an effect. :raises SettingsError: it is of none."""
        resource, _, unique = ref.key.partition("/")
        return cls.of({"resource": resource, "id": unique})

    @property
    def ref(self) -> EffectRef:
        """What the receiver plans, and handling it confirms."""
        return EffectRef(WORKFLOW, EVENT, f"{self.resource}/{self.id}")

    @property
    def run_id(self) -> str:
        """Of the run that handles it: Airflow takes each only once."""
        return f"webex__{hashlib.sha256(f'{self.resource}/{self.id}'.encode()).hexdigest()[:32]}"

    @property
    def conf(self) -> dict[str, Any]:
        """Of that run."""
        return {"event": {"resource": self.resource, "event": "created", "id": self.id}}

    def reply(self, person: str) -> str:
        """The key of the message that answers it, with the key of whom it goes to."""
        return f"event/{self.resource}/{self.id}/{person}"


class Memo:
    """
    What was decided about an event: the same when it is handled again, whatever has changed meanwhile.

    Encrypted with the event's effect while that is ours, and gone when it is done.
    """

    def __init__(self, ledger: Ledger, ref: EffectRef) -> None:
        self._ledger = ledger
        self._ref = ref
        self._known = ledger.load_progress(ref) or {}

    def __contains__(self, name: str) -> bool:
        return name in self._known

    def once(self, name: str, decide: Callable[[], T]) -> T:
        """:param decide: gives JSON values; called unless it was before."""
        if name not in self._known:
            self._known[name] = decide()
            self._ledger.save_progress(self._ref, self._known)
        found: T = self._known[name]
        return found


def fetched(desk: Desk, event: Event, fetch: Callable[[str], T]) -> T:
    """
    What an event is about, from Webex itself.

    :raises Unavailable: it cannot be read yet, which Webex calls not found.
    :raises BadRecord: nor later.
    """
    try:
        return fetch(event.id)
    except NotFound:
        effect = desk.ledger.get(event.ref)
        if effect is None or desk.clock() - effect.created_at < READABLE_WITHIN:
            raise Unavailable("webex.not_yet", "Webex does not show yet what it has told of") from None
        raise BadRecord("id", "Webex does not show what it has told of: deleted, or never there") from None
