"""The Enterprise Service Bus: mutual TLS, strict about XML, and of few words."""

from __future__ import annotations

import json
import ssl
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest
from hypothesis import HealthCheck, given, settings
from lxml import etree

from include.sandbox.certificates import Authority
from include.sandbox.connections import ESB_API_KEY
from include.sandbox.core import Sandbox
from include.sandbox.faults import Fault, FaultKind
from include.sandbox.vendors.alerts import Alerts
from include.sandbox.vendors.esb import Esb
from interchange.core.esb_message import build_message, load_template
from interchange.settings.files import templates_dir
from tests.unit.core.test_esb_message import VALUES, XML_TEXT
from tests.unit.vendors import wait_for

XML = {"Content-Type": "text/xml", "X-API-Key": ESB_API_KEY}


@pytest.fixture(scope="module")
def running() -> Iterator[Sandbox]:
    with Sandbox([Esb, Alerts]) as sandbox:
        yield sandbox


@pytest.fixture
def bus(running: Sandbox) -> Esb:
    running.reset()
    vendor: Esb = running.vendor("esb")
    return vendor


def client_of(running: Sandbox, authority: Authority | None) -> httpx.Client:
    trust = ssl.create_default_context(cafile=str(running.ca_bundle))
    if authority is not None:
        issued = authority.client("esb")
        trust.load_cert_chain(issued.certificate, issued.key)
    return httpx.Client(base_url=running.url("esb"), verify=trust, trust_env=False, timeout=10)


@pytest.fixture(scope="module")
def http(running: Sandbox) -> Iterator[httpx.Client]:
    with client_of(running, running.authority) as client:
        yield client


def message(**changes: str) -> bytes:
    return build_message(VALUES | changes, load_template(templates_dir()))


def post(http: httpx.Client, content: bytes | None = None, **headers: str) -> httpx.Response:
    return http.post("/csr", content=message() if content is None else content, headers=XML | headers)


def assert_fault(answer: httpx.Response) -> None:
    assert (answer.status_code, answer.headers["Content-Type"]) == (500, "text/xml; charset=utf-8")
    root = etree.fromstring(answer.content)
    assert root.prefix == "env"
    assert (root.findtext(".//faultcode"), root.findtext(".//faultstring")) == (
        "env:Client",
        "Internal Error",
    )
    assert root.find(".//detail") is None


def test_a_message_is_accepted_and_shown_to_311(bus: Esb, http: httpx.Client, running: Sandbox) -> None:
    answer = post(http)
    assert answer.status_code == 200
    assert etree.fromstring(answer.content).find(".//{*}submitKnackResponse") is not None
    (effect,) = running.effects.entries(kind="message_accepted")
    assert (effect["record"], effect["sr_number"], effect["details_length"]) == (
        VALUES["record_id"], VALUES["sr_number"], len(VALUES["details"]),
    )  # fmt: skip
    (seen,) = bus.snapshot()["downstream"][VALUES["sr_number"]]
    assert (seen["id"], seen["code"]) == (VALUES["record_id"], VALUES["code"])
    assert bus.messages[0].fields["activity_details"] == VALUES["details"]
    assert VALUES["details"] not in json.dumps(
        [bus.snapshot(), running.effects.entries(), running.requests.entries()]
    )


# Who may speak to it


@pytest.mark.parametrize("stranger", [False, True])
def test_without_a_certificate_of_its_authority_nobody_gets_through_and_it_is_noted(
    bus: Esb, running: Sandbox, tmp_path: Path, stranger: bool
) -> None:
    authority = Authority(tmp_path / "another") if stranger else None
    with client_of(running, authority) as client, pytest.raises(httpx.TransportError):
        post(client)
    assert bus.messages == []
    # The bus notes a failed handshake after the client has heard of it.
    wait_for(lambda: bool(running.requests.entries(operation="handshake")))
    noted = running.requests.entries(operation="handshake")
    assert [entry["vendor"] for entry in noted] == ["esb"]
    assert "CERTIFICATE" in noted[0]["reason"]


