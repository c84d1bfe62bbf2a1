"""
Who may see and do what on the package's pages, and what keeps other sites from doing it in their name.

Airflow says who somebody is and what they may do: its login, its rights on DAGs. What is added here is for forms:
the login is a cookie, which a browser also sends along when another site makes it post one. So a form is taken only
from our own pages (the browser says where it comes from), and only with a token that we made for this person and
this effect.
"""

from __future__ import annotations

import hashlib
import hmac
from datetime import UTC, datetime, timedelta
from typing import Annotated, Literal
from urllib.parse import parse_qsl, urlsplit

from airflow.api_fastapi.app import get_auth_manager
from airflow.api_fastapi.auth.managers.models.base_user import BaseUser
from airflow.api_fastapi.auth.managers.models.resource_details import (
    ConnectionDetails,
    DagAccessEntity,
    DagDetails,
)
from airflow.api_fastapi.auth.tokens import get_signing_key
from airflow.api_fastapi.core_api.security import get_user
from airflow.configuration import conf
from airflow.models.connection import Connection
from airflow.models.dag import DagModel
from fastapi import Depends, HTTPException, Request, status
from itsdangerous import BadSignature, URLSafeTimedSerializer
from starlette.datastructures import MutableHeaders
from starlette.types import ASGIApp, Message, Receive, Scope, Send

TOKEN_LIFE = timedelta(hours=8)  # a working day with the page left open
MESSAGE_LIFE_S = 60  # after that, loading the page again shows it without the message
MAX_FORM_BYTES = 32 * 1024
MAX_FORM_FIELDS = 20

User = Annotated[BaseUser, Depends(get_user)]
Form = dict[str, str]

_HEADERS = {
    "Content-Security-Policy": "default-src 'none'; style-src 'self'; script-src 'self'; form-action 'self'; "
    "base-uri 'none'; frame-ancestors 'self'",
    "X-Content-Type-Options": "nosniff",
    # Not no-referrer: with that, a browser calls the origin of our own forms "null".
    "Referrer-Policy": "same-origin",
}


class SafeHeaders:
    """Set on every answer what keeps a browser from running, framing or keeping what it should not."""

    def __init__(self, app: ASGIApp) -> None:
        self.app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        async def send_with_headers(message: Message) -> None:
            if message["type"] == "http.response.start":
                headers = MutableHeaders(scope=message)
                for name, value in _HEADERS.items():
                    headers[name] = value
                # Only the files in static/ have an ETag.
                headers["Cache-Control"] = "no-cache" if "ETag" in headers else "no-store"
            await send(message)

        await self.app(scope, receive, send_with_headers)


# Rights


def may(user: BaseUser, method: Literal["GET", "POST"], workflow: str) -> bool:
    """Whether Airflow lets somebody see (GET) or trigger (POST) the runs of a workflow's DAG. Asks its database."""
    return get_auth_manager().is_authorized_dag(
        method=method,
        access_entity=DagAccessEntity.RUN,
        details=DagDetails(id=workflow, team_name=DagModel.get_team_name(workflow)),
        user=user,
    )


def may_decide(workflow: str, user: User) -> None:
    """
    Let only those pass who may trigger the workflow's DAG: replaying an effect makes its next run do it.

    :param workflow: from the path of the route.
    """
    if not may(user, "POST", workflow):
        raise HTTPException(status.HTTP_403_FORBIDDEN, f"This needs the right to trigger {workflow}.")


def may_edit(user: BaseUser, conn_id: str) -> bool:
    """Whether Airflow lets somebody change a connection. Asks its database."""
    details = ConnectionDetails(conn_id=conn_id, team_name=Connection.get_team_name(conn_id))
    return get_auth_manager().is_authorized_connection(method="PUT", details=details, user=user)


# Forms


