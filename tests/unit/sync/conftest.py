"""Synchronisations against the sandbox's Spinoco, with a real ledger and a real storage."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from include.sandbox.core import Sandbox
from include.sandbox.faults import Fault, FaultKind
from interchange.hooks.spinoco import SpinocoHook
from interchange.ledger import Effect, Ledger, RunRef, State
from interchange.settings import load_settings
from interchange.settings.spinoco_sync import Sync
from interchange.storages.base import MANIFESTS
from interchange.sync.pages import DELETION, FILE, WORKFLOW
from interchange.sync.run import Summary, SyncRun
from tests.unit.claims import let_claims_run_out
from tests.unit.vendors import Connections, Waits

LEASE_S = 30.0
KINDS = ("local", "s3", "gcs", "azure")


class World:
    """
    Spinoco, one synchronisation and its storage.

    :param settings: of the synchronisation, changed as a test likes.
    """

    def __init__(
        self,
        sandbox: Sandbox,
        worker: Callable[..., Ledger],
        connections: Connections,
        folder: Path,
        kind: str,
    ) -> None:
        self.sandbox = sandbox
        self.connections = connections
        self.spinoco = sandbox.vendor("spinoco")
        self.folder = folder
        self.kind = kind
        self.worker = worker
        self.ledger = worker("a person")
        where = {
            "local": {"provider": "local", "save_to": str(folder / "data")},
            "s3": {"provider": "s3", "bucket": "recordings"},
            "gcs": {"provider": "gcs", "bucket": "recordings"},
            "azure": {"provider": "azure", "container": "recordings"},
        }[kind]
        self.settings: dict[str, Any] = {
            "name": "archive",
            "tag": "archive-1",
            "get": ["Recordings", "Transcriptions"],
            "delete": [],
            "storage": where,
            "parallel": 4,
            "page_size": 10,
        }
        self.pauses: list[float] = []
        self.waits = Waits()
        self.days = 0.0
        """So many have passed since the test began."""
        self._tries = 0

    # Spinoco

    def add(self, *tasks: dict[str, Any], number: int = 0, size: int = 20_000) -> None:
        """Tasks come up at Spinoco: the given ones, and so many with a recording of ``size`` bytes."""
        self.spinoco.seed({"tasks": [*tasks, *({"recordings": [size]} for _ in range(number))]})

    @property
    def originals(self) -> dict[str, str]:
        """SHA-256 by path of every file there ever was, of the types that are fetched."""
        return {
            file.path: file.sha256()
            for task in self.spinoco.tasks.values()
            for file in task.files
            if file.data_type in self.settings["get"]
        }

    def damage(self, path: str, kind: str | None) -> None:
        self.spinoco.seed({"damage": {path: kind}})

    def fault(self, kind: str, operation: str | None = "get_file", **facts: Any) -> None:
        self.sandbox.arm(Fault(vendor="spinoco", kind=FaultKind(kind), operation=operation, **facts))

    def calls(self, operation: str) -> list[dict[str, Any]]:
        return [
            entry
            for entry in self.sandbox.requests.entries(operation=operation)
            if entry["vendor"] == "spinoco"
        ]

    # Runs

    @property
    def sync(self) -> Sync:
        text = json.dumps({"syncs": [self.settings]})
        made: Sync = load_settings(WORKFLOW, variable=lambda _: text).syncs[0]
        return made

    def work(self) -> SyncRun:
        self._tries += 1
        return SyncRun(
            self.sync,
            ledger=self.worker(f"try {self._tries}"),
            run=RunRef(dag_id=WORKFLOW, run_id=f"run-{self._tries}", request=f"request-{self._tries}"),
            lease_s=LEASE_S,
            hook=lambda: SpinocoHook(self.sync.conn_id, pause=self.waits),
            pause=self.pauses.append,
            clock=lambda: datetime.now(UTC) + timedelta(days=self.days),
        )

    def run(self, *, max_pages: int | None = None, beyond_limit: bool = False) -> Summary:
        """A whole run, as the operator makes it."""
        work = self.work()
        self.last = work.summary
        try:
            work.synchronise(max_pages=max_pages)
            work.delete_originals(beyond_limit=beyond_limit)
        finally:
            work.close()
        return work.summary

    # What is there

    def holds(self) -> dict[str, bytes]:
        if self.kind == "local":
            root = self.folder / "data"
            files = [path for path in root.rglob("*") if path.is_file()]
            found = {str(path.relative_to(root)): path.read_bytes() for path in files}
        else:
            found = self.sandbox.vendor(self.kind).objects("recordings")
        return {name: content for name, content in found.items() if not name.startswith(f"{MANIFESTS}/")}

    @property
    def hashes(self) -> list[str]:
        """Of everything stored."""
        return sorted(hashlib.sha256(content).hexdigest() for content in self.holds().values())

    def is_complete(self) -> bool:
        """Every file there ever was is stored once, and nothing else is."""
        return self.hashes == sorted(self.originals.values())

    def left_over(self) -> list[str]:
        """Unfinished files."""
        return [path.name for path in self.folder.rglob("*") if path.suffix == ".part"]

    def files(self, state: State | None = None) -> list[Effect]:
        return self.ledger.list(workflow=WORKFLOW, kind=FILE, state=state)

    def deletions(self, state: State | None = None) -> list[Effect]:
        return self.ledger.list(workflow=WORKFLOW, kind=DELETION, state=state)

    def expire(self) -> None:
        """Claims of killed processes have run out."""
        let_claims_run_out(self.ledger)


@pytest.fixture
def world(
    request: pytest.FixtureRequest,
    sandbox: Sandbox,
    airflow: Connections,
    worker: Callable[..., Ledger],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> World:
    """A disk, unless the test asks for other storages."""
    monkeypatch.setenv("TMPDIR", str(tmp_path))
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    return World(sandbox, worker, airflow, tmp_path, getattr(request, "param", "local"))