@pytest.mark.parametrize("key", ["", "wrong"])
def test_calls_without_the_key_are_refused_and_counted(bus: Esb, http: httpx.Client, key: str) -> None:
    assert post(http, **{"X-API-Key": key}).status_code == 401
    assert bus.snapshot()["without_key"] == 1
    bus.set_options({"api_key": ""})
    assert post(http, **{"X-API-Key": ""}).status_code == 200


def test_a_look_is_no_message(bus: Esb, http: httpx.Client, running: Sandbox) -> None:
    answer = http.get("/csr", headers=XML)
    assert (answer.status_code, answer.headers["Allow"]) == (405, "POST")
    assert running.effects.entries() == []


# What it takes

GOOD = message().decode()
Change = Callable[[str], str]


@pytest.mark.parametrize(
    "change",
    [
        lambda text: text.replace("schemas.xmlsoap.org/soap/envelope", "www.w3.org/2003/05/soap-envelope"),
        lambda text: text.replace("AcceptKnack", "Accept"),
        lambda text: text.replace("<emi>EMI-1</emi>", ""),
        lambda text: text.replace("<emi>EMI-1</emi>", "<emi></emi>"),
        lambda text: text.replace("<csr>", "<csr><more/>"),
        lambda text: text.replace("<data>", "<data>words"),
        lambda text: text.replace("<event>UPDATE</event>", "").replace("<header>", "<header><event>UPDATE</event>"),
        lambda text: text.replace("<csr>", "<acc:csr>").replace("</csr>", "</acc:csr>"),
        lambda text: text.replace("KNACK", "OTHER"),
        lambda text: text.replace("COMPLET1", "COMPLETE"),
        lambda text: text.replace("Replaced lamp", "a & b"),
        lambda text: text.replace("Replaced lamp", "<b>a</b>"),
        lambda text: "<!DOCTYPE x>" + text,
        lambda text: text[:-5],
        lambda text: "",
    ],
)  # fmt: skip
def test_whatever_is_wrong_the_answer_is_the_same_fault(bus: Esb, http: httpx.Client, change: Change) -> None:
    changed = change(GOOD)
    assert changed != GOOD
    assert_fault(post(http, changed.encode()))
    assert bus.messages == []
    assert len(bus.refused) == 1


def test_without_a_charset_it_takes_ascii_only(bus: Esb, http: httpx.Client) -> None:
    content = GOOD.replace("Replaced lamp", "Peña").encode()
    assert_fault(post(http, content))
    assert_fault(post(http, content, **{"Content-Type": "application/xml"}))
    assert post(http, content, **{"Content-Type": "text/xml; charset=utf-8"}).status_code == 200
    assert post(http, message(details="Peña")).status_code == 200
    assert [message.fields["activity_details"] for message in bus.messages] == ["Peña", "Peña"]


@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(details=XML_TEXT)
def test_any_text_that_xml_can_hold_arrives_as_it_was(bus: Esb, http: httpx.Client, details: str) -> None:
    assert post(http, message(details=details)).status_code == 200
    assert bus.messages[-1].fields["activity_details"] == details


def test_a_duplicate_is_taken_and_reported(bus: Esb, http: httpx.Client) -> None:
    for details in ("one", "two"):
        assert post(http, message(details=details)).status_code == 200
    assert post(http, message(code="OTHER001")).status_code == 200
    assert bus.snapshot()["duplicates"] == [VALUES["record_id"]]
    assert bus.snapshot()["accepted"] == 3


def test_double_escaping_is_noticed(bus: Esb, http: httpx.Client) -> None:
    post(http, message(details="a &lt; b"))
    assert bus.snapshot()["double_escaped"] == [VALUES["record_id"]]


