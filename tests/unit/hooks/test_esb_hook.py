"""The bus's client against the simulated bus, over mutual TLS."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from cryptography.hazmat.primitives.serialization import (
    BestAvailableEncryption,
    Encoding,
    PrivateFormat,
    load_pem_private_key,
)

from include.sandbox.certificates import Authority
from include.sandbox.core import Sandbox
from include.sandbox.wire import Response
from interchange.core.esb_message import build_message, load_template
from interchange.errors import OutcomeUnknown, RateLimited, Refused, SettingsError, Unavailable
from interchange.hooks.alerts import AlertsHook
from interchange.hooks.esb import EsbHook, Faulted, fault_in
from interchange.settings.files import templates_dir
from tests.unit.core.test_esb_message import VALUES
from tests.unit.vendors import Connections, Waits, arm, calls, wait_for

MESSAGE = build_message(VALUES, load_template(templates_dir()))


@pytest.fixture
def hook(airflow: Connections, waits: Waits) -> Iterator[EsbHook]:
    made = EsbHook(pause=waits)
    yield made
    made.close()


def accepted(sandbox: Sandbox) -> int:
    return len(sandbox.vendor("esb").messages)


def posts(sandbox: Sandbox) -> list[dict[str, Any]]:
    return calls(sandbox, "submit")


def answer(sandbox: Sandbox, monkeypatch: pytest.MonkeyPatch, body: bytes, *, status: int = 200) -> None:
    """Whatever is posted, the bus says this."""
    monkeypatch.setattr(
        sandbox.vendor("esb"), "_submit", lambda request, content: Response(status=status, body=body)
    )


def test_a_message_goes_as_it_is_with_the_headers_of_always(hook: EsbHook, sandbox: Sandbox) -> None:
    assert hook.submit(MESSAGE).status == 200
    assert accepted(sandbox) == 1
    (post,) = posts(sandbox)
    assert post["headers"]["Content-Type"] == "text/xml"
    assert "SOAPAction" not in post["headers"]
    assert post["received_bytes"] == len(MESSAGE)


def test_a_soap_action_is_sent_in_quotes(hook: EsbHook, airflow: Connections, sandbox: Sandbox) -> None:
    sandbox.vendor("esb").set_options({"soap_action_required": True})
    with pytest.raises(Faulted):
        hook.submit(MESSAGE)
    airflow.change("esb_default", extra={"soap_action": "urn:submit"})
    EsbHook().submit(MESSAGE)
    assert posts(sandbox)[-1]["headers"]["SOAPAction"] == '"urn:submit"'


def test_letters_beyond_ascii_are_our_own_mistake(hook: EsbHook, sandbox: Sandbox) -> None:
    with pytest.raises(ValueError, match="ASCII"):
        hook.submit("Peña".encode())
    assert posts(sandbox) == []


@pytest.mark.parametrize("options", [{"success": "empty"}, {"success": "prefixed"}, {"drip_s": 0.0005}])
def test_every_form_of_yes(hook: EsbHook, sandbox: Sandbox, options: dict[str, Any]) -> None:
    sandbox.vendor("esb").set_options(options)
    hook.submit(MESSAGE)
    assert accepted(sandbox) == 1


SOAP_12 = (
    b'<e:Envelope xmlns:e="http://www.w3.org/2003/05/soap-envelope"><e:Body><e:Fault><e:Code><e:Value>e:Receiver'
    b"</e:Value></e:Code></e:Fault></e:Body></e:Envelope>"
)
FAULT = (
    b'<x:Envelope xmlns:x="http://schemas.xmlsoap.org/soap/envelope/"><x:Body><x:Fault><faultcode>x:Server</faultcode>'
    b"<faultstring>secret words</faultstring></x:Fault></x:Body></x:Envelope>"
)


@pytest.mark.parametrize(
    ("body", "code"),
    [
        (FAULT, "Server"),
        (SOAP_12, "Receiver"),
        (b"received\n<?xml version='1.0'?>" + FAULT, "Server"),
        (FAULT.replace(b"x:Server", b""), "no code"),
        (FAULT.replace(b"schemas.xmlsoap.org", b"elsewhere.example"), "Server"),
        (b"<r><Fault/></r>", "no code"),
        (b"<a/>", None),
        (b"", None),
        (b"<html>", None),
        (b"no xml", None),
    ],
)
def test_a_fault_is_known_by_its_meaning(body: bytes, code: str | None) -> None:
    assert fault_in(body) == code


@pytest.mark.parametrize(
    ("status", "body"), [(500, FAULT), (200, FAULT), (200, SOAP_12), (503, FAULT), (400, b""), (415, b"x")]
)
def test_what_the_bus_says_it_did_not_take_is_asked_once(
    hook: EsbHook, sandbox: Sandbox, monkeypatch: pytest.MonkeyPatch, waits: Waits, status: int, body: bytes
) -> None:
    """Defect A8: a 500 was always sent three times."""
    asked = []
    monkeypatch.setattr(
        sandbox.vendor("esb"),
        "_submit",
        lambda request, content: asked.append(1) or Response(status=status, body=body),
    )
    expected = OutcomeUnknown if status == 503 else Faulted
    with pytest.raises(expected) as caught:
        hook.submit(MESSAGE)
    assert (len(asked), waits) == (1, [])
    assert "secret" not in str(caught.value)


def test_where_faults_are_no_proof_they_are_unclear(
    hook: EsbHook, airflow: Connections, sandbox: Sandbox
) -> None:
    airflow.change("esb_default", extra={"fault_means": "unknown"})
    sandbox.vendor("esb").set_options({"fault_after_accepting": 1})
    with pytest.raises(OutcomeUnknown):
        hook.submit(MESSAGE)
    assert accepted(sandbox) == 1
    airflow.change("esb_default", extra={"fault_means": "maybe"})
    with pytest.raises(SettingsError, match="'fault_means' must be"):
        EsbHook().submit(MESSAGE)


@pytest.mark.parametrize(
    ("fault", "taken"),
    [
        ({"kind": "reset"}, 0),
        ({"kind": "stall", "seconds": 0.7}, 0),
        ({"kind": "slow", "seconds": 0.7}, 1),
        ({"kind": "lose_answer"}, 1),
        ({"kind": "truncate"}, 1),
        ({"kind": "status", "status": 502}, 0),
        ({"kind": "status", "status": 503}, 0),
        ({"kind": "status_after", "status": 503, "retry_after": "5"}, 1),
        ({"kind": "status_after", "status": 504}, 1),
        ({"kind": "html", "status": 200}, 0),
        ({"kind": "html", "status": 500}, 0),
        ({"kind": "status", "status": 408}, 0),
    ],
)
def test_no_clear_answer_means_that_nobody_knows_and_nothing_is_repeated(
    hook: EsbHook,
    sandbox: Sandbox,
    monkeypatch: pytest.MonkeyPatch,
    waits: Waits,
    fault: dict[str, Any],
    taken: int,
) -> None:
    monkeypatch.setenv("INTERCHANGE_READ_TIMEOUT_S", "0.3")
    arm(sandbox, "esb", operation="submit", **fault)
    with pytest.raises(OutcomeUnknown):
        hook.submit(MESSAGE)
    assert (len(posts(sandbox)), waits) == (1, [])
    assert accepted(sandbox) == taken


def test_without_a_connection_nothing_has_happened(hook: EsbHook, sandbox: Sandbox) -> None:
    arm(sandbox, "esb", "refuse", seconds=60)
    with pytest.raises(Unavailable):
        hook.submit(MESSAGE)
    sandbox.end_refusals()
    assert accepted(sandbox) == 0


def test_asked_to_slow_down_it_was_not_taken(hook: EsbHook, sandbox: Sandbox) -> None:
    arm(sandbox, "esb", "status", operation="submit", status=429, retry_after="90")
    with pytest.raises(RateLimited):
        hook.submit(MESSAGE)
    assert accepted(sandbox) == 0


@pytest.mark.parametrize("status", [401, 403])
def test_not_let_in_a_person_must_act(hook: EsbHook, sandbox: Sandbox, status: int) -> None:
    sandbox.vendor("esb").set_options({"forbidden": status})
    with pytest.raises(Refused, match="esb_default"):
        hook.submit(MESSAGE)


# Certificates and keys


def test_certificate_and_key_may_be_text_or_files_and_the_key_encrypted(
    airflow: Connections, sandbox: Sandbox, tmp_path: Path
) -> None:
    issued = sandbox.authority.client("esb")
    key = load_pem_private_key(issued.key.read_bytes(), password=None)
    locked = key.private_bytes(
        Encoding.PEM, PrivateFormat.PKCS8, BestAvailableEncryption(b"open sesame")
    ).decode()
    (tmp_path / "locked.pem").write_text(locked)
    before = set(Path(tempfile.gettempdir()).glob("interchange-*"))
    for changes in (
        {"client_certificate": issued.certificate.read_text(), "client_key": issued.key.read_text()},
        {"client_key": locked},
        {"client_key": str(tmp_path / "locked.pem")},
    ):
        airflow.change("esb_default", password="open sesame", extra=changes)
        EsbHook().submit(MESSAGE)
    assert accepted(sandbox) == 3
    assert set(Path(tempfile.gettempdir()).glob("interchange-*")) == before


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"client_key": None}, "'client_key' is missing"),
        (
            {"client_certificate": None, "client_key": None, "api_key": None},
            "give extra 'client_certificate'",
        ),
        ({"client_key": "/no/such/file"}, "cannot be used"),
        ({"client_key": "-----BEGIN nonsense"}, "cannot be used"),
        ({"timeout_s": "soon"}, "timeout_s"),
        ({"timeout_s": "-1"}, "timeout_s"),
    ],
)
def test_what_cannot_be_used_is_named_and_nothing_sent(
    airflow: Connections, sandbox: Sandbox, changes: dict[str, Any], words: str
) -> None:
    airflow.change("esb_default", extra=changes)
    with pytest.raises(SettingsError, match=words) as caught:
        EsbHook().submit(MESSAGE)
    assert "nonsense" not in str(caught.value)
    assert posts(sandbox) == []


def test_a_key_of_another_certificate_is_found_at_once(airflow: Connections, sandbox: Sandbox) -> None:
    airflow.change("esb_default", extra={"client_key": str(sandbox.authority.client("another").key)})
    with pytest.raises(SettingsError, match="do they belong together"):
        EsbHook().submit(MESSAGE)


@pytest.mark.parametrize("stranger", [True, False])
def test_a_certificate_that_the_bus_does_not_know_never_looks_like_a_lost_message(
    airflow: Connections, sandbox: Sandbox, waits: Waits, tmp_path: Path, stranger: bool
) -> None:
    changes: dict[str, Any] = {"client_certificate": None, "client_key": None}
    if stranger:
        issued = Authority(tmp_path).client("esb")
        changes = {"client_certificate": str(issued.certificate), "client_key": str(issued.key)}
    airflow.change("esb_default", extra=changes)
    with pytest.raises((Refused, Unavailable)):
        EsbHook(pause=waits).probe()
    # The bus notes a failed handshake after the client has heard of it.
    wait_for(lambda: bool(calls(sandbox, "handshake")))
    assert accepted(sandbox) == 0


def test_the_server_is_verified_whatever_the_environment_says(
    airflow: Connections, sandbox: Sandbox, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """Defect A5: the server's certificate was not verified."""
    monkeypatch.setenv("REQUESTS_CA_BUNDLE", str(Authority(tmp_path).bundle))
    EsbHook().submit(MESSAGE)
    airflow.change("esb_default", extra={"ca_bundle": str(Authority(tmp_path).bundle)})
    monkeypatch.setenv("REQUESTS_CA_BUNDLE", str(sandbox.ca_bundle))
    with pytest.raises(Refused, match="not trusted"):
        EsbHook().submit(MESSAGE)
    assert accepted(sandbox) == 1


