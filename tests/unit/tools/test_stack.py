"""What the Airflow stack refuses before it starts anything, and what it hands to its components."""

from __future__ import annotations

import fcntl
import json
import os
import socket
import stat
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from tools import with_airflow
from tools.airflow_home import ROOT, AirflowHome, environment, write_private
from tools.processes import LOCALHOST, free_ports, port_is_free
from tools.stack import AirflowStack, StackError


@pytest.fixture
def home(tmp_path: Path) -> AirflowHome:
    made = AirflowHome(tmp_path / "airflow", dags_folder=tmp_path, users={"admin": "admin", "eve": "viewer"})
    made.prepare()
    return made


@pytest.fixture
def taken_port() -> Iterator[int]:
    with socket.socket() as server:
        server.bind((LOCALHOST, 0))
        server.listen()
        yield server.getsockname()[1]


def settings(home: AirflowHome) -> dict[str, str]:
    return home.settings(api_port=8080, log_ports=(8793, 8794), parallelism=4)


def started(home: Path) -> list[Path]:
    """The logs of whatever was started in a home."""
    return list((home / "components").glob("*"))


def test_a_taken_port_is_named_together_with_what_to_set(tmp_path: Path, taken_port: int) -> None:
    stack = AirflowStack(tmp_path, dags_folder=tmp_path, api_port=taken_port, port_setting="PORT")
    with pytest.raises(StackError, match=rf"port {taken_port} is taken.*PORT=…"):
        stack.start()
    assert started(tmp_path) == []


def test_a_full_disk_is_named(tmp_path: Path) -> None:
    stack = AirflowStack(tmp_path / "home", dags_folder=tmp_path, needed_bytes=1 << 60)
    with pytest.raises(StackError, match=r"the disk that holds .*home has \d+ MB left, \d+ MB are needed"):
        stack.start()
    assert started(tmp_path / "home") == []


def test_a_disk_that_fills_up_meanwhile_is_named(tmp_path: Path) -> None:
    stack = AirflowStack(tmp_path, dags_folder=tmp_path)
    # A device that is always full takes the place of a file that the start writes.
    (tmp_path / "lock").symlink_to("/dev/full")
    with pytest.raises(StackError, match="is full: free some space, then start again"):
        stack.start()


# Longer than a test may take: whoever waited would be noticed.
FOR_EVER_S = 3600.0


