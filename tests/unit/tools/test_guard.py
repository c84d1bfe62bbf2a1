"""Nothing of a guarded command outlives the process that started it, however that one ends."""

from __future__ import annotations

import fcntl
import json
import os
import pty
import signal
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path

import psutil
import pytest

from tools import guard
from tools.processes import Guarded, ProcessError

FAMILY = Path(__file__).with_name("family.py")
ROOT = Path(__file__).resolve().parents[3]
LIMIT_S = 30.0

# A process that starts the family under guard and then does nothing: what it leaves behind is what is tested.
PARENT = """
import os, signal, sys
from pathlib import Path
from tools.processes import Guarded
# Ignored signals are inherited: from nohup, or from a shell that put the tests into the background.
signal.signal(signal.SIGINT, signal.default_int_handler)
signal.signal(signal.SIGHUP, signal.SIG_DFL)
folder = Path(sys.argv[1])
command = [sys.executable, sys.argv[2], folder / "pids", *sys.argv[3:]]
guarded = Guarded("family", command, env=dict(os.environ), log=folder / "log", grace_s=1)
if os.environ.get("COPY_OF_THE_PIPE") and os.fork() == 0:
    os.setsid()
    (folder / "copy").write_text(str(os.getpid()))
    while True:
        signal.pause()
while True:
    signal.pause()
"""


def wait_until(condition: Callable[[], object], what: str) -> None:
    """Poll a condition; fails the test when it does not come true."""
    pause = threading.Event()
    for _ in range(int(LIMIT_S / 0.05)):
        if condition():
            return
        pause.wait(0.05)
    pytest.fail(f"waited {LIMIT_S:g} s in vain: {what}")


def relatives(folder: Path) -> dict[str, psutil.Process]:
    """The living processes of the family, once they are all there."""
    wait_until((folder / "pids").exists, "the family starts")
    return {name: psutil.Process(pid) for name, pid in json.loads((folder / "pids").read_text()).items()}


def living(processes: dict[str, psutil.Process]) -> list[str]:
    return [name for name, process in processes.items() if guard.alive(process)]


def assert_gone(processes: dict[str, psutil.Process]) -> None:
    wait_until(lambda: living(processes) == [], f"these end: {living(processes)}")


@pytest.fixture
def folder(tmp_path: Path) -> Iterator[Path]:
    """A place for the family's pids; whoever a failed test leaves alive is killed."""
    yield tmp_path
    for file in (tmp_path / "pids", tmp_path / "copy"):
        if file.exists():
            found = json.loads(file.read_text())
            for pid in found.values() if isinstance(found, dict) else [found]:
                with suppress(ProcessLookupError):
                    os.kill(pid, signal.SIGKILL)


def family(folder: Path, *options: str, grace_s: float = 1.0, keep: tuple[int, ...] = ()) -> Guarded:
    command = [sys.executable, FAMILY, folder / "pids", *options]
    return Guarded("family", command, env=dict(os.environ), log=folder / "log", grace_s=grace_s, keep=keep)


def parent(folder: Path, *options: str, **env: str) -> subprocess.Popen[bytes]:
    command = [sys.executable, "-c", PARENT, folder, FAMILY, *options]
    return subprocess.Popen(command, cwd=ROOT, env={**os.environ, "PYTHONPATH": str(ROOT), **env})


@pytest.mark.parametrize("signal_number", [signal.SIGKILL, signal.SIGTERM, signal.SIGINT, signal.SIGHUP])
def test_all_end_when_the_parent_is_ended_by(signal_number: signal.Signals, folder: Path) -> None:
    process = parent(folder)
    processes = relatives(folder)
    os.kill(process.pid, signal_number)
    process.wait(LIMIT_S)
    assert_gone(processes)


def test_all_end_with_the_parent_even_if_they_ignore_sigterm(folder: Path) -> None:
    process = parent(folder, "--deaf")
    processes = relatives(folder)
    process.kill()
    process.wait(LIMIT_S)
    assert_gone(processes)


def test_all_end_when_the_terminal_closes(folder: Path) -> None:
    pid, terminal = pty.fork()
    if pid == 0:
        os.chdir(ROOT)
        command = [sys.executable, "-c", PARENT, str(folder), str(FAMILY)]
        os.execve(sys.executable, command, {**os.environ, "PYTHONPATH": str(ROOT)})
    processes = relatives(folder)
    os.close(terminal)
    _, status = os.waitpid(pid, 0)
    assert os.waitstatus_to_exitcode(status) == -signal.SIGHUP
    assert_gone(processes)


