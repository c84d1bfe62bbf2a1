"""
``make demo``: the sandbox and a real Airflow on this machine, every workflow run, what came of it outside.

Everything is kept in ``DEMO_HOME`` (``.demo``), so a second start goes on from the first. Environment: ``ONCE=1``
ends by itself, with exit code 0 only if every run succeeded and the sandbox holds exactly what it should; ``PORT``
(8080) for Airflow, ``SANDBOX_PORT`` (8600 and those after it) for the vendors.
"""

from __future__ import annotations

import contextlib
import os
import signal
import sys
import threading
import time
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import httpx

from tools.airflow_client import AirflowClient, AirflowError
from tools.airflow_home import environment
from tools.demo_report import CALLS, DAMAGED, Expected, problems, report
from tools.demo_talk import TalkError, move_a_meeting
from tools.processes import Guarded, ProcessError
from tools.stack import AirflowStack, StackError

ROOT = Path(__file__).resolve().parent.parent
EXPORTS = "qualtrics_to_onedrive"
ACTIVITIES = "knack_to_esb"
MAILS = "ticket_closure"
RECORDINGS = "spinoco_sync"
ROUNDS = "webex_roulette"
CARE = "webex_upkeep"
DAGS = (
    EXPORTS,
    ACTIVITIES,
    MAILS,
    RECORDINGS,
    ROUNDS,
    "webex_bot",
    CARE,
    "modo_directory",
    "interchange_doctor",
)
SANDBOX_START_S = 60.0
# The demo waits for vendors that answer at once.
QUICK = {"INTERCHANGE_RETRY_BASE_S": "2", "INTERCHANGE_LEASE_S": "15"}


class Stopped(Exception):
    """Somebody wants the demo to end."""


def main() -> int:
    home = Path(os.environ.get("DEMO_HOME") or ROOT / ".demo").resolve()
    once = os.environ.get("ONCE", "") not in ("", "0")
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, _stop)
    started = time.monotonic()
    try:
        with sandbox(home / "sandbox", _port("SANDBOX_PORT", 8600)) as vendors:
            say(f"The vendors are up. Look at them: {vendors.url}")
            say("Starting Airflow (half a minute) …")
            stack = AirflowStack(
                home / "airflow", dags_folder=ROOT / "dags", api_port=_port("PORT", 8080), settings=QUICK
            )
            with stack:
                say(
                    f"Airflow is up after {time.monotonic() - started:.0f} s. Log in as admin / admin: {stack.url}"
                )
                wrong = run_everything(stack, vendors)
                for line in wrong:
                    say(f"WRONG: {line}")
                if not wrong:
                    took_s = time.monotonic() - started
                    say(
                        f"All runs succeeded, and the vendors hold exactly what they should ({took_s:.0f} s)."
                    )
                if once:
                    return 1 if wrong else 0
                say("Staying up until Ctrl-C.")
                _stay(stack, vendors)
    except Stopped:
        say("Stopped.")
        return 0
    except (StackError, ProcessError, AirflowError, httpx.HTTPError) as exc:
        print(f"The demo cannot go on: {exc}", file=sys.stderr)
        return 1
    return 0


class Vendors:
    """The running sandbox."""

    def __init__(self, process: Guarded, url: str, connections: Path) -> None:
        self.process = process
        self.url = url
        self.connections = connections

    def seed_calls(self) -> None:
        """Let calls come up at Spinoco, unless an earlier demo has."""
        if not self.get("/state/spinoco")["tasks"]:
            for seed in (CALLS, {"damage": {DAMAGED: "cut"}}):
                httpx.post(f"{self.url}/vendors/spinoco/seed", json=seed, timeout=30).raise_for_status()

    def let_people(self, do: dict[str, Any]) -> None:
        """Let people write to the bot, or press a card's buttons, in the simulated Webex."""
        httpx.post(f"{self.url}/vendors/webex/seed", json=do, timeout=30).raise_for_status()

    def get(self, path: str) -> Any:
        return httpx.get(f"{self.url}{path}", timeout=30).raise_for_status().json()


@contextlib.contextmanager
def sandbox(folder: Path, port: int) -> Iterator[Vendors]:
    """
    The vendors, started on ``port`` and those after it.

    :raises ProcessError: they do not start; says why.
    """
    folder.mkdir(parents=True, exist_ok=True)
    connections = folder / "connections.json"
    connections.unlink(missing_ok=True)
    command: list[str | Path] = [sys.executable, "-m", "include.sandbox", "--folder", folder]
    command += ["--port", str(port), "--write-connections", connections]
    process = Guarded("the sandbox", command, env=environment({}), log=folder / "sandbox.log", cwd=ROOT)
    vendors = Vendors(process, f"http://localhost:{port}", connections)
    try:
        give_up_at = time.monotonic() + SANDBOX_START_S
        while True:
            if process.poll() is not None or time.monotonic() > give_up_at:
                hint = f"Ports from {port} on must be free; choose others with SANDBOX_PORT=…"
                raise ProcessError(f"the sandbox did not start. {hint}\n{process.tail()}")
            with contextlib.suppress(httpx.HTTPError):
                vendors.get("/health")
                break
            time.sleep(0.1)
        yield vendors
    finally:
        process.stop()


