"""
How fast, and in how much memory, a large export moves: our task's code beside ``curl | curl`` between the same servers.

    python -m benchmarks.transfer [--mib 1024] [--runs 3]

Both move the same bytes over TLS from the Qualtrics simulator to the OneDrive simulators, which hash and discard
them. Each of ours is a fresh process with Airflow loaded, as a task has it; its peak resident memory is the kernel's
own figure.
Prints a line a run and, at the end, the medians and the ratio.
"""

from __future__ import annotations

import argparse
import json
import os
import shlex
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import requests

from benchmarks.memory import peak_mib
from include.sandbox.vendors import VENDORS
from tools.processes import port_is_free

ROOT = Path(__file__).resolve().parent.parent
SURVEY = "SV_0large"
USER = "reports@contoso.example"


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--mib", type=int, default=1024)
    parser.add_argument("--runs", type=int, default=3)
    parser.add_argument("--fragment-mib", type=int, default=10)
    parser.add_argument("--child", help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.child:
        move(json.loads(arguments.child))
        return
    with tempfile.TemporaryDirectory(prefix="bench-") as folder:
        compare(Path(folder), arguments.mib, arguments.runs, arguments.fragment_mib)


def compare(folder: Path, mib: int, runs: int, fragment_mib: int) -> None:
    connections_file = folder / "connections.json"
    port = free_range()
    sandbox = subprocess.Popen(
        [sys.executable, "-m", "include.sandbox", "--port", str(port), "--folder", str(folder / "sandbox"),
         "--write-connections", str(connections_file)],
        cwd=ROOT, stdout=subprocess.DEVNULL,
    )  # fmt: skip
    try:
        control = f"http://127.0.0.1:{port}"
        wait_for(control)
        requests.post(
            f"{control}/vendors/qualtrics/seed",
            json={"large": {"survey_id": SURVEY, "bytes": mib << 20}},
            timeout=10,
        ).raise_for_status()
        requests.patch(
            f"{control}/vendors/qualtrics/options", json={"polls_until_complete": 0}, timeout=10
        ).raise_for_status()
        requests.patch(
            f"{control}/vendors/graph/options",
            json={"store_content": False, "simple_limit_bytes": 8 << 30},
            timeout=10,
        ).raise_for_status()
        job = prepare(folder, json.loads(connections_file.read_text()))
        ours: list[dict[str, float]] = []
        curls: list[float] = []
        for number in range(1, runs + 1):
            curls.append(with_curl(job))
            ours.append(with_us({**job, "name": f"ours-{number}.csv", "fragment_mib": fragment_mib}))
            print(
                f"run {number}: curl {curls[-1]:.2f} s; ours {ours[-1]['seconds']:.2f} s, "
                f"peak memory {ours[-1]['peak_mib']:.0f} MiB ({ours[-1]['before_mib']:.0f} MiB before the transfer)",
                flush=True,
            )
        ratio = statistics.median(c / o["seconds"] for c, o in zip(curls, ours, strict=True))
        rate = mib / statistics.median(o["seconds"] for o in ours)
        print(
            f"{mib} MiB: {ratio:.2f} of curl's throughput (median of {runs}), {rate:.0f} MiB/s, "
            f"peak memory {max(o['peak_mib'] for o in ours):.0f} MiB"
        )
    finally:
        sandbox.terminate()
        sandbox.wait()


def free_range() -> int:
    """The first of as many free ports as the sandbox takes."""
    taken = len(VENDORS) + 1
    ranges = (range(first, first + taken) for first in range(18600, 30000, taken))
    return next(ports[0] for ports in ranges if all(map(port_is_free, ports)))


def wait_for(control: str) -> None:
    for _ in range(200):
        try:
            if requests.get(f"{control}/health", timeout=1).ok:
                return
        except requests.ConnectionError:
            time.sleep(0.1)
    raise SystemExit("the sandbox did not start")


def prepare(folder: Path, connections: dict[str, Any]) -> dict[str, Any]:
    """Start an export job, and take what both ways need."""
    os.environ.update(
        {f"AIRFLOW_CONN_{name.upper()}": json.dumps(value) for name, value in connections.items()}
    )
    os.environ["AIRFLOW_HOME"] = str(folder / "airflow")
    from interchange.hooks.onedrive import OneDriveHook
    from interchange.hooks.qualtrics import QualtricsHook

    qualtrics, onedrive = QualtricsHook("qualtrics_default"), OneDriveHook("onedrive_default")
    progress_id = qualtrics.start_export(SURVEY, {"format": "csv", "compress": False})
    file_id = qualtrics.export_progress(SURVEY, progress_id).file_id
    onedrive.ensure_folder(USER, "Bench")
    return {
        "file_id": file_id,
        "source": f"{qualtrics.base}/API/v3/surveys/{SURVEY}/export-responses/{file_id}/file",
        "source_token": qualtrics.authorization(renew=False)["Authorization"],
        "target": f"{onedrive.base}/v1.0/users/{USER}/drive/root:/Bench/curl.csv:/content",
        "target_token": onedrive.authorization(renew=False)["Authorization"],
        "ca": str(qualtrics.verify),
    }


def with_curl(job: dict[str, Any]) -> float:
    """The same bytes from the one server to the other through a pipe between two curls."""
    get = [
        "curl",
        "-sSf",
        "--cacert",
        job["ca"],
        "-H",
        f"Authorization: {job['source_token']}",
        job["source"],
    ]
    put = [
        "curl",
        "-sSf",
        "--cacert",
        job["ca"],
        "-H",
        f"Authorization: {job['target_token']}",
        "-H",
        "Expect:",
        "-T",
        "-",
        job["target"],
    ]
    started = time.monotonic()
    subprocess.run(
        ["bash", "-c", f"set -o pipefail; {shlex.join(get)} | {shlex.join(put)} >/dev/null"], check=True
    )
    return time.monotonic() - started


def with_us(job: dict[str, Any]) -> dict[str, float]:
    done = subprocess.run(
        [sys.executable, "-m", "benchmarks.transfer", "--child", json.dumps(job)],
        cwd=ROOT, check=True, stdout=subprocess.PIPE, text=True,
    )  # fmt: skip
    result: dict[str, float] = json.loads(done.stdout.splitlines()[-1])
    return result


def move(job: dict[str, Any]) -> None:
    """In a process of its own: what the task does between having the job's file and having the receipt."""
    import airflow.sdk  # noqa: F401  # a task has it loaded

    from interchange.delivery.ledger_progress import LedgerProgress
    from interchange.delivery.onedrive import OneDriveDelivery, Target
    from interchange.delivery.source import Source
    from interchange.hooks.onedrive import OneDriveHook
    from interchange.hooks.qualtrics import QualtricsHook
    from interchange.ledger import EffectRef
    from interchange.ledger.connection import open_ledger

    ledger = open_ledger(owner="benchmark")
    qualtrics, onedrive = QualtricsHook("qualtrics_default"), OneDriveHook("onedrive_default")
    source = Source(
        lambda: qualtrics.export_file(SURVEY, job["file_id"]),
        identity=job["file_id"],
        export_format="csv",
        packed=False,
    )
    ref = EffectRef("benchmark", "delivery", job["name"])
    delivery = OneDriveDelivery(
        onedrive,
        Target(user=USER, folder="Bench", name=job["name"], media_type="text/csv"),
        LedgerProgress(ledger, ref),
        fragment_size=job["fragment_mib"] * (1 << 20) // 327_680 * 327_680,
    )
    before = peak_mib()
    started = time.monotonic()
    ledger.perform(ref, send=lambda: {"size": delivery.deliver(source).facts.size}, find=None, lease_s=60)
    seconds = time.monotonic() - started
    peak = peak_mib()
    print(json.dumps({"seconds": seconds, "peak_mib": peak, "before_mib": before}))


if __name__ == "__main__":
    main()
