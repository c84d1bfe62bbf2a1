"""
A real Airflow on this machine: API server, scheduler, DAG processor and triggerer on SQLite.

Each component is a process of its own under a guard (:mod:`tools.guard`): however the process that started
them ends, none of them outlives it. Used by the demo, by the browser tests and by the tests that need a
running Airflow::

    with AirflowStack(home, dags_folder=ROOT / "dags") as airflow:
        run_id = airflow.client.trigger("qualtrics_to_onedrive")
        airflow.client.wait_run("qualtrics_to_onedrive", run_id)
"""

from __future__ import annotations

import contextlib
import errno
import fcntl
import importlib.metadata
import json
import os
import shutil
import sqlite3
import sys
import time
from collections.abc import Iterator, Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Self

import httpx
import psutil

from tools.airflow_client import LOCKED, LOCKED_TRIES, AirflowClient
from tools.airflow_home import AirflowHome, environment, write_private
from tools.processes import LOCALHOST, Guarded, ProcessError, free_ports, port_is_free

COMPONENTS = ("api-server", "scheduler", "dag-processor", "triggerer")
POLL_S = 0.2
START_TIMEOUT_S = 240.0
CLI_TIMEOUT_S = 240.0
# Idle, all but the triggerer end within 4 s. That one waits 10 s for a helper that has long ended; it is
# killed.
GRACE_S = 5.0
# Guards of a run that was killed need up to the grace period, and then some, to let go of the home.
PATIENCE_S = GRACE_S + 20.0
PID_WIDTH = 20
NEEDED_BYTES = 500 * 1024**2
FULL_BYTES = 50 * 1024**2
FULL_WORDS = ("No space left on device", "database or disk is full")
# Components append to their logs; a demo that is started daily must not fill the disk.
LOG_LIMIT_BYTES = 20 * 1024**2


class StackError(Exception):
    """Airflow could not be started, or has stopped; the text says why and what to do."""


