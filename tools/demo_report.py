"""
What the demo has done outside, and whether it is what it should be.

The oracle owes nothing to the package: each file in OneDrive or on disk is compared with a fresh export of its window,
asked for here with plain HTTP calls, and the messages with the responses in those files.
"""

from __future__ import annotations

import csv
import io
import re
import ssl
import uuid
import zipfile
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import date
from pathlib import Path
from typing import Any

import httpx

from include.sandbox.connections import (
    KNACK_APPS,
    ONEDRIVE_CLIENT,
    QUALTRICS_CLIENT,
    QUALTRICS_SECRET,
    SPINOCO_TOKEN,
    TENANT,
)
from include.sandbox.vendors.knack.seeds import STATUSES, demo_rows, record_id

READY = STATUSES[0]

# Activities of the sandbox that cannot go, or wait behind one that cannot, by application.
WAITING = {"data-tracker": set(), "signs-markings": {102, 103}}
# The example report has an open ticket, a wrong address, a day ahead, and one before the look-back besides.
TOLD = {
    "ann@example.com": ["T-1001", "T-1003"],
    "another.ann@example.com": ["T-1006"],
    "bob@example.com": ["T-1012"],
    "cy@example.com": ["T-1004"],
    "dee@example.com": ["0001005"],
    "eve@example.com": ["T-1007"],
    "flo@example.com": ["T-1008"],
}
# What Spinoco has: calls with one or more recordings, of which one is cut when it is fetched.
_CALL = "b808d74e-84b2-11ef-b864-0242ac1200{:02}"
CALLS: dict[str, Any] = {
    "tasks": [
        {
            "id": _CALL.format(number),
            "due": f"2026-11-{number + 1:02}T08:15:00+00:00",
            "recordings": [200_000, 150_000] if number == 3 else [60_000 * number],
            "transcribed": number % 2 == 0,
        }
        for number in range(1, 13)
    ]
}
DAMAGED = f"/recording/{_CALL.format(5)}/{uuid.uuid5(uuid.NAMESPACE_OID, f'{_CALL.format(5)}-0')}"
RECORDINGS = Path("/tmp/interchange-demo/recordings")  # noqa: S108  # as in include/config/spinoco_sync.yaml
NOT_SENT = {"data-tracker": {"Other", "Send Email"}, "signs-markings": {"Other"}}
USER = "reports@contoso.example"
FOLDER = "/SurveyExports"
LOCAL = Path("/tmp/interchange-demo/exports")  # noqa: S108  # where include/config/qualtrics_to_onedrive.yaml sends the visitor log
ONEDRIVE_SECRET = "sandbox-onedrive-secret-0001"  # the sandbox's own
_STAMP = re.compile(r"_(\d{8}T\d{6}Z)-(\d{8}T\d{6}Z)\.zip$")

Get = Callable[[str], Any]
"""Reads a path of the sandbox's control interface."""


@dataclass(frozen=True, kw_only=True)
class Expected:
    """:param windows: start and end of every window that was exported, ``YYYY-MM-DDThh:mm:ssZ``."""

    windows: list[tuple[str, str]]


def report(get: Get, expected: Expected) -> Iterator[str]:
    """What is outside now, for a person."""
    drive = get("/state/graph")["users"][USER]
    yield f"OneDrive of {USER}:"
    for path, file in drive["files"].items():
        yield f"    {path}  {file['size']} bytes  sha256 {file['sha256'][:16]}…  versions {file['versions']}"
    yield f"Disk, {LOCAL}:"
    for file in sorted(LOCAL.glob("*.zip")):
        yield f"    {file.name}  {file.stat().st_size} bytes"
    recordings = [
        path for path in RECORDINGS.rglob("*") if path.is_file() and ".interchange" not in path.parts
    ]
    size = sum(path.stat().st_size for path in recordings)
    yield f"Disk, {RECORDINGS}: {len(recordings)} files of calls, {size} bytes"
    modo = get("/state/modo")
    yield f"Modo: {len(modo['messages'])} personal messages, {len(modo['revisions'])} directory revision(s)"
    yield f"Qualtrics: {len(get('/state/qualtrics')['jobs'])} export jobs"
    bus = get("/state/esb")
    yield f"311, through the bus: {bus['accepted']} messages, by service request:"
    for service_request, seen in bus["downstream"].items():
        yield f"    {service_request}  {', '.join(activity['code'] for activity in seen)}"
    mails = get("/state/mail_webhook")["mails"]
    yield f"Mail webhook: {len(mails)} mails about closed tickets, the last one to {mails[-1]['to'] if mails else '-'}"
    for meeting in _live(get):
        yield f"Webex: {meeting['start']}  {' and '.join(meeting['invitees'])}"
    for app, statuses in get("/state/knack")["apps"].items():
        counts = {status: list(statuses.values()).count(status) for status in sorted(set(statuses.values()))}
        yield f"Knack, {app}: {', '.join(f'{count} {status}' for status, count in counts.items())}"


