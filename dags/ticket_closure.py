"""
### Closed tickets → one e-mail per customer and week

Reads the weekly ticket report and tells each customer, in one mail, which of their tickets were closed.

* **Reads** a Google Sheet (`google_cloud_default`) or an Excel workbook in S3 (`aws_default`). **Writes** e-mails,
  through a webhook (`ticket_mail_webhook`).
* **Settings:** Variable `interchange_ticket_closure`, else `include/config/ticket_closure.yaml`.
* **Running again is safe.** No ticket's closing is told of twice, and nobody gets two mails in one ISO week, whatever
  is retried, cleared, backfilled or started twice. Who has had this week's mail waits for the next one.
* **Starts** by its schedule and, if settings key `events` names a queue, when the workbook has come into its bucket.
* **Before the first mail** the report is checked: columns, dates, formula errors, size. `plan` fails with what is
  wrong, in which row and column; nothing was sent.
* **If `approve` waits:** open it, look at the mails it links to, approve or reject. What is then sent is that plan.
* **If `send` fails** with *may have been sent*: look at the mail system, then settle the mails on the ledger's page;
  the next run goes on. *Refused*: the connection or a setting is wrong. Everything else goes by itself.
  See `docs/runbooks/ticket_closure.md`.
* **Try first:** `dry_run` makes the plan; button *Mails* shows it; nothing is sent.
"""

from __future__ import annotations

import pendulum
from airflow.sdk import CronDataIntervalTimetable, Param, dag

from interchange import policies
from interchange.operators.ticket_closure import (
    CLOSINGS,
    ApproveMailsOperator,
    PlanMailsOperator,
    SendMailsOperator,
    beside_arrivals,
)
from interchange.settings import parse_time_settings

SETTINGS = parse_time_settings("ticket_closure")


@dag(
    schedule=beside_arrivals(
        CronDataIntervalTimetable(SETTINGS.schedule, timezone=SETTINGS.time_zone)
        if SETTINGS.schedule
        else None,
        SETTINGS.events,
    )
    if SETTINGS.enabled
    else None,
    start_date=pendulum.datetime(2026, 1, 1, tz="UTC"),
    catchup=False,
    max_active_runs=1,
    tags=["interchange", "google", "s3", "mail"],
    doc_md=__doc__,
    default_args={
        "owner": "operations",
        "retries": 5,
        "retry_policy": policies.OUTBOUND,
        "retry_delay": policies.RETRY_DELAY,
    },
    params={
        "since": Param(
            None,
            type=["null", "string"],
            format="date",
            title="Since",
            description="Look at tickets closed on or after this day; empty: from the watermark of asset "
            "ticket-closings on. What was told of before is not told again either way.",
        ),
        "dry_run": Param(
            False,
            type="boolean",
            title="Dry run",
            description="Make the plan and show it; send nothing.",
        ),
    },
)
def ticket_closure() -> None:
    plan = PlanMailsOperator(task_id="plan", inlets=[CLOSINGS])
    approve = ApproveMailsOperator(task_id="approve", planned=plan.output)
    send = SendMailsOperator(task_id="send", planned=plan.output, inlets=[CLOSINGS], outlets=[CLOSINGS])
    plan >> approve >> send


ticket_closure()
