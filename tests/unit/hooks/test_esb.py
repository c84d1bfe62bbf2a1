"""The bus's client: whom it trusts, what it does with a certificate it cannot use, and answers of other shapes."""

from __future__ import annotations

import tempfile
import time
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
from interchange.errors import OutcomeUnknown, RateLimited, Refused, RemoteError, SettingsError, Unavailable
from interchange.hooks.esb import LARGEST_ANSWER, EsbHook, Faulted, fault_in
from interchange.hooks.http import ATTEMPTS
from interchange.settings.files import templates_dir
from tests.unit.core.test_esb_message import VALUES
from tests.unit.vendors import Connections, Waits, arm, calls, statuses

MESSAGE = build_message(VALUES, load_template(templates_dir()))
SOAP = b'xmlns:e="http://schemas.xmlsoap.org/soap/envelope/"'


@pytest.fixture
def hook(airflow: Connections, waits: Waits) -> Iterator[EsbHook]:
    made = EsbHook(pause=waits)
    yield made
    made.close()


def answers(
    sandbox: Sandbox, monkeypatch: pytest.MonkeyPatch, body: bytes, status: int = 200, **headers: str
) -> None:
    """Whatever is posted, the bus says this."""
    monkeypatch.setattr(
        sandbox.vendor("esb"),
        "_submit",
        lambda request, content: Response(status=status, body=body, headers=list(headers.items())),
    )


def accepted(sandbox: Sandbox) -> int:
    return len(sandbox.vendor("esb").messages)


def locked(sandbox: Sandbox, passphrase: bytes) -> str:
    key = load_pem_private_key(sandbox.authority.client("esb").key.read_bytes(), password=None)
    return key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, BestAvailableEncryption(passphrase)).decode()


# Answers


@pytest.mark.parametrize(
    "body", [b"", b"  \n", b"<ok/>", b"\xef\xbb\xbf<?xml version='1.0'?><ok/>", b"received <ok/>"]
)
@pytest.mark.parametrize("status", [200, 201, 202])
def test_any_success_that_is_no_web_page_is_one(
    status: int, body: bytes, hook: EsbHook, sandbox: Sandbox, monkeypatch: pytest.MonkeyPatch
):
    answers(sandbox, monkeypatch, body, status)
    assert hook.submit(MESSAGE).status == status


@pytest.mark.parametrize(
    ("status", "body"),
    [
        (200, b"<html><body>Sign in</body></html>"),
        (200, b'<?xml version="1.0"?><html xmlns="http://www.w3.org/1999/xhtml"><body/></html>'),
        (200, b"<!DOCTYPE HTML><HTML><br></HTML>"),
        (200, b"<HTML/>"),
        (200, b'{"ok": true}'),
        (200, b"OK"),
        (202, b"<envelope>"),
        (500, b""),
        (500, b"<html/>"),
        (500, b"<error>Jane Doe</error>"),
        (502, b""),
        (504, b"<html/>"),
    ],
)
def test_an_answer_that_does_not_tell_is_unclear(
    status: int,
    body: bytes,
    hook: EsbHook,
    sandbox: Sandbox,
    monkeypatch: pytest.MonkeyPatch,
    waits: Waits,
):
    answers(sandbox, monkeypatch, body, status)
    with pytest.raises(OutcomeUnknown) as raised:
        hook.submit(MESSAGE)
    assert raised.value.status == status
    assert "Jane" not in str(raised.value)
    assert (statuses(sandbox, "submit"), waits) == ([status], [])


def test_an_answer_without_end_is_unclear(hook: EsbHook, sandbox: Sandbox, monkeypatch: pytest.MonkeyPatch):
    answers(sandbox, monkeypatch, b"<a>" + b" " * LARGEST_ANSWER)
    with pytest.raises(OutcomeUnknown, match="larger than"):
        hook.submit(MESSAGE)


@pytest.mark.parametrize("status", [400, 406, 409, 413, 415, 422])
def test_a_front_that_refuses_the_message_speaks_for_the_bus(
    status: int, hook: EsbHook, sandbox: Sandbox, monkeypatch: pytest.MonkeyPatch
):
    answers(sandbox, monkeypatch, b"<html>Jane Doe</html>", status, **{"X-Request-Id": "request-7"})
    with pytest.raises(Faulted, match=r"fault \(HTTP \d+, request request-7\)$") as raised:
        hook.submit(MESSAGE)
    assert (raised.value.status, raised.value.request_id, raised.value.code) == (status, "request-7", "")


