"""What the tests against the sandbox's vendors share: how to set it up and how to ask what came of a call."""

from __future__ import annotations

import dataclasses
import datetime as dt
import json
import threading
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from types import SimpleNamespace
from typing import Any, ClassVar

import pytest

from include.sandbox.connections import connections
from include.sandbox.core import Sandbox, Vendor
from include.sandbox.faults import Fault, FaultKind
from include.sandbox.wire import Request, Response, answer_json, route
from interchange.core.windows import Window
from interchange.hooks.http import Limit, VendorHook

USER = "reports@contoso.example"
FERNET_KEY = "MDEyMzQ1Njc4OTAxMjM0NTY3ODkwMTIzNDU2Nzg5MDE="
WINDOW = Window(dt.datetime(2026, 11, 1, tzinfo=dt.UTC), dt.datetime(2026, 11, 1, 6, tzinfo=dt.UTC))
LARGE = "SV_0large"
UNIT = 327_680


class Odd(Vendor):
    """A vendor that answers whatever a test wants it to answer."""

    name: ClassVar[str] = "odd"

    def clear(self) -> None:
        self.answers: dict[str, Response | Callable[[], Response]] = {}
        self.received: list[bytes] = []

    @route("GET", "/things/{name}", operation="read")
    @route("POST", "/things/{name}", operation="write")
    def thing(self, request: Request) -> Response:
        self.received.append(request.body.read())
        if request.method == "POST":
            self.effect("written", name=request.params["name"])
        answer = self.answers.get(request.params["name"], answer_json(200, {"ok": True}))
        return answer() if callable(answer) else answer


class OddHook(VendorHook):
    """The plainest hook there can be: a token that can be renewed, one limit."""

    conn_type = "odd"
    default_conn_name = "odd_default"
    hook_name = "Odd"
    renewals = 0

    @property
    def renewable(self) -> bool:
        return bool(self.extra.get("renewable"))

    def authorization(self, *, renew: bool) -> Mapping[str, str]:
        self.renewals += renew
        return {"Authorization": f"Bearer {self.extra.get('token', 'odd-secret-token')}"}

    def limits_of(self, operation: str) -> list[Limit]:
        return [Limit(bucket="odd", limit=100, period_s=60)]

    def error_code(self, payload: Any) -> str:
        return str(payload["code"])

    def read(self, name: str = "one", **options: Any) -> Any:
        return self.call_json("odd.read", "GET", f"/things/{name}", repeatable=True, **options)

    def write(self, name: str = "one", **options: Any) -> Any:
        return self.call_json(
            "odd.write", "POST", f"/things/{name}", repeatable=False, json={"a": 1}, **options
        )


class Connections:
    """The sandbox's connections as Airflow finds them, each of which a test may change."""

    def __init__(self, sandbox: Sandbox, monkeypatch: pytest.MonkeyPatch) -> None:
        self._monkeypatch = monkeypatch
        self._fields = connections(sandbox)
        key_file = Path(self._fields["onedrive_default"]["extra"]["private_key"])
        self._private_key = key_file.read_text().splitlines()
        self._fields["odd_default"] = {
            "conn_type": "odd",
            "host": sandbox.url("odd"),
            "extra": {"ca_bundle": str(sandbox.ca_bundle)},
        }
        for conn_id in self._fields:
            self.change(conn_id)

    def change(self, conn_id: str, *, extra: Mapping[str, Any] | None = None, **fields: Any) -> None:
        """Set fields of a connection; an extra of None is taken away."""
        mine = self._fields[conn_id]
        mine.update(fields)
        for name, value in (extra or {}).items():
            if value is None:
                mine["extra"].pop(name, None)
            else:
                mine["extra"][name] = value
        self._monkeypatch.setenv(f"AIRFLOW_CONN_{conn_id.upper()}", json.dumps(mine))

    def extra_of(self, conn_id: str) -> dict[str, Any]:
        return dict(self._fields[conn_id]["extra"])

    @property
    def secrets(self) -> list[str]:
        """Every text in a connection that no log and no error may show."""
        known = [*self._private_key[1:3], "odd-secret-token"]
        for fields in self._fields.values():
            hidden = ("token", "directory_token", "channel_token", "client_secret", "api_token")
            known += [fields["extra"][name] for name in hidden if fields["extra"].get(name)]
            known += [fields["password"]] if fields.get("password") else []
        return known


class Waits(list[float]):
    """Waits that a hook or a delivery wanted; none is really waited."""

    def __call__(self, seconds: float) -> None:
        self.append(seconds)


def calls(sandbox: Sandbox, *operations: str) -> list[dict[str, Any]]:
    """The requests of these operations, oldest first."""
    return [entry for entry in sandbox.requests.entries() if entry["operation"] in operations]


def statuses(sandbox: Sandbox, *operations: str) -> list[int | None]:
    return [entry["status"] for entry in calls(sandbox, *operations)]


def arm(sandbox: Sandbox, vendor: str, kind: str, **facts: Any) -> None:
    sandbox.arm(Fault(vendor=vendor, kind=FaultKind(kind), **facts))


def files(sandbox: Sandbox) -> dict[str, dict[str, Any]]:
    """The files in the user's drive, by path."""
    found: dict[str, dict[str, Any]] = sandbox.vendor("graph").snapshot()["users"][USER]["files"]
    return found


def stored(sandbox: Sandbox, path: str) -> bytes:
    """The bytes of a file in the user's drive."""
    library = sandbox.vendor("graph").documents
    drive = library.state.drives[library.state.users[USER]]
    item = library.walk(drive, drive.root, tuple(path.strip("/").split("/"))).item
    assert item is not None
    content: bytes = item.blob.read_bytes()
    return content


def wait_for(condition: Callable[[], bool], *, within_s: float = 20.0) -> None:
    """Wait for a condition, asking often; fail if it does not come true in time."""
    deadline = time.monotonic() + within_s
    while not condition():
        assert time.monotonic() < deadline, "the condition did not come true in time"
        threading.Event().wait(0.01)


def effects(sandbox: Sandbox, kind: str) -> list[dict[str, Any]]:
    return sandbox.effects.entries(kind=kind)


@dataclasses.dataclass
class TaskInstance:
    """What our code asks a task instance for."""

    run_id: str = "scheduled__2026-11-01T06:00:00+00:00"
    max_tries: int = 8
    dag_id: str = "qualtrics_to_onedrive"
    task: Any = dataclasses.field(default_factory=lambda: SimpleNamespace(retries=8))


def context(*, interval: Window | None = WINDOW, cleared: int = 0, **params: Any) -> dict[str, Any]:
    """
    A task's context.

    :param interval: the run's data interval.
    :param cleared: how often a person has cleared the task.
    """
    made: dict[str, Any] = {"ti": TaskInstance(max_tries=8 + cleared), "params": params}
    if interval is not None:
        made |= {"data_interval_start": interval.start, "data_interval_end": interval.end}
    return made


def exports(monkeypatch: pytest.MonkeyPatch, *entries: Mapping[str, Any]) -> None:
    """Settings of the workflow, as the Airflow Variable holds them."""
    text = json.dumps({"exports": list(entries)})
    monkeypatch.setenv("AIRFLOW_VAR_INTERCHANGE_QUALTRICS_TO_ONEDRIVE", text)


TRACKER: dict[str, Any] = {
    "name": "tracker",
    "survey_id": "SV_0symptoms",
    "destination": {"user": USER, "folder": "Exports", "file_name": "tracker", "unique": True},
}
