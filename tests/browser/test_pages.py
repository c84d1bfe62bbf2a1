"""A person's way through Airflow's pages: a run from the trigger form, and connections with their Test button."""

from __future__ import annotations

import json
import re
from datetime import timedelta
from typing import Any
from urllib.parse import unquote

import pytest
from playwright.sync_api import Locator, Page, expect
from playwright.sync_api import TimeoutError as TooLate

from include.sandbox.connections import connections
from tests.browser.conftest import PATIENCE_MS, Shoot
from tests.deployment import DAG_ID, DAY, Deployment, file_name, text

# The first test of a session also starts Airflow.
pytestmark = pytest.mark.timeout(900)
API_TOKEN = "sandbox-qualtrics-token-0001"


@pytest.fixture(autouse=True)
def _patient() -> None:
    expect.set_options(timeout=PATIENCE_MS)


def choose(box: Locator, option: Locator, *, typed: str = "") -> None:
    """Open a list and take one of its entries; a list opened while the form is still being drawn closes by itself."""
    for _ in range(12):
        box.click()
        if typed:
            box.fill(typed)
        try:
            option.click(timeout=7_000)
        except TooLate:
            continue
        return
    option.click()


class TriggerForm:
    """The dialog behind the button "Trigger" of a DAG's page."""

    def __init__(self, page: Page) -> None:
        self._page = page
        page.goto(f"/dags/{DAG_ID}")
        page.get_by_role("button", name="Trigger").first.click()
        self.dialog = page.get_by_role("dialog").filter(has_text="Trigger Dag")
        self.dialog.get_by_text("Run Parameters").wait_for()

    def field(self, label: str) -> Locator:
        """A field with its label and its explanation."""
        return self.dialog.get_by_role("group").filter(has=self._page.get_by_text(label, exact=False)).first

    def choose(self, label: str, option: str) -> None:
        choose(
            self.field(label).get_by_role("combobox"),
            self._page.get_by_role("option", name=option, exact=True),
        )

    def pick(self, label: str, date: str, time: str) -> None:
        """Type a moment into the date-time picker."""
        self.field(label).locator("[data-part=trigger]").click()
        picker = self._page.locator("[data-scope=popover][data-part=content][data-state=open]")
        picker.get_by_placeholder("YYYY/MM/DD").fill(date)
        picker.get_by_placeholder("HH:mm").fill(time)
        picker.get_by_placeholder("HH:mm").press("Enter")
        # A click beside it closes the picker; the Escape key might close the whole form.
        self.dialog.get_by_role("heading").first.click()
        expect(picker).to_be_hidden()
        expect(self.field(label)).to_contain_text(time)

    def submit(self) -> dict[str, Any]:
        """Press "Trigger": what the page has sent, with the new run's id."""
        with self._page.expect_response(
            lambda r: r.request.method == "POST" and r.url.endswith("/dagRuns")
        ) as sent:
            self.dialog.get_by_role("button", name="Trigger", exact=True).click()
        assert sent.value.ok, sent.value.text()
        body: dict[str, Any] = json.loads(sent.value.request.post_data or "")
        return {**body, "dag_run_id": sent.value.json()["dag_run_id"]}


def test_a_window_chosen_on_the_form_is_exported(page: Page, deployment: Deployment, shoot: Shoot) -> None:
    day = deployment.today - 11 * DAY
    start, end = day + timedelta(hours=6), day + timedelta(hours=18, minutes=30)
    form = TriggerForm(page)
    for label, explanation in {
        "Exports": "Names of the exports to run; none: all.",
        "Window start": "instead of the run's data interval",
        "Window end": "Recorded before.",
        "Format": "Instead of each export's own.",
        "Dry run": "change nothing",
    }.items():
        expect(form.field(label)).to_contain_text(explanation)
    form.choose("Exports", "daily")
    form.pick("Window start", f"{start:%Y/%m/%d}", f"{start:%H:%M}")
    form.pick("Window end", f"{end:%Y/%m/%d}", f"{end:%H:%M}")
    shoot(page, "1-trigger-form")

    sent = form.submit()

    assert sent["conf"] == {
        "exports": ["daily"],
        # The picker sends fractions of a second, and Z whatever zone the page shows.
        "window_start": start.strftime("%Y-%m-%dT%H:%M:00.000Z"),
        "window_end": end.strftime("%Y-%m-%dT%H:%M:00.000Z"),
        "format": None,
        "dry_run": False,
    }
    run_id = sent["dag_run_id"]
    page.wait_for_url(re.compile(rf"/dags/{DAG_ID}/runs/"))
    deployment.finished(run_id)
    expect(page.get_by_text("Running", exact=True)).to_have_count(0)
    expect(page.get_by_text("Success", exact=True).first).to_be_visible()
    expect(page.get_by_role("row").filter(has_text="move.export").get_by_text("Success")).to_be_visible()
    shoot(page, "2-run")
    assert deployment.delivered(file_name(start, end)) == deployment.responses(start, end)
    planned = deployment.result(run_id, "plan")
    assert [(entry["window_start"], entry["window_end"]) for entry in planned] == [(text(start), text(end))]

    page.goto(f"/dags/{DAG_ID}/runs/{run_id}/tasks/move.export/mapped/0/details")
    link = page.get_by_role("link", name="File in OneDrive")
    expect(link).to_be_visible()
    expect(page.get_by_role("link", name="Survey in Qualtrics")).to_be_visible()
    # The mapped task is called by its export.
    expect(page.get_by_text("daily", exact=True).first).to_be_visible()
    shoot(page, "3-task")
    # It leads on to OneDrive, whose own address names a mailbox and so stands on no page of Airflow.
    answer = page.request.get(link.get_attribute("href") or "", max_redirects=0)
    assert answer.status == 303
    assert file_name(start, end) in unquote(answer.headers["location"])