@pytest.mark.parametrize("status", [400, 500])
def test_where_faults_are_no_proof_every_refusal_is_unclear(
    status: int, airflow: Connections, sandbox: Sandbox, monkeypatch: pytest.MonkeyPatch
):
    airflow.change("esb_default", extra={"fault_means": "unknown"})
    answers(
        sandbox, monkeypatch, b"<e:Envelope " + SOAP + b"><e:Body><e:Fault/></e:Body></e:Envelope>", status
    )
    with pytest.raises(OutcomeUnknown):
        EsbHook().submit(MESSAGE)


@pytest.mark.parametrize("status", [404, 410, 301, 401, 403])
def test_a_wrong_address_or_right_is_for_a_person(
    status: int, hook: EsbHook, sandbox: Sandbox, monkeypatch: pytest.MonkeyPatch
):
    answers(sandbox, monkeypatch, b"", status, Location="https://elsewhere.example/csr")
    with pytest.raises(Refused):
        hook.submit(MESSAGE)
    assert statuses(sandbox, "submit") == [status]


def test_a_fault_in_a_fault_code_is_short_and_reads_no_files(tmp_path: Path):
    (tmp_path / "secret").write_text("secret words")
    fault = b"<e:Fault " + SOAP + b"><faultcode>%s</faultcode></e:Fault>"  # without any envelope
    entity = f'<!DOCTYPE a [<!ENTITY x SYSTEM "{tmp_path}/secret">]>'.encode()
    assert fault_in(entity + fault % b"&x;") == "no code"
    assert fault_in(fault % (b"a:" + b"Client." * 50)) == ("Client." * 50)[:40]
    assert fault_in(fault % b" e:Client ") == "Client"


def test_an_answer_that_swells_is_not_unpacked():
    """Ten times ten times ten … of a word."""
    levels = "".join(f'<!ENTITY a{n} "{f"&a{n - 1};" * 10}">' for n in range(1, 10))
    bomb = f'<!DOCTYPE a [<!ENTITY a0 "word">{levels}]><a>&a9;</a>'.encode()
    started = time.monotonic()
    assert fault_in(bomb) is None
    assert time.monotonic() - started < 2


# What is repeated, and what is not


def test_before_a_connection_is_made_it_is_tried_again_and_taken_once(airflow: Connections, sandbox: Sandbox):
    """Defect A8: a connection that could not be made was never tried again."""
    arm(sandbox, "esb", "refuse", seconds=60)
    waited: list[float] = []

    def pause(seconds: float) -> None:
        waited.append(seconds)
        sandbox.end_refusals()

    EsbHook(pause=pause).submit(MESSAGE)
    assert (accepted(sandbox), waited) == (1, [0.5])


def test_a_port_that_stays_closed_is_given_up(hook: EsbHook, sandbox: Sandbox, waits: Waits):
    arm(sandbox, "esb", "refuse", seconds=60)
    with pytest.raises(Unavailable, match="no connection could be made"):
        hook.submit(MESSAGE)
    assert len(waits) == ATTEMPTS - 1
    assert not calls(sandbox, "submit")


@pytest.mark.parametrize(("retry_after", "kind"), [(None, Unavailable), ("90", RateLimited)])
def test_a_look_finds_a_gateway_without_a_bus(
    retry_after: str | None, kind: type[RemoteError], hook: EsbHook, sandbox: Sandbox
):
    """At no cost: of a message, the same answer would leave it open whether it was taken."""
    arm(sandbox, "esb", "status", operation="look", status=503, retry_after=retry_after, times=ATTEMPTS)
    with pytest.raises(kind):
        hook.probe()
    assert not calls(sandbox, "submit")


@pytest.mark.parametrize("kind", ["reset", "lose_answer", "truncate"])
def test_a_look_that_fails_is_never_unclear(kind: str, hook: EsbHook, sandbox: Sandbox):
    arm(sandbox, "esb", kind, operation="look", times=ATTEMPTS)
    with pytest.raises(Unavailable):
        hook.probe()
    assert not sandbox.effects.entries()


