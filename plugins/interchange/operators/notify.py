"""The task that sends an export's messages."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from airflow.sdk import Context


def notify_responses(
    planned: Mapping[str, Any], delivered: Mapping[str, Any], context: Context
) -> dict[str, int]:
    """
    See :func:`interchange.notifications.responses.notify`.

    :raises AirflowSkipException: the export has no rules.
    """
    from airflow.sdk.exceptions import AirflowSkipException

    from interchange.exports import PlannedExport, export_of
    from interchange.ledger.limits import RateLimiter
    from interchange.notifications.responses import notify
    from interchange.operators.ledger import lease_s, ledger_of, run_of

    plan = PlannedExport(**planned)
    context["item_name"] = plan.name  # type: ignore[typeddict-unknown-key]  # names the mapped task in the grid
    export = export_of(plan)
    if not export.notify:
        raise AirflowSkipException(f"export {plan.name} has no notify rules")
    ledger = ledger_of(context)
    return notify(
        plan,
        export,
        delivered,
        ledger=ledger,
        limiter=RateLimiter(ledger.engine),
        run=run_of(context),
        lease_s=lease_s(),
    )
