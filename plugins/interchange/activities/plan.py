"""
What is to become of the activities that are ready: the plan, from records and settings alone.

An activity's details are citizens' words. They are in :attr:`Activity.details` and nowhere else: not in the text form
of these classes, not in a summary, not in a reason.
"""

from __future__ import annotations

import dataclasses
import hashlib
import json
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime, tzinfo
from enum import StrEnum
from typing import Any

from interchange.core.knack_values import Record, moment_of, number_of, same_name, text_of
from interchange.core.xml_text import illegal_characters, without_illegal
from interchange.errors import BadRecord, SettingsError
from interchange.settings.knack_to_esb import App, Fields


class Verdict(StrEnum):
    SEND = "send"
    IGNORE = "ignore"
    """Its name is mapped to null: only its status is written."""
    SET_ASIDE = "set aside"
    """The record is wrong; later activities of its service request wait for it."""


@dataclass(frozen=True, kw_only=True)
class Activity:
    """
    One record, and what is to become of it.

    :param number: None where the record has none that can be read.
    :param field: of one that is set aside: the field that is wrong, in Knack's spelling; ``reason`` says why.
    :param digest: of the record's own content and of what the settings make of it: it changes when somebody edits the
        record, or corrects a code.
    """

    record_id: str
    sr_number: str
    number: int | None
    verdict: Verdict
    digest: str
    name: str = ""
    emi_id: str = ""
    csr_activity_id: str = ""
    code: str = ""
    status_code: str = ""
    activity_date: str = ""
    details: str = dataclasses.field(default="", repr=False)
    field: str = ""
    reason: str = ""

    def values(self, made_at: datetime) -> dict[str, str]:
        """What goes into the message, see :func:`interchange.core.esb_message.build_message`."""
        return {
            "emi_id": self.emi_id,
            "timestamp": made_at.isoformat(),
            "record_id": self.record_id,
            "csr_activity_id": self.csr_activity_id,
            "sr_number": self.sr_number,
            "status_code": self.status_code,
            "code": self.code,
            "details": self.details,
            "activity_date": self.activity_date,
        }


@dataclass(frozen=True, kw_only=True)
class ServiceRequest:
    """The activities of one service request, in the order in which they must arrive."""

    sr_number: str
    activities: tuple[Activity, ...]


@dataclass(frozen=True, kw_only=True)
class Plan:
    """
    Service requests in the order of their first activity.

    A record without a service request stands alone in one without a name.
    """

    service_requests: tuple[ServiceRequest, ...]

    def summary(self) -> dict[str, Any]:
        """What a person may see of it, as JSON."""
        return {
            "service_requests": [
                {
                    "sr_number": request.sr_number,
                    "activities": [
                        {
                            "record_id": activity.record_id,
                            "number": activity.number,
                            "verdict": activity.verdict.value,
                            "code": activity.code,
                            "field": activity.field,
                            "reason": activity.reason,
                        }
                        for activity in request.activities
                    ],
                }
                for request in self.service_requests
            ]
        }


def plan_activities(records: Iterable[Record], app: App, zone: tzinfo) -> Plan:
    """
    Plan all records that are ready.

    Within a service request the activity's number decides, compared as a number; of two with one number, the record's
    id. One without a readable number may belong anywhere, so it comes first and the whole request waits for it. One
    without a service request keeps nobody waiting.

    :param zone: the application's.
    """
    requests: dict[str, list[Activity]] = {}
    for record in records:
        activity = _plan(record, app, zone)
        # A name that no request has, for a record of which it is not known.
        requests.setdefault(activity.sr_number or f"\0{activity.record_id}", []).append(activity)
    planned = [
        ServiceRequest(sr_number=entries[0].sr_number, activities=tuple(sorted(entries, key=_place)))
        for entries in requests.values()
    ]
    return Plan(service_requests=tuple(sorted(planned, key=lambda request: _place(request.activities[0]))))


def check_fields(app: App, columns: Sequence[str] | None, records: Sequence[Record]) -> None:
    """
    Make sure that each configured field is there: one that somebody took out of the view looks empty.

    :param columns: the view's, from the metadata; None where it does not tell.
    :raises SettingsError: names all that are missing.
    """
    missing = []
    for key, meaning in app.fields.meanings().items():
        there = key in columns if columns is not None else True
        there &= all(key in record or f"{key}_raw" in record for record in records[:1])
        if not there:
            missing.append(f"{key} ({meaning})")
    if missing:
        raise SettingsError(
            f"app {app.name!r}: {app.view} does not show {', '.join(missing)}; was the app edited? Add the column "
            "to the view, or correct fields in the settings. Nothing was sent"
        )


def _place(activity: Activity) -> tuple[int, str]:
    return (-1 if activity.number is None else activity.number, activity.record_id)


def _plan(record: Record, app: App, zone: tzinfo) -> Activity:
    record_id, fields = str(record["id"]), app.fields
    known: dict[str, Any] = {
        "record_id": record_id,
        "sr_number": "",
        "number": None,
        "digest": _digest(record, fields),
    }
    try:
        known["sr_number"] = _required(record, fields.sr_number, app)
        known["number"] = number_of(record, fields.atd_activity_id)
        known["name"] = same_name(text_of(record, fields.activity_name))
        code = _code(record, app, known["name"])
        if code is None:
            return Activity(**known, verdict=Verdict.IGNORE)
        sent: dict[str, Any] = {
            "code": _legal(code, fields.csr_activity_code, app),
            "emi_id": _required(record, fields.emi_id, app),
            "csr_activity_id": _text(record, fields.csr_activity_id, app).strip(),
            "status_code": app.status_code(_text(record, fields.issue_status_code_snapshot, app).strip()),
            "activity_date": moment_of(record, fields.activity_datetime, zone).isoformat(),
            "details": _text(record, fields.activity_details, app),
        }
        known["digest"] = _hash([known["digest"], sent])
        return Activity(**known, **sent, verdict=Verdict.SEND)
    except BadRecord as exc:
        return Activity(**known, verdict=Verdict.SET_ASIDE, field=exc.field, reason=exc.reason)


def _text(record: Record, key: str, app: App) -> str:
    return _legal(text_of(record, key), key, app)


def _required(record: Record, key: str, app: App) -> str:
    text = _text(record, key, app).strip()
    if not text:
        raise BadRecord(key, "is empty")
    return text


def _code(record: Record, app: App, name: str) -> str | None:
    """The code asked for, or the name's; None where the name is mapped to null."""
    if asked_for := text_of(record, app.fields.csr_activity_code).strip():
        return asked_for
    if not name:
        raise BadRecord(app.fields.activity_name, "is empty")
    if name not in app.codes:
        raise BadRecord(
            app.fields.activity_name,
            "is a name that activity_codes does not have: add it there, with its code or null",
        )
    return app.codes[name]


def _legal(text: str, key: str, app: App) -> str:
    if found := illegal_characters(text):
        if app.illegal_characters == "quarantine":
            raise BadRecord(key, f"holds characters that XML forbids: {', '.join(found)}")
        return without_illegal(text, app.replacement)
    return text


def _digest(record: Record, fields: Fields) -> str:
    """Of all that a record gives to its message, as Knack has it. The status is not part of that: we write it."""
    content = {
        key: record.get(f"{key}_raw", record.get(key))
        for key in fields.meanings()
        if key != fields.esb_status
    }
    return _hash(content)


def _hash(content: object) -> str:
    return hashlib.sha256(json.dumps(content, sort_keys=True, default=str).encode()).hexdigest()
