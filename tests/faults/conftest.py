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
from tests.faults.harness import ROOT, Station, airflow_environment

StationMaker = Callable[..., Station]


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
) -> Iterator[Callable[[int, int], list[Station]]]:
    """Make stations, so many with so many runners each; they start side by side and are kept for the session."""
    made: dict[tuple[int, int], list[Station]] = {}

    def make(stations: int, runners: int) -> list[Station]:
        known = made.setdefault((stations, runners), [])
        if not known:
            for number in range(stations):
                folder = tmp_path_factory.mktemp(f"station-{number}-")
                known.append(Station(folder, airflow_db, ledger_db, runners=runners))
            with ThreadPoolExecutor(stations) as pool:
                list(pool.map(Station.wait_until_ready, known))
        return known

    yield make
    for stations in made.values():
        for station in stations:
            station.close()


@pytest.fixture(scope="session")
def station(make_stations: Callable[[int, int], list[Station]]) -> Station:
    """One sandbox, two processes at a time."""
    return make_stations(1, 2)[0]
