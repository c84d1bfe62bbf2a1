"""
Recordings to a disk: our run beside the predecessor's way and beside a bare parallel downloader, from one server.

    python -m benchmarks.recordings [--files 2000] [--kb 200] [--latency-ms 30] [--parallel 8 16 32]
        [--page-size 100]

The server, a process of its own, speaks TLS and answers each call late by the latency. The predecessor's way is one
thread, one file after another, a connection for each request, pages of ten tasks. The bare downloader has the list of
files, keeps its connections and writes what comes; it checks, syncs and notes nothing. Ours does all that is promised:
every byte looked at, hashed and synced to the disk, every file and name in the ledger. Each measurement is a process of
its own, and its peak memory the kernel's figure.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from threading import local
from typing import Any

from benchmarks.memory import peak_mib

ROOT = Path(__file__).resolve().parent.parent


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--files", type=int, default=2000)
    parser.add_argument("--kb", type=int, default=200)
    parser.add_argument("--latency-ms", type=int, default=30)
    parser.add_argument("--parallel", type=int, nargs="*", default=[8, 16, 32])
    parser.add_argument(
        "--page-size", type=int, default=100, help="setting page_size, and the most Spinoco gives"
    )
    parser.add_argument("--serve", help=argparse.SUPPRESS)
    parser.add_argument("--way", help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.serve:
        serve(json.loads(arguments.serve))
    elif arguments.way:
        take(json.loads(arguments.way))
    else:
        compare(
            arguments.files,
            arguments.kb,
            arguments.latency_ms,
            arguments.parallel,
            page_size=arguments.page_size,
        )


def compare(
    files: int,
    kb: int,
    latency_ms: int,
    parallel: list[int],
    *,
    sequential: bool = True,
    page_size: int = 100,
) -> None:
    """Print, for each way and number at once: files and bytes a second, ratios, peak memory."""
    with tempfile.TemporaryDirectory(prefix="bench-") as folder:
        facts = {
            "folder": folder,
            "files": files,
            "size": kb * 1000,
            "latency_s": latency_ms / 1000,
            "page_size": page_size,
        }
        server = subprocess.Popen(
            [sys.executable, "-m", "benchmarks.recordings", "--serve", json.dumps(facts)],
            cwd=ROOT, stdout=subprocess.PIPE, text=True, env=_environment(),
        )  # fmt: skip
        try:
            if server.stdout is None:
                raise RuntimeError("the server has no output")
            told = json.loads(server.stdout.readline())
            print(f"{files} files of {kb} kB, {latency_ms} ms latency", flush=True)
            slow = _measure("sequential", 1, facts | told) if sequential else None
            for number in parallel:
                bare = _measure("bare", number, facts | told)
                ours = _measure("ours", number, facts | told)
                beside = f", {slow[0] / ours[0]:.1f} times the sequential way" if slow else ""
                print(
                    f"    ours with {number}: {bare[0] / ours[0]:.2f} of the bare downloader{beside}",
                    flush=True,
                )
        finally:
            server.terminate()
            server.wait()


def _measure(way: str, parallel: int, facts: dict[str, Any]) -> tuple[float, float]:
    job = facts | {"way": way, "parallel": parallel}
    command = [sys.executable, "-m", "benchmarks.recordings", "--way", json.dumps(job)]
    done = subprocess.run(command, cwd=ROOT, check=True, capture_output=True, text=True, env=_environment())
    seconds, mib = map(float, done.stdout.split()[-2:])
    rate = facts["files"] / seconds
    mib_per_s = rate * facts["size"] / (1 << 20)
    print(
        f"  {way:10} {parallel:3} at once: {seconds:6.1f} s = {rate:6.1f} files/s = {mib_per_s:5.0f} MiB/s, "
        f"peak {mib:.0f} MiB",
        flush=True,
    )
    return seconds, mib


def _environment() -> dict[str, str]:
    return os.environ | {"PYTHONPATH": os.pathsep.join([str(ROOT), str(ROOT / "plugins")])}


# The server


def serve(facts: dict[str, Any]) -> None:
    """Until it is told to stop; first it says where it is."""
    from include.sandbox.connections import as_environment, connections
    from include.sandbox.core import Sandbox
    from include.sandbox.vendors.spinoco import Spinoco
    from include.sandbox.wire import Request, Response, Route

    class Late(Spinoco):
        """Answers late, and from memory: making recordings would take longer than sending them."""

        def __init__(self, sandbox: Sandbox) -> None:
            super().__init__(sandbox)
            self.routes = [
                Route(
                    method=known.method,
                    pattern=known.pattern,
                    operation=known.operation,
                    handler=self.late(known.handler),
                )
                for known in self.routes
            ]

        @staticmethod
        def late(handler: Any) -> Any:
            def answer(vendor: Any, request: Request) -> Response:
                time.sleep(facts["latency_s"])
                response: Response = handler(vendor, request)
                return response

            return answer

    def from_memory(vendor: Any, request: Request) -> Response:
        time.sleep(facts["latency_s"])
        return Response(body=content, headers=[("Content-Type", "audio/ogg")])

    with Sandbox([Late], folder=Path(facts["folder"]) / "server") as sandbox:
        vendor = sandbox.vendor("spinoco")
        tasks = [{"recordings": [facts["size"]]} for _ in range(facts["files"])]
        vendor.set_options({"most_tasks": facts["page_size"]})
        vendor.seed({"tasks": tasks})
        content = b"".join(next(iter(vendor.tasks.values())).files[0])
        for place, known in enumerate(vendor.routes):
            if known.operation == "get_file":
                vendor.routes[place] = Route(
                    method=known.method, pattern=known.pattern, operation="get_file", handler=from_memory
                )
        # Nobody reads them here, and they would grow.
        sandbox.requests.add = lambda **entry: {"number": 0, **entry}  # type: ignore[method-assign]
        sandbox.save = lambda: None  # type: ignore[method-assign]
        environment = as_environment(connections(sandbox))
        told = {"url": sandbox.url("spinoco"), "trust": str(sandbox.ca_bundle), "environment": environment}
        print(json.dumps(told), flush=True)
        time.sleep(24 * 3600)


# The ways


def take(job: dict[str, Any]) -> None:
    """One measurement: seconds and MiB at the peak."""
    target = Path(tempfile.mkdtemp(prefix="taken-", dir=job["folder"]))
    ways = {"sequential": sequential_way, "bare": bare_way, "ours": our_way}
    seconds = ways[job["way"]](job, target)
    peak = peak_mib()
    stored = [path for path in target.rglob("*.ogg") if path.stat().st_size == job["size"]]
    if len(stored) != job["files"]:
        raise RuntimeError(f"{len(stored)} files instead of {job['files']}")
    print(f"{seconds:.3f} {peak:.1f}")


def _query(tag: str) -> dict[str, Any]:
    return {
        "tag": tag, "get": "Recordings", "delete": "", "fileNameTemplate": "{{task_id}}",
        "skillsShould": [], "skillsMust": [], "skillsMustNot": [],
        "hashTagsShould": [], "hashTagsMust": [], "hashTagsMustNot": [],
    }  # fmt: skip


def _token() -> str:
    from include.sandbox.connections import SPINOCO_TOKEN

    return SPINOCO_TOKEN


def sequential_way(job: dict[str, Any], target: Path) -> float:
    import requests

    headers = {"Authorization": f"Bearer {_token()}", "Connection": "close"}
    facts: dict[str, Any] = {"headers": headers, "verify": job["trust"]}
    began = time.monotonic()
    body: dict[str, Any] = {"query": _query(target.name), "count": 10}
    while True:
        page = requests.post(f"{job['url']}/task/sync/", json=body, timeout=60, **facts).json()
        for task in page["result"]:
            for file in task["get"]:
                with requests.get(f"{job['url']}{file['path']}", stream=True, timeout=60, **facts) as answer:
                    _write(answer, target / file["fileName"])
        if not page.get("next"):
            return time.monotonic() - began
        body = {"page": page["next"], "count": 10}


def bare_way(job: dict[str, Any], target: Path) -> float:
    import requests

    own = local()

    def session() -> Any:
        if not hasattr(own, "session"):
            own.session = requests.Session()
            own.session.headers["Authorization"] = f"Bearer {_token()}"
        return own.session

    def fetch(file: dict[str, str]) -> None:
        with session().get(
            f"{job['url']}{file['path']}", stream=True, timeout=60, verify=job["trust"]
        ) as answer:
            _write(answer, target / file["fileName"])

    listed: list[dict[str, str]] = []
    body: dict[str, Any] = {"query": _query(target.name), "count": job["page_size"]}
    while True:
        page = session().post(f"{job['url']}/task/sync/", json=body, timeout=60, verify=job["trust"]).json()
        listed += [file for task in page["result"] for file in task["get"]]
        if not page.get("next"):
            break
        body = {"page": page["next"], "count": job["page_size"]}
    began = time.monotonic()
    with ThreadPoolExecutor(job["parallel"]) as pool:
        list(pool.map(fetch, listed))
    return time.monotonic() - began


def _write(answer: Any, path: Path) -> None:
    answer.raise_for_status()
    with path.open("wb") as file:
        for chunk in answer.iter_content(1 << 20):
            file.write(chunk)


def our_way(job: dict[str, Any], target: Path) -> float:
    from cryptography.fernet import Fernet

    key = Fernet.generate_key().decode()
    home = Path(job["folder"]) / f"airflow-{target.name}"
    os.environ |= {"AIRFLOW_HOME": str(home), "AIRFLOW__CORE__FERNET_KEY": key, **job["environment"]}
    import logging

    logging.disable(logging.INFO)
    from interchange.ledger import RunRef
    from interchange.ledger.connection import open_ledger
    from interchange.settings import load_settings
    from interchange.sync.run import SyncRun

    settings = {
        "name": "bench", "tag": target.name, "get": ["Recordings"], "parallel": job["parallel"],
        "page_size": job["page_size"], "file_name_template": "{{task_id}}",
        "storage": {"provider": "local", "save_to": str(target)},
    }  # fmt: skip
    text = json.dumps({"syncs": [settings]})
    sync = load_settings("spinoco_sync", variable=lambda _: text).syncs[0]
    ledger = open_ledger(owner="bench")
    began = time.monotonic()
    work = SyncRun(sync, ledger=ledger, run=RunRef(), lease_s=60)
    work.synchronise()
    took_s = time.monotonic() - began
    work.close()
    return took_s


if __name__ == "__main__":
    main()
