"""
A running Airflow for the tests that need one, with this project's DAGs and the vendors they talk to.

Started once per test session, when the first test asks for it; ``tests/conftest.py`` makes the fixtures known. Tests
share it: each takes windows, run ids and folders of its own.
"""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    # Every test session loads this file; few need what it starts.
    from include.sandbox.core import Sandbox
    from tests.deployment import Deployment
    from tools.stack import AirflowStack

ROOT = Path(__file__).resolve().parent.parent
# One of each role that our pages tell apart.
USERS = {"admin": "admin", "operator": "op", "viewer": "viewer"}
SETTINGS = {
    # A day's window is easily told from an hour's look-back, and a backfill over three days makes three files.
    "INTERCHANGE_QUALTRICS_TO_ONEDRIVE_SCHEDULE": "0 0 * * *",
    # Their own five minutes would come in between the tests that start them.
    "INTERCHANGE_KNACK_TO_ESB_SCHEDULE": "",
    "INTERCHANGE_SPINOCO_SYNC_SCHEDULE": "",
    "INTERCHANGE_WEBEX_ROULETTE_SCHEDULE": "",
    "INTERCHANGE_WEBEX_UPKEEP_SCHEDULE": "",
    "INTERCHANGE_RETRY_BASE_S": "1",
    # Long enough for a task that waits for its share of a busy machine, short enough to outwait a killed one's claim.
    "INTERCHANGE_LEASE_S": "10",
}


@pytest.fixture(scope="session")
def running_vendors() -> Iterator[Sandbox]:
    """All vendors, served by threads of this process."""
    from include.sandbox.core import Sandbox
    from include.sandbox.vendors import all_vendors

    with Sandbox(all_vendors()) as sandbox:
        yield sandbox


@pytest.fixture(scope="session")
def airflow_stack(tmp_path_factory: pytest.TempPathFactory) -> Iterator[AirflowStack]:
    """API server, scheduler, DAG processor and triggerer, all healthy; passwords are the users' names."""
    from tests.deployment import DAILY, write_settings
    from tools.stack import AirflowStack

    home = tmp_path_factory.mktemp("airflow")
    config = home / "config"
    config.mkdir()
    # Before Airflow parses the DAG: the trigger form offers what the file names at that moment.
    write_settings(config, DAILY)
    for name in ("knack_to_esb", "ticket_closure", "spinoco_sync", "webex_roulette", "webex_upkeep"):
        shutil.copy(ROOT / "include" / "config" / f"{name}.yaml", config)
    settings = {**SETTINGS, "INTERCHANGE_CONFIG_DIR": str(config)}
    with AirflowStack(home, dags_folder=ROOT / "dags", users=USERS, settings=settings) as stack:
        yield stack


@pytest.fixture(scope="session")
def deployment(running_vendors: Sandbox, airflow_stack: AirflowStack) -> Deployment:
    """Airflow connected to the vendors, its DAGs switched on, and the first scheduled run done."""
    from tests.deployment import Deployment

    made = Deployment(airflow_stack, running_vendors, config=airflow_stack.home.folder / "config")
    made.switch_on()
    return made
