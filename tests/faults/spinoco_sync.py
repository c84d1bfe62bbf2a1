"""What the fault harness runs of ``spinoco_sync``, and what must be so afterwards."""

from __future__ import annotations

import hashlib
import json
import shutil
from collections import Counter
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from include.sandbox.core import Sandbox
from interchange.ledger import Effect, Ledger, State
from interchange.sync.pages import DELETION, FILE, NAME, PAGE, PAGE_DONE
from tests.faults.cases import Outcome, Run, Scenario, World
from tests.faults.station import FOLDER

DAG_ID = "spinoco_sync"
MANIFESTS = ".interchange"
TASKS = 6
NOW = Run(name="now", start=datetime(2026, 11, 9, tzinfo=UTC), end=datetime(2026, 11, 9, 0, 5, tzinfo=UTC))
LATER = Run(name="later", start=NOW.end, end=datetime(2026, 11, 9, 0, 10, tzinfo=UTC))
SYNC: dict[str, Any] = {
    "name": "archive",
    "tag": "archive-1",
    "get": ["Recordings", "Transcriptions"],
    "delete": ["Recordings"],
    "parallel": 2,
    "page_size": 4,
}
STORAGES: dict[str, dict[str, Any]] = {
    "local": {"provider": "local", "save_to": f"{FOLDER}/storage"},
    "s3": {"provider": "s3", "bucket": "recordings", "prefix": "calls"},
    "gcs": {"provider": "gcs", "bucket": "recordings", "prefix": "calls"},
    "azure": {"provider": "azure", "container": "recordings", "prefix": "calls"},
}


def prepare(sandbox: Sandbox, _run: int) -> None:
    """Calls with recordings, of which one is transcribed."""
    for folder in ("storage", "interchange-spool"):
        shutil.rmtree(sandbox.folder / folder, ignore_errors=True)
    tasks = [{"recordings": [3000 + number], "transcribed": number == 2} for number in range(TASKS)]
    sandbox.vendor("spinoco").seed({"tasks": tasks})


def stored(sandbox: Sandbox, storage: str) -> dict[str, bytes]:
    """Everything there, unfinished files of a disk included."""
    if storage != "local":
        objects: dict[str, bytes] = sandbox.vendor(storage).objects("recordings")
        return {name: content for name, content in objects.items() if MANIFESTS not in name}
    root: Path = sandbox.folder / "storage"
    return {
        str(path.relative_to(root)): path.read_bytes()
        for path in root.rglob("*")
        if path.is_file() and path.suffix != ".jsonl"
    }


def scenario(storage: str) -> Scenario:
    def observe(sandbox: Sandbox) -> World:
        spinoco = sandbox.vendor("spinoco")
        held = stored(sandbox, storage)
        left = [path.name for path in (sandbox.folder / "interchange-spool").rglob("*") if path.is_file()]
        return World(
            things={
                "stored": {
                    name: hashlib.sha256(content).hexdigest() for name, content in sorted(held.items())
                },
                "deleted": sorted(spinoco.deleted),
                "left over": left,
                "lost": _lost(sandbox, held),
            },
            counts={"fetched": len(sandbox.requests.entries(operation="get_file"))},
        )

    settings = {"syncs": [{**SYNC, "storage": STORAGES[storage]}]}
    return Scenario(
        name=storage,
        dag_id=DAG_ID,
        settings={f"AIRFLOW_VAR_INTERCHANGE_{DAG_ID.upper()}": json.dumps(settings)},
        run=NOW,
        prepare=prepare,
        observe=observe,
        judge=judge,
        settle=settle,
        unfinished=unfinished,
    )


def _lost(sandbox: Sandbox, held: dict[str, bytes]) -> list[str]:
    """Originals that were deleted although no copy of theirs is there."""
    spinoco = sandbox.vendor("spinoco")
    hashes = {hashlib.sha256(content).hexdigest() for content in held.values()}
    return [path for path in spinoco.deleted if spinoco.file(path).sha256() not in hashes]


def judge(expected: World, outcome: Outcome) -> list[str]:
    """Nobody was asked, nothing set aside, and the ledger says the same as the storage."""
    found = [f"a person had to settle {effect.ref}" for effect in outcome.unknown]
    states = Counter((effect.ref.kind, effect.state) for effect in outcome.effects)
    for kind, number in ((FILE, TASKS + 1), (DELETION, TASKS), (NAME, TASKS + 1)):
        if states[kind, State.CONFIRMED] != number:
            found.append(f"the ledger has {states[kind, State.CONFIRMED]} confirmed {kind}s, not {number}")
    if states[PAGE, State.CONFIRMED] != states[PAGE_DONE, State.CONFIRMED]:
        found.append("a page is left open")
    paths = {(effect.receipt or {}).get("path") for effect in outcome.effects if effect.ref.kind == FILE}
    there = {name.removeprefix("calls/") for name in outcome.world.things["stored"]}
    if paths != there:
        found.append(f"receipts tell of {paths}, there is {there}")
    return found


def unfinished(ledger: Ledger) -> bool:
    """A file or deletion that the next run tries again."""
    return any(
        ledger.list(kind=kind, state=state, limit=1)
        for kind in (FILE, DELETION)
        for state in (State.PLANNED, State.BEGUN, State.UNKNOWN)
    )


def settle(sandbox: Sandbox, ledger: Ledger, effect: Effect) -> None:
    """Nothing to do: what is unclear is looked for."""


SCENARIOS = {storage: scenario(storage) for storage in STORAGES}
