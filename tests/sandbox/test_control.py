"""The sandbox by hand: everything a test, the demo and a person do over its plain HTTP interface."""

from __future__ import annotations

import ssl
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest

from include.sandbox.control import Control
from include.sandbox.core import Sandbox
from tests.sandbox.echo import Echo, Quiet


@pytest.fixture
def sandbox() -> Iterator[Sandbox]:
    with Sandbox([Echo, Quiet]) as running:
        yield running


@pytest.fixture
def control(sandbox: Sandbox) -> Iterator[httpx.Client]:
    served = Control(sandbox)
    served.start()
    with httpx.Client(base_url=served.url, trust_env=False, timeout=10) as client:
        yield client
    served.stop()


@pytest.fixture
def echo(sandbox: Sandbox) -> Iterator[httpx.Client]:
    trust = ssl.create_default_context(cafile=str(sandbox.ca_bundle))
    with httpx.Client(base_url=sandbox.url("echo"), verify=trust, trust_env=False, timeout=10) as client:
        yield client


def test_health_says_where_everything_is(sandbox: Sandbox, control: httpx.Client) -> None:
    health = control.get("/health").json()

    assert health["vendors"] == {"echo": sandbox.url("echo"), "quiet": sandbox.url("quiet")}
    assert Path(health["ca_bundle"]).read_text().startswith("-----BEGIN CERTIFICATE-----")


def test_a_person_sees_vendors_and_counts(control: httpx.Client, echo: httpx.Client) -> None:
    echo.put("/things/1", content=b"x")
    page = control.get("/")

    assert page.headers["content-type"] == "text/html; charset=utf-8"
    assert "<td>echo</td>" in page.text
    assert "<td>1</td><td>1</td>" in page.text


def test_the_state_of_one_and_of_all_vendors(control: httpx.Client) -> None:
    control.post("/vendors/echo/seed", json={"a": "1"}).raise_for_status()

    assert control.get("/state/echo").json() == {"things": {"a": "1"}}
    assert control.get("/state").json() == {"echo": {"things": {"a": "1"}}, "quiet": {}}
    control.post("/vendors/echo/clear").raise_for_status()
    assert control.get("/state/echo").json() == {"things": {}}


def test_journals_can_be_filtered_and_cleared(control: httpx.Client, echo: httpx.Client) -> None:
    echo.put("/things/1", content=b"x")
    echo.get("/files/x")

    assert len(control.get("/journal/requests").json()) == 2
    assert [e["path"] for e in control.get("/journal/requests?operation=file").json()] == ["/files/x"]
    assert control.get("/journal/requests?vendor=quiet").json() == []
    assert [e["id"] for e in control.get("/journal/effects?vendor=echo&kind=stored").json()] == ["1"]
    control.delete("/journal/requests").raise_for_status()
    assert control.get("/journal/requests").json() == []
    assert len(control.get("/journal/effects").json()) == 1


def test_faults_are_armed_listed_met_and_cleared(control: httpx.Client, echo: httpx.Client) -> None:
    armed = control.post(
        "/faults", json={"vendor": "echo", "kind": "status", "status": 429, "retry_after": "1"}
    )
    assert (armed.status_code, armed.json()["call"], armed.json()["met"]) == (201, 1, 0)

    assert echo.get("/files/x").status_code == 429
    assert [fault["met"] for fault in control.get("/faults").json()] == [1]

    control.delete("/faults").raise_for_status()
    assert control.get("/faults").json() == []
    control.post("/faults", json={"vendor": "echo", "kind": "status", "call": 1}).raise_for_status()
    assert echo.get("/files/x").status_code == 503  # Counting started again.


def test_switches_are_listed_and_set(sandbox: Sandbox, control: httpx.Client) -> None:
    assert control.get("/vendors/echo/options").json() == {"loud": False}
    assert control.patch("/vendors/echo/options", json={"loud": True}).json() == {"loud": True}
    assert sandbox.vendor("echo").options.loud is True


def test_time_moves_and_reset_puts_all_back(
    sandbox: Sandbox, control: httpx.Client, echo: httpx.Client
) -> None:
    echo.put("/things/1", content=b"x")
    assert control.post("/clock", json={"advance_s": 3600}).status_code == 200
    assert sandbox.clock.offset.total_seconds() == 3600
    control.post("/reset", json={"body": "is not needed, and no harm"}).raise_for_status()

    assert control.get("/state/echo").json() == {"things": {}}
    assert control.get("/journal/effects").json() == []
    assert sandbox.clock.offset.total_seconds() == 0


@pytest.mark.parametrize(
    ("method", "path", "body", "complaint"),
    [
        ("POST", "/faults", {"vendor": "echo"}, "missing keys ['kind']"),
        ("POST", "/faults", {"vendor": "echo", "kind": "explode"}, "'explode' is not a valid FaultKind"),
        ("POST", "/faults", {"vendor": "echo", "kind": "reset", "wehn": 1}, "unknown keys ['wehn']"),
        ("POST", "/faults", {"vendor": "modem", "kind": "reset"}, "no vendor 'modem'"),
        ("PATCH", "/vendors/echo/options", {"quiet": 1}, "no options ['quiet']"),
        ("POST", "/vendors/quiet/seed", {"a": 1}, "quiet takes no seeds"),
        ("GET", "/state/modem", None, "no vendor 'modem'"),
        ("GET", "/journal/deeds", None, "journals are ['effects', 'requests']"),
        ("POST", "/clock", {"seconds": 1}, "advance_s"),
    ],
)
def test_a_mistake_is_explained(
    control: httpx.Client, method: str, path: str, body: Any, complaint: str
) -> None:
    answer = control.request(method, path, json=body)

    assert answer.status_code == 400
    assert complaint in answer.json()["error"]


def test_an_unknown_address_is_not_found(control: httpx.Client) -> None:
    assert control.post("/nothing", json={}).status_code == 404
    assert control.get("/health").status_code == 200
