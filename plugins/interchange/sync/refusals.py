"""Telling people that Spinoco does not let us in."""

from __future__ import annotations

import logging
from datetime import UTC, datetime
from typing import Any

from interchange.errors import InterchangeError, Refused
from interchange.hooks.alerts import AlertsHook
from interchange.ledger import EffectRef, Ledger, RunRef
from interchange.sync.pages import WORKFLOW, sync_key

log = logging.getLogger(__name__)

ALERT = "alert"
NOT_LET_IN = (401, 403)


def is_not_let_in(exc: Refused) -> bool:
    return exc.operation.startswith("spinoco.") and exc.status in NOT_LET_IN


def tell(
    exc: Refused,
    *,
    name: str,
    conn_id: str,
    tag: str,
    alert_conn_id: str,
    ledger: Ledger,
    run: RunRef,
    lease_s: float,
) -> None:
    """Once a day; a message that may have been sent is not sent again. Whatever becomes of it, the run goes on."""
    text = (
        f"{WORKFLOW}, sync {name}: Spinoco refuses the token of connection {conn_id} (HTTP {exc.status}); nothing is "
        "fetched until it is replaced"
    )
    today = datetime.now(UTC).date().isoformat()

    def send() -> dict[str, Any]:
        hook = AlertsHook(alert_conn_id)
        try:
            hook.send(text)
        finally:
            hook.close()
        return {"text": text}

    try:
        ledger.perform(
            EffectRef(WORKFLOW, ALERT, f"{sync_key(conn_id, tag)}/{today}"),
            send=send,
            find=None,
            lease_s=lease_s,
            run=run,
        )
    except InterchangeError as problem:
        log.warning("The alert could not be sent: %s", problem)