def run_everything(stack: AirflowStack, vendors: Vendors) -> list[str]:
    """Run each workflow the ways people start it; return what is not as it should be."""
    airflow = stack.client
    airflow.import_connections(vendors.connections)
    airflow.wait_for_dags(DAGS)
    if errors := airflow.import_errors():
        return [f"{file} cannot be read: {trace.splitlines()[-1]}" for file, trace in errors.items()]
    today = datetime.now(UTC).replace(hour=0, minute=0, second=0, microsecond=0)
    yesterday = today - timedelta(days=1)
    for dag_id in DAGS:
        airflow.unpause(dag_id)
    runs: dict[str, list[str]] = {dag_id: [] for dag_id in DAGS}

    say(f"{EXPORTS}: as a backfill over the first three hours of yesterday")
    hours = [yesterday + timedelta(hours=n) for n in range(3)]
    backfill = airflow.create_backfill(
        EXPORTS, hours[0], hours[-1], reprocess_behavior="completed", max_active_runs=3
    )
    say(f"{EXPORTS}: by hand, as from the trigger form, with a window of its own")
    by_hand = {"exports": ["symptom-tracker"], "window_start": _text(yesterday), "window_end": _text(today)}
    runs[EXPORTS].append(airflow.trigger(EXPORTS, by_hand))
    say(f"{ACTIVITIES}: what the two applications have ready")
    runs[ACTIVITIES].append(airflow.trigger(ACTIVITIES))
    say(f"{MAILS}: the closed tickets of the example report")
    runs[MAILS].append(airflow.trigger(MAILS))
    say(f"{RECORDINGS}: calls and a chat, some with transcriptions, one recording damaged")
    vendors.seed_calls()
    runs[RECORDINGS].append(airflow.trigger(RECORDINGS))
    say(f"{ROUNDS}: twelve colleagues of three departments, next week's round")
    next_week = {"round_start": (today + timedelta(days=7)).date().isoformat()}
    runs[ROUNDS].append(airflow.trigger(ROUNDS, next_week))
    say(f"{CARE}: has Webex tell Airflow of what people write to the bot")
    runs[CARE].append(airflow.trigger(CARE))
    say("modo_directory: the example directory")
    example = ROOT / "include" / "config" / "directory.example.xml"
    runs["modo_directory"].append(
        airflow.trigger("modo_directory", {"file": str(example), "name": "demo", "dry_run": False})
    )
    say("interchange_doctor: settings, connections, ledger")
    runs["interchange_doctor"].append(airflow.trigger("interchange_doctor"))

    airflow.wait_backfill(backfill, timeout_s=300)
    # Unpausing makes the schedule start the run of the last whole hour, unless an earlier demo has done it.
    _until(lambda: bool(_of_type(airflow, "scheduled")), "the schedule starts no run")
    runs[EXPORTS].append(_of_type(airflow, "scheduled")[-1]["dag_run_id"])
    runs[EXPORTS] += [
        run["dag_run_id"]
        for run in _of_type(airflow, "backfill")
        if datetime.fromisoformat(run["data_interval_start"]) in hours
    ]
    wrong, windows = [], {(_text(yesterday), _text(today))}
    for dag_id, run_ids in runs.items():
        for run_id in run_ids:
            run = airflow.wait_run(dag_id, run_id, timeout_s=300)
            say(f"{dag_id}: {run_id}: {run['state']}")
            if run["state"] != "success":
                wrong.append(f"{dag_id} {run_id} ended {run['state']}")
            if run["data_interval_start"] and dag_id == EXPORTS:
                bounds = (run["data_interval_start"], run["data_interval_end"])
                windows.add(
                    (_text(datetime.fromisoformat(bounds[0])), _text(datetime.fromisoformat(bounds[1])))
                )
    if not wrong:
        say("webex_bot: two colleagues move their meeting")
        try:
            for line in move_a_meeting(vendors.let_people, lambda: vendors.get("/state/webex")):
                say(f"    {line}")
        except TalkError as exc:
            wrong.append(str(exc))
    expected = Expected(windows=sorted(windows))
    for line in report(vendors.get, expected):
        say(line)
    return wrong + problems(vendors.get, expected)


def _of_type(airflow: AirflowClient, run_type: str) -> list[dict[str, Any]]:
    return [run for run in airflow.runs(EXPORTS) if run["run_type"] == run_type]


def _stay(stack: AirflowStack, vendors: Vendors) -> None:
    while True:
        stack.check()
        if vendors.process.poll() is not None:
            raise ProcessError(f"the sandbox has stopped\n{vendors.process.tail()}")
        threading.Event().wait(1.0)


def _until(condition: Any, otherwise: str, timeout_s: float = 60.0) -> None:
    give_up_at = time.monotonic() + timeout_s
    while not condition():
        if time.monotonic() > give_up_at:
            raise AirflowError(otherwise)
        time.sleep(0.5)


def _stop(*_: object) -> None:
    # A second signal while everything is being stopped must not interrupt that.
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, signal.SIG_IGN)
    raise Stopped


def _port(name: str, default: int) -> int:
    value = os.environ.get(name) or str(default)
    if not value.isdigit():
        raise StackError(f"{name}={value!r} is not a port")
    return int(value)


def _text(moment: datetime) -> str:
    return moment.strftime("%Y-%m-%dT%H:%M:%SZ")


def say(line: str) -> None:
    print(f"{time.strftime('%H:%M:%S')}  {line}", flush=True)


if __name__ == "__main__":
    sys.exit(main())
