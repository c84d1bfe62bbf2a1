"""The two applications that the sandbox begins with, and records in words instead of field keys."""

from __future__ import annotations

import datetime as dt
import hashlib
from typing import Any

from include.sandbox.vendors.knack.model import Application, Field, Table, View

STATUSES = ("READY_TO_SEND", "SENT", "DO_NOT_SEND")
ZONE_NAME, ZONE = "Central Time (US & Canada)", "America/Chicago"
# What each field means, its type, in the order in which both applications list their keys below.
MEANINGS = (
    ("number", "Activity ID", "auto_increment"),
    ("emi", "EMI ID", "short_text"),
    ("sr", "Service Request", "short_text"),
    ("issue_status", "Issue Status Code Snapshot", "short_text"),
    ("status", "ESB Status", "multiple_choice"),
    ("at", "Activity Date", "date_time"),
    ("details", "Details", "paragraph_text"),
    ("activity", "Activity", "multiple_choice"),
    ("csr_id", "CSR Activity ID", "short_text"),
    ("csr_code", "CSR Activity Code", "short_text"),
)
KEYS = {
    "data-tracker": (1051, 1868, 1232, 1874, 1860, 1054, 1055, 1053, 4583, 4582),
    "signs-markings": (3143, 3163, 3154, 3160, 3164, 3145, 3147, 3144, 4321, 4322),
}
PLACES = {
    "data-tracker": ("object_75", "view_1653", "scene_514"),
    "signs-markings": ("object_173", "view_3052", "scene_1082"),
}
_DAY = dt.datetime(2026, 11, 2, 8, 10)  # noqa: DTZ001  # the application's wall clock

Row = dict[str, Any]


def field_key(app: str, meaning: str) -> str:
    """``field_N`` of an application's field."""
    return f"field_{KEYS[app][[name for name, _, _ in MEANINGS].index(meaning)]}"


def application(app: str, *, app_id: str, api_key: str) -> Application:
    """One of the two, without records."""
    object_key, view_key, scene = PLACES[app]
    fields = {
        f"field_{number}": Field(
            key=f"field_{number}",
            name=name,
            type=kind,
            choices=STATUSES if meaning == "status" else (),
            unique=meaning == "number",
        )
        for number, (meaning, name, kind) in zip(KEYS[app], MEANINGS, strict=True)
    }
    table = Table(key=object_key, name="activities", fields=fields)
    # The view shows more than what is ready: its criteria are the application's own.
    view = View(
        key=view_key,
        name="API: activities",
        scene=scene,
        table=object_key,
        columns=list(fields),
        sort=(field_key(app, "at"), "asc"),
    )
    return Application(
        id=app_id,
        name=app,
        api_key=api_key,
        zone_name=ZONE_NAME,
        zone=ZONE,
        tables={object_key: table},
        views={view_key: view},
    )


def record_id(app: str, number: int) -> str:
    """24 hexadecimal digits, always the same ones."""
    return hashlib.sha256(f"{app}/{number}".encode()).hexdigest()[:24]


def stored(app: str, row: Row) -> tuple[str, dict[str, Any]]:
    """
    A record's id and stored values, from ``{"number", "sr", "activity", …}``.

    What is not given is filled in: ready to be sent, with an EMI id.
    """
    number = row["number"]
    values = {
        "emi": f"EMI-{number}",
        "issue_status": "open",
        "status": "READY_TO_SEND",
        "at": (_DAY + dt.timedelta(minutes=int(number) % 100_000)).isoformat(timespec="minutes"),
        "details": f"Details of activity {number}",
        "csr_id": "",
        "csr_code": "",
        **row,
    }
    known = {name for name, _, _ in MEANINGS}
    return str(row.get("id") or record_id(app, number)), {
        field_key(app, name): value for name, value in values.items() if name in known
    }


def demo_rows(app: str) -> list[Row]:
    """A few days' activities: ready ones, sent ones, some that are not for the bus, some that cannot go."""
    if app == "data-tracker":
        return [
            {"number": 9, "sr": "26-00010001", "activity": "Identify Asset", "details": "Signal 14 at 5th & Peña <NE>"},
            {"number": 10, "sr": "26-00010001", "activity": "Dispatch Technician", "details": "Crew 7"},
            {"number": 11, "sr": "26-00010002", "activity": "Adjust Timing", "details": "Green +4 s\nuntil 18:00"},
            {"number": 12, "sr": "26-00010001", "activity": "Complete Repairs ", "details": "Lamp replaced: «OK»"},
            {
                "number": 13, "sr": "26-00010003", "activity": "Close Issue (Duplicate)",
                "issue_status": "closed_duplicate", "details": "See 26-00010001",
            },
            {"number": 14, "sr": "26-00010002", "activity": "Other", "details": "Called the school"},
            {
                "number": 15, "sr": "26-00010004", "activity": "311 Feedback", "csr_id": "1-7XQ2",
                "csr_code": "PAGE0001", "details": "Answer to a page",
            },
            {
                "number": 16, "sr": "26-00010001", "activity": "Close Issue (Resolved)",
                "issue_status": "closed_resolved",
            },
            {"number": 5, "sr": "26-00009990", "activity": "Identify Asset", "status": "SENT"},
            {"number": 6, "sr": "26-00009990", "activity": "Other", "status": "DO_NOT_SEND"},
            {"number": 7, "sr": "26-00009991", "activity": "Adjust Timing", "emi": ""},
        ]  # fmt: skip
    return [
        {"number": 101, "sr": "26-00020001", "activity": "Conduct Investigation", "details": "Sign leans, 李 reports"},
        {"number": 102, "sr": "26-00020002", "activity": "Repaint Crosswalk", "details": "A name nobody has mapped"},
        {"number": 103, "sr": "26-00020002", "activity": "Close Issue (Resolved)", "issue_status": "closed_resolved"},
        {"number": 104, "sr": "26-00020001", "activity": "Repair/Replace", "details": "Post & sign"},
        {"number": 105, "sr": "26-00020001", "activity": "Send Email", "details": "not for 311"},
        {"number": 90, "sr": "26-00019990", "activity": "Contact Citizen", "status": "SENT"},
    ]  # fmt: skip
