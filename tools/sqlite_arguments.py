"""How Airflow opens its SQLite file; named in ``[database] sql_alchemy_connect_args``."""

from __future__ import annotations

from typing import Any

ARGUMENTS: dict[str, Any] = {
    # A transaction waits for its turn to write when it begins. Airflow's default begins it as a reader: when
    # another component writes meanwhile, it fails at once ("database is locked"), and a backfill that fails so
    # takes runs with it that the scheduler is working on, which ends the scheduler.
    "isolation_level": "IMMEDIATE",
    "timeout": 60.0,
}