def problems(get: Get, expected: Expected) -> list[str]:
    """Everything that is not as it should be; empty when all is well."""
    vendors = Reader(get("/health"))
    drive = get("/state/graph")["users"][USER]
    wrong = []
    if drive["open_sessions"]:
        wrong.append(f"upload sessions are still open: {drive['open_sessions']}")
    symptoms = {path: file for path, file in drive["files"].items() if path.startswith(f"{FOLDER}/symptoms_")}
    for start, end in expected.windows:
        path = f"{FOLDER}/symptoms_{_stamp(start)}-{_stamp(end)}.zip"
        if path not in symptoms:
            wrong.append(f"{path} is missing")
    ill: set[str] = set()
    for path in symptoms:
        start, end = _window_of(path)
        rows = _rows(vendors.file(path))
        if rows[3:] != _rows(vendors.export("SV_0symptoms", "csv", start, end, useLabels=True))[3:]:
            wrong.append(f"{path} does not hold what Qualtrics has for its window")
        answer, response = rows[0].index("Q1"), rows[0].index("ResponseId")
        ill |= {row[response] for row in rows[3:] if row[answer] == "Yes"}
    modo = get("/state/modo")
    if len(modo["messages"]) != len(ill):
        wrong.append(f"{len(ill)} responses call for a message each; {len(modo['messages'])} were sent")
    if [revision["name"] for revision in modo["revisions"]] != ["demo"]:
        wrong.append(f"the directory should have been uploaded once, not {len(modo['revisions'])} times")
    wrong += _activities(get)
    wrong += _mails(get)
    wrong += _recordings(get, vendors)
    wrong += _rounds(get)
    if f"{FOLDER}/course-feedback.zip" not in drive["files"]:
        wrong.append("course-feedback.zip is missing")
    for file in LOCAL.glob("visitors_*.zip"):
        start, end = _window_of(file.name)
        if _unzipped(file.read_bytes()) != _unzipped(vendors.export("SV_0visitors", "ndjson", start, end)):
            wrong.append(f"{file} does not hold what Qualtrics has for its window")
    hours = [window for window in expected.windows if window[0][11:13] != "00" or window[1][11:13] != "00"]
    for start, end in hours:
        if not (LOCAL / f"visitors_{_stamp(start)}-{_stamp(end)}.zip").exists():
            wrong.append(f"the visitor log from {start} is missing")
    return wrong


def _mails(get: Get) -> Iterator[str]:
    """Each customer of the example report told once of each closed ticket within the look-back, and nobody else."""
    told: dict[str, list[str]] = {}
    for mail in get("/state/mail_webhook")["mails"]:
        told.setdefault(mail["to"], []).extend(line.split()[2] for line in mail["body"].splitlines())
    if {who: sorted(tickets) for who, tickets in told.items()} != TOLD:
        yield f"the mails tell of {told}, not of {TOLD}"


def _live(get: Get) -> list[dict[str, Any]]:
    meetings = get("/state/webex")["meetings"]
    return sorted(
        (meeting for meeting in meetings if meeting["state"] == "live"),
        key=lambda meeting: str(meeting["start"]),
    )


def _rounds(get: Get) -> Iterator[str]:
    """In each round everybody of the sandbox meets one colleague of another department, and was told so."""
    state = get("/state/webex")
    departments = {
        person["emails"][0]: person["department"] for person in state["people"] if person["department"]
    }
    met: dict[str, list[list[str]]] = {}
    for meeting in _live(get):
        # A meeting that was moved stays in its week.
        week = "{}-W{:02}".format(*date.fromisoformat(meeting["start"][:10]).isocalendar()[:2])
        met.setdefault(week, []).append(meeting["invitees"])
    if not met:
        yield "no meeting was booked in Webex"
    for week, groups in met.items():
        if sorted(address for group in groups for address in group) != sorted(departments):
            yield f"in the round of {week} not everybody meets once"
        if any(len({departments[address] for address in group}) != len(group) for group in groups):
            yield f"in the round of {week} people of one department meet"
    told = Counter(message["to"][0] for message in state["messages"])
    if any(told[address] < len(met) for address in departments):
        yield f"not everybody was told of each round: {dict(told)}"


def _recordings(get: Get, vendors: Reader) -> Iterator[str]:
    """Every sound recording and transcription on the disk once, byte by byte, and nothing else there."""
    wanted = sorted(
        vendors.recording(file["path"])
        for task in get("/state/spinoco")["tasks"]
        for file in task["files"]
        if file["type"] in ("Recordings", "Transcriptions") and file["path"] != DAMAGED
    )
    found = sorted(
        path.read_bytes()
        for path in RECORDINGS.rglob("*")
        if path.is_file() and ".interchange" not in path.parts
    )
    if found != wanted:
        yield f"{len(wanted)} sound files at Spinoco, {len(found)} in {RECORDINGS}, or not the same bytes"