def from_our_own_page(request: Request) -> None:
    """Refuse a form that another site has sent, or that does not say where it comes from; every browser does."""
    site = request.headers.get("sec-fetch-site")
    origin = request.headers.get("origin")
    if site is not None:
        ours = site == "same-origin"
    else:
        # Over plain HTTP a browser names the origin only. A proxy may pass us another Host than the browser used.
        known = {request.headers.get("host"), urlsplit(conf.get("api", "base_url", fallback="")).netloc}
        ours = bool(origin) and urlsplit(origin or "").netloc in known - {None, ""}
    if not ours:
        raise HTTPException(status.HTTP_403_FORBIDDEN, "This form was not sent by the ledger's own page.")


async def small_form(request: Request) -> Form:
    """Read a form's fields; a large body is refused while it comes in."""
    kind = request.headers.get("content-type", "").partition(";")[0].strip().lower()
    if kind != "application/x-www-form-urlencoded":
        raise HTTPException(status.HTTP_415_UNSUPPORTED_MEDIA_TYPE, "A form was expected.")
    body = b""
    async for chunk in request.stream():
        body += chunk
        if len(body) > MAX_FORM_BYTES:
            raise HTTPException(status.HTTP_413_CONTENT_TOO_LARGE, "The form is too large.")
    try:
        fields = parse_qsl(
            body.decode("ascii", "replace"), keep_blank_values=True, max_num_fields=MAX_FORM_FIELDS
        )
    except ValueError:
        raise HTTPException(status.HTTP_400_BAD_REQUEST, "The form has too many fields.") from None
    return {name: clean(value) for name, value in fields}


def clean(text: str) -> str:
    """Text without NUL, which PostgreSQL cannot store, and without white space around it."""
    return text.replace("\0", "").strip()


def form_token(user: BaseUser, ref: str) -> str:
    """A token for the forms of one effect, as one person sees them."""
    return _serializer("form").dumps([user.get_id(), ref])


def is_fresh(token: str, user: BaseUser, ref: str) -> bool:
    """
    Check a form's token: False if it is ours but too old.

    :raises HTTPException: it was not made for this person and this effect.
    """
    made_at: datetime
    try:
        made_for, made_at = _serializer("form").loads(token, return_timestamp=True)
    except BadSignature:
        made_for = None
    if made_for != [user.get_id(), ref]:
        raise HTTPException(status.HTTP_403_FORBIDDEN, "The form's token is missing or wrong.")
    return datetime.now(UTC) - made_at < TOKEN_LIFE


def sealed(user: BaseUser, message: list[str]) -> str:
    """A message for the page that somebody is sent to next, so that no link can put words on our page."""
    return _serializer("message").dumps([user.get_id(), message])


def unsealed(user: BaseUser, text: str) -> list[str] | None:
    """The message, if we made it for this person a moment ago."""
    try:
        made_for, message = _serializer("message").loads(text, max_age=MESSAGE_LIFE_S)
    except BadSignature:
        return None
    return message if made_for == user.get_id() else None


def log_in_state(user: BaseUser, secret: str) -> str:
    """
    What a log-in elsewhere brings back: made for this person, and for the browser that keeps the secret.

    It goes through another site's hands, so it holds neither.
    """
    return _serializer(f"log-in.{user.get_id()}").dumps(_digest(secret))


def is_log_in_of(user: BaseUser, secret: str, state: str, *, life_s: int) -> bool:
    """Whether this person has begun the log-in, with this browser, not longer ago."""
    try:
        begun_with: str = _serializer(f"log-in.{user.get_id()}").loads(state, max_age=life_s)
    except BadSignature:
        return False
    return hmac.compare_digest(begun_with.encode(), _digest(secret).encode())


def _digest(secret: str) -> str:
    return hashlib.sha256(secret.encode()).hexdigest()


def _serializer(purpose: str) -> URLSafeTimedSerializer:
    # What Airflow signs its own tokens for pages with; all its API servers share it.
    return URLSafeTimedSerializer(get_signing_key("api", "secret_key"), salt=f"interchange.{purpose}")
