"""
Where Webex tells of messages and cards: ``POST /interchange/webex/webhook``, without a log-in.

Source: developer.webex.com, Webhooks: the header ``X-Spark-Signature`` is the lower-case hexadecimal HMAC-SHA1 of the
raw body under the webhook's secret; no time is signed, so a delivery may be played again; answers other than 2xx count
as failures, and 100 of them within five minutes end the webhook. Deliveries may come twice and in any order.

So: the signature is checked over the bytes as they came, the event is recorded under its own id, which makes a second
delivery nothing new, and Webex has its answer; a run is started afterwards.
"""

from __future__ import annotations

import asyncio
import hmac
import json
import logging
import re
import threading
import time
from dataclasses import dataclass, field
from http import HTTPStatus
from typing import Any

from fastapi import APIRouter, Request
from starlette.concurrency import run_in_threadpool
from starlette.requests import ClientDisconnect
from starlette.responses import Response

from interchange.errors import InterchangeError, Unavailable
from interchange.ledger import EffectRef, Ledger
from interchange.ledger.connection import open_ledger
from interchange.roulette.events import ACTIONS, MESSAGES, Event
from interchange.settings import load_settings
from interchange.web.webex_starter import Starter

log = logging.getLogger(__name__)

PATH = "/webex/webhook"
SIGNATURE = "x-spark-signature"
MAX_BODY_BYTES = 64 * 1024
"""Webex's envelopes have some 1,500 bytes."""
ID = re.compile(r"[A-Za-z0-9_=-]{1,300}")
"""Webex's ids are base64 in its URL-safe alphabet; nothing else may come into a key or an address."""
KNOWN_FOR_S = 15.0
"""Settings, connection and ledger are looked up so often."""
USABLE_FOR_S = 600.0
"""While they are looked up anew, deliveries go by what was known before, if it is not older."""
WRONG_FOR_S = 1.0
"""A signature that is wrong by an older look-up is checked by a new one: the secret may have been changed."""


class Rejected(Exception):  # stays within this module
    """:param status: all that the sender is told."""

    def __init__(self, status: HTTPStatus) -> None:
        super().__init__(status)
        self.status = status


@dataclass(frozen=True, kw_only=True)
class Known:
    """:param secret: of the bot's webhooks; empty: none is configured. :param ledger: None: there is none now."""

    secret: bytes
    ledger: Ledger | None
    at: float


class LookUp:
    """What a delivery needs to know, from Airflow and the settings; nobody waits for it while something is known."""

    def __init__(self) -> None:
        self._turn = threading.Lock()
        self._known: Known | None = None
        # The event loop itself keeps no task alive.
        self._background: asyncio.Future[Known] | None = None

    def fresh(self, age_s: float) -> Known | None:
        """What is known, if it is not older."""
        known = self._known
        return known if known is not None and time.monotonic() - known.at <= age_s else None

    async def get(self, age_s: float) -> Known:
        """As :meth:`fresh`, looked up if need be."""
        known = self.fresh(age_s)
        return known if known is not None else await run_in_threadpool(self._renewed, age_s)

    async def usable(self) -> Known:
        """What is known, looked up anew in the background if it is not fresh; only what is very old is waited for."""
        known = self.fresh(USABLE_FOR_S)
        if known is None:
            return await self.get(KNOWN_FOR_S)
        if self.fresh(KNOWN_FOR_S) is None and not self._turn.locked():
            self._background = asyncio.ensure_future(self.get(KNOWN_FOR_S))
        return known

    def _renewed(self, age_s: float) -> Known:
        with self._turn:
            known = self.fresh(age_s)
            if known is None:
                known = self._known = self._asked()
            return known

    @staticmethod
    def _asked() -> Known:
        from airflow.sdk import BaseHook
        from airflow.sdk.exceptions import AirflowException
        from sqlalchemy.exc import SQLAlchemyError

        secret, ledger = "", None
        try:
            settings = load_settings("webex_roulette")
            connection = BaseHook.get_connection(settings.bot_conn_id)
            secret = str(connection.extra_dejson.get("webhook_secret") or "")
            ledger = open_ledger(owner="web:webex")
            if not secret:
                log.error("Webex is refused: connection %s has no webhook_secret", settings.bot_conn_id)
        except (InterchangeError, AirflowException, SQLAlchemyError) as exc:
            # Without its text: that of settings may hold addresses.
            log.error(
                "Webex is refused: settings, connection or ledger cannot be used: %s", type(exc).__name__
            )
        return Known(secret=secret.encode(), ledger=ledger, at=time.monotonic())


@dataclass(eq=False)
class _Entry:
    ref: EffectRef
    done: bool = False
    failed: Unavailable | None = field(
        default_factory=lambda: Unavailable("webex.event", "it could not be recorded")
    )


