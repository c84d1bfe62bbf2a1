"""Personal Modo messages for the responses of an export: each once for ever, at most once where the answer is lost."""

from __future__ import annotations

import logging
from collections.abc import Iterator, Mapping
from contextlib import closing
from dataclasses import asdict, dataclass
from typing import Any

from interchange.core.export_content import RESPONSE_ID_COLUMN, iter_rows
from interchange.core.notify import Message, NotifyRule
from interchange.delivery.source import OPERATION
from interchange.errors import (
    BadRecord,
    InterchangeError,
    OutcomeUnknown,
    Refused,
    SettingsError,
    Unavailable,
)
from interchange.exports import DAG_ID, PlannedExport
from interchange.hooks.http import Limiter
from interchange.hooks.modo import ModoHook
from interchange.hooks.qualtrics import QualtricsHook
from interchange.ledger import EffectRef, Ledger, RunRef, State
from interchange.ledger.keys import keyed_hash
from interchange.settings.qualtrics_to_onedrive import Export

log = logging.getLogger(__name__)

PUSH = "push"
# Answers that mean this one message is wrong; any other refusal concerns them all.
_WRONG_MESSAGE = (400, 413, 422)


@dataclass(kw_only=True)
class Summary:
    """How many messages: sent now, sent by an earlier try, set aside, and of unknown outcome."""

    sent: int = 0
    sent_before: int = 0
    quarantined: int = 0
    unknown: int = 0


def notify(
    planned: PlannedExport,
    export: Export,
    delivered: Mapping[str, Any],
    *,
    ledger: Ledger,
    limiter: Limiter,
    run: RunRef,
    lease_s: float,
) -> dict[str, int]:
    """
    Send what the export's rules call for.

    :param delivered: the export task's result: whose file it was.
    :raises SettingsError: a rule names a column that the export does not have.
    :raises Unavailable: Qualtrics or Modo cannot be reached; the next try goes on with the messages not yet sent.
    :raises Refused: messages whose outcome nobody knows are listed in the ledger for a person.
    """
    rules = export.rules()
    hooks = {rule.conn_id: ModoHook(rule.conn_id, limiter=limiter) for rule in export.notify}
    hook_of = {rule.name: hooks[rule.conn_id] for rule in export.notify}
    summary = Summary()
    with closing(QualtricsHook(export.conn_id, limiter=limiter)) as qualtrics:
        rows = _rows(qualtrics, str(delivered["survey_id"]), str(delivered["file_id"]), planned.format)
        for number, row in enumerate(rows, start=1):
            for rule in rules:
                try:
                    message = _message(rule, row, planned.format)
                except BadRecord as exc:
                    ref = _ref(
                        export.name,
                        rule.name,
                        row.get(RESPONSE_ID_COLUMN) or f"{planned.window.stamp}/{number}",
                    )
                    _set_aside(ledger, ref, run, exc)
                    summary.quarantined += 1
                    continue
                if message is not None:
                    _send(message, rule.name, export.name, hook_of[rule.name], summary, ledger, run, lease_s)
    for hook in hooks.values():
        hook.close()
    log.info(
        "Messages: %s sent, %s sent before, %s quarantined, %s unknown",
        summary.sent,
        summary.sent_before,
        summary.quarantined,
        summary.unknown,
    )
    if summary.unknown:
        raise Refused(
            "modo.send_message",
            f"{summary.unknown} message(s) may have been sent and are not sent again: see "
            f"'python -m interchange unknown list', settle them, then clear this task",
        )
    return asdict(summary)


def _rows(
    qualtrics: QualtricsHook, survey_id: str, file_id: str, export_format: str
) -> Iterator[Mapping[str, str]]:
    with qualtrics.export_file(survey_id, file_id) as download:
        try:
            yield from iter_rows(download.chunks(), export_format)
        except BadRecord as exc:
            raise Unavailable(OPERATION, exc.reason) from exc


def _message(rule: NotifyRule, row: Mapping[str, str], export_format: str) -> Message | None:
    if rule.column not in row:
        if export_format in ("json", "ndjson"):
            return None  # There, a question without an answer is simply left out.
        raise SettingsError(f"notify rule {rule.name!r}: the export has no column {rule.column!r}")
    return rule.message(row)


def _ref(export: str, rule: str, identity: str) -> EffectRef:
    return EffectRef(DAG_ID, PUSH, f"{export}/{rule}/{keyed_hash(identity)}")


def _send(
    message: Message,
    rule: str,
    export: str,
    hook: ModoHook,
    summary: Summary,
    ledger: Ledger,
    run: RunRef,
    lease_s: float,
) -> None:
    ref = _ref(export, rule, message.key.rsplit("/", 1)[1])
    before = ledger.get(ref)
    if before is not None and before.state is State.CONFIRMED:
        summary.sent_before += 1
        return

    def send() -> dict[str, Any]:
        hook.send_message(
            {
                "title": message.title,
                "body": message.body,
                "style": message.style,
                "send_tag": message.send_tag,
                "push_notifications": message.push_notifications,
            }
        )
        return {"rule": rule}

    try:
        ledger.perform(ref, send=send, find=None, lease_s=lease_s, run=run)
    except OutcomeUnknown as exc:
        # Modo can neither be asked nor told to ignore a second message.
        log.warning("A message of rule %s may have been sent: %s", rule, exc)
        summary.unknown += 1
    except BadRecord:
        summary.quarantined += 1
    except Refused as exc:
        if exc.status not in _WRONG_MESSAGE:
            raise
        _set_aside(ledger, ref, run, BadRecord("message", f"Modo refuses it (HTTP {exc.status})"))
        summary.quarantined += 1
    else:
        summary.sent += 1


def _set_aside(ledger: Ledger, ref: EffectRef, run: RunRef, exc: BadRecord) -> None:
    effect = ledger.plan(ref, run=run)
    if effect.state is State.PLANNED:
        try:
            ledger.quarantine(ref, field=exc.field, reason=exc.reason)
        except InterchangeError:
            # Another process was faster with the same record.
            log.info("%s has been set aside already", ref)
    log.warning("Set aside %s: %s", ref, exc)
