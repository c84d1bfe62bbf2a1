"""The benchmarks still run; how fast anything is, no test says."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[3]
LINES = {
    "the large export": r"^1 MiB: [\d.]+ of curl's throughput \(median of 1\), \d+ MiB/s, peak memory \d+ MiB$",
    "activities, one after another": r"^one after another +2/2 activities in ",
    "activities": r"^ours +2/2 activities in .* 0 refused$",
    "a report": r"^report of 100 rows: [\d.]+ s, peak \d+ MiB$",
    "a report, beside the predecessor": r"^ +the predecessor's grouping: .*: \d+ times$",
    "small recordings": r"^ +ours with 2: [\d.]+ of the bare downloader, [\d.]+ times the sequential way$",
    "large recordings": r"^ +ours with 2: [\d.]+ of the bare downloader$",
}


@pytest.mark.timeout(300)
def test_every_benchmark_runs_and_says_what_it_found() -> None:
    done = subprocess.run(
        [sys.executable, "-m", "benchmarks", "--smoke"], cwd=ROOT, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr[-2000:]
    missing = [name for name, line in LINES.items() if not re.search(line, done.stdout, re.MULTILINE)]
    assert not missing, done.stdout
