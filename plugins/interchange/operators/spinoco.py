"""One synchronisation with Spinoco, from its tag to the storage."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict
from typing import TYPE_CHECKING, Any

from airflow.sdk import BaseOperator

from interchange.operators.links import LedgerLink

if TYPE_CHECKING:
    from airflow.sdk import Context


class SyncOperator(BaseOperator):
    """
    Receive pages, store their files, delete what may be deleted.

    A retry, a cleared task or another run goes on with what the ledger does not have as done. While another run works
    on the same account and tag, the task waits for its turn.

    :param planned: an entry of :func:`interchange.sync.planning.plan_syncs`.
    :return: the run's summary; of a dry run, what it would go on with.
    """

    template_fields: Sequence[str] = ("planned",)
    operator_extra_links = (LedgerLink(),)
    ui_color = "#e4f0e8"

    def __init__(self, *, planned: Mapping[str, Any], **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.planned = planned

    def execute(self, context: Context) -> dict[str, Any]:
        from interchange.errors import Refused
        from interchange.operators.ledger import lease_s, ledger_of, run_of
        from interchange.settings import load_settings
        from interchange.sync.planning import DAG_ID, PlannedSync, sync_of
        from interchange.sync.refusals import is_not_let_in, tell
        from interchange.sync.run import SyncRun

        planned = PlannedSync(**self.planned)
        context["item_name"] = planned.name  # type: ignore[typeddict-unknown-key]  # names the mapped task in the grid
        sync = sync_of(planned)
        ledger, run = ledger_of(context), run_of(context)
        with ledger.hold(f"{DAG_ID}/{sync.conn_id}/{sync.tag}", lease_s=lease_s()) as held:
            work = SyncRun(sync, ledger=ledger, run=run, lease_s=lease_s(), still_ours=held.check)
            try:
                if planned.dry_run:
                    preview = work.preview()
                    self.log.info("%s", preview)
                    return preview
                work.synchronise(max_pages=planned.max_pages)
                work.delete_originals(beyond_limit=planned.delete_waiting)
            except Refused as exc:
                alert_conn_id = load_settings(DAG_ID).alert_conn_id
                if alert_conn_id is not None and is_not_let_in(exc):
                    tell(
                        exc,
                        name=sync.name,
                        conn_id=sync.conn_id,
                        tag=sync.tag,
                        alert_conn_id=alert_conn_id,
                        ledger=ledger,
                        run=run,
                        lease_s=lease_s(),
                    )
                raise
            finally:
                work.close()
                # Also of a run that fails: what it did is done.
                self.log.info("%s", work.summary)
                context["ti"].xcom_push(key="summary", value=asdict(work.summary))
        return asdict(work.summary)
