"""An office with a bot, on real sockets and with a real ledger."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from include.sandbox.core import Sandbox
from interchange.ledger import Ledger
from tests.unit.roulette.office import Office
from tests.unit.vendors import Connections


@pytest.fixture
def office(sandbox: Sandbox, worker: Callable[..., Ledger], airflow: Connections) -> Office:
    """Noon on the Monday of a week; nobody has a meeting yet."""
    return Office(sandbox, worker, airflow)
