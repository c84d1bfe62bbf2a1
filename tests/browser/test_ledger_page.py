"""The ledger's page where it is used: inside Airflow's web UI, with Airflow's log-in."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from typing import Any

import httpx
import pytest
from lxml import html
from playwright.sync_api import Browser, FrameLocator, Page, expect

from interchange.ledger import EffectRef, Ledger, RunRef, State
from tests.browser.conftest import PATIENCE_MS, SIZE, Shoot
from tools.stack import AirflowStack

# The first test of a session also starts Airflow.
pytestmark = pytest.mark.timeout(600)
DAG_ID = "modo_directory"
RUN_ID = "manual__2027-03-01T08:00:00+00:00"
PAGE = "/interchange/ledger"
FIELD, CAUSE = "Email", "two entries have this address"


@pytest.fixture
def ledger(airflow_stack: AirflowStack) -> Ledger:
    """The deployment's, as a task opens it."""
    return Ledger(f"sqlite:///{airflow_stack.home.folder}/interchange.db", owner="a/task")


@pytest.fixture
def quarantined(ledger: Ledger, request: pytest.FixtureRequest) -> Iterator[EffectRef]:
    """One more record that is wrong; put back at the end, for nobody else to find it waiting."""
    ref = EffectRef(DAG_ID, "directory", f"page/{request.node.name}")
    ledger.plan(ref, run=RunRef(DAG_ID, RUN_ID))
    ledger.quarantine(ref, field=FIELD, reason=CAUSE)
    yield ref
    if state(ledger, ref) is State.QUARANTINED:
        ledger.replay(ref, by="the test", reason="end of the test")


def state(ledger: Ledger, ref: EffectRef) -> State:
    effect = ledger.get(ref)
    assert effect is not None
    return effect.state


@pytest.fixture
def log_in(airflow_stack: AirflowStack) -> Iterator[Callable[[str | None], httpx.Client]]:
    """A browser without a window; what it keeps of a log-in is Airflow's cookie."""
    opened: list[httpx.Client] = []

    def come(user: str | None) -> httpx.Client:
        client = httpx.Client(base_url=airflow_stack.url, timeout=60, trust_env=False)
        opened.append(client)
        if user:
            answer = client.post("/auth/token", json={"username": user, "password": user})
            client.cookies.set("_token", answer.raise_for_status().json()["access_token"])
        return client

    yield come
    for client in opened:
        client.close()


def form_of(answer: httpx.Response) -> tuple[str, dict[str, str]]:
    """Where the page's decision is sent, and its hidden fields."""
    (form,) = html.fromstring(answer.text).xpath("//form[@method='post']")
    return form.get("action"), {
        field.get("name"): field.get("value") for field in form.xpath(".//input[@type='hidden']")
    }


class TestBehindAirflowsLogin:
    def test_a_stranger_is_sent_to_the_login(
        self, log_in: Callable[..., httpx.Client], airflow_stack: AirflowStack
    ) -> None:
        stranger = log_in(None)
        assert stranger.get(PAGE).status_code == 401
        sent = stranger.get(PAGE, headers={"accept": "text/html"}, follow_redirects=True)
        assert sent.status_code == 200
        assert sent.url.path == "/auth/login"
        assert sent.url.params["next"] == PAGE

    def test_rights_and_tokens_decide_who_decides(
        self, log_in: Callable[..., httpx.Client], ledger: Ledger, quarantined: EffectRef
    ) -> None:
        operator, viewer = log_in("operator"), log_in("viewer")
        ours = {"origin": str(operator.base_url).rstrip("/")}
        effect = f"{PAGE}/effect"
        query = {"ref": str(quarantined)}
        action, fields = form_of(operator.get(effect, params=query))
        form = {**fields, "reason": "corrected"}

        seen = viewer.get(effect, params=query)
        assert CAUSE in seen.text
        assert "<button" not in seen.text
        assert viewer.post(action, data=form, headers=ours).status_code == 403
        assert operator.post(action, data={**form, "token": ""}, headers=ours).status_code == 403
        forged = operator.post(action, data=form, headers={"origin": "https://evil.example"})
        assert forged.status_code == 403
        assert state(ledger, quarantined) is State.QUARANTINED

        assert operator.post(action, data=form, headers=ours).status_code == 303
        assert state(ledger, quarantined) is State.PLANNED
        event = ledger.events(quarantined)[-1]
        assert (event.by, event.reason) == ("operator", "corrected")

    def test_the_ledger_is_the_one_that_airflows_connection_names(
        self, log_in: Callable[..., httpx.Client], airflow_stack: AirflowStack, quarantined: EffectRef
    ) -> None:
        # A connection in Airflow's own database, as a person makes it in the web UI.
        other = Ledger(f"sqlite:///{airflow_stack.home.folder}/other.db", owner="a/task")
        other.plan(EffectRef(DAG_ID, "directory", "only-in-the-other"))
        viewer = log_in("viewer")
        assert quarantined.key in viewer.get(PAGE).text
        connection: dict[str, Any] = {"conn_type": "sqlite", "host": "other.db"}
        airflow_stack.client.import_connections({"interchange_db": connection})
        try:
            shown = viewer.get(PAGE).text
        finally:
            airflow_stack.client.request("DELETE", "/connections/interchange_db")
        assert "only-in-the-other" in shown
        assert quarantined.key not in shown
        assert quarantined.key in viewer.get(PAGE).text


