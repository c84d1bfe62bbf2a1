"""``python -m include.sandbox`` as a process, and the connections it writes."""

from __future__ import annotations

import contextlib
import hashlib
import os
import signal
import socket
import ssl
import stat
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest

from include.sandbox.connections import MODO_CHANNEL_TOKEN, as_environment, connections, thumbprint
from include.sandbox.core import Sandbox
from include.sandbox.vendors import VENDORS, vendor_classes

ROOT = Path(__file__).parents[2]
COMMAND = [sys.executable, "-m", "include.sandbox", "--vendors", "modo"]


def free_base() -> int:
    """The first of as many free ports in a row as the sandbox may use."""
    for base in range(20000 + os.getpid() % 10000, 60000, 10):
        with contextlib.ExitStack() as opened, contextlib.suppress(OSError):
            for port in range(base, base + len(VENDORS) + 1):
                opened.enter_context(socket.socket()).bind(("127.0.0.1", port))
            return base
    raise AssertionError("no free ports")


@contextlib.contextmanager
def running(*arguments: str) -> Iterator[tuple[subprocess.Popen[str], dict[str, str]]]:
    """The process, and what it says where: address by name."""
    process = subprocess.Popen([*COMMAND, *arguments], cwd=ROOT, stdout=subprocess.PIPE, text=True)
    assert process.stdout
    try:
        said: dict[str, str] = {}
        while "trust" not in said:
            line = process.stdout.readline()
            assert line, "the sandbox ended instead of starting"
            name, address = line.split(maxsplit=1)
            said[name] = address.strip()
        yield process, said
    finally:
        process.kill()
        process.wait()
        process.stdout.close()


def message(said: dict[str, str]) -> int:
    trust = ssl.create_default_context(cafile=said["trust"])
    with httpx.Client(verify=trust, trust_env=False) as client:
        return client.post(
            said["modo"] + "/api/v1/messages/personal/",
            headers={"Authorization": f"Token {MODO_CHANNEL_TOKEN}"},
            json={"title": "a", "body": "b"},
        ).status_code


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_it_serves_until_it_is_told_to_stop_and_keeps_its_state(
    tmp_path: Path, number: signal.Signals
) -> None:
    base = free_base()
    arguments = ["--folder", str(tmp_path / "box"), "--port", str(base)]
    with running(*arguments) as (process, said):
        assert said["control"] == f"http://localhost:{base}"
        assert said["modo"] == f"https://localhost:{base + 1 + list(VENDORS).index('modo')}"
        assert message(said) == 201
        process.send_signal(number)
        assert process.wait(timeout=10) == 0
    with running(*arguments) as (_, said):
        state = httpx.get(said["control"] + "/state/modo", trust_env=False).json()
        assert [sent["title"] for sent in state["messages"]] == ["a"]
        assert message(said) == 201  # The same authority as before.


@pytest.mark.parametrize("taken", ["control", "modo"])
def test_a_taken_port_is_explained_and_the_other_sandbox_is_not_disturbed(tmp_path: Path, taken: str) -> None:
    base = free_base()
    port = base if taken == "control" else base + 1 + list(VENDORS).index("modo")
    folder = tmp_path / "box"
    with Sandbox(vendor_classes(["modo"]), folder=folder, ports={"modo": port}) as first:
        done = subprocess.run(
            [*COMMAND, "--folder", str(folder), "--port", str(base)],
            cwd=ROOT, capture_output=True, text=True, timeout=30, check=False,
        )  # fmt: skip
        assert first.vendor("modo").snapshot()["messages"] == []

    assert done.returncode == 1
    assert f"cannot serve {taken} on 127.0.0.1:{port}: Address already in use" in done.stderr
    assert f"Ports {base} to {base + len(VENDORS)} must be free" in done.stderr
    assert "--port" in done.stderr
    assert "Traceback" not in done.stderr


@pytest.mark.parametrize(
    ("arguments", "complaint"),
    [
        (["--vendors", "modem"], "no vendors ['modem']"),
        (["--port", "0"], "between 1 and"),
        (["--port", "x"], "--port"),
    ],
)
def test_wrong_options_are_explained(arguments: list[str], complaint: str) -> None:
    done = subprocess.run(
        [*COMMAND, *arguments], cwd=ROOT, capture_output=True, text=True, timeout=30, check=False
    )

    assert done.returncode == 2
    assert complaint in done.stderr


def test_the_connections_it_writes_are_imported_by_airflow(tmp_path: Path) -> None:
    from airflow.secrets.local_filesystem import load_connections_dict

    target = tmp_path / "connections.json"
    arguments = ["--port", str(free_base()), "--write-connections", str(target), "--public-host", "127.0.0.1"]
    with running(*arguments) as (_, said):
        assert stat.S_IMODE(target.stat().st_mode) == 0o600
        imported = load_connections_dict(str(target))

        assert set(imported) == {"modo_default"}
        modo = imported["modo_default"]
        assert (modo.conn_type, modo.host) == ("modo", said["modo"])
        assert modo.host.startswith("https://127.0.0.1:")
        assert modo.extra_dejson["channel_token"] == MODO_CHANNEL_TOKEN
        assert modo.extra_dejson["ca_bundle"] == said["trust"]


def test_every_service_has_its_connection() -> None:
    from airflow.sdk import Connection

    with Sandbox(vendor_classes(list(VENDORS))) as sandbox:
        environment = as_environment(connections(sandbox))
        found = {
            name.removeprefix("AIRFLOW_CONN_").lower(): Connection.from_json(text)
            for name, text in environment.items()
        }
        onedrive = found["onedrive_default"]

        assert {conn_id: conn.conn_type for conn_id, conn in found.items()} == {
            "qualtrics_default": "qualtrics",
            "onedrive_default": "onedrive",
            "modo_default": "modo",
            "knack_default": "knack",
            "knack_signs_markings": "knack",
            "esb_default": "esb",
            "alerts_default": "http",
            "spinoco_default": "spinoco",
            "google_cloud_default": "google_cloud_platform",
            "ticket_mail_webhook": "http",
            "aws_default": "aws",
            "wasb_default": "wasb",
            "webex_bot": "webex",
            "webex_meetings": "webex",
        }
        assert onedrive.host == sandbox.url("graph")
        assert onedrive.extra_dejson["authority"] == sandbox.url("identity")
        assert (
            Path(onedrive.extra_dejson["private_key"]).read_text().startswith("-----BEGIN PRIVATE KEY-----")
        )
        certificate = Path(onedrive.extra_dejson["certificate"])
        der = ssl.PEM_cert_to_DER_cert(certificate.read_text())
        assert thumbprint(certificate) == hashlib.sha1(der).hexdigest()
        assert {conn.extra_dejson["ca_bundle"] for conn in found.values()} == {str(sandbox.ca_bundle)}