class Recorder:
    """Records what comes at the same time in one transaction: each waits for two commits at most."""

    def __init__(self) -> None:
        self._guard = threading.Lock()
        self._turn = threading.Lock()
        self._waiting: list[_Entry] = []

    def record(self, ledger: Ledger, ref: EffectRef) -> None:
        """
        Durable when this returns; recorded before: nothing changes.

        :raises Unavailable: the ledger cannot be written.
        """
        entry = _Entry(ref)
        with self._guard:
            self._waiting.append(entry)
        with self._turn:
            # Whoever had the turn before may have taken it along.
            if not entry.done:
                self._write(ledger)
        if entry.failed is not None:
            raise entry.failed

    def _write(self, ledger: Ledger) -> None:
        with self._guard:
            batch, self._waiting = self._waiting, []
        try:
            ledger.record({}, plans=dict.fromkeys(entry.ref for entry in batch), lease_s=1)
            for entry in batch:
                entry.failed = None
        except Unavailable as exc:
            log.error("Events of Webex could not be recorded: %s", exc)
        finally:
            for entry in batch:
                entry.done = True


class Receiver:
    """What the deliveries of one process share."""

    def __init__(self, starter: Starter | None = None) -> None:
        self.starter = starter or Starter()
        self._look_up = LookUp()
        self._recorder = Recorder()

    async def receive(self, request: Request) -> Response:
        try:
            body = await _small(request)
            ledger = await self._sender_is_webex(body, request.headers.get(SIGNATURE, ""))
            event = event_of(body)
            if event is not None:
                await run_in_threadpool(self._recorder.record, ledger, event.ref)
                self.starter.add(ledger, event)
        except Rejected as exc:
            return Response(status_code=exc.status)
        except Unavailable:
            return Response(status_code=HTTPStatus.SERVICE_UNAVAILABLE)
        return Response(status_code=HTTPStatus.NO_CONTENT)

    async def _sender_is_webex(self, body: bytes, signature: str) -> Ledger:
        """:return: where to record it. :raises Rejected: it is not known to be Webex."""
        known = await self._look_up.usable()
        if not is_signed(body, signature, known.secret) and known.at < time.monotonic() - WRONG_FOR_S:
            known = await self._look_up.get(WRONG_FOR_S)
        if not known.secret or known.ledger is None:
            raise Rejected(HTTPStatus.SERVICE_UNAVAILABLE)
        if not is_signed(body, signature, known.secret):
            log.warning("A delivery to %s was refused: its signature is missing or wrong", PATH)
            raise Rejected(HTTPStatus.FORBIDDEN)
        return known.ledger


def is_signed(body: bytes, signature: str, secret: bytes) -> bool:
    """Whether the signature is that of these bytes; never without a secret. Takes the same time wherever it differs."""
    wanted = hmac.digest(secret, body, "sha1").hex() if secret else ""
    return hmac.compare_digest(wanted.encode(), signature.encode("utf-8", "replace")) and bool(secret)


def event_of(body: bytes) -> Event | None:
    """
    The event that a signed envelope tells of; None: nothing that concerns the bot.

    :raises Rejected: it is no envelope of Webex's.
    """
    try:
        told = json.loads(body)
        data = told["data"]
        resource, id_ = told["resource"], data["id"]
        if resource not in (MESSAGES, ACTIONS) or told["event"] != "created" or _own(told, data):
            return None
        if not ID.fullmatch(id_):
            raise ValueError
        return Event(resource=resource, id=id_)
    except (ValueError, TypeError, KeyError, RecursionError):
        log.warning("A delivery that is signed is no event as Webex describes them")
        raise Rejected(HTTPStatus.BAD_REQUEST) from None


def _own(told: dict[str, Any], data: dict[str, Any]) -> bool:
    """Whether the bot itself did it: the webhook was made by the bot, and Webex names by whom."""
    made_by = told.get("createdBy")
    return bool(made_by) and data.get("personId") == made_by


async def _small(request: Request) -> bytes:
    """The body; a large one is refused while it comes in."""
    length = request.headers.get("content-length", "")
    if length.isdecimal() and (len(length) > 9 or int(length) > MAX_BODY_BYTES):
        raise Rejected(HTTPStatus.REQUEST_ENTITY_TOO_LARGE)
    body = bytearray()
    try:
        async for chunk in request.stream():
            body += chunk
            if len(body) > MAX_BODY_BYTES:
                raise Rejected(HTTPStatus.REQUEST_ENTITY_TOO_LARGE)
    except ClientDisconnect:
        raise Rejected(HTTPStatus.BAD_REQUEST) from None
    return bytes(body)


def routes(receiver: Receiver | None = None) -> APIRouter:
    """One receiver behind its address, for one application."""
    made = receiver or Receiver()
    router = APIRouter()
    router.add_api_route(PATH, made.receive, methods=["POST"], status_code=HTTPStatus.NO_CONTENT)
    return router
