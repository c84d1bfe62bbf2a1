"""
Logging in to Webex as the person whose meetings the workflow books: OAuth's authorization code grant.

Sources: developer.webex.com, Integrations and Authorization: the person is sent to ``/authorize`` and comes back to the
registered redirect URI with ``code`` and ``state``, or with ``error``; a code is good once, for a short time.

Only who may edit the connection may do that: the tokens are worth as much as what the connection holds. ``state`` is
signed for this person, belongs to the one browser that has its counterpart in a cookie, and is good once: nobody can be
made to finish a log-in that somebody else has begun. No token, and nothing of the answer, is shown or logged.
"""

from __future__ import annotations

import hashlib
import logging
import re
import secrets
import uuid
from datetime import UTC, datetime
from typing import Any

from airflow.api_fastapi.auth.managers.models.base_user import BaseUser
from airflow.configuration import conf
from fastapi import APIRouter, HTTPException, Request, status
from starlette.responses import RedirectResponse, Response

from interchange.errors import Busy, Refused, SettingsError, Unavailable
from interchange.hooks.webex import SCOPES, WebexHook
from interchange.ledger import Ledger
from interchange.ledger.connection import open_ledger
from interchange.ledger.tokens import TokenVault
from interchange.settings import load_settings
from interchange.web import guards
from interchange.web.guards import User
from interchange.web.pages import PageRoute, Site, page

log = logging.getLogger(__name__)

STATE_LIFE_S = 600
COOKIE = "interchange_webex_login"
CALLBACK = "/interchange/webex/callback"
_NOT_BEGUN = "This log-in was not begun here by you in the last ten minutes, or it is finished already."
_CODE = re.compile(r"[a-z_]{1,40}")

# Plain functions, each in a thread of the server's pool: they wait for databases and for Webex.
router = APIRouter(prefix="/webex", route_class=PageRoute)


@router.get("/login")
def begin(request: Request, user: User) -> Response:
    """To Webex; who comes from another site is asked first, since that may not have been their wish."""
    hook, _ = _at_hand(user)
    if request.headers.get("sec-fetch-site") in ("cross-site", "same-site"):
        return page(request, "webex_login.html", title="Log in to Webex", ask=True, words="", known=None)
    secret = secrets.token_urlsafe(32)
    there = hook.log_in_page(redirect_uri=redirect_uri(), state=guards.log_in_state(user, secret))
    answer = RedirectResponse(there, status_code=status.HTTP_303_SEE_OTHER)
    answer.set_cookie(COOKIE, secret, max_age=STATE_LIFE_S, **_cookie(request))
    return answer


@router.get("/callback")
def finish(request: Request, user: User) -> Response:
    """Back from Webex: exchange the code, keep the tokens, say whose they are."""
    hook, ledger = _at_hand(user)
    _take_state(request, user, ledger)
    error, code = request.query_params.get("error"), request.query_params.get("code", "")
    if error is not None or not code:
        answer = _failed(request, _refusal(error or "", hook))
    else:
        answer = _exchanged(request, hook, code)
    answer.delete_cookie(COOKIE, **_cookie(request))
    return answer


def redirect_uri() -> str:
    """
    The address that the integration must have registered.

    :raises SettingsError: Airflow does not know its own.
    """
    base = str(conf.get("api", "base_url", fallback="") or "").rstrip("/")
    if not base:
        raise SettingsError("[api] base_url is empty: Webex could not lead back to Airflow's own address")
    return base + CALLBACK


def _at_hand(user: BaseUser) -> tuple[WebexHook, Ledger]:
    conn_id: str = load_settings("webex_roulette").meetings_conn_id
    if not guards.may_edit(user, conn_id):
        raise HTTPException(
            status.HTTP_403_FORBIDDEN, f"This needs the right to edit the connection {conn_id} in Airflow."
        )
    ledger = open_ledger(owner=f"web:{user.get_name()}")
    return WebexHook(conn_id, vault=TokenVault(ledger)), ledger


def _take_state(request: Request, user: BaseUser, ledger: Ledger) -> None:
    """:raises HTTPException: it is missing, forged, of somebody else, too old, or was there before."""
    secret, state = request.cookies.get(COOKIE, ""), request.query_params.get("state", "")
    if not guards.is_log_in_of(user, secret, state, life_s=STATE_LIFE_S):
        raise HTTPException(status.HTTP_403_FORBIDDEN, _NOT_BEGUN)
    name = f"webex_login/{hashlib.sha256(secret.encode()).hexdigest()[:32]}"
    try:
        # Never given back: it runs out by itself, long after the state has.
        ledger.claims.take(name, holder=uuid.uuid4().hex, lease_s=2 * STATE_LIFE_S)
    except Busy:
        raise HTTPException(status.HTTP_403_FORBIDDEN, _NOT_BEGUN) from None


def _exchanged(request: Request, hook: WebexHook, code: str) -> Response:
    try:
        hook.log_in(code=code, redirect_uri=redirect_uri())
    except (Refused, Unavailable) as exc:
        log.warning("The log-in to Webex failed: %s", exc)
        return _failed(request, f"{exc.detail}.")
    log.info("Connection %s is logged in to Webex", hook.http_conn_id)
    return page(
        request,
        "webex_login.html",
        title="Logged in to Webex",
        ask=False,
        words="",
        known={"conn_id": hook.http_conn_id, "who": _who(hook), "until": logged_in_until(hook)},
    )


def logged_in_until(hook: WebexHook) -> datetime | None:
    """When the log-in that is kept ends, unless it is renewed; None: nobody has logged in, or Webex does not say."""
    stored = hook.keeper().stored() if hook.renewable else None
    return (
        None
        if stored is None or stored.refresh_ends is None
        else datetime.fromtimestamp(stored.refresh_ends, UTC)
    )


def _who(hook: WebexHook) -> str | None:
    """Name and address, if the scopes allow to ask."""
    try:
        person = hook.me()
    except (Refused, Unavailable) as exc:
        log.info("Webex does not say who has logged in: %s", exc)
        return None
    return " ".join([person.name, *(f"<{address}>" for address in person.addresses[:1])]).strip() or None


def _refusal(error: str, hook: WebexHook) -> str:
    if error == "access_denied":
        return "Webex says that access was denied: by you, or by an administrator of your organisation."
    if error == "invalid_scope":
        asked = hook.extra.get("scopes") or SCOPES
        return f"The integration does not have all scopes that are asked for: {asked}."
    # Its description may hold anything.
    return f"Webex refused, with the code {error if _CODE.fullmatch(error) else 'none'}."


def _failed(request: Request, words: str) -> Response:
    return page(
        request,
        "webex_login.html",
        status=status.HTTP_400_BAD_REQUEST,
        title="Not logged in",
        ask=False,
        words=words,
        known=None,
    )


def _cookie(request: Request) -> dict[str, Any]:
    # Lax: it must come along when Webex leads back here.
    secure = request.url.scheme == "https" or redirect_uri().startswith("https:")
    return {"path": f"{Site(request).here}/webex", "httponly": True, "samesite": "lax", "secure": secure}
