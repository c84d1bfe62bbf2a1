"""
Webex tokens of an integration or a service app: got once by a person's log-in, renewed ever after.

Sources: developer.webex.com (Integrations and Authorization; Service Apps), and the answers in Webex's own samples.
Both grants are forms; the answer brings ``access_token``, ``expires_in``, ``refresh_token`` and
``refresh_token_expires_in`` (seconds: 14 and 90 days for integrations, other for other kinds of apps). Whether a
refresh token changes when it is used, and whether its predecessor dies at once, is not documented: so what an answer
holds is stored before it is used, and one process refreshes at a time.
"""

from __future__ import annotations

import hashlib
import time
from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager
from dataclasses import asdict, dataclass
from typing import Any, Protocol

from interchange.errors import SettingsError

RENEW_BEFORE_S = 600.0
"""An access token is renewed so long before its end, or after nine tenths of a shorter life."""


@dataclass(frozen=True, kw_only=True)
class Tokens:
    """
    One answer of the token endpoint.

    :param access_ends, refresh_ends: seconds since 1970; ``refresh_ends`` is None where the vendor did not say.
    :param renew_at: from then on a new one is asked for.
    :param seed: digest of what the connection had when these were made: another client or another refresh token
        typed in by a person begins anew.
    """

    access_token: str
    access_ends: float
    renew_at: float
    refresh_token: str
    refresh_ends: float | None
    seed: str

    @classmethod
    def of(cls, answer: Mapping[str, Any], *, asked_at: float, before: str | None, seed: str) -> Tokens:
        """
        :param asked_at: when the request was sent: a life counts from then at the latest.
        :param before: the refresh token that was used, which stays if the answer has none.
        :raises KeyError: the answer holds no token. :raises TypeError: the same. :raises ValueError: the same.
        """
        access, refresh = answer["access_token"], answer.get("refresh_token") or before
        if not (isinstance(access, str) and access and isinstance(refresh, str) and refresh):
            raise TypeError("a token is no text")
        life_s = float(answer.get("expires_in", 3600))
        rest = answer.get("refresh_token_expires_in")
        return cls(
            access_token=access,
            access_ends=asked_at + life_s,
            renew_at=asked_at
            + max(life_s - RENEW_BEFORE_S, life_s * 0.9 if life_s < 2 * RENEW_BEFORE_S else 0),
            refresh_token=refresh,
            refresh_ends=None if rest is None else asked_at + float(rest),
            seed=seed,
        )

    def as_json(self) -> dict[str, Any]:
        return asdict(self)


class Vault(Protocol):
    """Where tokens are kept, encrypted, for all processes; :class:`interchange.ledger.tokens.TokenVault` is one."""

    def read(self, name: str) -> dict[str, Any] | None: ...

    def write(self, name: str, value: Mapping[str, Any]) -> None: ...

    def locked(self, name: str) -> AbstractContextManager[object]:
        """
        One process at a time.

        :raises Busy: another is at it, and stays at it.
        """


class TokenKeeper:
    """
    The tokens of one connection, renewed by whoever finds them old.

    :param refresh: ask the vendor, given a refresh token.
    :param seed: see :class:`Tokens`. :param first: the refresh token of the connection itself, if it has one.
    """

    def __init__(
        self,
        vault: Vault,
        name: str,
        *,
        refresh: Callable[[str], Tokens],
        seed: str,
        first: str | None,
        clock: Callable[[], float] = time.time,
    ) -> None:
        self._vault = vault
        self._name = name
        self._refresh = refresh
        self._seed = seed
        self._first = first
        self._clock = clock

    def current(self, *, refused: str | None = None) -> Tokens:
        """
        Tokens to use now.

        :param refused: an access token that Webex did not take: not this one again.
        :raises SettingsError: a person has to log in. :raises Refused: the refresh token is dead: the same.
        """
        known = self._known()
        if known is not None and self._good(known, refused):
            return known
        with self._vault.locked(self._name):
            known = self._known()
            if known is not None and self._good(known, refused):
                # Somebody else has renewed them meanwhile.
                return known
            refresh_token = known.refresh_token if known is not None else self._first
            if not refresh_token:
                raise SettingsError(
                    f"connection {self._name}: nobody has logged in yet: open /interchange/webex/login in Airflow as "
                    "an admin, or give extra 'refresh_token'"
                )
            renewed = self._refresh(refresh_token)
            self._vault.write(self._name, renewed.as_json())
            return renewed

    def keep(self, tokens: Tokens) -> None:
        """Replace what there is, after a person has logged in."""
        with self._vault.locked(self._name):
            self._vault.write(self._name, tokens.as_json())

    def stored(self) -> Tokens | None:
        """What is kept, without renewing it."""
        return self._known()

    def _known(self) -> Tokens | None:
        value = self._vault.read(self._name)
        tokens = None if value is None else Tokens(**value)
        # Made for another client, or before a person typed in a newer refresh token.
        return tokens if tokens is not None and tokens.seed == self._seed else None

    def _good(self, tokens: Tokens, refused: str | None) -> bool:
        return self._clock() < tokens.renew_at and tokens.access_token != refused


def seed_of(client_id: str, refresh_token: str | None) -> str:
    """Names what the connection holds without telling it."""
    return hashlib.sha256(f"{client_id}\0{refresh_token or ''}".encode()).hexdigest()[:32]
