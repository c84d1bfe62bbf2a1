"""Where cases are played: a sandbox, and processes that run DAGs against it."""

from __future__ import annotations

import json
import os
import shutil
import signal
import sqlite3
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing, suppress
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from include.sandbox.connections import as_environment, connections
from include.sandbox.core import Sandbox
from include.sandbox.vendors import all_vendors
from interchange.ledger import Effect, Ledger, State
from tests.faults.cases import Case, Outcome, Run, Scenario, Stop, calls_of
from tests.faults.kinds import READ_TIMEOUT_S
from tests.faults.steps import PAUSE

ROOT = Path(__file__).resolve().parents[2]
LEASE_S = 2.0
# An outage may meet each of these rounds before it ends.
OPERATOR_ROUNDS = 8
STANDSTILL_S = 90.0
FROZEN_S = 20.0
"""
Then a frozen process thaws, ended or not what runs beside it: one of its threads may hold SQLite's lock, and everybody
waits for that.
"""
FOLDER = "@FOLDER@"
"""In a scenario's settings: the sandbox's own folder, another one for each station."""
# Whatever of these is in our environment belongs to another deployment.
FOREIGN = ("AIRFLOW", "_AIRFLOW", "INTERCHANGE")


class Runner:
    """A process of :mod:`tests.faults.runner`."""

    def __init__(self, home: Path, environment: dict[str, str]) -> None:
        self._log = (home / "runner.log").open("a")
        self._process = subprocess.Popen(
            [sys.executable, "-m", "tests.faults.runner"],
            cwd=ROOT,
            env=environment,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=self._log,
            text=True,
            start_new_session=True,
        )

    def wait_until_ready(self) -> None:
        self._read("ready")

    def send(self, job: dict[str, Any]) -> None:
        if self._process.stdin is None:
            raise ValueError("the runner has no input")
        self._process.stdin.write(json.dumps(job) + "\n")
        self._process.stdin.flush()

    def result(self, meanwhile: Callable[[dict[str, Any]], None]) -> dict[str, Any]:
        """
        What became of the job that was sent.

        :param meanwhile: told of each ``waiting``, ``paused`` and ``frozen``; when it returns, the job goes on.
        """
        while True:
            message = self._read("ended", "died", "waiting", "paused", "frozen")
            if message["event"] == "died" and message["signal"] != signal.SIGKILL:
                raise RuntimeError(f"a job broke off by itself ({message}); the log is {self._log.name}")
            if message["event"] in ("ended", "died"):
                return message
            meanwhile(message)
            if message["event"] == "frozen":
                os.kill(message["pid"], signal.SIGCONT)
            else:
                self.send({})

    def _read(self, *events: str) -> dict[str, Any]:
        if self._process.stdout is None:
            raise ValueError("the runner has no output")
        line = self._process.stdout.readline()
        message: dict[str, Any] = json.loads(line) if line else {"event": "nothing"}
        if message["event"] not in events:
            raise RuntimeError(f"the runner says {message}; its log is {self._log.name}")
        return message

    def close(self) -> None:
        """End the process, and with it a job that still runs or stands frozen."""
        if self._process.stdin is not None:
            self._process.stdin.close()
        with suppress(subprocess.TimeoutExpired):
            self._process.wait(5)
        with suppress(ProcessLookupError):
            os.killpg(self._process.pid, signal.SIGKILL)
        self._process.wait()
        if self._process.stdout is not None:
            self._process.stdout.close()
        self._log.close()


