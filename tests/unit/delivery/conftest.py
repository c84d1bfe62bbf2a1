"""A file to deliver, and workers that deliver it."""

from __future__ import annotations

import random
from collections.abc import Callable, Iterator, Mapping
from typing import Any

import pytest

from include.sandbox.core import Sandbox
from include.sandbox.vendors.microsoft.identity import DEFAULT_SECRET
from include.sandbox.wire import Response
from interchange.delivery.export_run import ExportRun
from interchange.delivery.ledger_progress import LedgerProgress
from interchange.delivery.onedrive import OneDriveDelivery, Target, receipt_of
from interchange.delivery.source import Source
from interchange.exports import DAG_ID, export_of, plan_exports
from interchange.hooks.onedrive import OneDriveHook
from interchange.hooks.qualtrics import QualtricsHook
from interchange.ledger import EffectRef, Ledger, RunRef
from interchange.ledger.limits import RateLimiter
from tests.unit.vendors import (
    TRACKER,
    UNIT,
    USER,
    Connections,
    OddHook,
    Waits,
    arm,
    calls,
    context,
    exports,
    files,
    stored,
)

REF = EffectRef("qualtrics_to_onedrive", "delivery", "large/20261101T000000Z-20261101T060000Z/r1")
FRAGMENT = UNIT
HEADER = b'ResponseId,Q1\r\nResponse ID,"What,\nnow?"\r\n"{""ImportId"":""_recordId""}",{}\r\n'


def csv_of(size: int, *, seed: int = 1) -> bytes:
    """A csv export of exactly this many bytes."""
    letters = random.Random(seed)
    line = f"R_{letters.randbytes(20).hex()},".encode()
    content = bytearray(HEADER)
    while len(content) < size - 2000:
        content += line + letters.randbytes(400).hex().encode() + b"\r\n"
    content += line
    return bytes(content).ljust(size - 2, b"x") + b"\r\n"


class Vendor:
    """Where the file comes from: a simulated vendor that gives these bytes, in this way."""

    def __init__(self, sandbox: Sandbox, hook: OddHook) -> None:
        self._sandbox = sandbox
        self._hook = hook
        self.on_piece: Callable[[int], None] = lambda sent: None

    def gives(self, content: bytes, *, length: int | None = -1, type_: str = "text/csv") -> None:
        """:param length: what is announced, if not the truth; None: nothing."""

        def pieces() -> Iterator[bytes]:
            for start in range(0, len(content), 1 << 18):
                self.on_piece(start)
                yield content[start : start + (1 << 18)]

        announced = len(content) if length == -1 else length
        self._sandbox.vendor("odd").answers["file"] = lambda: Response(
            body=pieces(), length=announced, headers=[("Content-Type", type_)]
        )

    def source(self, *, identity: str = "file-1", export_format: str = "csv", packed: bool = False) -> Source:
        return Source(
            lambda: self._hook.download("odd.read", "/things/file"),
            identity=identity,
            export_format=export_format,
            packed=packed,
        )


@pytest.fixture
def vendor(airflow: Connections, sandbox: Sandbox, waits: Waits) -> Iterator[Vendor]:
    hook = OddHook(pause=waits)
    yield Vendor(sandbox, hook)
    hook.close()


Deliver = Callable[..., dict[str, Any]]


@pytest.fixture
def deliver(airflow: Connections, worker: Callable[..., Ledger], waits: Waits) -> Deliver:
    """
    Deliver a source as one worker's try does: with a ledger, a hook and a delivery of its own.

    What an earlier worker knows reaches it through the ledger alone.
    """
    # Signing in by certificate takes a tenth of a second each time.
    airflow.change(
        "onedrive_default", extra={"private_key": None, "certificate": None, "client_secret": DEFAULT_SECRET}
    )

    def run(
        owner: str,
        source: Source,
        *,
        name: str = "large.csv",
        fragment_size: int = FRAGMENT,
        small_file: int = UNIT,
        fernet_key: str | None = "default",
        lease_s: float = 30,
    ) -> dict[str, Any]:
        ledger = worker(owner) if fernet_key == "default" else worker(owner, fernet_key=fernet_key)
        hook = OneDriveHook(pause=waits)
        delivery = OneDriveDelivery(
            hook,
            Target(user=USER, folder="Exports", name=name, media_type="text/csv"),
            LedgerProgress(ledger, REF),
            fragment_size=fragment_size,
            small_file=small_file,
            pause=waits,
        )

        def find() -> dict[str, Any] | None:
            found = delivery.find()
            return None if found is None else receipt_of(found)

        try:
            return ledger.perform(
                REF, send=lambda: receipt_of(delivery.deliver(source)), find=find, lease_s=lease_s
            )
        finally:
            hook.close()

    return run


Work = Callable[..., ExportRun]


@pytest.fixture
def work(
    airflow: Connections,
    sandbox: Sandbox,
    worker: Callable[..., Ledger],
    waits: Waits,
    monkeypatch: pytest.MonkeyPatch,
) -> Work:
    """One try of one task: what it knows of earlier ones stands in the ledger."""
    airflow.change(
        "onedrive_default", extra={"private_key": None, "certificate": None, "client_secret": DEFAULT_SECRET}
    )
    sandbox.vendor("qualtrics").set_options({"polls_until_complete": 0})

    def begin(
        owner: str = "ann",
        *,
        request: str = "run/c0",
        settings: Mapping[str, Any] | None = None,
        **given: Any,
    ) -> ExportRun:
        exports(monkeypatch, {**TRACKER, **(settings or {})})
        (planned,) = plan_exports(context(**given))
        ledger = worker(owner)
        return ExportRun(
            planned,
            export_of(planned),
            ledger=ledger,
            qualtrics=QualtricsHook(pause=waits),
            run=RunRef(dag_id=DAG_ID, run_id="run", request=request),
            limiter=RateLimiter(ledger.engine),
            lease_s=30,
        )

    return begin


# The large file of the OneDrive tests, and what became of it

SIZE = 1_500_000
LARGE = csv_of(SIZE)
FRAGMENTS = -(-SIZE // FRAGMENT)
PATH = "/Exports/large.csv"


@pytest.fixture
def large(vendor: Vendor) -> Vendor:
    vendor.gives(LARGE)
    return vendor


def graph(sandbox: Sandbox, **values: Any) -> None:
    sandbox.vendor("graph").set_options(values)


def break_off(sandbox: Sandbox, at: int) -> None:
    """From the n-th fragment on, the upload host fails, and so does whoever asks about it."""
    arm(sandbox, "upload", "status", status=503, operation="fragment", call=at, times=99)
    arm(sandbox, "upload", "status", status=503, operation="session_status", times=99)


def accepted(sandbox: Sandbox) -> list[str]:
    """Ranges of the fragments that the upload host took, in order."""
    taken = [entry for entry in calls(sandbox, "fragment") if entry["status"] in (200, 201, 202)]
    return [entry["headers"]["Content-Range"] for entry in taken]


def all_ranges(size: int = SIZE, fragment: int = FRAGMENT) -> list[str]:
    return [f"bytes {start}-{min(start + fragment, size) - 1}/{size}" for start in range(0, size, fragment)]


def is_there(sandbox: Sandbox, content: bytes = LARGE, path: str = PATH) -> bool:
    """Exactly this one file is in the drive, and it is this content."""
    assert list(files(sandbox)) == [path]
    return stored(sandbox, path) == content