@pytest.mark.parametrize("status", [200, 400, 405, 415, 500, 501])
def test_whatever_a_bus_says_to_a_look_it_is_there(
    status: int, hook: EsbHook, sandbox: Sandbox, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr(sandbox.vendor("esb"), "_refused", lambda request: Response(status=status))
    assert hook.test_connection() == (
        True,
        f"The bus answers (HTTP {status} to a GET; nothing was submitted)",
    )
    assert not calls(sandbox, "submit")


def test_the_time_to_wait_for_an_answer_is_the_connections(airflow: Connections, sandbox: Sandbox):
    airflow.change("esb_default", extra={"timeout_s": "0.2"})
    arm(sandbox, "esb", "slow", operation="submit", seconds=1.5)
    started = time.monotonic()
    with pytest.raises(OutcomeUnknown, match="no answer in time"):
        EsbHook().submit(MESSAGE)
    assert time.monotonic() - started < 1.2
    assert accepted(sandbox) == 1


@pytest.mark.parametrize("value", ["nan", "inf", 601, -0.1, [3], "30 s"])
def test_a_time_that_is_none_is_named(value: Any, airflow: Connections):
    airflow.change("esb_default", extra={"timeout_s": value})
    with pytest.raises(SettingsError, match="esb_default: extra 'timeout_s' must be seconds"):
        _ = EsbHook().timeout_s


@pytest.mark.parametrize("action", ["urn:submit", '"urn:submit"'])
def test_an_action_is_quoted_once(action: str, airflow: Connections, sandbox: Sandbox):
    airflow.change("esb_default", extra={"soap_action": action})
    EsbHook().submit(MESSAGE)
    assert calls(sandbox, "submit")[0]["headers"]["SOAPAction"] == '"urn:submit"'


# Our certificate


@pytest.mark.parametrize("passphrase", ["wrong", "", None])
def test_a_key_that_does_not_open_is_named_and_nobody_is_asked(
    passphrase: str | None, airflow: Connections, sandbox: Sandbox
):
    airflow.change("esb_default", password=passphrase, extra={"client_key": locked(sandbox, b"right")})
    with pytest.raises(SettingsError, match="does the password fit the key"):
        EsbHook().submit(MESSAGE)
    assert not calls(sandbox, "submit", "handshake")


def test_without_its_certificate_nothing_is_ever_sent(airflow: Connections, sandbox: Sandbox):
    """Not by the second call either, with the session that the first one had begun."""
    airflow.change("esb_default", extra={"client_key": "/no/such/file"})
    hook = EsbHook()
    for _ in range(3):
        with pytest.raises(SettingsError, match="cannot be used"):
            hook.submit(MESSAGE)
    assert not calls(sandbox, "submit", "handshake")


@pytest.mark.parametrize("usable", [True, False])
def test_no_key_stays_on_the_disk(
    usable: bool, airflow: Connections, sandbox: Sandbox, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
):
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    issued = sandbox.authority.client("esb")
    key = issued.key.read_text() if usable else "-----BEGIN PRIVATE KEY-----\nnonsense"
    airflow.change(
        "esb_default", extra={"client_certificate": issued.certificate.read_text(), "client_key": key}
    )
    worked, _ = EsbHook().test_connection()
    assert worked is usable
    assert not list(tmp_path.iterdir())


def test_a_message_without_a_certificate_is_not_taken(airflow: Connections, sandbox: Sandbox, waits: Waits):
    airflow.change("esb_default", extra={"client_certificate": None, "client_key": None})
    with pytest.raises(RemoteError) as raised:
        EsbHook(pause=waits).submit(MESSAGE)
    assert not isinstance(raised.value, Faulted)
    assert accepted(sandbox) == 0


# Whom we trust


@pytest.fixture
def other_bundle(tmp_path: Path) -> Path:
    """Another private authority: it has signed none of the sandbox's certificates."""
    return Authority(tmp_path / "other").bundle


@pytest.mark.parametrize("variable", ["SSL_CERT_FILE", "REQUESTS_CA_BUNDLE", "CURL_CA_BUNDLE"])
def test_only_the_connections_authority_proves_the_bus(
    variable: str,
    airflow: Connections,
    sandbox: Sandbox,
    other_bundle: Path,
    monkeypatch: pytest.MonkeyPatch,
):
    """Neither the environment's nor the system's is trusted beside it."""
    airflow.change("esb_default", extra={"ca_bundle": str(other_bundle)})
    monkeypatch.setenv(variable, str(sandbox.ca_bundle))
    with pytest.raises(Refused, match="certificate is not trusted"):
        EsbHook().submit(MESSAGE)
    assert not calls(sandbox, "submit")


def test_without_a_bundle_the_usual_authorities_count(airflow: Connections, sandbox: Sandbox):
    airflow.change("esb_default", extra={"ca_bundle": None})
    with pytest.raises(Refused, match="certificate is not trusted"):
        EsbHook().submit(MESSAGE)
    assert not calls(sandbox, "submit")


def test_a_message_never_goes_in_clear(airflow: Connections, sandbox: Sandbox):
    """A host without a scheme is spoken to by TLS."""
    airflow.change("esb_default", host=sandbox.url("esb").removeprefix("https://") + "/csr")
    EsbHook().submit(MESSAGE)
    assert accepted(sandbox) == 1
