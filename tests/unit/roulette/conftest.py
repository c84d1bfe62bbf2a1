"""An office with a bot, on real sockets and with a real ledger."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import pytest

from include.sandbox.core import Sandbox
from interchange.ledger import Ledger
from tests.unit.roulette.office import Office
from tests.unit.vendors import Connections
from tests.webex_spec import check_journal


@pytest.fixture
def office(sandbox: Sandbox, worker: Callable[..., Ledger], airflow: Connections) -> Iterator[Office]:
    """Noon on the Monday of a week; nobody has a meeting yet. What we ask of Webex is held against its description."""
    yield Office(sandbox, worker, airflow)
    check_journal(sandbox.requests.entries())
