"""Fixtures of the simulators' tests."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from include.sandbox.connections import WEBEX_BOT_TOKEN
from include.sandbox.core import Sandbox
from include.sandbox.vendors.webex import Webex
from tests.sandbox.onedrive import MICROSOFT, OneDrive
from tests.sandbox.webex import Receiver, WebexClient, token


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


@pytest.fixture(scope="session")
def running_webex() -> Iterator[Sandbox]:
    with Sandbox([Webex]) as running:
        yield running


@pytest.fixture
def box(running_webex: Sandbox) -> Sandbox:
    """A sandbox with Webex alone, as after its first start."""
    running_webex.reset()
    return running_webex


@pytest.fixture
def webex(box: Sandbox) -> Webex:
    made: Webex = box.vendor("webex")
    return made


@pytest.fixture
def bot(box: Sandbox) -> Iterator[WebexClient]:
    client = WebexClient(box, WEBEX_BOT_TOKEN)
    yield client
    client.http.close()


@pytest.fixture
def host(box: Sandbox) -> Iterator[WebexClient]:
    """The integration, as the person who hosts the meetings."""
    client = WebexClient(box, token(box).json()["access_token"])
    yield client
    client.http.close()


@pytest.fixture
def receiver() -> Iterator[Receiver]:
    made = Receiver()
    yield made
    made.close()
