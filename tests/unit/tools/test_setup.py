"""``make setup``: what counts as complete, and what a person reads when it cannot go on. Installs nothing."""

from __future__ import annotations

import shutil
import subprocess
import sys
import threading
from pathlib import Path

import pytest

from tools.setup import PIN_FILES, Setup, SetupError, only_one

ROOT = Path(__file__).resolve().parents[3]


@pytest.fixture
def project(tmp_path: Path) -> Path:
    """A project root with pin files of its own."""
    for name in PIN_FILES:
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text(f"# {name}\nuv==1.2.3\n")
    return tmp_path


@pytest.fixture(scope="module")
def bare_venv(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A virtual environment without pip: made in a moment, enough for whatever only looks."""
    folder = tmp_path_factory.mktemp("bare")
    subprocess.run([sys.executable, "-m", "venv", "--without-pip", folder], check=True)
    return folder


@pytest.fixture
def finished(project: Path, bare_venv: Path) -> Setup:
    """An environment as a complete set-up leaves it, but for the packages."""
    done = Setup(project)
    shutil.copytree(bare_venv, done.venv, symlinks=True)
    done.stamp.write_text(done.fingerprint())
    return done


def test_a_finished_environment_is_left_alone(finished: Setup) -> None:
    before = {path: path.stat().st_mtime_ns for path in finished.venv.rglob("*")}
    finished.run()
    assert {path: path.stat().st_mtime_ns for path in finished.venv.rglob("*")} == before


@pytest.mark.parametrize("name", PIN_FILES)
def test_a_changed_pin_file_asks_for_an_update(name: str, finished: Setup) -> None:
    assert finished.is_complete()
    with (finished.root / name).open("a") as file:
        file.write("# changed\n")
    assert not finished.is_complete()
    # The environment is brought up to date in place, not built anew.
    witness = finished.venv / "witness"
    witness.touch()
    finished.discard_incomplete()
    assert witness.exists()


def test_an_interrupted_set_up_is_built_anew(finished: Setup, capsys: pytest.CaptureFixture[str]) -> None:
    finished.unfinished.touch()
    witness = finished.venv / "witness"
    witness.touch()
    assert not finished.is_complete()
    finished.discard_incomplete()
    assert not witness.exists()
    assert "incomplete" in capsys.readouterr().out


def test_an_environment_without_its_interpreter_is_not_complete(finished: Setup) -> None:
    for name in ("python", "python3", "python3.11"):
        (finished.venv / "bin" / name).unlink(missing_ok=True)
    assert not finished.is_complete()


def test_a_disk_too_small_is_named_before_anything_is_made(project: Path) -> None:
    with pytest.raises(SetupError, match=r"GB free where .* lies, \d+\.0 GB needed"):
        Setup(project, needed_bytes=1 << 60).run()
    assert not (project / ".venv").exists()


def test_a_failed_step_stops_the_set_up_and_leaves_its_mark(finished: Setup) -> None:
    (finished.root / "constraints.txt").write_text("no uv here\n")
    with pytest.raises(SetupError, match=r"constraints\.txt does not pin uv: call make lock"):
        finished.run()
    assert finished.unfinished.exists()
    assert not finished.is_complete()


def test_a_failed_command_is_reported_with_its_exit_code(project: Path) -> None:
    with pytest.raises(SetupError, match=r"npm could not install it \(exit code 3\)"):
        Setup(project).call("npm could not install it", ["sh", "-c", "exit 3"])


def test_two_set_ups_take_turns(project: Path) -> None:
    order: list[str] = []
    first_is_in = threading.Event()
    second_may_try = threading.Event()

    def first() -> None:
        with only_one(project):
            first_is_in.set()
            second_may_try.wait()
            order.append("first")

    def second() -> None:
        second_may_try.set()
        with only_one(project):
            order.append("second")

    threads = [threading.Thread(target=first)]
    threads[0].start()
    first_is_in.wait()
    threads.append(threading.Thread(target=second))
    threads[1].start()
    for thread in threads:
        thread.join()
    assert order == ["first", "second"]


def find_python(path: Path, **env: str) -> subprocess.CompletedProcess[str]:
    command = ["/bin/sh", str(ROOT / "tools" / "find-python")]
    return subprocess.run(
        command, env={"PATH": str(path), **env}, capture_output=True, text=True, check=False
    )


def program(folder: Path, name: str, exit_code: int) -> Path:
    """A stand-in for an interpreter that says whether it is a usable 3.11."""
    file = folder / name
    file.write_text(f"#!/bin/sh\nexit {exit_code}\n")
    file.chmod(0o755)
    return file


def test_without_python_311_the_message_says_what_to_install(tmp_path: Path) -> None:
    program(tmp_path, "python3", 1)
    found = find_python(tmp_path)
    assert found.returncode == 1
    assert found.stdout == ""
    assert "no Python 3.11" in found.stderr
    assert "apt-get install python3.11 python3.11-venv" in found.stderr


def test_python3_will_do_where_it_is_311(tmp_path: Path) -> None:
    program(tmp_path, "python3.11", 1)
    usable = program(tmp_path, "python3", 0)
    assert find_python(tmp_path).stdout == f"{usable}\n"


def test_a_named_python_comes_first(tmp_path: Path) -> None:
    program(tmp_path, "python3.11", 0)
    named = program(tmp_path, "my-python", 0)
    assert find_python(tmp_path, PYTHON=str(named)).stdout == f"{named}\n"