def test_a_choice_taken_back_means_all_exports(page: Page, deployment: Deployment) -> None:
    form = TriggerForm(page)
    form.choose("Exports", "daily")
    form.field("Exports").get_by_label("Remove daily").click()
    form.field("Dry run").locator("[data-scope=switch][data-part=control]").click()
    sent = form.submit()
    assert (sent["conf"]["exports"], sent["conf"]["dry_run"]) == (None, True)
    deployment.finished(sent["dag_run_id"])
    assert [entry["name"] for entry in deployment.result(sent["dag_run_id"], "plan")] == ["daily"]


class ConnectionsPage:
    """Admin → Connections."""

    def __init__(self, page: Page) -> None:
        self._page = page
        page.goto("/connections")

    def add(self, conn_id: str, kind: str) -> Locator:
        """Open the form for a new connection of a type."""
        self._page.get_by_role("button", name="Add Connection").click()
        form = self._page.get_by_role("dialog").filter(has_text="Add Connection")
        form.locator("input[name=connection_id]").fill(conn_id)
        box = form.get_by_role("combobox").first
        choose(box, self._page.get_by_role("option", name=kind, exact=True), typed=kind)
        form.locator("input[name=host]").wait_for()
        return form

    def test(self, conn_id: str) -> Locator:
        """Press a connection's Test button: the message that appears."""
        row = self._page.get_by_role("row").filter(has=self._page.get_by_text(conn_id, exact=True))
        # Of the message before this one, nothing may be left.
        messages = self._page.locator("[data-scope=toast][data-part=root]")
        expect(messages).to_have_count(0)
        row.get_by_role("button", name="Test Connection").click()
        return messages.first


def test_a_qualtrics_connection_is_made_and_tested(page: Page, deployment: Deployment, shoot: Shoot) -> None:
    base, port = deployment.vendors.url("qualtrics").rsplit(":", 1)
    admin = ConnectionsPage(page)
    form = admin.add("made_by_hand", "Qualtrics")
    for label in ("Base URL", "Port", "OAuth client id", "OAuth client secret"):
        expect(form.get_by_text(label, exact=True)).to_be_visible()
    form.locator("input[name=host]").fill(base)
    form.locator("input[name=port]").fill(port)
    shoot(page, "4-connection-standard-fields")
    form.get_by_role("button", name="Extra Fields", exact=True).click()
    token = form.locator("input[name=element_api_token]")
    expect(token).to_have_attribute("type", "password")
    token.fill(API_TOKEN)
    form.locator("input[name=element_ca_bundle]").fill(str(deployment.vendors.ca_bundle))
    shoot(page, "5-connection-extra-fields")
    form.get_by_role("button", name="Save").click()
    expect(form).to_be_hidden()
    stored = deployment.client.request("GET", "/connections/made_by_hand")
    assert (stored["conn_type"], stored["host"], str(stored["port"])) == ("qualtrics", base, port)
    assert json.loads(stored["extra"])["api_token"] == "***"
    page.reload()  # The message that it was created covers others.

    message = admin.test("made_by_hand")

    expect(message).to_contain_text("Test Connection Successful")
    shoot(page, "6-connection-tested")
    assert [call["operation"] for call in deployment.vendors.requests.entries()] == ["whoami"]


@pytest.mark.parametrize("conn_id", ["qualtrics_default", "onedrive_default", "modo_default"])
def test_the_demos_connections_answer_the_test_button(
    page: Page, deployment: Deployment, conn_id: str
) -> None:
    message = ConnectionsPage(page).test(conn_id)
    expect(message).to_contain_text("Test Connection Successful")
    assert deployment.vendors.requests.entries()
    assert deployment.vendors.effects.entries() == []


@pytest.mark.parametrize(
    ("kind", "changes", "words"),
    [
        ("qualtrics", {"api_token": "wrong-token-0001"}, "qualtrics.whoami: not allowed"),
        (
            "onedrive",
            {"tenant": "elsewhere.example"},
            "onedrive.token: the sign-in service does not know the tenant",
        ),
        ("modo", {"directory_token": "wrong-token-0002"}, "modo.probe: not allowed"),
    ],
    ids=["qualtrics", "onedrive", "modo"],
)
def test_a_wrong_credential_is_named(
    page: Page, deployment: Deployment, shoot: Shoot, kind: str, changes: dict[str, str], words: str
) -> None:
    fields = connections(deployment.vendors)[f"{kind}_default"]
    deployment.client.import_connections(
        {f"{kind}_wrong": {**fields, "extra": {**fields["extra"], **changes}}}
    )

    message = ConnectionsPage(page).test(f"{kind}_wrong")

    expect(message).to_contain_text("Test Connection Failed")
    expect(message).to_contain_text(words)
    shoot(page, f"7-{kind}-refused")
    said = message.inner_text()
    assert "wrong-token" not in said
    assert "this connection" in said
    assert not re.search(r"Traceback|Exception", said)
