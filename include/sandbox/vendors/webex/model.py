"""What the simulated Webex holds."""

from __future__ import annotations

import dataclasses
import datetime as dt
from typing import Any

from include.sandbox.vendors.webex.answers import public_id

ORG_ID = public_id("ORGANIZATION", "5eed0000-0000-4000-8000-000000000001")


@dataclasses.dataclass(kw_only=True)
class Person:
    """:param kind: ``person``, ``bot`` or ``appuser`` (a service app's machine account)."""

    id: str
    emails: list[str]
    display_name: str
    created: dt.datetime
    kind: str = "person"
    department: str | None = None
    title: str | None = None
    timezone: str | None = None
    manager_id: str | None = None
    status: str = "active"
    gone: bool = False
    """Left the organisation: cannot be found, cannot be written to."""

    @property
    def email(self) -> str:
        return self.emails[0]


@dataclasses.dataclass(kw_only=True)
class Client:
    """
    A registered integration or service app.

    :param account: id of the person whom a service app acts as.
    """

    id: str
    secret: str
    kind: str
    redirect_uris: list[str]
    scopes: frozenset[str]
    account: str | None = None


@dataclasses.dataclass(kw_only=True)
class Grant:
    """A code, an access token or a refresh token: who may do what through which client, until when."""

    client_id: str
    person_id: str
    scopes: frozenset[str]
    expires: dt.datetime
    redirect_uri: str = ""


@dataclasses.dataclass(kw_only=True)
class Room:
    id: str
    title: str
    kind: str
    creator_id: str
    created: dt.datetime
    active: dt.datetime
    members: list[str] = dataclasses.field(default_factory=list)
    """Ids of people, in the order in which they came; what each membership says besides is in memberships."""


@dataclasses.dataclass(kw_only=True)
class Membership:
    id: str
    room_id: str
    person_id: str
    created: dt.datetime
    moderator: bool = False


@dataclasses.dataclass(kw_only=True)
class Message:
    """:param cards: the attachments, as they were sent."""

    id: str
    room_id: str
    person_id: str
    created: dt.datetime
    text: str
    markdown: str | None = None
    parent_id: str | None = None
    files: list[str] = dataclasses.field(default_factory=list)
    cards: list[dict[str, Any]] = dataclasses.field(default_factory=list)
    mentioned: list[str] = dataclasses.field(default_factory=list)
    updated: dt.datetime | None = None
    edits: int = 0
    deleted: bool = False


@dataclasses.dataclass(kw_only=True)
class Action:
    id: str
    message_id: str
    room_id: str
    person_id: str
    inputs: dict[str, Any]
    created: dt.datetime


@dataclasses.dataclass(kw_only=True)
class Webhook:
    """
    :param failures: when deliveries failed lately.
    :param revived: when a person set it active again.
    """

    id: str
    name: str
    target_url: str
    resource: str
    event: str
    filter: str | None
    secret: str | None
    owner_id: str
    client_id: str
    created: dt.datetime
    owned_by: str = "creator"
    active: bool = True
    failures: list[dt.datetime] = dataclasses.field(default_factory=list)
    revived: dt.datetime | None = None


@dataclasses.dataclass(kw_only=True)
class Invitee:
    """:param occurrence: id of the only occurrence they are invited to; None: to all."""

    id: str
    email: str
    display_name: str
    co_host: bool = False
    panelist: bool = False
    occurrence: str | None = None


@dataclasses.dataclass(kw_only=True)
class Change:
    """What one occurrence has of its own; ``cancelled``: it does not take place."""

    start: dt.datetime | None = None
    end: dt.datetime | None = None
    title: str | None = None
    cancelled: bool = False


@dataclasses.dataclass(kw_only=True)
class Instance:
    """A meeting that was started; ``end`` is None while it goes on."""

    id: str
    occurrence: str
    start: dt.datetime
    end: dt.datetime | None = None


@dataclasses.dataclass(kw_only=True)
class Meeting:
    """
    A series, of one occurrence unless it has a recurrence.

    :param start: of the first occurrence, UTC.
    :param zone: IANA name in which it was scheduled.
    :param tags: integration tags by the id of the client that wrote them.
    :param settings: whatever else was sent and is given back unchanged.
    :param changes: of single occurrences, by their id.
    """

    id: str
    number: str
    host_id: str
    client_id: str
    title: str
    password: str
    start: dt.datetime
    end: dt.datetime
    zone: str
    created: dt.datetime
    agenda: str | None = None
    recurrence: str | None = None
    room_id: str | None = None
    tags: dict[str, list[str]] = dataclasses.field(default_factory=dict)
    settings: dict[str, Any] = dataclasses.field(default_factory=dict)
    invitees: list[Invitee] = dataclasses.field(default_factory=list)
    changes: dict[str, Change] = dataclasses.field(default_factory=dict)
    instances: list[Instance] = dataclasses.field(default_factory=list)
    absent: set[str] = dataclasses.field(default_factory=set)
    """Occurrences that a person has marked as missed."""
    cancelled: bool = False


@dataclasses.dataclass(kw_only=True)
class World:
    """All that a restart keeps. Dictionaries are by id, tokens and codes by their value."""

    people: dict[str, Person] = dataclasses.field(default_factory=dict)
    clients: dict[str, Client] = dataclasses.field(default_factory=dict)
    codes: dict[str, Grant] = dataclasses.field(default_factory=dict)
    access: dict[str, Grant] = dataclasses.field(default_factory=dict)
    refresh: dict[str, Grant] = dataclasses.field(default_factory=dict)
    rooms: dict[str, Room] = dataclasses.field(default_factory=dict)
    memberships: dict[str, Membership] = dataclasses.field(default_factory=dict)
    messages: dict[str, Message] = dataclasses.field(default_factory=dict)
    actions: dict[str, Action] = dataclasses.field(default_factory=dict)
    webhooks: dict[str, Webhook] = dataclasses.field(default_factory=dict)
    meetings: dict[str, Meeting] = dataclasses.field(default_factory=dict)
    mails: list[dict[str, Any]] = dataclasses.field(default_factory=list)
    creations: list[tuple[dt.datetime, str, str, bool]] = dataclasses.field(default_factory=list)
    """When who tried to create a meeting for which host, and whether with admin scopes."""
    lags: dict[str, int] = dataclasses.field(default_factory=dict)
    """Reads that will find nothing, by id."""