def test_the_keys_header_can_be_another(airflow: Connections, sandbox: Sandbox) -> None:
    sandbox.vendor("esb").set_options({"api_key_header": "Ocp-Apim-Key"})
    airflow.change("esb_default", extra={"api_key_header": "Ocp-Apim-Key"})
    EsbHook().submit(MESSAGE)
    assert accepted(sandbox) == 1


def test_a_port_beside_an_address_with_a_path_is_put_in_its_place(
    airflow: Connections, sandbox: Sandbox
) -> None:
    base, _, rest = sandbox.url("esb").rpartition(":")
    airflow.change("esb_default", host=f"{base}/csr", port=int(rest))
    EsbHook().submit(MESSAGE)
    airflow.change("esb_default", host="", port=None)
    with pytest.raises(SettingsError, match="host"):
        EsbHook().submit(MESSAGE)


def test_the_test_button_submits_nothing(airflow: Connections, sandbox: Sandbox) -> None:
    well, words = EsbHook().test_connection()
    assert well
    assert "nothing was submitted" in words
    sandbox.vendor("esb").set_options({"api_key": "another-key-0002"})
    assert EsbHook().test_connection()[0] is False
    sandbox.vendor("esb").set_options({"api_key": ""})
    airflow.change("esb_default", host=f"{sandbox.url('esb')}/elsewhere")
    well, words = EsbHook().test_connection()
    assert not well
    assert "nothing at this address" in words
    assert sandbox.effects.entries() == []