def _activities(get: Get) -> Iterator[str]:
    """Each activity of the sandbox against what its facts call for; what 311 sees, in the order of their numbers."""
    bus, knack = get("/state/esb"), get("/state/knack")
    expected: dict[str, list[str]] = {}
    for app in KNACK_APPS:
        for row in sorted(demo_rows(app), key=lambda row: int(row["number"])):
            name = record_id(app, row["number"])
            was_ready = row.get("status", READY) == READY and row.get("emi") != ""
            is_sent = was_ready and row["number"] not in WAITING[app] and row["activity"] not in NOT_SENT[app]
            want = row.get("status", READY)
            if is_sent:
                expected.setdefault(row["sr"], []).append(name)
                want = "SENT"
            elif was_ready and row["activity"] in NOT_SENT[app]:
                want = "DO_NOT_SEND"
            if knack["apps"][app][name] != want:
                yield f"activity {row['number']} of {app} is {knack['apps'][app][name]}, not {want}"
    arrived = {number: [seen["id"] for seen in entries] for number, entries in bus["downstream"].items()}
    if arrived != expected:
        yield f"311 has {arrived}, not {expected}"
    for oddity in ("duplicates", "double_escaped", "refused"):
        if bus[oddity]:
            yield f"the bus reports {oddity}: {bus[oddity]}"


class Reader:
    """Asks the vendors directly, as somebody checking by hand would."""

    def __init__(self, health: dict[str, Any]) -> None:
        self._urls = health["vendors"]
        self._http = httpx.Client(
            verify=ssl.create_default_context(cafile=health["ca_bundle"]), timeout=60, follow_redirects=True
        )
        self._qualtrics = self._token(
            f"{self._urls['qualtrics']}/oauth2/token",
            QUALTRICS_CLIENT,
            QUALTRICS_SECRET,
            "read:survey_responses",
        )
        self._graph = self._token(
            f"{self._urls['identity']}/{TENANT}/oauth2/v2.0/token",
            ONEDRIVE_CLIENT,
            ONEDRIVE_SECRET,
            "https://graph.microsoft.com/.default",
        )

    def _token(self, url: str, client: str, secret: str, scope: str) -> dict[str, str]:
        form = {
            "grant_type": "client_credentials",
            "scope": scope,
            "client_id": client,
            "client_secret": secret,
        }
        answer = self._http.post(url, data=form, auth=(client, secret)).raise_for_status().json()
        return {"Authorization": f"Bearer {answer['access_token']}"}

    def file(self, path: str) -> bytes:
        """A file of the demo's OneDrive."""
        url = f"{self._urls['graph']}/v1.0/users/{USER}/drive/root:{path}:/content"
        # The download address brings its own credential and refuses another.
        answer = self._http.get(url, headers=self._graph, follow_redirects=False)
        if answer.is_redirect:
            answer = self._http.get(answer.headers["Location"])
        return answer.raise_for_status().content

    def recording(self, path: str) -> bytes:
        """A file of Spinoco's."""
        token = {"Authorization": f"Bearer {SPINOCO_TOKEN}"}
        return self._http.get(f"{self._urls['spinoco']}{path}", headers=token).raise_for_status().content

    def export(self, survey: str, form: str, start: str, end: str, **options: object) -> bytes:
        """A window's responses, straight from Qualtrics."""
        url = f"{self._urls['qualtrics']}/API/v3/surveys/{survey}/export-responses"
        body = {"format": form, "startDate": start, "endDate": end, **options}
        job = self._http.post(url, json=body, headers=self._qualtrics).raise_for_status().json()["result"]
        progress = job["progressId"]
        while job["status"] == "inProgress":
            job = (
                self._http.get(f"{url}/{progress}", headers=self._qualtrics)
                .raise_for_status()
                .json()["result"]
            )
        return (
            self._http.get(f"{url}/{job['fileId']}/file", headers=self._qualtrics).raise_for_status().content
        )


def _rows(content: bytes) -> list[list[str]]:
    """A CSV export's rows; the first three are headers."""
    return list(csv.reader(io.StringIO(_unzipped(content).decode())))


def _unzipped(content: bytes) -> bytes:
    with zipfile.ZipFile(io.BytesIO(content)) as archive:
        (name,) = archive.namelist()
        return archive.read(name)


def _stamp(moment: str) -> str:
    return moment.replace("-", "").replace(":", "")


def _window_of(name: str) -> tuple[str, str]:
    found = _STAMP.search(name)
    if found is None:
        raise ValueError(f"{name} has no window in its name")
    return _moment(found[1]), _moment(found[2])


def _moment(stamp: str) -> str:
    return f"{stamp[:4]}-{stamp[4:6]}-{stamp[6:11]}:{stamp[11:13]}:{stamp[13:]}"