def test_closed_duplicate_breaks_311(bus: Esb, http: httpx.Client) -> None:
    assert_fault(post(http, message(status_code="closed_duplicate")))
    bus.set_options({"closed_duplicate": "corrupt"})
    assert post(http, message(status_code="closed_duplicate")).status_code == 200
    assert bus.snapshot()["downstream"][VALUES["sr_number"]][0]["status"] == "?"


# Its moods


@pytest.mark.parametrize(
    ("options", "statuses", "accepted"),
    [
        ({"fault_next": 2}, [500, 500, 200], 1),
        ({"fault_next": -1}, [500, 500, 500], 0),
        ({"poisonous": (VALUES["record_id"],)}, [500, 500, 500], 0),
        ({"fault_after_accepting": 1}, [500, 200, 200], 3),
        ({"error_page_after_accepting": 2}, [500, 500, 200], 3),
        ({"unavailable_next": 1}, [503, 200, 200], 2),
        ({"forbidden": 403}, [403, 403, 403], 0),
        ({"success": "empty"}, [202, 202, 202], 3),
        ({"success": "prefixed"}, [200, 200, 200], 3),
        ({"fault_in_200": True, "fault_next": 1}, [200, 200, 200], 2),
        ({"soap_action_required": True}, [500, 500, 500], 0),
    ],
)
def test_switches(
    bus: Esb, http: httpx.Client, options: dict[str, Any], statuses: list[int], accepted: int
) -> None:
    bus.set_options(options)
    assert [post(http).status_code for _ in range(3)] == statuses
    assert len(bus.messages) == accepted


def test_an_answer_may_come_byte_by_byte(bus: Esb, http: httpx.Client) -> None:
    bus.set_options({"drip_s": 0.0005})
    assert etree.fromstring(post(http).content).find(".//{*}submitKnackResponse") is not None


@pytest.mark.parametrize(("status", "words"), [(502, "gateway"), (503, "gateway"), (403, "Forbidden")])
def test_injected_statuses_come_in_the_words_of_whoever_says_them(
    bus: Esb, http: httpx.Client, running: Sandbox, status: int, words: str
) -> None:
    running.arm(Fault(vendor="esb", kind=FaultKind.STATUS, status=status))
    answer = post(http)
    assert answer.status_code == status
    assert words in answer.text
    running.arm(Fault(vendor="esb", kind=FaultKind.STATUS, status=500))
    assert_fault(post(http))


def test_what_is_taken_and_not_answered_is_there(bus: Esb, http: httpx.Client, running: Sandbox) -> None:
    running.arm(Fault(vendor="esb", kind=FaultKind.LOSE_ANSWER, operation="submit"))
    with pytest.raises(httpx.TransportError):
        post(http)
    assert len(bus.messages) == 1


def test_later_systems_may_see_things_in_another_order_and_twice(bus: Esb, http: httpx.Client) -> None:
    for code in ("FIRST001", "SECOND01"):
        post(http, message(code=code))
    bus.set_options({"downstream_reorders": True, "downstream_doubles": True})
    codes = [seen["code"] for seen in bus.snapshot()["downstream"][VALUES["sr_number"]]]
    assert codes == ["SECOND01", "SECOND01", "FIRST001", "FIRST001"]


# Alerts


def test_an_alert_is_kept_and_a_token_asked_for(bus: Esb, running: Sandbox) -> None:
    trust = ssl.create_default_context(cafile=str(running.ca_bundle))
    alerts = running.vendor("alerts")
    with httpx.Client(base_url=running.url("alerts"), verify=trust, trust_env=False) as client:
        assert client.post("/hook", json={"text": "look"}).text == "ok"
        assert client.post("/hook", json={"words": "look"}).status_code == 400
        alerts.set_options({"token": "sandbox-alert-token"})
        assert client.post("/hook", json={"text": "no"}).status_code == 401
        told = client.post(
            "/hook", json={"text": "yes"}, headers={"Authorization": "Bearer sandbox-alert-token"}
        )
        assert told.status_code == 200
    assert alerts.texts == ["look", "yes"]
    assert len(running.effects.entries(kind="alert_received")) == 2