class Station:
    """
    A sandbox, and processes that run DAGs against it.

    :param airflow_db: a migrated metadata database to start from.
    :param runners: how many processes may run at once, each with an Airflow of its own and all with one ledger.
    """

    def __init__(self, folder: Path, airflow_db: Path, ledger_db: Path, *, runners: int = 1) -> None:
        self._folder = folder
        self._ledger_db = ledger_db
        self._cases = 0
        self.sandbox = Sandbox(all_vendors())
        self.sandbox.start()
        self.runners = [self._start_runner(number, airflow_db) for number in range(runners)]

    def _start_runner(self, number: int, airflow_db: Path) -> Runner:
        home = self._folder / f"airflow-{number}"
        home.mkdir(parents=True)
        shutil.copyfile(airflow_db, home / "airflow.db")
        made = connections(self.sandbox)
        for fields in made.values():
            if fields["conn_type"] == "knack":
                # The vendor's ten a second would be slept through; the scenario sets the sandbox's own limit likewise.
                fields["extra"]["requests_per_second"] = "1000"
            if fields["conn_type"] == "google_cloud_platform":
                # Google's library repeats by itself, for a minute; what comes of that is the vendor's affair.
                fields["extra"]["num_retries"] = 0
            if fields["conn_type"] == "aws":
                # As above, and it would wait a minute for an answer.
                fields["extra"]["config_kwargs"] |= {
                    "retries": {"total_max_attempts": 1},
                    "read_timeout": READ_TIMEOUT_S,
                }
        return Runner(home, airflow_environment(home) | as_environment(made))

    def wait_until_ready(self) -> None:
        for runner in self.runners:
            runner.wait_until_ready()

    def close(self) -> None:
        for runner in self.runners:
            runner.close()
        self.sandbox.stop()

    # A case from beginning to end

    def begin(self, scenario: Scenario) -> Path:
        """Everything anew, with what the scenario needs and what has happened before; the ledger's file."""
        for old in self._folder.glob("ledger-*.db*"):
            old.unlink()
        self._cases += 1
        ledger = self._folder / f"ledger-{self._cases}.db"
        shutil.copyfile(self._ledger_db, ledger)
        self.sandbox.reset()
        for number, run in enumerate(scenario.earlier):
            scenario.prepare(self.sandbox, number)
            self.send(scenario, ledger, run, f"earlier-{self._cases}-{number}")
            state = self.result(ledger)["state"]
            if state != "success":
                raise RuntimeError(f"{scenario.name}: an earlier run ended {state}")
        scenario.prepare(self.sandbox, len(scenario.earlier))
        self.sandbox.requests.clear()
        self.sandbox.effects.clear()
        self.sandbox.clear_faults()
        return ledger

    def send(
        self,
        scenario: Scenario,
        ledger: Path,
        run: Run,
        run_id: str,
        *,
        action: str = "start",
        stop: Stop | None = None,
        runner: int = 0,
        settings: dict[str, str] | None = None,
    ) -> None:
        connection = json.dumps({"conn_type": "sqlite", "extra": {"path": str(ledger)}})
        folder = str(self.sandbox.folder)
        chosen = {
            name: text.replace(FOLDER, folder) for name, text in (settings or scenario.settings).items()
        }
        self.runners[runner].send(
            {
                "dag_id": scenario.dag_id,
                "run_id": run_id,
                "action": action,
                # No two runs of a DAG have one logical date; the interval is what they work on.
                "logical_date": datetime.now(UTC).isoformat(),
                "interval": [run.start.isoformat(), run.end.isoformat()],
                "conf": run.conf,
                "environment": {**chosen, "TMPDIR": folder, "AIRFLOW_CONN_INTERCHANGE_DB": connection},
                "ledger": str(ledger),
                "stop": vars(stop) if stop else None,
            }
        )

    def result(
        self, ledger: Path, *, runner: int = 0, meanwhile: Callable[[dict[str, Any]], None] = lambda _: None
    ) -> dict[str, Any]:
        """What became of the run that was sent; time that it would wait for passes at once."""

        def happened(message: dict[str, Any]) -> None:
            meanwhile(message)
            if message["event"] == "waiting" and not message["real"]:
                self._pass_time(ledger, message["seconds"])

        return self.runners[runner].result(happened)

    def _pass_time(self, ledger: Path, seconds: float) -> None:
        """So much time has passed: for the vendors, and for the rate limits that the ledger keeps."""
        self.sandbox.clock.advance(seconds)
        with closing(sqlite3.connect(ledger, timeout=30)) as database, database:
            database.execute(
                "UPDATE rate_limits SET next_at = next_at - ?, blocked_until = blocked_until - ?",
                (seconds, seconds),
            )

    def play(self, case: Case) -> Outcome:
        """The run, its retries, and what people do until it succeeds; two runs if the case says so."""
        began = time.monotonic()
        path = self.begin(case.scenario)
        faults = [kind.at(call) for call, kind in case.faults]
        for fault in faults:
            self.sandbox.arm(fault)
        ledger = Ledger(f"sqlite:///{path}", owner="a person")
        unknown: list[Effect] = []
        requests = 0
        try:
            answers = self._begin_runs(case, path)
            states = [[answer.get("state", "died")] for answer in answers]
            for number, own in enumerate(states):
                run = case.beside if number and case.beside else case.scenario.run
                requests += 1 + self._until_success(case, path, ledger, run, number, own, unknown)
            effects = ledger.list(limit=None)
        finally:
            ledger.engine.dispose()
        return Outcome(
            case=case,
            world=case.scenario.observe(self.sandbox),
            states=states,
            requests=requests,
            effects=effects,
            unknown=unknown,
            unmet=[fault for fault in faults if not fault.met],
            steps=answers[0].get("steps", []),
            calls=calls_of(self.sandbox),
            seconds=time.monotonic() - began,
        )

    def _begin_runs(self, case: Case, path: Path) -> list[dict[str, Any]]:
        """The first answers: of the run, and of the one beside it."""
        settings = case.mistaken.settings if case.mistaken else None
        self.send(case.scenario, path, case.scenario.run, self._run_id(0), stop=case.stop, settings=settings)
        if case.beside is None:
            return [self.result(path)]
        beside = case.beside
        still, go_on = threading.Event(), threading.Event()

        def first_stands(message: dict[str, Any]) -> None:
            if message["event"] in ("paused", "frozen"):
                still.set()
                frozen = message["event"] == "frozen"
                if not go_on.wait(FROZEN_S if frozen else STANDSTILL_S) and not frozen:
                    raise RuntimeError(f"{case.id}: the second run neither ended nor waited")

        def second_waits(message: dict[str, Any]) -> None:
            # Who is paused keeps its claims, so the second run cannot go on before it.
            if message["event"] == "waiting" and case.stop and case.stop.how == PAUSE:
                go_on.set()

        with ThreadPoolExecutor(1) as pool:
            first = pool.submit(self.result, path, meanwhile=first_stands)
            try:
                while not still.wait(0.05):
                    if first.done():
                        raise RuntimeError(
                            f"{case.id}: the first run never came to this step: {first.result()}"
                        )
                self.send(case.scenario, path, beside, self._run_id(1), runner=1)
                second = self.result(path, runner=1, meanwhile=second_waits)
            finally:
                go_on.set()
            return [first.result(), second]

    def _run_id(self, number: int) -> str:
        return f"case-{self._cases}-{number}"

    def _until_success(
        self,
        case: Case,
        path: Path,
        ledger: Ledger,
        run: Run,
        number: int,
        states: list[str],
        unknown: list[Effect],
    ) -> int:
        """
        What the scheduler does for a dead process, and people for a failed run.

        :param states: grows with the state of each end.
        :param unknown: grows with what a person had to settle.
        :return: how often the failed tasks were cleared.
        """
        cleared = 0
        if case.mistaken:
            if states[-1] == "died":
                # Its next try refuses to go on with a plan that was made from other settings.
                self.send(case.scenario, path, run, self._run_id(number), action="recover", runner=number)
                states.append(self.result(path, runner=number).get("state", "died"))
            self.send(case.scenario, path, run, self._run_id(number), action="clear_all", runner=number)
            states.append(self.result(path, runner=number).get("state", "died"))
            cleared += 1

        def is_done() -> bool:
            held = case.scenario.holds and ledger.list(state=State.UNKNOWN, limit=1)
            return states[-1] == "success" and not held and not case.scenario.unfinished(ledger)

        run_id = self._run_id(number)
        while not is_done() and len(states) <= OPERATOR_ROUNDS:
            died, succeeded = states[-1] == "died", states[-1] == "success"
            if not died and (cleared or succeeded):
                # Clearing alone did not help. What nobody knows, a person looks up and decides.
                for effect in ledger.list(state=State.UNKNOWN, limit=None):
                    unknown.append(effect)
                    case.scenario.settle(self.sandbox, ledger, effect)
            action = "recover" if died else "clear"
            if succeeded:
                # The schedule's next run goes on with what was held.
                action, run_id = "start", f"{run_id}-next"
            cleared += not died
            self.send(case.scenario, path, run, run_id, action=action, runner=number)
            states.append(self.result(path, runner=number).get("state", "died"))
        return cleared


