"""One survey's responses of one window, from Qualtrics to their destination: once, resumable at every step."""

from __future__ import annotations

import resource
from collections.abc import Mapping, Sequence
from contextlib import closing
from typing import TYPE_CHECKING, Any

from airflow.sdk import Asset, AssetAlias, BaseOperator

from interchange.operators.links import LedgerLink, StoredFileLink, SurveyLink

if TYPE_CHECKING:
    from airflow.sdk import Context

    from interchange.delivery.export_run import ExportRun, Job
    from interchange.exports import PlannedExport

DELIVERIES = AssetAlias("interchange-survey-exports")


class ExportResponsesOperator(BaseOperator):
    """
    Export one window of one survey and deliver the file.

    Every step is a row in the ledger, so that any interruption (a retry, a cleared task, a dead worker, another run
    over the same window) goes on where the last one stopped: with the running job, the open upload session, the file
    already stored. A new request over a window that has been delivered makes a new revision of the same file.

    :param planned: an entry of :func:`interchange.exports.plan_exports`.
    """

    template_fields: Sequence[str] = ("planned",)
    operator_extra_links = (StoredFileLink(), SurveyLink(), LedgerLink())
    ui_color = "#dbe9f4"

    def __init__(self, *, planned: Mapping[str, Any], **kwargs: Any) -> None:
        kwargs.setdefault("outlets", [DELIVERIES])
        super().__init__(**kwargs)
        self.planned = planned
        self.made: dict[str, Any] = {}

    def execute(self, context: Context) -> dict[str, Any]:
        return self._advance(context, revision=None)

    def resume(self, context: Context, event: object = None, revision: int | None = None) -> dict[str, Any]:
        """Woken by a trigger: whatever it saw is asked for again. ``revision`` is the one that was waited for."""
        return self._advance(context, revision=revision)

    def _advance(self, context: Context, revision: int | None) -> dict[str, Any]:
        from airflow.sdk.exceptions import AirflowSkipException

        from interchange.delivery.export_run import ExportRun, Superseded
        from interchange.exports import PlannedExport, export_of
        from interchange.hooks.qualtrics import QualtricsHook
        from interchange.ledger.limits import RateLimiter
        from interchange.operators.ledger import lease_s, ledger_of, run_of

        planned = PlannedExport(**self.planned)
        context["item_name"] = planned.name  # type: ignore[typeddict-unknown-key]  # names the mapped task in the grid
        export = export_of(planned)
        ledger = ledger_of(context)
        limiter = RateLimiter(ledger.engine)
        with closing(QualtricsHook(export.conn_id, limiter=limiter)) as qualtrics:
            work = ExportRun(
                planned,
                export,
                ledger=ledger,
                qualtrics=qualtrics,
                run=run_of(context),
                limiter=limiter,
                lease_s=lease_s(),
            )
            revision = work.choose_revision(revision)
            done = work.delivered(revision)
            superseded = False
            try:
                receipt = done.receipt or {} if done else self._perform(work, revision)
            except Superseded as exc:
                if not export.notify:
                    raise AirflowSkipException(str(exc)) from None
                self.log.warning("%s The file stays as it is; this window's messages are still sent.", exc)
                superseded = True
                receipt = work.read(revision, self._job(work, revision))
            result = {**work.result(revision, receipt), "superseded": superseded}
        self.made = result
        if superseded:
            return result
        self.log.info(
            "%s: %s bytes, %s responses, proof: %s; peak memory of this task %.0f MiB",
            planned.destination,
            result["bytes"],
            result["rows"],
            result["proof"],
            resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024,
        )
        _publish(context, planned, result)
        return result

    def _perform(self, work: ExportRun, revision: int) -> Mapping[str, Any]:
        """
        Everything up to the receipt; leaves by a deferral where there is something to wait for.

        :raises Superseded: the file holds a newer window.
        """
        if (moment := work.not_before()) is not None:
            from airflow.providers.standard.triggers.temporal import DateTimeTrigger

            self.log.info(
                "Waiting until %s: responses of the window may still be arriving", moment.isoformat()
            )
            self.defer(trigger=DateTimeTrigger(moment), method_name="resume", kwargs={"revision": revision})
        work.check_newest()
        return work.deliver(revision, self._job(work, revision))

    def _job(self, work: ExportRun, revision: int) -> Job:
        """The job that has the file; leaves by a deferral while it runs."""
        job = work.job(revision)
        if job.file_id is None:
            from interchange.triggers.qualtrics import ExportJobTrigger

            self.defer(
                trigger=ExportJobTrigger(
                    conn_id=work.conn_id,
                    survey_id=job.survey_id,
                    progress_id=job.progress_id,
                    deadline=job.deadline.timestamp(),
                ),
                method_name="resume",
                kwargs={"revision": revision},
            )
        return job


def _publish(context: Context, planned: PlannedExport, result: Mapping[str, Any]) -> None:
    """Tell Airflow that the export's asset has a new version."""
    asset = Asset(
        name=f"survey-export-{planned.name}", uri=f"x-interchange://qualtrics_to_onedrive/{planned.name}"
    )
    facts = {
        key: result[key] for key in ("window_start", "window_end", "bytes", "rows", "sha256", "destination")
    }
    context["outlet_events"][DELIVERIES].add(asset, extra=facts)
