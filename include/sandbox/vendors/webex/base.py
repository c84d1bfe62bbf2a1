"""
What all parts of the simulated Webex share: who calls, with which scopes, and how calls are refused.

Sources: developer.webex.com/docs/basics (limits per user and minute, 401, 429), /docs/meetings (scopes),
/docs/bots.
"""

from __future__ import annotations

import copy
import dataclasses
import datetime as dt
import functools
import hmac
import json
from collections.abc import Callable, Iterable
from typing import Any, ClassVar

from include.sandbox.core import Vendor
from include.sandbox.vendors.webex.answers import (
    NO_TOKEN,
    NOT_FOUND,
    Refusal,
    answered,
    not_allowed,
    not_found,
    refused,
    tracking_id,
)
from include.sandbox.vendors.webex.model import Person, World
from include.sandbox.vendors.webex.switches import Switches
from include.sandbox.wire import Request, Response, answer_html, route

SECRET_FIELDS = frozenset(
    {"password", "secret", "client_secret", "clientSecret", "refresh_token", "code", "hostKey"}
)
BOT = "bot"
"""In place of a client's id, for what a bot does."""


@dataclasses.dataclass(frozen=True, kw_only=True)
class Call:
    """A request whose caller is known. ``body`` is the parsed JSON object, empty where there is none."""

    request: Request
    person: Person
    client_id: str
    scopes: frozenset[str]
    body: dict[str, Any]

    @property
    def by_bot(self) -> bool:
        return self.client_id == BOT

    def arg(self, name: str) -> str | None:
        return self.request.arg(name)


Handler = Callable[[Any, Call], Response]


def api(
    method: str, path: str, *, operation: str, scopes: Iterable[str] = ()
) -> Callable[[Handler], Callable[[Any, Request], Response]]:
    """
    Mark a method as the handler of a path below ``/v1``; it is called with the vendor's lock held.

    :param scopes: the caller needs one of these.
    """
    wanted = tuple(scopes)

    def mark(handler: Handler) -> Callable[[Any, Request], Response]:
        @functools.wraps(handler)
        def answer(self: WebexBase, request: Request) -> Response:
            content = request.body.read() if request.method not in ("GET", "DELETE") else b""
            request.body.drain()
            try:
                with self.lock:
                    call = self.caller(request, content, wanted)
                    return self.finished(handler(self, call))
            except Refusal as refusal:
                return refused(refusal, without_errors=not self.options.errors_array)

        return route(method, f"/v1{path}", operation=operation)(answer)

    return mark


