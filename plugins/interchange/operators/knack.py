"""One Knack application's activities, from the view that lists them to the bus and back."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict
from typing import TYPE_CHECKING, Any

from airflow.sdk import BaseOperator

from interchange.operators.links import LedgerLink

if TYPE_CHECKING:
    from airflow.sdk import Context


class DeliverActivitiesOperator(BaseOperator):
    """
    Send what is ready, once, in order within each service request, and write the status back.

    A retry, a cleared task or another run goes on with what the ledger does not have as done. While another run works
    on the same app, the task waits for its turn.

    :param planned: an entry of :func:`interchange.activities.planning.plan_apps`.
    :return: the run's summary; of a dry run, the plan.
    """

    template_fields: Sequence[str] = ("planned",)
    operator_extra_links = (LedgerLink(),)
    ui_color = "#f4ecdb"

    def __init__(self, *, planned: Mapping[str, Any], **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.planned = planned

    def execute(self, context: Context) -> dict[str, Any]:
        from interchange.activities.app_run import AppRun
        from interchange.activities.planning import DAG_ID, PlannedApp, app_of
        from interchange.ledger.limits import RateLimiter
        from interchange.operators.ledger import lease_s, ledger_of, run_of

        planned = PlannedApp(**self.planned)
        context["item_name"] = planned.name  # type: ignore[typeddict-unknown-key]  # names the mapped task in the grid
        app = app_of(planned)
        ledger = ledger_of(context)
        work = AppRun(
            app, ledger=ledger, limiter=RateLimiter(ledger.engine), run=run_of(context), lease_s=lease_s()
        )
        if planned.dry_run:
            preview = work.preview(work.read(), limit=planned.limit)
            for request in preview["service_requests"]:
                for entry in request["activities"]:
                    self.log.info("%s: %s", request["sr_number"] or "no service request", entry)
            return preview
        with ledger.hold(f"{DAG_ID}/app/{app.name}", lease_s=lease_s()):
            try:
                work.deliver(work.read(), limit=planned.limit)
            finally:
                # Also of a run that fails: what it did is done.
                context["ti"].xcom_push(key="summary", value=asdict(work.summary))
        return asdict(work.summary)
