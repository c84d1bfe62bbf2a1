"""The ledger as a task sees it."""

from __future__ import annotations

import os
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from interchange.runs import request_id

if TYPE_CHECKING:
    from interchange.ledger import Ledger, RunRef

LEASE_VARIABLE = "INTERCHANGE_LEASE_S"
"""Environment variable: seconds after which the claim of a dead process may be taken over; 120 if it is not set."""
DEFAULT_LEASE_S = 120.0


def lease_s() -> float:
    """How long a claim lasts; a living process renews it every third of that."""
    try:
        return max(float(os.environ.get(LEASE_VARIABLE, "")), 0.5)
    except ValueError:
        return DEFAULT_LEASE_S


def ledger_of(context: Mapping[str, Any]) -> Ledger:
    """The deployment's ledger, opened in the name of this try of this task instance."""
    from interchange.ledger.connection import open_ledger

    ti = context["ti"]
    return open_ledger(
        owner=f"{ti.dag_id}/{ti.run_id}/{ti.task_id}/{ti.map_index}/{ti.try_number}/{os.getpid()}"
    )


def run_of(context: Mapping[str, Any]) -> RunRef:
    """Who asks, for the ledger."""
    from interchange.ledger import RunRef

    ti = context["ti"]
    return RunRef(dag_id=ti.dag_id, run_id=ti.run_id, request=request_id(context))
