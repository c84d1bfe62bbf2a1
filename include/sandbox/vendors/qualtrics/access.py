"""Who may call, and how often: tokens, scopes, rate limits."""

from __future__ import annotations

import base64
import binascii
import datetime as dt
import math
import secrets
from collections import deque
from dataclasses import dataclass, field

from include.sandbox.vendors.qualtrics.start import ApiError

READ_SURVEYS = "read:surveys"
READ_RESPONSES = "read:survey_responses"
EVERYTHING = "manage:all"


@dataclass(frozen=True, kw_only=True)
class Client:
    secret: str
    scopes: tuple[str, ...]


@dataclass(frozen=True, kw_only=True)
class Token:
    client_id: str
    scopes: tuple[str, ...]
    expires_at: dt.datetime


class TokenRefused(Exception):
    """A token request without a token. ``error`` is RFC 6749's code."""

    def __init__(self, status: int, error: str) -> None:
        super().__init__(error)
        self.status = status
        self.error = error


@dataclass(kw_only=True)
class Access:
    """OAuth clients, their tokens, and the static API tokens of accounts."""

    clients: dict[str, Client] = field(default_factory=dict)
    api_tokens: set[str] = field(default_factory=set)
    tokens: dict[str, Token] = field(default_factory=dict)

    def copy(self) -> Access:
        return Access(clients=dict(self.clients), api_tokens=set(self.api_tokens), tokens=dict(self.tokens))

    def issue(
        self,
        authorization: str,
        form: dict[str, str],
        *,
        now: dt.datetime,
        lifetime_s: float,
        scope_required: bool,
    ) -> tuple[str, Token]:
        """
        A new token for a client-credentials request.

        :raises TokenRefused: wrong client, grant or scope.
        """
        client_id, client = self._client(authorization)
        if form.get("grant_type") != "client_credentials":
            raise TokenRefused(400, "unsupported_grant_type")
        asked = tuple(form.get("scope", "").split())
        if scope_required and not asked:
            raise TokenRefused(400, "invalid_scope")
        if not set(asked) <= set(client.scopes) and EVERYTHING not in client.scopes:
            raise TokenRefused(400, "invalid_scope")
        token = Token(
            client_id=client_id,
            scopes=asked or client.scopes,
            expires_at=now + dt.timedelta(seconds=lifetime_s),
        )
        text = secrets.token_urlsafe(24)
        self.tokens = {key: old for key, old in self.tokens.items() if old.expires_at > now}
        self.tokens[text] = token
        return text, token

    def _client(self, authorization: str) -> tuple[str, Client]:
        scheme, _, encoded = authorization.partition(" ")
        try:
            client_id, _, secret = base64.b64decode(encoded, validate=True).decode().partition(":")
        except (binascii.Error, UnicodeDecodeError):
            raise TokenRefused(401, "invalid_client") from None
        client = self.clients.get(client_id)
        if scheme.lower() != "basic" or client is None or client.secret != secret:
            raise TokenRefused(401, "invalid_client")
        return client_id, client

    def check(
        self,
        *,
        authorization: str | None,
        api_token: str | None,
        scope: str | None,
        now: dt.datetime,
        wrong_datacenter: bool,
        forbidden_code: str,
    ) -> None:
        """
        Let a call pass, or not.

        :raises ApiError: 400 without credentials, 401 for unknown or expired ones, 403 without the scope.
        """
        unrecognized = ApiError(
            401, "DCD_7", "Unrecognized X-API-TOKEN.", request_id="" if wrong_datacenter else None
        )
        if api_token is not None:
            if api_token not in self.api_tokens:
                raise unrecognized
            return
        scheme, _, text = (authorization or "").partition(" ")
        if scheme.lower() != "bearer":
            raise ApiError(400, "ATP_2", "Expected authorization in headers, but none provided.")
        token = self.tokens.get(text.strip())
        if wrong_datacenter or token is None or token.expires_at <= now:
            raise unrecognized
        if scope is not None and scope not in token.scopes and EVERYTHING not in token.scopes:
            raise ApiError(403, forbidden_code, "This user does not have access to this API endpoint.")


class Throttle:
    """Counts the calls of each kind in a sliding window."""

    def __init__(self) -> None:
        self._passed: dict[str, deque[dt.datetime]] = {}

    def wait_s(self, kind: str, limit: int, period_s: float, now: dt.datetime) -> int:
        """0 and the call counts, or the whole seconds until the next one of this kind may pass."""
        if limit == 0:
            return 0
        passed = self._passed.setdefault(kind, deque())
        while passed and (now - passed[0]).total_seconds() >= period_s:
            passed.popleft()
        if len(passed) >= limit:
            return max(1, math.ceil(period_s - (now - passed[0]).total_seconds()))
        passed.append(now)
        return 0
