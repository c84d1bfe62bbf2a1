"""Stations for the fault harness."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from interchange.ledger.database import make_engine
from interchange.ledger.upgrade import migrate
from tests.faults.station import ROOT, Station, airflow_environment

Say = Callable[[str], None]
Make = Callable[[int], list[Station]]


@pytest.fixture
def say(capsys: pytest.CaptureFixture[str]) -> Say:
    """Print past pytest, while it goes on."""

    def past_pytest(text: str) -> None:
        with capsys.disabled():
            sys.stdout.write(f"{text}\n")
            sys.stdout.flush()

    past_pytest("")
    return past_pytest


@pytest.fixture(scope="session")
def airflow_db(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A migrated metadata database, to be copied."""
    home = tmp_path_factory.mktemp("airflow-template")
    subprocess.run(
        [sys.executable, "-m", "airflow", "db", "migrate"],
        cwd=ROOT,
        env=airflow_environment(home),
        check=True,
        capture_output=True,
    )
    return home / "airflow.db"


@pytest.fixture(scope="session")
def ledger_db(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A migrated ledger without any effect, to be copied."""
    path = tmp_path_factory.mktemp("ledger-template") / "ledger.db"
    engine = make_engine(f"sqlite:///{path}")
    migrate(engine)
    engine.dispose()
    return path


@pytest.fixture(scope="session")
def make_stations(
    airflow_db: Path, ledger_db: Path, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Make]:
    """Make so many stations with two runners each; they start side by side and are kept for the session."""
    made: list[Station] = []

    def make(count: int) -> list[Station]:
        new = [
            Station(tmp_path_factory.mktemp("station"), airflow_db, ledger_db, runners=2)
            for _ in range(count - len(made))
        ]
        made.extend(new)
        with ThreadPoolExecutor(max(len(new), 1)) as pool:
            list(pool.map(Station.wait_until_ready, new))
        return made[:count]

    yield make
    for station in made:
        station.close()


@pytest.fixture(scope="session")
def station(make_stations: Make) -> Station:
    """One sandbox, two processes at a time."""
    return make_stations(1)[0]
