"""A browser that is logged in, and where its screenshots go."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from playwright.sync_api import Browser, Page, ViewportSize, sync_playwright

from tests.deployment import DAILY, Deployment
from tools.browser import HELP, find_browser

# The tests' own pages only, on this machine: nothing to protect from, nothing to fetch in the background.
ARGUMENTS = ["--no-sandbox", "--disable-gpu", "--disable-quic", "--disable-background-networking"]
SIZE: ViewportSize = {"width": 1400, "height": 1300}
# Everything a page shows has been waited for; a machine that others use may need long for it.
PATIENCE_MS = 90_000

Shoot = Callable[[Page, str], None]


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    """
    The system's Chromium.

    For one module only: while Playwright runs, an event loop runs in this thread, and no later test could start
    its own.
    """
    program = find_browser()
    assert program is not None, HELP
    with sync_playwright() as playwright:
        chromium = playwright.chromium.launch(executable_path=program, args=ARGUMENTS)
        yield chromium
        chromium.close()


@pytest.fixture(scope="session")
def shots(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """``INTERCHANGE_SCREENSHOTS`` names a folder to keep them in."""
    kept = os.environ.get("INTERCHANGE_SCREENSHOTS")
    folder = Path(kept) if kept else tmp_path_factory.mktemp("screenshots")
    folder.mkdir(parents=True, exist_ok=True)
    return folder


@pytest.fixture
def shoot(shots: Path) -> Shoot:
    """Keep what the page shows now, under a name."""

    def take(page: Page, name: str) -> None:
        page.screenshot(path=shots / f"{name}.png", animations="disabled")

    return take


@pytest.fixture(scope="module")
def session_cookies(browser: Browser, deployment: Deployment) -> Any:
    """What a browser keeps after somebody has logged in as admin."""
    context = browser.new_context(base_url=deployment.stack.url)
    context.set_default_timeout(PATIENCE_MS)
    page = context.new_page()
    page.goto("/")
    page.locator("input[name=username]").fill("admin")
    page.locator("input[name=password]").fill("admin")
    page.keyboard.press("Enter")
    page.get_by_role("link", name="Dags").first.wait_for()
    kept = context.storage_state()
    context.close()
    return kept


@pytest.fixture
def page(
    browser: Browser,
    deployment: Deployment,
    session_cookies: Any,
    request: pytest.FixtureRequest,
    shots: Path,
) -> Iterator[Page]:
    """A page of Airflow's for admin; leaves a picture of where the test ended."""
    deployment.calm_vendors()
    deployment.offer_exports(DAILY)
    context = browser.new_context(
        viewport=SIZE, base_url=deployment.stack.url, timezone_id="UTC", storage_state=session_cookies
    )
    context.set_default_timeout(PATIENCE_MS)
    opened = context.new_page()
    yield opened
    opened.screenshot(path=shots / f"end-of-{request.node.name}.png")
    context.close()