def test_neither_log_nor_error_holds_message_or_secrets(
    hook: EsbHook, airflow: Connections, sandbox: Sandbox, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level("DEBUG")
    hook.submit(MESSAGE)
    arm(sandbox, "esb", "lose_answer", operation="submit")
    with pytest.raises(OutcomeUnknown) as caught:
        hook.submit(MESSAGE)
    for secret in (VALUES["details"], airflow.extra_of("esb_default")["api_key"]):
        assert secret not in caplog.text + str(caught.value)


# Alerts


def test_an_alert_is_shown_once(airflow: Connections, sandbox: Sandbox) -> None:
    alerts = sandbox.vendor("alerts")
    alerts.set_options({"token": "sandbox-alert-token"})
    with pytest.raises(Refused):
        AlertsHook("alerts_default").send("first")
    airflow.change("alerts_default", password="sandbox-alert-token")
    AlertsHook("alerts_default").send("second")
    arm(sandbox, "alerts", "lose_answer")
    with pytest.raises(OutcomeUnknown):
        AlertsHook("alerts_default").send("third")
    assert alerts.texts == ["second", "third"]
    airflow.change("alerts_default", host="", port=None)
    with pytest.raises(SettingsError, match="host"):
        AlertsHook("alerts_default").send("fourth")
