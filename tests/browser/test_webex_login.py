"""An admin's way to Webex and back: from the page inside Airflow, and from Airflow's own log-in."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any

import pytest
from playwright.sync_api import Browser, Page, expect

from tests.browser.conftest import PATIENCE_MS, SIZE, Shoot
from tests.deployment import Deployment

# The first test of a session also starts Airflow.
pytestmark = pytest.mark.timeout(900)
LOGIN, CALLBACK = "/interchange/webex/login", "/interchange/webex/callback"
HOST = "roulette@example.test"


@pytest.fixture(autouse=True)
def integration(deployment: Deployment) -> None:
    """Webex knows the integration with this Airflow's address."""
    expect.set_options(timeout=PATIENCE_MS)
    deployment.calm_vendors()
    back = f"{deployment.stack.url}{CALLBACK}"
    deployment.vendors.vendor("webex").seed(
        {"clients": {"id": "sandbox-webex-integration", "redirect_uris": [back]}}
    )


@pytest.fixture
def stranger(browser: Browser, deployment: Deployment) -> Iterator[Page]:
    """Nobody is logged in. Webex in a box has a certificate that no browser knows."""
    context = browser.new_context(
        viewport=SIZE, base_url=deployment.stack.url, timezone_id="UTC", ignore_https_errors=True
    )
    context.set_default_timeout(PATIENCE_MS)
    yield context.new_page()
    context.close()


@pytest.fixture
def admin(stranger: Page, session_cookies: Any) -> Page:
    stranger.context.add_cookies(session_cookies["cookies"])
    return stranger


def signed_in(deployment: Deployment) -> int:
    return sum(entry["kind"] == "signed_in" for entry in deployment.vendors.effects.entries())


def test_an_admin_logs_in_from_the_roulettes_page(admin: Page, deployment: Deployment, shoot: Shoot) -> None:
    admin.goto("/plugin/interchange-roulette")
    admin.frame_locator("iframe").get_by_role("link", name="Log in to Webex").click()

    # The whole window has left Airflow and come back: Webex may not be shown in a frame.
    admin.wait_for_url(re.compile(re.escape(CALLBACK)))
    expect(admin.get_by_role("status")).to_contain_text(HOST)
    expect(admin.get_by_text("Lasts until")).to_be_visible()
    shoot(admin, "webex-1-logged-in")
    assert signed_in(deployment) == 1
    assert admin.context.cookies(f"{deployment.stack.url}{CALLBACK}") == [
        cookie for cookie in admin.context.cookies() if cookie["name"] != "interchange_webex_login"
    ]

    admin.reload()
    expect(admin.get_by_role("alert")).to_contain_text("not begun here")
    shoot(admin, "webex-2-once-only")
    assert signed_in(deployment) == 1


def test_airflows_own_log_in_comes_first(stranger: Page, deployment: Deployment) -> None:
    stranger.goto(LOGIN)
    stranger.locator("input[name=username]").fill("admin")
    stranger.locator("input[name=password]").fill("admin")
    assert signed_in(deployment) == 0
    stranger.keyboard.press("Enter")

    stranger.wait_for_url(re.compile(re.escape(CALLBACK)))
    expect(stranger.get_by_role("status")).to_contain_text(HOST)
    assert signed_in(deployment) == 1


def test_a_refusal_is_told_in_words(admin: Page, deployment: Deployment, shoot: Shoot) -> None:
    deployment.vendors.vendor("webex").set_options({"logs_in": ""})
    admin.goto(LOGIN)

    admin.wait_for_url(re.compile(re.escape(CALLBACK)))
    expect(admin.get_by_role("alert")).to_contain_text("access was denied")
    expect(admin.get_by_role("link", name="Begin again")).to_be_visible()
    shoot(admin, "webex-3-refused")
    assert signed_in(deployment) == 0
