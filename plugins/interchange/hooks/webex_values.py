"""What Webex tells, as far as it is used: read leniently, and never more kept than needed."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any


@dataclass(frozen=True, kw_only=True)
class Meeting:
    """
    What is used of a meeting; never its password or host key.

    :param starts_at, ends_at: aware. :param tags: only those of this client.
    """

    id: str
    starts_at: datetime
    ends_at: datetime
    web_link: str
    state: str
    tags: tuple[str, ...]


@dataclass(frozen=True, kw_only=True)
class Invitee:
    id: str
    address: str


@dataclass(frozen=True, kw_only=True)
class Message:
    """
    :param text: plain; :param markdown: as it was sent, if it was. :param cards: contents of its cards.
    """

    id: str
    room_id: str
    direct: bool
    person_id: str
    address: str
    text: str
    markdown: str
    cards: tuple[Mapping[str, Any], ...]
    sent_at: datetime


@dataclass(frozen=True, kw_only=True)
class Submission:
    """A card that somebody has sent back. :param inputs: anything at all: the sender can change each of them."""

    id: str
    message_id: str
    person_id: str
    room_id: str
    inputs: Mapping[str, Any]


@dataclass(frozen=True, kw_only=True)
class Person:
    """:param zone: IANA name, if the person has set one."""

    id: str
    addresses: tuple[str, ...]
    name: str
    zone: str | None


@dataclass(frozen=True, kw_only=True)
class Webhook:
    id: str
    name: str
    target: str
    resource: str
    event: str
    active: bool


def _text(value: Any) -> str:
    if not isinstance(value, str) or not value:
        raise TypeError("a text was expected")
    return value


def read_id(answer: Mapping[str, Any]) -> str:
    return _text(answer["id"])


def _time(value: Any) -> datetime:
    moment = datetime.fromisoformat(_text(value))
    if moment.tzinfo is None:
        raise ValueError("a time without a zone")
    return moment


def read_meeting(answer: Mapping[str, Any]) -> Meeting:
    return Meeting(
        id=read_id(answer),
        starts_at=_time(answer["start"]),
        ends_at=_time(answer["end"]),
        web_link=str(answer.get("webLink") or ""),
        state=str(answer.get("state") or ""),
        tags=tuple(str(tag) for tag in answer.get("integrationTags") or ()),
    )


def read_message(answer: Mapping[str, Any]) -> Message:
    cards = (entry.get("content") for entry in answer.get("attachments") or ())
    return Message(
        id=read_id(answer),
        room_id=_text(answer["roomId"]),
        direct=answer.get("roomType") == "direct",
        person_id=_text(answer["personId"]),
        address=str(answer.get("personEmail") or "").strip().lower(),
        text=str(answer.get("text") or ""),
        markdown=str(answer.get("markdown") or ""),
        cards=tuple(card for card in cards if isinstance(card, Mapping)),
        sent_at=_time(answer["created"]),
    )


def read_activity(answer: Mapping[str, Any]) -> datetime:
    """When somebody said something in a space, the last time."""
    return _time(answer.get("lastActivity") or answer["created"])


def read_submission(answer: Mapping[str, Any]) -> Submission:
    inputs = answer.get("inputs") or {}
    return Submission(
        id=read_id(answer),
        message_id=_text(answer["messageId"]),
        person_id=_text(answer["personId"]),
        room_id=_text(answer["roomId"]),
        inputs=inputs if isinstance(inputs, Mapping) else {},
    )


def read_person(answer: Mapping[str, Any]) -> Person:
    return Person(
        id=read_id(answer),
        addresses=tuple(str(address).strip().lower() for address in answer.get("emails") or ()),
        name=str(answer.get("displayName") or ""),
        zone=str(answer.get("timezone") or "") or None,
    )


def read_webhook(answer: Mapping[str, Any]) -> Webhook:
    return Webhook(
        id=read_id(answer),
        name=str(answer.get("name") or ""),
        target=_text(answer["targetUrl"]),
        resource=_text(answer["resource"]),
        event=_text(answer["event"]),
        active=answer.get("status") == "active",
    )
