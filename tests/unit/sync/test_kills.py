"""A process that is killed again and again at moments nobody chose."""

from __future__ import annotations

import json
import os
import random
import subprocess
import sys
import threading
from pathlib import Path

import pytest

from interchange.ledger import State
from tests.unit.sync.conftest import World

ROOT = Path(__file__).resolve().parents[3]
KILLS = 10


def start(world: World, ledger_file: Path, number: int) -> subprocess.Popen[str]:
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join([str(ROOT), str(ROOT / "plugins")])}
    arguments = [str(ledger_file), json.dumps(world.settings), str(number)]
    process = subprocess.Popen(
        [sys.executable, "-m", "tests.unit.sync.process", *arguments],
        cwd=ROOT, env=environment, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True,
    )  # fmt: skip
    assert process.stdout is not None
    while "ready" not in process.stdout.readline():
        assert process.poll() is None
    return process


@pytest.mark.timeout(300)
@pytest.mark.parametrize(
    "world",
    ["local", *(pytest.param(kind, marks=pytest.mark.campaign) for kind in ("s3", "gcs", "azure"))],
    indirect=True,
)
@pytest.mark.parametrize("seed", [1, *(pytest.param(seed, marks=pytest.mark.campaign) for seed in (2, 3))])
def test_after_ten_kills_everything_is_stored_once(world: World, ledger_file: Path, seed: int) -> None:
    """Defect C9: after a restart the whole page was fetched anew."""
    drawn = random.Random(seed)
    world.settings |= {"delete": ["Recordings"], "page_size": 20}
    world.add({"recordings": [300_000], "transcribed": True}, number=99)
    for number in range(KILLS):
        process = start(world, ledger_file, number)
        threading.Event().wait(drawn.uniform(0.1, 1.2))
        process.kill()
        process.communicate()
    process = start(world, ledger_file, KILLS)
    process.communicate(timeout=120)

    assert process.returncode == 0
    assert world.is_complete()
    assert world.left_over() == []
    assert len(world.files(State.CONFIRMED)) == 101
    assert len(world.deletions(State.CONFIRMED)) == len(world.spinoco.deleted) == 100
    # At each kill a few files were under way; the rest were fetched once.
    assert len(world.calls("get_file")) <= 101 + 2 * KILLS * world.settings["parallel"]
