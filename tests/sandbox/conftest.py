"""Fixtures of the simulators' tests."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from include.sandbox.core import Sandbox
from tests.sandbox.onedrive import MICROSOFT, OneDrive


@pytest.fixture(scope="session")
def running_microsoft() -> Iterator[Sandbox]:
    with Sandbox(MICROSOFT) as running:
        yield running


@pytest.fixture
def microsoft(running_microsoft: Sandbox) -> Sandbox:
    """Identity, Graph and the upload host as after their first start."""
    running_microsoft.reset()
    return running_microsoft


@pytest.fixture
def onedrive(microsoft: Sandbox) -> Iterator[OneDrive]:
    """A client of these with a token for Graph."""
    client = OneDrive(microsoft)
    yield client
    client.http.close()