def airflow_environment(home: Path) -> dict[str, str]:
    """The environment of an Airflow of its own, without anything of the one around us."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith(FOREIGN)}
    return kept | {
        "AIRFLOW_HOME": str(home),
        "AIRFLOW__DATABASE__SQL_ALCHEMY_CONN": f"sqlite:///{home}/airflow.db",
        "AIRFLOW__CORE__DAGS_FOLDER": str(ROOT / "dags"),
        "AIRFLOW__CORE__PLUGINS_FOLDER": str(ROOT / "plugins"),
        "AIRFLOW__CORE__LOAD_EXAMPLES": "False",
        # Any key will do: the ledger keeps an upload's progress only if it can encrypt it.
        "AIRFLOW__CORE__FERNET_KEY": "ZmF1bHRzLWZhdWx0cy1mYXVsdHMtZmF1bHRzLTAwMDE=",
        "AIRFLOW__API_AUTH__JWT_SECRET": "f" * 64,
        "PYTHONPATH": os.pathsep.join([str(ROOT), str(ROOT / "plugins")]),
        "INTERCHANGE_RETRY_BASE_S": "0",
        "INTERCHANGE_LEASE_S": str(LEASE_S),
        "INTERCHANGE_READ_TIMEOUT_S": str(READ_TIMEOUT_S),
    }