@pytest.fixture
def enter(browser: Browser, airflow_stack: AirflowStack) -> Iterator[Callable[[str], Page]]:
    """Log in on Airflow's page."""
    expect.set_options(timeout=PATIENCE_MS)
    contexts = []

    def come(user: str) -> Page:
        context = browser.new_context(viewport=SIZE, base_url=airflow_stack.url, timezone_id="UTC")
        context.set_default_timeout(PATIENCE_MS)
        contexts.append(context)
        page = context.new_page()
        page.goto("/")
        page.locator("input[name=username]").fill(user)
        page.locator("input[name=password]").fill(user)
        page.keyboard.press("Enter")
        page.get_by_role("link", name="Dags").first.wait_for()
        return page

    yield come
    for context in contexts:
        context.close()


def open_in_airflow(page: Page) -> FrameLocator:
    """Browse → Interchange ledger: the page in Airflow's frame."""
    page.get_by_role("button", name="Browse").click()
    page.get_by_role("menuitem", name="Interchange ledger").click()
    frame = page.frame_locator("iframe")
    expect(frame.get_by_role("heading", name="Ledger")).to_be_visible()
    return frame


def test_an_operator_replays_a_record(
    enter: Callable[[str], Page], ledger: Ledger, quarantined: EffectRef, shoot: Shoot
) -> None:
    page = enter("operator")
    frame = open_in_airflow(page)
    row = frame.get_by_role("row").filter(has_text=quarantined.key)
    expect(row).to_contain_text("quarantined")
    expect(row).to_contain_text(f"{FIELD}: {CAUSE}")
    shoot(page, "8-ledger")
    row.get_by_role("link", name=quarantined.key).click()
    expect(frame.get_by_role("heading", name=quarantined.key)).to_be_visible()
    shoot(page, "9-effect")

    frame.get_by_label("Reason").fill("the second entry is gone")
    frame.get_by_role("button", name="Replay").click()

    expect(frame.get_by_role("status")).to_contain_text("Planned:")
    expect(frame.get_by_role("heading", name=quarantined.key)).to_contain_text("planned")
    last = frame.get_by_role("table").get_by_role("row").last
    expect(last).to_contain_text("quarantined → planned")
    expect(last).to_contain_text("operator")
    expect(last).to_contain_text("the second entry is gone")
    expect(frame.get_by_role("button", name="Replay")).to_have_count(0)
    shoot(page, "10-replayed")
    assert state(ledger, quarantined) is State.PLANNED

    # The frame may not lead Airflow's window elsewhere by itself; the page's script does.
    frame.get_by_role("link", name=RUN_ID).click()
    page.wait_for_url(re.compile(rf"^[^?]*:\d+/dags/{DAG_ID}/runs/"))
    expect(page.locator("iframe")).to_have_count(0)


def test_a_viewer_looks_in_airflows_colours(
    enter: Callable[[str], Page], quarantined: EffectRef, shoot: Shoot
) -> None:
    page = enter("viewer")
    page.evaluate("localStorage.setItem('theme', 'dark')")
    # As the task's link "Ledger" leads there.
    page.goto(f"/plugin/interchange-ledger{PAGE}?workflow={DAG_ID}")
    frame = page.frame_locator("iframe")
    expect(frame.get_by_label("Workflow")).to_have_value(DAG_ID)
    frame.get_by_role("link", name=quarantined.key).click()
    expect(frame.get_by_text(f"needs the right to trigger {DAG_ID}")).to_be_visible()
    expect(frame.get_by_role("button")).to_have_count(0)
    expect(frame.locator("html")).to_have_attribute("data-theme", "dark")
    expect(frame.locator("body")).to_have_css("background-color", "rgb(22, 29, 45)")
    shoot(page, "11-dark")
