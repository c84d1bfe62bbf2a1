"""Processes that never outlive us (see :mod:`tools.guard`), and free ports for them to listen on."""

from __future__ import annotations

import contextlib
import os
import socket
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence
from pathlib import Path

import psutil

from tools import guard

LOCALHOST = "127.0.0.1"
# What a guard may need beyond the grace period to kill the rest and to end itself.
GUARD_MARGIN_S = 15.0
POLL_S = 0.05


class ProcessError(Exception):
    """A process could not be started, ended too early, or could not be stopped."""


class Guarded:
    """
    One command, started at once, that ends with us whatever ends us.

    :param name: how messages call it.
    :param env: its whole environment.
    :param log: file for its output, opened for appending.
    :param grace_s: seconds it has between SIGTERM and SIGKILL.
    :param keep: descriptors that its guard holds open until nothing of it is left, such as a lock.
    """

    def __init__(
        self,
        name: str,
        command: Sequence[str | Path],
        *,
        env: Mapping[str, str],
        log: Path,
        cwd: Path | None = None,
        grace_s: float = 10.0,
        keep: Sequence[int] = (),
    ) -> None:
        self.name = name
        self.log = log
        self.grace_s = grace_s
        log.parent.mkdir(parents=True, exist_ok=True)
        self._log_start = log.stat().st_size if log.exists() else 0
        read_end, self._lifeline = os.pipe()
        watcher = [sys.executable, guard.__file__, "--lifeline", str(read_end), "--grace", str(grace_s)]
        for descriptor in keep:
            watcher += ["--keep", str(descriptor)]
        try:
            with log.open("ab") as output:
                self._guard = subprocess.Popen(
                    [*watcher, "--", *map(str, command)],
                    env=dict(env),
                    cwd=cwd,
                    stdin=subprocess.DEVNULL,
                    stdout=output,
                    stderr=subprocess.STDOUT,
                    pass_fds=(read_end, *keep),
                    start_new_session=True,
                )
        except OSError:
            os.close(self._lifeline)
            raise
        finally:
            os.close(read_end)

    @property
    def session(self) -> int:
        """The session id of all its processes; the guard's pid."""
        return self._guard.pid

    def poll(self) -> int | None:
        """The exit code, once the command has ended and nothing of it is left; else None."""
        return self._guard.poll()

    def wait(self, timeout_s: float) -> int:
        """
        Wait for the command to end by itself.

        :raises ProcessError: if it has not after ``timeout_s`` seconds; it is stopped then.
        """
        try:
            return self._guard.wait(timeout_s)
        except subprocess.TimeoutExpired:
            self.stop()
            raise ProcessError(f"{self.name} had not ended after {timeout_s:g} s\n{self.tail()}") from None

    def output(self) -> str:
        """Everything this run has written so far."""
        with self.log.open("rb") as file:
            file.seek(self._log_start)
            return file.read().decode(errors="replace")

    def tail(self, lines: int = 25) -> str:
        """The last lines of output, for a message to a person."""
        last = self.output().rstrip().splitlines()[-lines:]
        return "\n".join([f"--- last lines of {self.log}", *last])

    def ask_to_stop(self) -> None:
        """Begin to end the command; returns at once, so that several can end side by side."""
        if self._lifeline >= 0:
            os.close(self._lifeline)
            self._lifeline = -1

    def stop(self) -> None:
        """
        End the command and everything it has started.

        :raises ProcessError: if some process is still alive after SIGKILL.
        """
        self.ask_to_stop()
        try:
            self._guard.wait(self.grace_s + GUARD_MARGIN_S)
        except subprocess.TimeoutExpired:
            self._guard.kill()
            self._guard.wait()
        # Nothing, unless somebody killed the guard: then its session tells what belonged to it.
        give_up_at = time.monotonic() + GUARD_MARGIN_S
        while left := guard.living(self.session):
            if time.monotonic() > give_up_at:
                raise ProcessError(f"{self.name}: processes {[p.pid for p in left]} cannot be ended")
            for process in left:
                with contextlib.suppress(psutil.NoSuchProcess):
                    process.kill()
            time.sleep(POLL_S)


def port_is_free(port: int, host: str = LOCALHOST) -> bool:
    """Whether a server could listen there now."""
    with socket.socket() as probe:
        # As servers do: a port whose last connections are still closing down counts as free.
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((host, port))
        except OSError:
            return False
    return True


def free_ports(count: int, host: str = LOCALHOST) -> list[int]:
    """Different ports nobody listens on now; they are not reserved."""
    probes = [socket.socket() for _ in range(count)]
    try:
        for probe in probes:
            probe.bind((host, 0))
        return [probe.getsockname()[1] for probe in probes]
    finally:
        for probe in probes:
            probe.close()