@pytest.mark.parametrize(("owner", "patience_s"), [("running", FOR_EVER_S), ("gone", 0.5)])
def test_one_home_serves_one_airflow(owner: str, patience_s: float, tmp_path: Path, taken_port: int) -> None:
    pid = os.getpid() if owner == "running" else _gone()
    second = AirflowStack(tmp_path, dags_folder=tmp_path, api_port=taken_port, patience_s=patience_s)
    with (tmp_path / "lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        lock.write(str(pid))
        lock.flush()
        with pytest.raises(StackError, match=f"in use: an Airflow started by process {pid} runs there"):
            second.start()
    # Free now: the next obstacle is reached.
    with pytest.raises(StackError, match="port"):
        second.start()


def test_keys_are_made_once_and_only_the_owner_reads_them(home: AirflowHome) -> None:
    first = settings(home)
    home.prepare()
    assert settings(home) == first
    secrets = {"AIRFLOW__CORE__FERNET_KEY", "AIRFLOW__API_AUTH__JWT_SECRET", "AIRFLOW__API__SECRET_KEY"}
    assert all(len(first[name]) >= 44 for name in secrets)
    assert stat.S_IMODE(home.folder.stat().st_mode) == 0o700
    files = {file.name: stat.S_IMODE(file.stat().st_mode) for file in home.folder.iterdir()}
    assert files == {"keys.json": 0o600, "passwords.json": 0o600}


def test_users_can_log_in_with_their_names(home: AirflowHome) -> None:
    found = settings(home)
    assert found["AIRFLOW__CORE__SIMPLE_AUTH_MANAGER_USERS"] == "admin:admin,eve:viewer"
    passwords = json.loads(Path(found["AIRFLOW__CORE__SIMPLE_AUTH_MANAGER_PASSWORDS_FILE"]).read_text())
    assert passwords == {"admin": "admin", "eve": "eve"}


def test_nothing_listens_beyond_this_machine(home: AirflowHome) -> None:
    found = settings(home)
    assert found["AIRFLOW__API__HOST"] == LOCALHOST
    assert found["AIRFLOW__API__BASE_URL"] == f"http://{LOCALHOST}:8080"


def test_another_airflow_in_the_environment_does_not_reach_ours(
    home: AirflowHome, monkeypatch: pytest.MonkeyPatch
) -> None:
    foreign = "postgresql://somebody@elsewhere/airflow"
    monkeypatch.setenv("AIRFLOW__DATABASE__SQL_ALCHEMY_CONN", foreign)
    monkeypatch.setenv("AIRFLOW_CONN_QUALTRICS_DEFAULT", "http://production")
    monkeypatch.setenv("AIRFLOW_VAR_X", "y")
    monkeypatch.setenv("_AIRFLOW_PROCESS_CONTEXT", "server")
    monkeypatch.setenv("PYTHONPATH", "/somewhere/else")
    monkeypatch.setenv("REQUESTS_CA_BUNDLE", "/etc/company.pem")
    monkeypatch.setenv("no_proxy", "internal.example")
    env = environment(settings(home))
    assert env["AIRFLOW__DATABASE__SQL_ALCHEMY_CONN"] == f"sqlite:///{home.database}"
    assert {"AIRFLOW_CONN_QUALTRICS_DEFAULT", "AIRFLOW_VAR_X", "_AIRFLOW_PROCESS_CONTEXT"}.isdisjoint(env)
    assert env["PYTHONPATH"] == f"{ROOT}:{ROOT / 'plugins'}"
    # The user's certificates stay, and so do the proxy's exceptions.
    assert env["REQUESTS_CA_BUNDLE"] == "/etc/company.pem"
    assert env["no_proxy"] == f"internal.example,{LOCALHOST},localhost"


def test_commands_beside_the_stack_get_its_environment(
    home: AirflowHome, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    write_private(home.saved_environment, json.dumps(settings(home)))
    monkeypatch.delenv("AIRFLOW_HOME", raising=False)
    command = ["--home", str(home.folder), "--", "sh", "-c", "echo $AIRFLOW_HOME $AIRFLOW__CORE__FERNET_KEY"]
    assert _in_a_child(command) == 0
    key = settings(home)["AIRFLOW__CORE__FERNET_KEY"]
    assert capfd.readouterr().out == f"{home.folder} {key}\n"


def test_an_airflow_that_is_named_is_left_as_it_is(
    home: AirflowHome, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    write_private(home.saved_environment, json.dumps(settings(home)))
    monkeypatch.setenv("AIRFLOW_HOME", "/opt/airflow")
    monkeypatch.delenv("AIRFLOW__CORE__FERNET_KEY", raising=False)
    command = ["--home", str(home.folder), "--", "sh", "-c", "echo $AIRFLOW_HOME:$AIRFLOW__CORE__FERNET_KEY"]
    assert _in_a_child(command) == 0
    assert capfd.readouterr().out == "/opt/airflow:\n"


def test_without_a_demo_the_commands_say_what_to_do(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.delenv("AIRFLOW_HOME", raising=False)
    assert with_airflow.main(["--home", str(tmp_path), "--", "true"]) == 2
    assert "make demo" in capsys.readouterr().err


def test_free_ports_are_different_and_free() -> None:
    ports = free_ports(5)
    assert len(set(ports)) == 5
    assert all(port_is_free(port) for port in ports)


def test_a_port_somebody_listens_on_is_not_free(taken_port: int) -> None:
    assert not port_is_free(taken_port)


def _gone() -> int:
    """The pid of a process that has ended."""
    with subprocess.Popen(["true"]) as process:
        process.wait()
    return process.pid


def _in_a_child(arguments: list[str]) -> int:
    """``with_airflow`` replaces its process; so it gets one of its own."""
    pid = os.fork()
    if pid == 0:
        os._exit(with_airflow.main(arguments))
    return os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])
