"""What a run of ``ticket_closure`` is going to send, as its task ``plan`` works it out."""

from __future__ import annotations

import logging
from collections.abc import Iterable, Mapping
from dataclasses import asdict
from datetime import UTC, date, datetime
from typing import Any
from zoneinfo import ZoneInfo

from interchange.core.closings import Mail, Selection, element, select_mails
from interchange.core.report import BadRow, Report, ReportDrift, ReportRow, ReportRules, read_report
from interchange.errors import SettingsError
from interchange.ledger import Ledger, RunRef
from interchange.ledger.keys import keyed_hash
from interchange.mails.plans import WORKFLOW, PlannedMail, keep_plan
from interchange.mails.sending import CLOSING, MAYBE, customers_mailed
from interchange.mails.texts import Texts, load_texts
from interchange.mails.watermark import Memory, first_day
from interchange.settings.files import templates_dir
from interchange.settings.ticket_closure import Limits, Settings

log = logging.getLogger(__name__)

NAMED = 20
"""So many rows that were set aside are named in the run's summary; the plan in the ledger counts all."""


def local_now(settings: Settings) -> datetime:
    """The moment, in the report's zone."""
    return datetime.now(UTC).astimezone(ZoneInfo(settings.time_zone))


def customer_of(address: str) -> str:
    """What stands for an address in keys, logs and XCom."""
    return keyed_hash(f"mail/{address}")


def since_of(params: Mapping[str, Any]) -> date | None:
    """
    The day on the trigger form.

    :raises SettingsError: it is no day.
    """
    value = params.get("since")
    if value in (None, ""):
        return None
    try:
        return date.fromisoformat(str(value))
    except ValueError:
        raise SettingsError(f"since: {value!r} is no day like 2026-01-31") from None


def plan_mails(
    rows: Iterable[ReportRow],
    *,
    settings: Settings,
    ledger: Ledger,
    memory: Memory,
    run: RunRef,
    lease_s: float,
    now: datetime,
    since: date | None = None,
    until: date | None = None,
) -> dict[str, Any]:
    """
    Read the report, work out the mails and keep them in the ledger. Sends nothing.

    :param now: in the report's zone.
    :param since: of the trigger form. :param until: the last day of a backfill's interval; None: today.
    :return: counts, the plan's digest and the rows set aside; no address, no text.
    :raises SettingsError: settings or form are wrong. :raises ReportDrift: the report is not what it was.
    """
    today = now.date()
    first = first_day(memory, asked=since, today=today, months=settings.first_run_months)
    texts = load_texts(templates_dir(), **settings.templates.model_dump())
    report = read_report(rows, _rules(settings), today=today)
    _check_rows(report, memory, settings.limits)
    selection = select_mails(
        report.closings,
        since=first,
        until=min(until or today, today),
        told=ledger.keys(workflow=WORKFLOW, kind=CLOSING, states=MAYBE, first=first.isoformat()),
        mailed=customers_mailed(ledger, now),
        opted_out=frozenset(settings.opt_out),
        customer_of=customer_of,
    )
    _check_mails(selection, memory, settings.limits)
    mails = [PlannedMail.of(mail, _content(mail, texts, settings)) for mail in selection.mails]
    digest = keep_plan(ledger, mails, run=run, lease_s=lease_s)
    planned = {
        "digest": digest,
        "rows": report.rows,
        "mails": len(mails),
        "tickets": sum(len(mail.tickets) for mail in mails),
        "held": selection.held,
        "opted_out": selection.opted_out,
        "told_before": selection.told,
        "since": first.isoformat(),
        "today": today.isoformat(),
        "oldest_held": selection.oldest_held.isoformat() if selection.oldest_held else None,
        # What a person asked for, or a backfill, says nothing about how far the weekly run has come.
        "moves_watermark": since is None and until is None,
        "set_aside": len(report.quarantined),
        "set_aside_rows": [asdict(row) for row in report.quarantined[:NAMED]],
        "needs_approval": settings.require_approval or len(mails) > settings.approve_above,
    }
    _tell(planned, report.quarantined)
    return planned


def _rules(settings: Settings) -> ReportRules:
    return ReportRules(
        columns=tuple(settings.columns),
        closed_statuses=tuple(settings.closed_statuses),
        date_format=settings.date_format,
        time_zone=settings.time_zone,
        header=settings.source.header,
    )


def _content(mail: Mail, texts: Texts, settings: Settings) -> dict[str, Any]:
    return element(
        mail,
        subject=texts.subject_of(mail),
        body=texts.text_of(mail),
        html=texts.html_of(mail),
        cc=settings.cc,
    )


def _check_rows(report: Report, memory: Memory, limits: Limits) -> None:
    before = memory.rows
    if before and report.rows < before * (1 - limits.rows_drop_percent / 100):
        raise ReportDrift(
            f"the report has {report.rows} rows, {before} last time: more than limits.rows_drop_percent "
            f"({limits.rows_drop_percent}) are gone. If that is right, set or delete report_rows on the page of asset "
            "ticket-closings and clear this task"
        )


def _check_mails(selection: Selection, memory: Memory, limits: Limits) -> None:
    before, number = memory.mails, len(selection.mails)
    if before is None or number <= limits.mails_jump_from:
        return
    if number > before * limits.mails_jump_factor:
        raise ReportDrift(
            f"{number} mails would go, {before} last time: more than limits.mails_jump_factor "
            f"({limits.mails_jump_factor}) times as many. If that is right, set or delete report_mails on the page of "
            "asset ticket-closings and clear this task"
        )


def _tell(planned: Mapping[str, Any], set_aside: Iterable[BadRow]) -> None:
    log.info(
        "Plan %s: %s mails about %s tickets; %s tickets held until next week, %s of customers who want no mail, %s "
        "told of before, %s rows set aside",
        *(
            planned[name]
            for name in ("digest", "mails", "tickets", "held", "opted_out", "told_before", "set_aside")
        ),
    )
    for row in set_aside:
        log.warning("Row %s is set aside: %s %s", row.row, row.field, row.reason)
