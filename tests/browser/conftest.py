"""A browser that is logged in, and where its screenshots go."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from playwright.sync_api import Browser, Page, sync_playwright

from tests.deployment import Deployment
from tools.browser import HELP, find_browser

# The tests' own pages only, on this machine: nothing to protect from, nothing to fetch in the background.
ARGUMENTS = ["--no-sandbox", "--disable-gpu", "--disable-quic", "--disable-background-networking"]
SIZE = {"width": 1400, "height": 1300}
# Everything a page shows has been waited for; a machine that others use may need long for it.
PATIENCE_MS = 90_000

Shoot = Callable[[Page, str], None]


@pytest.fixture(scope="session")
def browser() -> Iterator[Browser]:
    """The system's Chromium."""
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


@pytest.fixture
def page(browser: Browser, deployment: Deployment, request: pytest.FixtureRequest, shots: Path) -> Iterator[Page]:
    """Airflow's home page, logged in as admin; a failed test leaves a picture of where it ended."""
    deployment.calm_vendors()
    context = browser.new_context(viewport=SIZE, base_url=deployment.stack.url, timezone_id="UTC")  # type: ignore[arg-type]
    context.set_default_timeout(PATIENCE_MS)
    opened = context.new_page()
    opened.goto("/")
    opened.locator("input[name=username]").fill("admin")
    opened.locator("input[name=password]").fill("admin")
    opened.keyboard.press("Enter")
    opened.get_by_role("link", name="Dags").first.wait_for()
    yield opened
    opened.screenshot(path=shots / f"end-of-{request.node.name}.png")
    context.close()
