"""
A running Airflow for the tests that need one: started once per test session, with this project's DAGs.

A conftest takes it over with ``from tests.airflow_stack import airflow_stack``. Tests share it: each uses run
ids, connection ids and variables of its own.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tools.stack import AirflowStack

ROOT = Path(__file__).resolve().parent.parent
# One of each role that our pages tell apart.
USERS = {"admin": "admin", "operator": "op", "viewer": "viewer"}


@pytest.fixture(scope="session")
def airflow_stack(tmp_path_factory: pytest.TempPathFactory) -> Iterator[AirflowStack]:
    """API server, scheduler, DAG processor and triggerer, all healthy; passwords are the users' names."""
    home = tmp_path_factory.mktemp("airflow")
    with AirflowStack(home, dags_folder=ROOT / "dags", users=USERS) as stack:
        yield stack
