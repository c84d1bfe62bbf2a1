"""Who is there at first: a bot, a host, a service app's account, and twelve people in three departments."""

from __future__ import annotations

import datetime as dt
import uuid
from typing import Any

from include.sandbox.vendors.webex.answers import public_id
from include.sandbox.vendors.webex.model import Client, Grant, Person, World

BOT_EMAIL = "roulette-bot@webex.bot"
HOST_EMAIL = "roulette@example.test"
SERVICE_EMAIL = "roulette-service@example.test"
INTEGRATION = "sandbox-webex-integration"
SERVICE_APP = "sandbox-webex-service-app"
CLIENT_SECRET = "sandbox-webex-secret-0001"
SERVICE_SECRET = "sandbox-webex-secret-0002"
REFRESH_TOKEN = "sandbox-webex-refresh-token-0001"
SERVICE_REFRESH_TOKEN = "sandbox-webex-refresh-token-0002"
REDIRECT_URI = "http://localhost:8080/interchange/webex/callback"
SCOPES = frozenset({"meeting:schedules_read", "meeting:schedules_write", "spark:people_read"})
ADMIN_SCOPES = frozenset(
    {
        "meeting:admin_schedule_read",
        "meeting:admin_schedule_write",
        "meeting:schedules_read",
        "meeting:schedules_write",
        "spark-admin:people_read",
        "spark:people_read",
    }
)
DEPARTMENTS = {
    "sales": [
        ("ana@example.test", "Ana Kovač"),
        ("bo@example.test", "Bo Lindqvist"),
        ("chidi@example.test", "Chidi Okafor"),
        ("dana@example.test", "Dana Novotná"),
    ],
    "support": [
        ("emil@example.test", "Emil Sørensen"),
        ("fatima@example.test", "Fatima El Amrani"),
        ("goran@example.test", "Goran Petrović"),
        ("hana@example.test", "Hana Suzuki"),
    ],
    "engineering": [
        ("ivan@example.test", "Іван Шевченко"),
        ("jo@example.test", "Jo O'Neill"),
        ("kai@example.test", "Kai Müller"),
        ("lena@example.test", "Lena García"),
    ],
}
ZONE = "Europe/Kyiv"
PERSON_KEYS = (
    "email",
    "emails",
    "id",
    "displayName",
    "department",
    "timezone",
    "title",
    "type",
    "managerId",
    "status",
    "gone",
)


def person_id(email: str) -> str:
    """The same for an address in every sandbox."""
    return public_id("PEOPLE", str(uuid.uuid5(uuid.NAMESPACE_DNS, email.casefold())))


def first_world(now: dt.datetime, refresh_life_s: int) -> World:
    world = World()
    accounts = [(BOT_EMAIL, "Coffee Roulette", "bot"), (HOST_EMAIL, "Coffee Host", "person")]
    for email, name, kind in [*accounts, (SERVICE_EMAIL, "Roulette Service", "appuser")]:
        world.people[person_id(email)] = make_person(
            {"email": email, "displayName": name, "type": kind}, now=now
        )
    for department, members in DEPARTMENTS.items():
        for email, name in members:
            world.people[person_id(email)] = make_person(
                {"email": email, "displayName": name, "department": department, "timezone": ZONE}, now=now
            )
    world.clients[INTEGRATION] = Client(
        id=INTEGRATION, secret=CLIENT_SECRET, kind="integration", redirect_uris=[REDIRECT_URI], scopes=SCOPES
    )
    world.clients[SERVICE_APP] = Client(
        id=SERVICE_APP,
        secret=SERVICE_SECRET,
        kind="service_app",
        redirect_uris=[],
        scopes=ADMIN_SCOPES,
        account=person_id(SERVICE_EMAIL),
    )
    until = now + dt.timedelta(seconds=refresh_life_s)
    for token, client, email in (
        (REFRESH_TOKEN, INTEGRATION, HOST_EMAIL),
        (SERVICE_REFRESH_TOKEN, SERVICE_APP, SERVICE_EMAIL),
    ):
        world.refresh[token] = Grant(
            client_id=client, person_id=person_id(email), scopes=world.clients[client].scopes, expires=until
        )
    return world


def make_person(seed: dict[str, Any], *, now: dt.datetime) -> Person:
    """
    :raises ValueError: no address, or a key that is not known.
    """
    if unknown := set(seed) - set(PERSON_KEYS):
        raise ValueError(f"unknown keys of a person: {sorted(unknown)}; known: {PERSON_KEYS}")
    emails = list(seed.get("emails") or [seed["email"]])
    return Person(
        id=seed.get("id") or person_id(emails[0]),
        emails=emails,
        display_name=seed.get("displayName", emails[0].partition("@")[0].title()),
        created=now,
        kind=seed.get("type", "person"),
        department=seed.get("department"),
        title=seed.get("title"),
        timezone=seed.get("timezone"),
        manager_id=seed.get("managerId"),
        status=seed.get("status", "active"),
        gone=seed.get("gone", False),
    )
