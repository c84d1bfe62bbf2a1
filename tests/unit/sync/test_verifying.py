"""Months later: is what the receipts say still so?"""

from __future__ import annotations

import json

import pytest

from interchange.ledger import State
from interchange.ledger.verify import Verdict, verify
from interchange.sync.verifying import compare
from tests.unit.sync.conftest import KINDS, World
from tests.unit.sync.test_run import put, remove

EVERY = pytest.mark.parametrize("world", KINDS, indirect=True)


@EVERY
def test_missing_altered_and_unknown_files_are_found(world: World) -> None:
    world.add(number=4)
    world.run()
    assert list(compare(world.sync, world.ledger)) == []
    first, second, *_ = sorted(world.holds())
    content = world.holds()[second]
    if world.kind == "local":
        (world.folder / "data" / first).unlink()
        (world.folder / "data" / second).unlink()
        (world.folder / "data" / second).write_bytes(content[:-1] + b"x")
        (world.folder / "data" / "stray.txt").write_bytes(b"who am I")
    else:
        remove(world, first)
        remove(world, second)
        put(world, second, content[:-1] + b"x")
        put(world, "stray.txt", b"who am I")

    found = {finding.path: finding.what for finding in compare(world.sync, world.ledger)}

    assert found == {first: "missing", second: "altered", "stray.txt": "unknown"}


def test_receipts_are_verified_one_by_one(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AIRFLOW_VAR_INTERCHANGE_SPINOCO_SYNC", json.dumps({"syncs": [world.settings]}))
    world.add(number=3)
    world.run()
    (world.folder / "data" / min(world.holds())).unlink()
    results = [result.outcome for _, result in verify(world.files(State.CONFIRMED))]
    assert sorted(results) == [Verdict.MISSING, Verdict.OK, Verdict.OK]

    moved = {**world.settings, "storage": {"provider": "local", "save_to": str(world.folder / "elsewhere")}}
    monkeypatch.setenv("AIRFLOW_VAR_INTERCHANGE_SPINOCO_SYNC", json.dumps({"syncs": [moved]}))
    assert {result.outcome for _, result in verify(world.files(State.CONFIRMED))} == {Verdict.CANNOT}