class AirflowStack:
    """
    One Airflow, started by :meth:`start` or ``with``, ended by :meth:`stop`.

    :param home: its ``AIRFLOW_HOME``; made when missing, else everything in it is kept: runs, connections,
        ledger.
    :param api_port: where the web page and the API are; None takes any free one.
    :param users: name to role (viewer, user, op, admin); each password is the name. "admin" must be among
        them.
    :param settings: further environment variables for all components.
    :param port_setting: how the person sets the port; for the message when it is taken.
    :param needed_bytes: free disk space to insist on.
    :param patience_s: how long to wait for a home in which the last Airflow is still ending.
    """

    def __init__(
        self,
        home: Path,
        *,
        dags_folder: Path,
        api_port: int | None = None,
        parallelism: int = 4,
        users: Mapping[str, str] | None = None,
        settings: Mapping[str, str] | None = None,
        port_setting: str = "PORT",
        needed_bytes: int = NEEDED_BYTES,
        patience_s: float = PATIENCE_S,
    ) -> None:
        self.home = AirflowHome(home, dags_folder=dags_folder, users=users or {"admin": "admin"})
        self.components: dict[str, Guarded] = {}
        self._wanted_port = api_port
        self._parallelism = parallelism
        self._further = dict(settings or {})
        self._port_setting = port_setting
        self._needed_bytes = needed_bytes
        self._patience_s = patience_s
        self._lock: int | None = None
        self._client: AirflowClient | None = None
        self._settings: dict[str, str] = {}
        self.api_port = 0
        self.env: dict[str, str] = {}

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()

    @property
    def url(self) -> str:
        """Where the web page is."""
        return f"http://{LOCALHOST}:{self.api_port}"

    @property
    def client(self) -> AirflowClient:
        """The REST API as user "admin"."""
        if self._client is None:
            self._client = AirflowClient(self.url, user="admin", password="admin", check=self.check)
        return self._client

    def start(self, *, timeout_s: float = START_TIMEOUT_S) -> None:
        """
        Start everything and return when Airflow itself calls each component healthy.

        :raises StackError: with the reason; nothing is left running then.
        """
        try:
            with self._explained():
                self._start(timeout_s)
        except BaseException:
            # Also for Ctrl-C in the middle of the start.
            self.stop()
            raise

    def _start(self, timeout_s: float) -> None:
        self.home.folder.mkdir(parents=True, exist_ok=True)
        self._check_disk()
        self._take_home()
        self._prepare()
        self._migrate()
        started_at = datetime.now(UTC)
        for name in COMPONENTS:
            self.components[name] = self._launch(name, name, log=self._rotated(name))
        self._wait_until_healthy(started_at, timeout_s)
        write_private(self.home.saved_environment, json.dumps(self._settings))

    def stop(self) -> None:
        """
        End all components and everything they have started; may be called at any time, also twice.

        :raises ProcessError: if a process is left over.
        """
        if self._client is not None:
            self._client.close()
            self._client = None
        components, self.components = list(self.components.values()), {}
        for component in components:
            component.ask_to_stop()
        failures = []
        for component in components:
            try:
                component.stop()
            except ProcessError as error:
                failures.append(str(error))
        if self._lock is not None:
            os.close(self._lock)
            self._lock = None
        if failures:
            raise ProcessError("; ".join(failures))

    def check(self) -> None:
        """
        Make sure that every component still runs.

        :raises StackError: naming the one that has ended, with its last words.
        """
        for name, component in self.components.items():
            code = component.poll()
            if code is not None:
                raise StackError(self._reason(component) or f"{name} has ended with exit code {code}")

    def cli(self, *arguments: str, timeout_s: float = CLI_TIMEOUT_S) -> str:
        """
        Run ``airflow ARGUMENT…`` in this home and return what it printed. Slow (7 to 16 s): prefer
        :attr:`client`.

        A command that finds the SQLite database locked is run again.

        :raises StackError: if it fails.
        """
        log = self.home.folder / "components" / "cli.log"
        for left in reversed(range(LOCKED_TRIES)):
            command = self._launch("airflow " + " ".join(arguments[:2]), *arguments, log=log)
            try:
                code = command.wait(timeout_s)
            except ProcessError as error:
                raise StackError(str(error)) from None
            finally:
                command.stop()
            if code == 0:
                return command.output()
            if LOCKED not in command.output() or not left:
                break
        raise StackError(f"{command.name} ended with exit code {code}\n{command.tail()}")

    # The steps of a start

    def _take_home(self) -> None:
        """One Airflow at a time. The guards hold the lock too: it is free when their last process is gone."""
        self._lock = os.open(self.home.folder / "lock", os.O_RDWR | os.O_CREAT, 0o600)
        give_up_at = time.monotonic() + self._patience_s
        while True:
            try:
                fcntl.flock(self._lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                owner = os.pread(self._lock, PID_WIDTH, 0).decode().strip()
                # Without its owner, what is left of it is being ended by the guards: soon the home is free.
                if time.monotonic() > give_up_at or (owner.isdigit() and psutil.pid_exists(int(owner))):
                    raise StackError(
                        f"{self.home.folder} is in use: an Airflow started by process {owner} runs there. "
                        "End that one first (Ctrl-C in its terminal)."
                    ) from None
                time.sleep(POLL_S)
            else:
                os.pwrite(self._lock, f"{os.getpid():<{PID_WIDTH}}".encode(), 0)
                return

    def _check_disk(self) -> None:
        free = shutil.disk_usage(self.home.folder).free
        if free < self._needed_bytes:
            raise StackError(
                f"the disk that holds {self.home.folder} has {free // 1024**2} MB left, "
                f"{self._needed_bytes // 1024**2} MB are needed: free some space"
            )

    def _prepare(self) -> None:
        """Choose the ports, write keys and passwords, put the environment together."""
        if self._wanted_port is not None and not port_is_free(self._wanted_port):
            raise StackError(
                f"port {self._wanted_port} is taken by another program. "
                f"End that one, or choose another port: {self._port_setting}=…"
            )
        any_port, *log_ports = free_ports(3)
        self.api_port = self._wanted_port or any_port
        self.home.prepare()
        base = self.home.settings(
            api_port=self.api_port, log_ports=(log_ports[0], log_ports[1]), parallelism=self._parallelism
        )
        self._settings = {**base, **self._further}
        self.env = environment(self._settings)

    def _migrate(self) -> None:
        """Create or upgrade Airflow's database; skipped when this version of Airflow has already done so."""
        stamp = self.home.folder / "migrated.json"
        wanted = {"airflow": importlib.metadata.version("apache-airflow"), "revision": self._revision()}
        if wanted["revision"] and stamp.exists() and json.loads(stamp.read_text()) == wanted:
            return
        migration = self._launch("airflow db migrate", "db", "migrate", log=self._rotated("migrate"))
        try:
            if migration.wait(CLI_TIMEOUT_S) != 0:
                raise StackError(self._reason(migration) or "airflow db migrate has failed")
        finally:
            migration.stop()
        write_private(stamp, json.dumps({**wanted, "revision": self._revision()}))

    def _revision(self) -> str | None:
        """The schema version in this home's SQLite file; None if there is none."""
        if not self.home.database.exists():
            return None
        with contextlib.closing(sqlite3.connect(self.home.database)) as database:
            try:
                row = database.execute("SELECT version_num FROM alembic_version").fetchone()
            except sqlite3.OperationalError:
                return None
        return str(row[0]) if row else None

    def _launch(self, name: str, *arguments: str, log: Path) -> Guarded:
        keep = [] if self._lock is None else [self._lock]
        command = [sys.executable, "-m", "airflow", *arguments]
        return Guarded(name, command, env=self.env, cwd=self.home.folder, log=log, grace_s=GRACE_S, keep=keep)

    def _rotated(self, name: str) -> Path:
        log = self.home.folder / "components" / f"{name}.log"
        if log.exists() and log.stat().st_size > LOG_LIMIT_BYTES:
            log.replace(log.with_suffix(".log.1"))
        return log

    def _wait_until_healthy(self, started_at: datetime, timeout_s: float) -> None:
        give_up_at = time.monotonic() + timeout_s
        with httpx.Client(base_url=self.url, trust_env=False, timeout=10.0) as http:
            while True:
                self.check()
                missing = self._unhealthy(http, started_at)
                if not missing:
                    return
                if time.monotonic() > give_up_at:
                    tails = "\n".join(component.tail(10) for component in self.components.values())
                    raise StackError(f"after {timeout_s:g} s not healthy: {', '.join(missing)}\n{tails}")
                time.sleep(POLL_S)

    def _unhealthy(self, http: httpx.Client, started_at: datetime) -> list[str]:
        """The parts that do not work yet. A heartbeat from before our start is that of the previous run."""
        try:
            answer = http.get("/api/v2/monitor/health")
            health = answer.raise_for_status().json()
        except httpx.HTTPError:
            return ["api-server"]
        missing = []
        for part in ("metadatabase", "scheduler", "dag_processor", "triggerer"):
            facts = health.get(part) or {}
            heartbeat = facts.get(f"latest_{part}_heartbeat")
            is_old = heartbeat is not None and datetime.fromisoformat(heartbeat) < started_at
            if facts.get("status") != "healthy" or is_old:
                missing.append(part)
        return missing

    # Reasons a person can act on

    def _reason(self, component: Guarded) -> str:
        """Why a component has ended, where its output tells; with its last lines."""
        output = component.output()
        if any(words in output for words in FULL_WORDS) or self._disk_is_full():
            return self._disk_full_text()
        reason = f"{component.name} has ended with exit code {component.poll()}"
        if "address already in use" in output.lower():
            reason += f": a port was taken meanwhile; choose another: {self._port_setting}=…"
        return f"{reason}\n{component.tail()}"

    @contextlib.contextmanager
    def _explained(self) -> Iterator[None]:
        try:
            yield
        except OSError as error:
            if error.errno not in (errno.ENOSPC, errno.EDQUOT):
                raise
            raise StackError(self._disk_full_text()) from error

    def _disk_is_full(self) -> bool:
        return shutil.disk_usage(self.home.folder).free < FULL_BYTES

    def _disk_full_text(self) -> str:
        return f"the disk that holds {self.home.folder} is full: free some space, then start again"