def test_ctrl_c_in_the_terminal_reaches_only_the_parent(folder: Path) -> None:
    guarded = family(folder)
    processes = relatives(folder)
    # A terminal's Ctrl-C goes to every process of the foreground group; none of ours is in it.
    assert os.getpgid(0) not in {os.getpgid(process.pid) for process in processes.values()}
    assert os.getpgid(0) != os.getpgid(guarded.session)
    guarded.stop()


def test_a_copy_of_the_pipe_in_a_forked_child_keeps_nothing_alive(folder: Path) -> None:
    process = parent(folder, COPY_OF_THE_PIPE="yes")
    processes = relatives(folder)
    wait_until((folder / "copy").exists, "the parent forks")
    process.kill()
    process.wait(LIMIT_S)
    assert_gone(processes)


def test_a_command_that_kills_its_own_group_does_not_take_the_guard_with_it(folder: Path) -> None:
    guarded = Guarded("sh", ["sh", "-c", "kill -KILL 0"], env=dict(os.environ), log=folder / "log")
    assert guarded.wait(LIMIT_S) == 128 + signal.SIGKILL


@pytest.mark.parametrize("options", [(), ("--deaf",)])
def test_stop_ends_everybody(options: tuple[str, ...], folder: Path) -> None:
    guarded = family(folder, *options)
    processes = relatives(folder)
    guarded.stop()
    assert living(processes) == []
    assert guard.living(guarded.session) == []
    guarded.stop()


def test_the_command_gets_sigterm_and_time_to_end(folder: Path) -> None:
    script = 'trap "echo in good order; exit 3" TERM; echo ready; while :; do sleep 0.05; done'
    guarded = Guarded("script", ["sh", "-c", script], env=dict(os.environ), log=folder / "log", grace_s=10)
    wait_until(lambda: "ready" in guarded.output(), "the script starts")
    guarded.stop()
    assert guarded.poll() == 3
    assert "in good order" in guarded.tail()


def test_when_the_command_ends_its_helpers_end_and_its_exit_code_is_reported(folder: Path) -> None:
    guarded = family(folder, "--leave")
    assert guarded.wait(LIMIT_S) == 7
    # Not even a zombie is left.
    pids = json.loads((folder / "pids").read_text())
    assert [name for name, pid in pids.items() if psutil.pid_exists(pid)] == []


def test_the_exit_code_tells_a_signal(folder: Path) -> None:
    guarded = family(folder)
    os.kill(relatives(folder)["itself"].pid, signal.SIGKILL)
    assert guarded.wait(LIMIT_S) == 128 + signal.SIGKILL


def test_stop_cleans_up_after_a_killed_guard(folder: Path) -> None:
    guarded = family(folder)
    processes = relatives(folder)
    os.kill(guarded.session, signal.SIGKILL)
    if sys.platform == "linux":
        # The kernel tells the command.
        assert_gone({"itself": processes["itself"]})
    guarded.stop()
    # The daemon had left the session and lost the one who adopted it: the only one nobody can find any more.
    os.kill(processes.pop("daemon").pid, signal.SIGKILL)
    assert_gone(processes)


def test_a_lock_is_held_until_the_last_process_is_gone(folder: Path) -> None:
    lock = os.open(folder / "lock", os.O_RDWR | os.O_CREAT)
    fcntl.flock(lock, fcntl.LOCK_EX)
    guarded = family(folder, "--deaf", grace_s=2, keep=(lock,))
    processes = relatives(folder)
    os.close(lock)
    other = os.open(folder / "lock", os.O_RDWR)
    with pytest.raises(BlockingIOError):
        fcntl.flock(other, fcntl.LOCK_EX | fcntl.LOCK_NB)
    guarded.ask_to_stop()
    fcntl.flock(other, fcntl.LOCK_EX)
    assert living(processes) == []
    os.close(other)
    guarded.stop()


def test_a_program_that_is_not_there_is_reported(folder: Path) -> None:
    guarded = Guarded("ghost", ["/no/such/program"], env=dict(os.environ), log=folder / "log")
    assert guarded.wait(LIMIT_S) == 127
    assert "cannot start /no/such/program" in guarded.tail()


def test_waiting_too_long_stops_the_command_and_says_so(folder: Path) -> None:
    guarded = family(folder)
    processes = relatives(folder)
    with pytest.raises(ProcessError, match=r"family had not ended after 0\.1 s"):
        guarded.wait(0.1)
    assert_gone(processes)


def test_output_is_that_of_this_run_only(folder: Path) -> None:
    for word in ("first", "second"):
        guarded = Guarded("echo", ["echo", word], env=dict(os.environ), log=folder / "log")
        guarded.wait(LIMIT_S)
        assert guarded.output() == f"{word}\n"
    assert (folder / "log").read_text() == "first\nsecond\n"
