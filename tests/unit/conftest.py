"""The sandbox's vendors on real sockets, the connections that lead there, and a ledger."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from airflow.sdk._shared.secrets_masker import reset_secrets_masker
from cryptography.fernet import Fernet
from sqlalchemy import Engine

from include.sandbox.core import Sandbox
from include.sandbox.vendors import all_vendors
from interchange.ledger import Ledger
from interchange.ledger.database import make_engine
from tests.unit.vendors import FERNET_KEY, Connections, Odd, Waits


@pytest.fixture(scope="session")
def running_sandbox() -> Iterator[Sandbox]:
    with Sandbox([*all_vendors(), Odd]) as running:
        yield running


@pytest.fixture
def sandbox(running_sandbox: Sandbox) -> Sandbox:
    """Every vendor as after its first start."""
    running_sandbox.reset()
    return running_sandbox


@pytest.fixture
def airflow(sandbox: Sandbox, monkeypatch: pytest.MonkeyPatch) -> Connections:
    """Airflow's connections to the sandbox, and a Fernet key."""
    # What earlier tests made Airflow mask must not hide here what is shown, and slows each line down.
    reset_secrets_masker()
    monkeypatch.setenv("AIRFLOW__CORE__FERNET_KEY", FERNET_KEY)
    for name in ("REQUESTS_CA_BUNDLE", "CURL_CA_BUNDLE", "NETRC", "HTTPS_PROXY", "https_proxy"):
        monkeypatch.delenv(name, raising=False)
    return Connections(sandbox, monkeypatch)


@pytest.fixture
def waits() -> Waits:
    return Waits()


@pytest.fixture
def ledger_file(migrated_sqlite: Path, tmp_path: Path) -> Path:
    """A migrated ledger without any effect."""
    copy = tmp_path / "ledger.db"
    shutil.copyfile(migrated_sqlite, copy)
    return copy


@pytest.fixture
def worker(ledger_file: Path) -> Iterator[Callable[..., Ledger]]:
    """Open the ledger as one more worker does: with a name and connections of its own."""
    engines: list[Engine] = []

    def opened(owner: str, *, fernet_key: str | None = FERNET_KEY) -> Ledger:
        engine = make_engine(f"sqlite:///{ledger_file}")
        engines.append(engine)
        return Ledger(engine, owner=owner, cipher=Fernet(fernet_key) if fernet_key else None)

    yield opened
    for engine in engines:
        engine.dispose()
