"""Claims that run out without waiting for it."""

from __future__ import annotations

from sqlalchemy import update

from interchange.ledger import Ledger
from interchange.ledger.database import transaction
from interchange.ledger.schema import effects


def let_claims_run_out(ledger: Ledger) -> None:
    """Those on effects, as if whoever has them was killed, or stood still, for longer than the lease."""
    with transaction(ledger.engine) as connection:
        connection.execute(
            update(effects).where(effects.c.state == "begun").values(claim_expires_at=effects.c.created_at)
        )
