"""
Run one command so that nothing of it outlives the process that asked for it.

    python tools/guard.py --lifeline FD [--keep FD] [--grace SECONDS] -- COMMAND ARGUMENT...

``FD`` is the read end of a pipe whose write end only the asking process holds. Whatever ends that process (a
return, an exception, SIGKILL, a closed terminal), the pipe closes, and the guard ends the command with
everything it has started. The guard must be started as the leader of a new session, away from the terminal's
signals; the command runs in that session in a process group of its own, so that ``getsid(pid) == guard's
pid`` tells what belongs to it.

A process that leaves the session (``setsid``, a daemon's double fork) is still found: on Linux the guard
adopts every orphan among its descendants. And should the guard itself be killed, the kernel sends the command
SIGTERM.

Exit code: the command's own, or 128 + the signal that ended it.
"""

from __future__ import annotations

import argparse
import contextlib
import ctypes
import os
import select
import signal
import sys
import time
from collections.abc import Callable, Sequence

import psutil

PR_SET_PDEATHSIG = 1
PR_SET_CHILD_SUBREAPER = 36
# How often the guard looks whether its parent is still the same: a copy of the pipe's write end in a forked
# child of the parent would otherwise keep the command alive.
PARENT_CHECK_S = 1.0
# How long to wait for processes to end before they are looked for again, and how often to kill them.
ROUND_S = 0.2
KILL_ROUNDS = 50


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command given on the command line under guard."""
    parser = argparse.ArgumentParser(prog="guard", description=(__doc__ or "").strip().splitlines()[0])
    parser.add_argument(
        "--lifeline", type=int, required=True, help="file descriptor that closes with our parent"
    )
    parser.add_argument(
        "--keep", type=int, action="append", default=[], help="descriptor to hold open till the end"
    )
    parser.add_argument("--grace", type=float, default=10.0, help="seconds between SIGTERM and SIGKILL")
    parser.add_argument("command", nargs="+")
    given = parser.parse_args(arguments)
    for descriptor in (given.lifeline, *given.keep):
        os.set_inheritable(descriptor, False)
    return Guard(given.command, lifeline=given.lifeline, grace_s=given.grace).run()


class Guard:
    """
    One command and all it starts.

    :param command: program and arguments; the program is looked for on ``PATH``.
    :param lifeline: descriptor whose end of file means that our parent is gone.
    :param grace_s: seconds from SIGTERM to SIGKILL.
    """

    def __init__(self, command: Sequence[str], *, lifeline: int, grace_s: float) -> None:
        self.command = list(command)
        self.lifeline = lifeline
        self.grace_s = grace_s
        self.parent = os.getppid()
        self.child = 0
        self.wake = -1
        self.status: int | None = None
        self.asked_to_stop = False
        self.childless = False

    def run(self) -> int:
        """Start the command, wait until it ends or has to end, leave nothing behind."""
        _prctl(PR_SET_CHILD_SUBREAPER, 1)
        self.wake = self._listen_to_signals()
        self.child = self._start()
        while self.status is None and not self.asked_to_stop:
            ready = self._wait([self.lifeline], PARENT_CHECK_S)
            if self.lifeline in ready or os.getppid() != self.parent:
                self.asked_to_stop = True
            self._reap()
        self._end_all()
        return _exit_code(self.status)

    def _listen_to_signals(self) -> int:
        """A descriptor that becomes readable when a child ends or somebody asks the guard to stop."""
        readable, writable = os.pipe()
        os.set_blocking(readable, False)
        os.set_blocking(writable, False)
        signal.set_wakeup_fd(writable, warn_on_full_buffer=False)
        signal.signal(signal.SIGCHLD, lambda *_: None)
        for number in (signal.SIGTERM, signal.SIGINT):
            signal.signal(number, self._stop)
        return readable

    def _stop(self, *_: object) -> None:
        self.asked_to_stop = True

    def _start(self) -> int:
        guard = os.getpid()
        child = os.fork()
        if child:
            return child
        # From here on in the child: nothing may return or raise into the guard's own code.
        try:
            os.setpgid(0, 0)
            _prctl(PR_SET_PDEATHSIG, signal.SIGTERM)
            signal.set_wakeup_fd(-1)
            for number in (signal.SIGCHLD, signal.SIGTERM, signal.SIGINT, signal.SIGPIPE):
                signal.signal(number, signal.SIG_DFL)
            if os.getppid() == guard:
                os.execvp(self.command[0], self.command)
        except OSError as error:
            print(f"guard: cannot start {self.command[0]}: {error}", file=sys.stderr, flush=True)
        os._exit(127)

    def _reap(self) -> None:
        """Collect ended children, adopted ones too; remember how the command itself ended."""
        while True:
            try:
                pid, status = os.waitpid(-1, os.WNOHANG)
            except ChildProcessError:
                self.childless = True
                return
            if pid == 0:
                self.childless = False
                return
            if pid == self.child:
                self.status = os.waitstatus_to_exitcode(status)

    def _end_all(self) -> None:
        """
        SIGTERM to the command, which may end its helpers in good order; then to all that is left; then
        SIGKILL.

        The command gets half the grace period alone: a helper that vanishes under it makes some (Airflow's
        triggerer) wait for ever.
        """
        if self.status is None:
            os.kill(self.child, signal.SIGTERM)
            self._wait_until(lambda: self.status is not None, self.grace_s / 2)
        _signal(self._left(), signal.SIGTERM)
        self._wait_until(lambda: not self._left(), self.grace_s / 2)
        # Again and again: a process may have been forked between the list and the kill.
        for _ in range(KILL_ROUNDS):
            left = self._left()
            # Also the dead are waited for (adopted ones included), so that nobody has to look at zombies.
            if not left and self.childless:
                return
            _signal(left, signal.SIGKILL)
            self._wait([], ROUND_S)
        print(f"guard: {[process.pid for process in left]} cannot be killed", file=sys.stderr, flush=True)

    def _wait_until(self, condition: Callable[[], bool], seconds: float) -> None:
        give_up_at = time.monotonic() + seconds
        while not condition() and time.monotonic() < give_up_at:
            self._wait([], ROUND_S)
            self._reap()

    def _left(self) -> list[psutil.Process]:
        self._reap()
        return living(os.getpid())

    def _wait(self, watched: Sequence[int], seconds: float) -> list[int]:
        """Which of the descriptors became readable; at the latest after ``seconds``, or when a child ends."""
        ready, _, _ = select.select([*watched, self.wake], [], [], seconds)
        if self.wake in ready:
            with contextlib.suppress(BlockingIOError):
                os.read(self.wake, 4096)
        return ready


def living(guard: int) -> list[psutil.Process]:
    """
    The processes that belong to a guard, without the guard itself and without the already dead (zombies).

    Its descendants, and the members of its session: where orphans are not adopted (other systems than Linux,
    or a guard that was killed) the session is what still tells.
    """
    found: dict[int, psutil.Process] = {}
    with contextlib.suppress(psutil.NoSuchProcess):
        found = {process.pid: process for process in psutil.Process(guard).children(recursive=True)}
    for process in psutil.process_iter():
        with contextlib.suppress(ProcessLookupError, PermissionError):
            if os.getsid(process.pid) == guard and process.pid != guard:
                found.setdefault(process.pid, process)
    return [process for process in found.values() if alive(process)]


def alive(process: psutil.Process) -> bool:
    """Whether the process can still do something; a zombie cannot."""
    try:
        return bool(process.is_running() and process.status() != psutil.STATUS_ZOMBIE)
    except psutil.NoSuchProcess:
        return False


def _signal(processes: Sequence[psutil.Process], number: int) -> None:
    for process in processes:
        # psutil compares the start time first: a recycled pid is not hit.
        with contextlib.suppress(psutil.NoSuchProcess, psutil.AccessDenied):
            process.send_signal(number)


def _prctl(option: int, value: int) -> None:
    """Linux's prctl(2), which Python does not wrap; elsewhere nothing takes its place."""
    if sys.platform == "linux":
        libc = ctypes.CDLL(None, use_errno=True)
        if libc.prctl(option, value, 0, 0, 0) != 0:
            raise OSError(ctypes.get_errno(), "prctl")


def _exit_code(status: int | None) -> int:
    if status is None:
        return 128 + signal.SIGTERM
    return status if status >= 0 else 128 - status


if __name__ == "__main__":
    sys.exit(main())
