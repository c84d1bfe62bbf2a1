"""The weekly mail: planned, approved where that is asked for, sent."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict
from datetime import date, timedelta
from typing import TYPE_CHECKING, Any
from zoneinfo import ZoneInfo

from airflow.providers.standard.operators.hitl import ApprovalOperator
from airflow.sdk import Asset, AssetOrTimeSchedule, AssetWatcher, BaseOperator
from airflow.sdk.exceptions import AirflowFailException, AirflowSkipException

from interchange.mails.watermark import ASSET_NAME
from interchange.operators.links import LedgerLink, PlanLink, plan_page
from interchange.triggers.report_arrival import ReportArrivalTrigger

if TYPE_CHECKING:
    from airflow.sdk import Context

    from interchange.settings.parse_time import Events

CLOSINGS = Asset(name=ASSET_NAME, uri="x-interchange://ticket_closure/closings")
"""What customers were told of. Its state store holds the watermark."""
DAG_ID = "ticket_closure"


def beside_arrivals(timetable: Any, events: Events | None) -> Any:
    """
    What starts the DAG: a timetable and, where there is a queue, the report's arrival.

    :param timetable: None: no schedule.
    """
    if events is None:
        return timetable
    watcher = AssetWatcher(
        name="arrivals",
        trigger=ReportArrivalTrigger(dag_id=DAG_ID, queue_url=events.queue_url, conn_id=events.conn_id),
    )
    report = Asset(name="ticket-report", uri="x-interchange://ticket_closure/report", watchers=[watcher])
    return AssetOrTimeSchedule(timetable=timetable, assets=[report]) if timetable else [report]


class PlanMailsOperator(BaseOperator):
    """
    Read the report and keep in the ledger which mails it calls for.

    :return: counts and the plan's digest, see :func:`interchange.mails.planning.plan_mails`.
    """

    operator_extra_links = (PlanLink(), LedgerLink())
    ui_color = "#e4ecf4"

    def __init__(self, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.made: dict[str, str] = {}

    def execute(self, context: Context) -> dict[str, Any]:
        from interchange.mails.planning import local_now, plan_mails, since_of
        from interchange.mails.watermark import remembered
        from interchange.operators.ledger import lease_s, ledger_of, run_of
        from interchange.reports import open_report
        from interchange.settings import load_settings

        settings = load_settings(DAG_ID)
        with open_report(settings.source) as rows:
            planned = plan_mails(
                rows,
                settings=settings,
                ledger=ledger_of(context),
                memory=remembered(context["asset_state_store"][CLOSINGS]),
                run=run_of(context),
                lease_s=lease_s(),
                now=local_now(settings),
                since=since_of(context["params"]),
                until=_last_day(context, settings.time_zone),
            )
        self.made["plan"] = planned["digest"]
        return planned


def _last_day(context: Mapping[str, Any], zone: str) -> date | None:
    """The end of a backfill's interval; any other run looks at everything up to now."""
    end = context.get("data_interval_end")
    if context["dag_run"].run_type != "backfill" or end is None:
        return None
    last: date = end.astimezone(ZoneInfo(zone)).date()
    return last


class ApproveMailsOperator(ApprovalOperator):
    """
    Wait for a person, without a worker, where the settings or the number of mails ask for one.

    A rejected plan is not sent; nor is a dry run's. A plan nobody answers in time fails the task.

    :param planned: what task ``plan`` has returned.
    """

    template_fields: Sequence[str] = ("planned",)

    def __init__(self, *, planned: Any, **kwargs: Any) -> None:
        super().__init__(subject="Send this week's mails about closed tickets?", **kwargs)
        self.planned = planned

    def execute(self, context: Context) -> Any:
        from interchange.settings import load_settings

        planned: Mapping[str, Any] = self.planned
        if context["params"]["dry_run"]:
            raise AirflowSkipException("A dry run: the plan is in the ledger, nothing is sent.")
        if not planned["needs_approval"] or not planned["mails"]:
            self.log.info("Nobody has to approve plan %s.", planned["digest"])
            return {"chosen_options": [self.APPROVE], "asked": False}
        self.response_timeout = timedelta(hours=load_settings(DAG_ID).approval_timeout_hours)
        self.body = self._question(planned)
        return super().execute(context)

    def process_trigger_event_error(self, event: dict[str, Any]) -> None:
        if event["error_type"] == "timeout":
            # Another try would only ask once more.
            raise AirflowFailException(
                "Nobody has answered in time; nothing was sent. Clear this task to ask again."
            )
        super().process_trigger_event_error(event)

    def _question(self, planned: Mapping[str, Any]) -> str:
        aside = [
            f"    * row {row['row']}: {row['field']} {row['reason']}" for row in planned["set_aside_rows"]
        ]
        digest = planned["digest"]
        return "\n".join(
            [
                f"**{planned['mails']} mails** about **{planned['tickets']} closed tickets**, plan `{digest}`.",
                "",
                f"[The mails exactly as they would go]({plan_page(digest)})",
                "",
                f"* Looked at since {planned['since']}, in a report of {planned['rows']} rows.",
                f"* {planned['held']} tickets wait for next week: their customers have had a mail this week.",
                f"* {planned['opted_out']} tickets are of customers who want no mail.",
                f"* {planned['set_aside']} rows are set aside:" if aside else "* No row is set aside.",
                *aside,
                "",
                "**Approve** sends this plan and nothing else.",
                "",
                "**Reject** sends nothing; the tickets stay for the next run.",
            ]
        )


class SendMailsOperator(BaseOperator):
    """
    Send the plan: one mail for each customer and ISO week, no ticket told of twice, whatever ran before.

    :param planned: what task ``plan`` has returned.
    :return: the run's summary.
    """

    template_fields: Sequence[str] = ("planned",)
    operator_extra_links = (LedgerLink(),)
    ui_color = "#f4ecdb"

    def __init__(self, *, planned: Any, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.planned = planned

    def execute(self, context: Context) -> dict[str, Any]:
        from interchange.hooks.mail_webhook import MailWebhookHook
        from interchange.ledger.limits import RateLimiter
        from interchange.mails.planning import local_now
        from interchange.mails.plans import read_plan
        from interchange.mails.sending import MailRun
        from interchange.mails.watermark import remember
        from interchange.operators.ledger import lease_s, ledger_of, run_of
        from interchange.settings import load_settings

        planned: Mapping[str, Any] = self.planned
        settings = load_settings(DAG_ID)
        ledger = ledger_of(context)
        with ledger.hold(f"{DAG_ID}/mails", lease_s=lease_s()) as held:
            work = MailRun(
                ledger=ledger,
                hook=MailWebhookHook(settings.webhook_conn_id, limiter=RateLimiter(ledger.engine)),
                run=run_of(context),
                lease_s=lease_s(),
                clock=lambda: local_now(settings),
                batch_size=settings.batch_size,
                opted_out=settings.opt_out,
                still_ours=held.check,
            )
            try:
                work.deliver(read_plan(ledger, planned["digest"]) if planned["mails"] else ())
            finally:
                # Also of a run that fails: what it did is done.
                self.log.info("%s", work.summary)
                context["ti"].xcom_push(key="summary", value=asdict(work.summary))
        remember(context["asset_state_store"][CLOSINGS], planned, months=settings.first_run_months)
        return asdict(work.summary)