class WebexBase(Vendor):
    name: ClassVar[str] = "webex"
    Options = Switches
    options: Switches
    world: World
    calls: dict[str, list[dt.datetime]]

    # Answers

    def failure(self, request: Request, status: int) -> Response:
        texts = {423: "The requested resource is temporarily unavailable.", 429: "Too Many Requests"}
        if self.options.failure_body == "empty":
            return answered(status)
        if self.options.failure_body == "html" or (status == 429 and self.options.html_429):
            page = answer_html(status, "<html><body><h1>Too many requests</h1></body></html>")
            page.headers.append(("trackingid", tracking_id()))
            return page
        return refused(
            Refusal(status, texts.get(status, "injected")), without_errors=not self.options.errors_array
        )

    def not_found(self, request: Request) -> Response:
        return refused(not_found())

    def bad_body(self, request: Request, reason: str) -> Response:
        return refused(
            Refusal(
                400, "The request could not be understood by the server due to malformed syntax.", [reason]
            )
        )

    def finished(self, response: Response) -> Response:
        """The answer, with fields that no description knows if the switch says so."""
        if not (self.options.extra_fields and isinstance(response.body, bytes) and response.body):
            return response
        payload = json.loads(response.body)
        for item in [payload, *(payload.get("items", []) if isinstance(payload, dict) else [])]:
            if isinstance(item, dict):
                item["sandboxUnknown"] = {"new": [1, None, "field"]}
        response.body = json.dumps(payload, ensure_ascii=False).encode()
        return response

    # Callers

    def caller(self, request: Request, content: bytes, scopes: tuple[str, ...]) -> Call:
        """
        Who makes a call.

        :raises Refusal: 401 without a living token, 429 beyond the rate, 403 without a scope, 400 for a wrong body.
        """
        person, client_id, granted = self._holder(request)
        self._count(request, person)
        if scopes and not self._may(client_id, granted, scopes):
            if client_id == BOT and self.options.bot_at_meetings_status == 401:
                raise Refusal(401, NO_TOKEN)
            raise not_allowed(f"Missing required scopes: one of {', '.join(scopes)}.")
        body = _parsed(content)
        if content:
            request.notes["body"] = _without_secrets(body)
        if not isinstance(body, dict):
            raise Refusal(400, "The request could not be understood by the server due to malformed syntax.")
        return Call(request=request, person=person, client_id=client_id, scopes=granted, body=body)

    def _holder(self, request: Request) -> tuple[Person, str, frozenset[str]]:
        scheme, _, token = request.headers.get("Authorization", "").partition(" ")
        if scheme.lower() != "bearer" or not token:
            raise Refusal(401, NO_TOKEN)
        if hmac.compare_digest(token.encode(), self.options.bot_token.encode()):
            return self.bot, BOT, frozenset()
        grant = self.world.access.get(token)
        if grant is None or grant.expires <= self.now():
            raise Refusal(401, NO_TOKEN)
        person = self.world.people[grant.person_id]
        if person.gone:
            raise Refusal(401, NO_TOKEN)
        granted = set(grant.scopes)
        client = self.world.clients.get(grant.client_id)
        if self.options.admin_scopes and (client is None or client.kind == "integration"):
            granted |= {"meeting:admin_schedule_read", "meeting:admin_schedule_write"}
        return person, grant.client_id, frozenset(granted - set(self.options.withdrawn_scopes.split()))

    def _may(self, client_id: str, granted: frozenset[str], scopes: tuple[str, ...]) -> bool:
        if client_id == BOT:
            withdrawn = set(self.options.withdrawn_scopes.split())
            return bool({scope for scope in scopes if scope.startswith("spark:")} - withdrawn)
        if "spark:all" in granted and any(scope.startswith("spark:") for scope in scopes):
            return True
        return bool(granted.intersection(scopes))

    def _count(self, request: Request, person: Person) -> None:
        limit = self.options.requests_per_minute
        # Theirs are higher and not fixed.
        if not limit or request.path.startswith(("/v1/people", "/v1/messages")):
            return
        now = self.now()
        recent = [at for at in self.calls.get(person.id, []) if now - at < dt.timedelta(minutes=1)]
        self.calls[person.id] = recent
        if len(recent) >= limit:
            wait = dt.timedelta(minutes=1) - (now - recent[0])
            raise Refusal(429, "Too Many Requests", retry_after=int(wait.total_seconds()) + 1)
        recent.append(now)

    # People

    @property
    def bot(self) -> Person:
        return next(person for person in self.world.people.values() if person.kind == "bot")

    def person_at(self, email: str | None) -> Person | None:
        """The person with an address, in whatever case; None: nobody, or they have left."""
        wanted = (email or "").casefold()
        return next(
            (
                person
                for person in self.world.people.values()
                if not person.gone and wanted in (address.casefold() for address in person.emails)
            ),
            None,
        )

    def lagging(self, unique: str) -> None:
        """
        Let a read of something new find nothing, if the switch asked for that when it was made.

        :raises Refusal: 404.
        """
        if (left := self.world.lags.get(unique, 0)) > 0:
            self.world.lags[unique] = left - 1
            raise not_found(NOT_FOUND)

    def made(self, unique: str) -> None:
        if self.options.lag_reads:
            self.world.lags[unique] = self.options.lag_reads


def _parsed(content: bytes) -> Any:
    if not content:
        return {}
    try:
        return json.loads(content)
    except ValueError as exc:
        raise Refusal(
            400, "The request could not be understood by the server due to malformed syntax."
        ) from exc


def _without_secrets(body: Any) -> Any:
    """The body as the journal keeps it."""
    if not isinstance(body, dict):
        return copy.deepcopy(body)
    return {
        name: "…" if name in SECRET_FIELDS and value else copy.deepcopy(value) for name, value in body.items()
    }


def text_of(call: Call, name: str, *, needed: bool = False) -> str | None:
    """
    A text field of the body.

    :raises Refusal: 400: it is no text, or missing though needed.
    """
    value = call.body.get(name)
    if value is None and not needed:
        return None
    if not isinstance(value, str) or (needed and not value.strip()):
        raise Refusal(
            400, f"'{name}' must be a non-empty string." if needed else f"'{name}' must be a string."
        )
    return value
