"""Tokens that vendors renew, kept for all processes of a deployment; encrypted, or not at all."""

from __future__ import annotations

import json
import uuid
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from sqlalchemy import select
from sqlalchemy.dialects import postgresql, sqlite
from tenacity import Retrying, retry_if_exception_type, stop_after_delay, wait_fixed

from interchange.errors import Busy, SettingsError
from interchange.ledger.database import transaction
from interchange.ledger.schema import now, tokens

if TYPE_CHECKING:
    from interchange.ledger.store import Ledger

LEASE_S = 90.0
"""Longer than a refresh with all its time-outs: after a crash others wait at most so long."""
PATIENCE_S = 30.0
_NO_KEY = (
    "No Fernet key is configured ([core] fernet_key): tokens are not kept in clear, so they cannot be renewed"
)


class TokenVault:
    """
    A named secret each, encrypted with Airflow's Fernet key.

    :raises SettingsError: there is no key.
    """

    def __init__(self, ledger: Ledger) -> None:
        self._ledger = ledger

    def read(self, name: str) -> dict[str, Any] | None:
        """The secret; None if there is none, or if the key that encrypted it is gone."""
        with transaction(self._ledger.engine, write=False) as connection:
            sealed = connection.execute(select(tokens.c.sealed).where(tokens.c.name == name)).scalar()
        text = None if sealed is None else self._ledger.unseal(sealed)
        return None if text is None else json.loads(text)

    def write(self, name: str, value: Mapping[str, Any]) -> None:
        """Replace it. Durable when this returns."""
        sealed = self._ledger.seal(json.dumps(dict(value)))
        if sealed is None:
            raise SettingsError(_NO_KEY)
        dialect: Any = postgresql if self._ledger.engine.dialect.name == "postgresql" else sqlite
        statement = dialect.insert(tokens).values(name=name, sealed=sealed, changed_at=now())
        statement = statement.on_conflict_do_update(
            index_elements=["name"], set_={"sealed": sealed, "changed_at": now()}
        )
        with transaction(self._ledger.engine) as connection:
            connection.execute(statement)

    @contextmanager
    def locked(self, name: str) -> Iterator[None]:
        """
        Wait for our turn, and keep it while the block runs.

        :raises Busy: another process keeps it for longer than a refresh takes.
        :raises SettingsError: what the block gets could not be kept.
        """
        if self._ledger.seal("") is None:
            raise SettingsError(_NO_KEY)
        claim, holder = f"tokens/{name}", uuid.uuid4().hex
        Retrying(
            retry=retry_if_exception_type(Busy),
            stop=stop_after_delay(PATIENCE_S),
            wait=wait_fixed(0.2),
            reraise=True,
        )(self._ledger.claims.take, claim, holder=holder, lease_s=LEASE_S)
        with self._ledger.hold(claim, lease_s=LEASE_S, holder=holder):
            yield
