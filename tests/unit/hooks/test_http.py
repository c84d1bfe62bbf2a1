"""One HTTP layer for all vendors: what is sent, what is repeated, and what a failure means."""

from __future__ import annotations

import contextlib
import datetime as dt
import email.utils
import functools
import logging
import traceback
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import requests

from include.sandbox.certificates import Authority
from include.sandbox.core import Sandbox
from include.sandbox.wire import Response, answer_html, answer_json
from interchange.errors import (
    Conflict,
    NotFound,
    OutcomeUnknown,
    RateLimited,
    Refused,
    RemoteError,
    SettingsError,
    Unavailable,
)
from interchange.hooks.answers import LARGEST_ANSWER, network_error, parse_retry_after
from interchange.hooks.http import ATTEMPTS, LONGEST_WAIT_S
from interchange.ledger import Ledger
from interchange.ledger.limits import RateLimiter
from tests.unit.vendors import Connections, OddHook, Waits, arm, calls, effects, statuses


@pytest.fixture
def hook(airflow: Connections, waits: Waits) -> Iterator[OddHook]:
    made = OddHook(pause=waits)
    yield made
    made.close()


def answers(sandbox: Sandbox, answer: Response | Callable[[], Response], name: str = "one") -> None:
    sandbox.vendor("odd").answers[name] = answer


# What is sent


def test_extras_never_become_headers(airflow: Connections, sandbox: Sandbox, hook: OddHook):
    airflow.change(
        "odd_default",
        login="somebody",
        password="somebodys-password",
        extra={"X-Evil": "1", "private_key": "-----BEGIN", "headers": {"X-Worse": "2"}, "Cookie": "a=b"},
    )
    hook.read()
    hook.write()
    allowed = {"accept", "accept-encoding", "authorization", "connection", "content-length", "content-type"}
    for entry in calls(sandbox, "read", "write"):
        assert {name.lower() for name in entry["headers"]} <= allowed | {"host", "user-agent"}
        assert entry["headers"]["Authorization"] == "Bearer …"


def test_calls_that_differ_in_their_addresses_alone_each_get_their_own(sandbox: Sandbox, hook: OddHook):
    """They are copies of one prepared request."""
    for name in ("one", "another thing", "one"):
        answers(sandbox, answer_json(200, {"name": name}), name)
    found = [hook.read(name)["name"] for name in ("one", "another thing", "one")]
    assert found == ["one", "another thing", "one"]
    entries = calls(sandbox, "read")
    assert [entry["headers"] for entry in entries] == [entries[0]["headers"]] * 3


def test_a_cookie_that_a_vendor_sets_is_brought_along(sandbox: Sandbox, hook: OddHook):
    """A load balancer's, that keeps a caller at one server."""
    answers(sandbox, Response(body=b"{}", headers=[("Set-Cookie", "node=7; Path=/")]))
    hook.read()
    hook.read()
    hook.read()
    assert ["Cookie" in entry["headers"] for entry in calls(sandbox, "read")] == [False, True, True]


def test_a_netrc_file_adds_no_credential(
    sandbox: Sandbox, hook: OddHook, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    netrc = tmp_path / "netrc"
    netrc.write_text("default login somebody password somebodys-password\n")
    netrc.chmod(0o600)
    monkeypatch.setenv("NETRC", str(netrc))
    hook.read(authorized=False)
    assert "Authorization" not in calls(sandbox, "read")[0]["headers"]


def test_a_host_without_a_scheme_is_spoken_to_by_tls(airflow: Connections, sandbox: Sandbox, waits: Waits):
    airflow.change("odd_default", host=sandbox.url("odd").removeprefix("https://"))
    assert OddHook(pause=waits).read() == {"ok": True}


@pytest.mark.parametrize(
    ("host", "port", "base"),
    [
        ("https://vendor.example", None, "https://vendor.example"),
        ("https://vendor.example", 8443, "https://vendor.example:8443"),
        # As people fill it in for the Test button; addresses the vendor gives have no such port.
        ("https://vendor.example", 443, "https://vendor.example"),
        ("vendor.example", 443, "https://vendor.example"),
        ("https://vendor.example:8443/v1/", 443, "https://vendor.example:8443/v1"),
        ("https://vendor.example:8443", 8443, "https://vendor.example:8443"),
        # Beside an address with a path, it stands before the path.
        ("https://vendor.example/v1/csr", 8443, "https://vendor.example:8443/v1/csr"),
        ("vendor.example/v1/", 8443, "https://vendor.example:8443/v1"),
        ("https://vendor.example/v1", 443, "https://vendor.example/v1"),
        ("https://vendor.example/", 8443, "https://vendor.example:8443"),
    ],
)
def test_a_port_is_in_the_address_once(airflow: Connections, host: str, port: int | None, base: str):
    airflow.change("odd_default", host=host, port=port)
    assert OddHook().base == base


def test_a_port_that_is_no_number_is_a_setting_to_correct(airflow: Connections):
    airflow.change("odd_default", host="https://vendor.example:port")
    with pytest.raises(SettingsError, match="odd_default: the port in host"):
        OddHook().read()


@pytest.mark.parametrize("token", ["odd-secret-token\n", "odd-secret-tok\u201cen", "odd-secret\r\nX-Evil: 1"])
def test_a_token_that_no_header_can_carry_is_a_setting_to_correct(
    token: str, airflow: Connections, sandbox: Sandbox, waits: Waits
):
    """Pasted with its line break, a write with it never leaves: no person need look for its effect."""
    airflow.change("odd_default", extra={"token": token})
    with pytest.raises(SettingsError, match=r"odd_default: .* header Authorization") as raised:
        OddHook(pause=waits).write()
    assert "odd-secret" not in "".join(traceback.format_exception(raised.value))
    assert not calls(sandbox, "write")


# Whom we trust


@pytest.fixture
def other_bundle(tmp_path: Path) -> Path:
    """Another private authority: it has signed none of the sandbox's certificates."""
    return Authority(tmp_path / "other").bundle


@pytest.mark.parametrize("variable", ["REQUESTS_CA_BUNDLE", "CURL_CA_BUNDLE"])
def test_the_environment_does_not_replace_the_connections_authority(
    variable: str, hook: OddHook, other_bundle: Path, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setenv(variable, str(other_bundle))
    assert hook.read() == {"ok": True}


def test_a_server_that_our_authority_did_not_sign_is_refused(
    airflow: Connections, sandbox: Sandbox, waits: Waits, other_bundle: Path
):
    airflow.change("odd_default", extra={"ca_bundle": str(other_bundle)})
    with pytest.raises(Refused, match="certificate is not trusted: check host and extra 'ca_bundle'"):
        OddHook(pause=waits).write()
    assert not waits
    assert not calls(sandbox, "write")


@pytest.mark.parametrize("name", ["verify", "verify_ssl", "ssl_verify", "check_hostname", "insecure"])
@pytest.mark.parametrize("value", [False, "false"])
def test_no_extra_switches_verification_off(
    name: str, value: object, airflow: Connections, sandbox: Sandbox, waits: Waits
):
    airflow.change("odd_default", extra={"ca_bundle": None, name: value})
    with pytest.raises(Refused, match="not trusted"):
        OddHook(pause=waits).read()
    assert not calls(sandbox, "read")


@pytest.mark.parametrize("value", [False, 0, ""])
def test_an_empty_bundle_means_the_systems_authorities(value: object, airflow: Connections, waits: Waits):
    airflow.change("odd_default", extra={"ca_bundle": value})
    with pytest.raises(Refused, match="not trusted"):
        OddHook(pause=waits).read()


@pytest.mark.parametrize("value", [True, "False", "/nowhere/ca.pem", "/"])
def test_a_bundle_that_is_no_file_is_named(value: object, airflow: Connections, waits: Waits):
    airflow.change("odd_default", extra={"ca_bundle": value})
    with pytest.raises(SettingsError, match="odd_default: extra 'ca_bundle' must be the path of a file"):
        OddHook(pause=waits).write()


def test_a_bundle_without_certificates_is_named(
    airflow: Connections, sandbox: Sandbox, waits: Waits, tmp_path: Path
):
    (tmp_path / "ca.pem").write_text("nothing")
    airflow.change("odd_default", extra={"ca_bundle": str(tmp_path / "ca.pem")})
    with pytest.raises(SettingsError, match="ca_bundle"):
        OddHook(pause=waits).write()
    assert not calls(sandbox, "write")


# What is repeated, and what is not

BROKEN_READS = [
    {"kind": "reset"},
    {"kind": "lose_answer"},
    {"kind": "truncate"},
    {"kind": "status", "status": 500},
    {"kind": "status", "status": 503},
    {"kind": "status", "status": 520},
    {"kind": "html", "status": 502},
]
UNCLEAR_WRITES = [
    *BROKEN_READS,
    {"kind": "status_after", "status": 503, "retry_after": "1"},
    {"kind": "status_after", "status": 504},
    {"kind": "status", "status": 408},
    {"kind": "html", "status": 200},
]


def name_of(fault: dict[str, Any]) -> str:
    return "-".join(str(value) for value in fault.values())


@pytest.mark.parametrize("fault", BROKEN_READS, ids=name_of)
def test_a_read_is_tried_again(fault: dict[str, Any], sandbox: Sandbox, hook: OddHook, waits: Waits):
    arm(sandbox, "odd", operation="read", times=ATTEMPTS - 1, **fault)
    assert hook.read() == {"ok": True}
    assert len(calls(sandbox, "read")) == ATTEMPTS
    assert waits == [0.5, 1.0, 2.0]


@pytest.mark.parametrize("fault", BROKEN_READS, ids=name_of)
def test_a_read_is_given_up_in_the_end(fault: dict[str, Any], sandbox: Sandbox, hook: OddHook, waits: Waits):
    arm(sandbox, "odd", operation="read", times=ATTEMPTS, **fault)
    with pytest.raises(Unavailable, match=r"^odd\.read: "):
        hook.read()
    assert len(calls(sandbox, "read")) == ATTEMPTS


@pytest.mark.parametrize("fault", UNCLEAR_WRITES, ids=name_of)
def test_a_write_of_unclear_outcome_is_never_repeated(
    fault: dict[str, Any], sandbox: Sandbox, hook: OddHook, waits: Waits
):
    arm(sandbox, "odd", operation="write", **fault)
    with pytest.raises(OutcomeUnknown, match=r"^odd\.write: "):
        hook.write()
    assert len(calls(sandbox, "write")) == 1
    assert not waits


def test_a_write_that_was_refused_a_connection_is_repeated(airflow: Connections, sandbox: Sandbox):
    """Before the first byte has left, nothing can have happened."""
    arm(sandbox, "odd", "refuse", seconds=60)
    waited: list[float] = []

    def pause(seconds: float) -> None:
        waited.append(seconds)
        if len(waited) == 2:
            sandbox.end_refusals()

    assert OddHook(pause=pause).write() == {"ok": True}
    assert waited == [0.5, 1.0]
    assert len(effects(sandbox, "written")) == 1


def test_a_closed_port_is_unavailable(sandbox: Sandbox, hook: OddHook, waits: Waits):
    arm(sandbox, "odd", "refuse", seconds=60)
    with pytest.raises(Unavailable, match="no connection could be made"):
        hook.write()
    assert len(waits) == ATTEMPTS - 1


def test_a_certificate_that_nobody_trusts_is_for_a_person(sandbox: Sandbox, hook: OddHook, waits: Waits):
    """And it passes, like everything: then the next try is well."""
    arm(sandbox, "odd", "bad_certificate", seconds=60)
    with pytest.raises(Refused, match="the server's certificate is not trusted"):
        hook.write()
    assert not waits
    sandbox.end_refusals()
    assert hook.write() == {"ok": True}
    assert len(effects(sandbox, "written")) == 1


def test_a_connection_that_is_not_there_is_for_a_person(airflow: Connections):
    with pytest.raises(SettingsError, match=r"there is no connection elsewhere; create it \(type odd\)"):
        OddHook("elsewhere").write()


def test_a_closed_proxy_is_unavailable(
    sandbox: Sandbox, hook: OddHook, waits: Waits, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setenv("HTTPS_PROXY", "http://127.0.0.1:9")
    monkeypatch.setenv("NO_PROXY", "")
    monkeypatch.setenv("no_proxy", "")
    with pytest.raises(Unavailable, match="no connection could be made"):
        hook.write()
    assert not calls(sandbox, "write")


def test_a_stalled_read_ends_at_its_time_limit(sandbox: Sandbox, hook: OddHook, waits: Waits):
    arm(sandbox, "odd", "stall", seconds=30, operation="read", times=ATTEMPTS)
    with pytest.raises(Unavailable, match="no answer in time"):
        hook.read(timeout_s=0.2)
    assert len(calls(sandbox, "read")) == ATTEMPTS


def test_a_stalled_write_is_of_unclear_outcome(sandbox: Sandbox, hook: OddHook):
    arm(sandbox, "odd", "slow", seconds=30, operation="write")
    with pytest.raises(OutcomeUnknown, match="no answer in time"):
        hook.write(timeout_s=0.2)
    assert len(effects(sandbox, "written")) == 1


# Retry-After


def test_seconds_to_wait_are_waited(sandbox: Sandbox, hook: OddHook, waits: Waits):
    arm(sandbox, "odd", "status", status=429, retry_after="3", operation="write", times=2)
    assert hook.write() == {"ok": True}, "a 429 says that nothing was done"
    assert waits == [3.0, 3.0]
    assert len(effects(sandbox, "written")) == 1


def test_a_date_to_wait_for_is_waited_for(sandbox: Sandbox, hook: OddHook, waits: Waits):
    until = email.utils.format_datetime(dt.datetime.now(dt.UTC) + dt.timedelta(seconds=15), usegmt=True)
    arm(sandbox, "odd", "status", status=503, retry_after=until, operation="read")
    assert hook.read() == {"ok": True}
    assert 10 < waits[0] <= 15


@pytest.mark.parametrize(("retry_after", "expected_s"), [("21", 21.0), ("3600", 3600.0), (None, 30.0)])
def test_a_long_wait_gives_the_worker_back(
    retry_after: str | None, expected_s: float, sandbox: Sandbox, hook: OddHook, waits: Waits
):
    arm(sandbox, "odd", "status", status=429, retry_after=retry_after, operation="read", times=9)
    with pytest.raises(RateLimited) as raised:
        hook.read()
    assert raised.value.retry_after_s == expected_s > LONGEST_WAIT_S
    assert not waits
    assert len(calls(sandbox, "read")) == 1


NOW = dt.datetime(2026, 11, 22, 10, tzinfo=dt.UTC)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("7", 7.0),
        (" 7 ", 7.0),
        ("Sun, 22 Nov 2026 10:00:30 GMT", 30.0),
        ("Sunday, 22-Nov-26 10:00:30 GMT", 30.0),
        ("Sun Nov 22 10:00:30 2026", 30.0),
        ("Sun, 22 Nov 2026 09:00:00 GMT", 0.0),
        ("soon", None),
        ("-5", None),
        ("1.5", None),
        ("", None),
        (None, None),
    ],
)
def test_retry_after_is_read_in_all_its_forms(text: str | None, expected: float | None):
    assert parse_retry_after(text, now=NOW.timestamp) == expected


# Answers that are none


@pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
def test_a_redirect_is_not_followed(status: int, sandbox: Sandbox, hook: OddHook):
    elsewhere = sandbox.url("modo") + "/api/v1/messages/personal/"
    answers(sandbox, lambda: Response(status=status, headers=[("Location", elsewhere)]))
    with pytest.raises(Refused, match="redirect: check the connection's host and paths"):
        hook.write()
    with pytest.raises(Refused, match="redirect"):
        hook.read()
    assert [entry["vendor"] for entry in sandbox.requests.entries()] == ["odd", "odd"]


def test_a_credential_goes_to_its_own_host_only(sandbox: Sandbox, hook: OddHook):
    """As when a list's next page pointed elsewhere."""
    own = sandbox.url("odd").removeprefix("https://")
    for address in (
        f"{sandbox.url('modo')}/things/one",
        f"https://{own}@127.0.0.1/things/one",
        f"https://evil.{own}/things/one",
        f"http://{own}/things/one",
    ):
        with pytest.raises(Refused, match="leads to another host: no credential is sent there"):
            hook.call("odd.read", "GET", address, repeatable=True)
    assert not sandbox.requests.entries()
    hook.call("odd.read", "GET", f"{sandbox.url('odd')}/things/one", repeatable=True)
    assert len(calls(sandbox, "read")) == 1


def test_an_endless_answer_is_cut_off(sandbox: Sandbox, hook: OddHook, waits: Waits):
    answers(sandbox, lambda: Response(body=(b" " * (1 << 20) for _ in range(50))))
    with pytest.raises(Refused, match=f"larger than {LARGEST_ANSWER} bytes"):
        hook.read()
    with pytest.raises(OutcomeUnknown, match="larger than"):
        hook.write()
    assert not waits


@pytest.mark.parametrize(("size", "fits"), [(1000, True), (1001, False), (9 << 20, True)])
def test_how_large_an_answer_may_be_is_the_calls_own(
    size: int, fits: bool, sandbox: Sandbox, hook: OddHook, waits: Waits
):
    """Less or more than usual."""
    answers(sandbox, lambda: Response(body=b"x" * size))
    largest = size if fits else size - 1
    call = functools.partial(hook.call, "odd.read", "GET", "/things/one", largest=largest)
    if fits:
        assert len(call(repeatable=True).content) == size
        return
    with pytest.raises(Refused, match=f"larger than {largest} bytes"):
        call(repeatable=True)
    with pytest.raises(OutcomeUnknown, match=f"larger than {largest} bytes"):
        call(repeatable=False)
    assert not waits


@pytest.mark.parametrize(
    "answer", [answer_html(200), answer_json(200, [1]), Response(), Response(status=204)]
)
def test_an_answer_that_is_no_object_is_none(answer: Response, sandbox: Sandbox, hook: OddHook):
    answers(sandbox, lambda: Response(status=answer.status, body=answer.body, headers=list(answer.headers)))
    with pytest.raises(Unavailable, match="not a JSON object"):
        hook.read()
    with pytest.raises(OutcomeUnknown, match="not a JSON object"):
        hook.write()


def test_a_success_that_is_not_known_for_this_call_is_unclear(sandbox: Sandbox, hook: OddHook):
    answers(sandbox, lambda: answer_json(206, {"ok": True}))
    with pytest.raises(OutcomeUnknown, match="none that is known for this call"):
        hook.write()
    assert len(effects(sandbox, "written")) == 1
    with pytest.raises(Unavailable, match="none that is known for this call"):
        hook.read()


@pytest.mark.parametrize("framing", ["length", "chunked"])
def test_a_cut_body_is_noticed_however_it_is_framed(framing: str, sandbox: Sandbox, hook: OddHook):
    size = 300_000
    answers(
        sandbox,
        lambda: Response(body=iter([b"x" * 100_000] * 3), length=size if framing == "length" else None),
    )
    with hook.download("odd.read", "/things/one") as download:
        assert download.length == (size if framing == "length" else None)
        assert sum(map(len, download.chunks())) == size
    arm(sandbox, "odd", "truncate", after_bytes=150_000, operation="read")
    with hook.download("odd.read", "/things/one") as download:
        chunks = download.chunks(50_000)
        with pytest.raises(Unavailable, match=r"broke off after|were announced"):
            list(chunks)


# Errors in words


@pytest.mark.parametrize(
    ("status", "kind", "words"),
    [
        (400, Refused, "refused by the vendor"),
        (401, Refused, "check the credentials and permissions of connection odd_default"),
        (403, Refused, "check the credentials and permissions of connection odd_default"),
        (404, NotFound, "not there"),
        (409, Conflict, "exists already or has changed"),
        (410, NotFound, "not there"),
        (412, Conflict, "exists already or has changed"),
        (413, Refused, "refused by the vendor"),
        (507, Refused, "refused by the vendor"),
    ],
)
def test_an_error_says_what_to_do_and_carries_the_vendors_code(
    status: int, kind: type[RemoteError], words: str, sandbox: Sandbox, hook: OddHook, waits: Waits
):
    answers(sandbox, lambda: answer_json(status, {"code": "E_17", "message": "about Jane Doe"}))
    with pytest.raises(kind) as raised:
        hook.write()
    assert words in str(raised.value)
    assert "E_17" in str(raised.value)
    assert f"HTTP {status}" in str(raised.value)
    assert "Jane" not in str(raised.value)
    assert (raised.value.status, raised.value.code) == (status, "E_17")
    assert len(calls(sandbox, "write")) == 1
    assert not waits


def test_an_error_without_a_code_is_told_by_its_status(sandbox: Sandbox, hook: OddHook):
    for answer in (
        answer_html(400),
        answer_json(400, [1]),
        answer_json(400, {"code": None}),
        Response(status=400),
    ):
        answers(sandbox, lambda answer=answer: answer)
        with pytest.raises(Refused, match=r"refused by the vendor.* \(HTTP 400\)$"):
            hook.write()


class TalkativeHook(OddHook):
    """Its vendor speaks in plain text, counts in each answer, and asks to wait in a header of its own."""

    def __init__(self, **options: Any) -> None:
        super().__init__(**options)
        self.seen: list[int] = []

    def saw(self, response: requests.Response) -> None:
        self.seen.append(response.status_code)

    def error_text(self, text: str) -> str:
        return "quota" if text.startswith("Too much") else ""

    def asks_to_wait(self, response: requests.Response) -> float | None:
        return float(response.headers["X-Wait"]) if "X-Wait" in response.headers else None


@pytest.mark.parametrize(("text", "code"), [("Too much, Jane Doe", "quota"), ("Jane Doe", ""), ("", "")])
def test_an_error_in_plain_text_is_told_by_a_code_of_ours(
    text: str, code: str, airflow: Connections, sandbox: Sandbox
):
    answers(sandbox, lambda: Response(status=400, body=text.encode()))
    with pytest.raises(Refused) as raised:
        TalkativeHook().write()
    assert raised.value.code == code
    assert (f"({code})" if code else "vendor (HTTP") in str(raised.value)
    assert "Jane" not in str(raised.value)


def test_a_vendors_own_way_to_ask_for_a_wait_is_everybodys(
    airflow: Connections, sandbox: Sandbox, worker: Callable[..., Ledger], waits: Waits
):
    first, second = (
        TalkativeHook(pause=waits, limiter=RateLimiter(worker(name).engine)) for name in ("ann", "bob")
    )
    answers(sandbox, lambda: Response(status=429, headers=[("X-Wait", "300"), ("Retry-After", "1")]))
    for hook in (first, second):
        with pytest.raises(RateLimited) as raised:
            hook.read()
        assert 250 < raised.value.retry_after_s <= 300
    assert (first.seen, second.seen, waits) == ([429], [], [])


def test_every_answer_is_seen_and_no_failed_line(airflow: Connections, sandbox: Sandbox, waits: Waits):
    hook = TalkativeHook(pause=waits)
    for status in (500, 204, 302, 404):
        answers(sandbox, lambda status=status: Response(status=status))
        with contextlib.suppress(RemoteError):
            hook.call("odd.write", "POST", "/things/one", repeatable=False)
    arm(sandbox, "odd", "reset", operation="write")
    with pytest.raises(OutcomeUnknown):
        hook.write()
    assert hook.seen == [500, 204, 302, 404]


@pytest.mark.parametrize("body", [[], {}, {"errors": []}, [[]], 3, "text", None])
def test_a_vendors_error_of_another_shape_is_an_error_still(
    body: Any, airflow: Connections, sandbox: Sandbox
):
    class Deep(OddHook):
        def error_code(self, payload: Any) -> str:
            return str(payload["errors"][0]["code"])

    answers(sandbox, lambda: answer_json(422, body))
    with pytest.raises(Refused, match=r"refused by the vendor \(HTTP 422\)$"):
        Deep().write()


# A server that wants to know us


@pytest.mark.parametrize(
    "alert",
    [
        "BAD_CERTIFICATE",
        "UNSUPPORTED_CERTIFICATE",
        "CERTIFICATE_REVOKED",
        "CERTIFICATE_EXPIRED",
        "CERTIFICATE_UNKNOWN",
        "CERTIFICATE_REQUIRED",
        "UNKNOWN_CA",
        "ACCESS_DENIED",
        "HANDSHAKE_FAILURE",
    ],
)
@pytest.mark.parametrize("repeatable", [True, False])
def test_a_handshake_that_ends_over_our_certificate_is_for_a_person(alert: str, repeatable: bool):
    text = f"[SSL: TLSV1_ALERT_{alert}] tlsv1 alert (_ssl.c:2580)"
    for kind in (requests.exceptions.SSLError, requests.ConnectionError):
        told = network_error("odd.write", kind(text), repeatable)
        assert type(told) is Refused
        assert "client certificate" in str(told)


@pytest.mark.parametrize("text", ["[SSL: TLSV1_ALERT_INTERNAL_ERROR]", "[SSL: UNEXPECTED_EOF_WHILE_READING]"])
def test_a_handshake_that_ends_otherwise_is_not(text: str):
    assert type(network_error("odd.read", requests.exceptions.SSLError(text), True)) is Unavailable
    assert type(network_error("odd.write", requests.exceptions.SSLError(text), False)) is OutcomeUnknown


def test_a_refused_credential_is_renewed_once(airflow: Connections, sandbox: Sandbox, waits: Waits):
    airflow.change("odd_default", extra={"renewable": True})
    hook = OddHook(pause=waits)
    arm(sandbox, "odd", "status", status=401, operation="write")
    assert hook.write() == {"ok": True}
    assert statuses(sandbox, "write") == [401, 200]
    assert hook.renewals == 1
    arm(sandbox, "odd", "status", status=401, operation="write", times=9)
    with pytest.raises(Refused):
        hook.write()
    assert statuses(sandbox, "write") == [401, 200, 401, 401]
    assert hook.renewals == 2


def test_a_credential_that_cannot_be_renewed_is_used_once(sandbox: Sandbox, hook: OddHook):
    arm(sandbox, "odd", "status", status=401, operation="write", times=9)
    with pytest.raises(Refused):
        hook.write()
    assert statuses(sandbox, "write") == [401]


# Secrets


def test_neither_logs_nor_errors_hold_secrets_or_bodies(
    airflow: Connections,
    sandbox: Sandbox,
    hook: OddHook,
    caplog: pytest.LogCaptureFixture,
    capsys: pytest.CaptureFixture[str],
):
    """At the most talkative level, and for a URL that is itself a credential."""
    caplog.set_level(logging.DEBUG)
    secret = f"{sandbox.url('odd')}/things/one?tempauth=url-secret"
    answers(sandbox, lambda: answer_json(400, {"code": "E", "message": "body-secret"}))
    told: list[str] = []
    faults: list[dict[str, Any]] = [{}, *BROKEN_READS, {"kind": "stall", "seconds": 9}]
    for fault in faults:
        for method in ("GET", "POST"):
            if fault:
                arm(sandbox, "odd", times=ATTEMPTS, **fault)
            with pytest.raises(RemoteError) as raised:
                hook.call(
                    "odd.call",
                    method,
                    secret,
                    repeatable=method == "GET",
                    timeout_s=0.3,
                    json={"a": "body-secret"},
                )
            told.append("".join(traceback.format_exception(raised.value)))
            sandbox.clear_faults()
    arm(sandbox, "odd", "refuse", seconds=60)
    with pytest.raises(Unavailable) as unreachable:
        hook.call("odd.call", "GET", secret, repeatable=True)
    told.append("".join(traceback.format_exception(unreachable.value)))
    printed = capsys.readouterr()
    everything = "\n".join([*told, caplog.text, printed.out, printed.err])
    assert "odd.call" in everything, "something was logged"
    for word in ("url-secret", "body-secret", *airflow.secrets):
        assert word not in everything


# Shared limits


def test_calls_are_counted_for_the_whole_deployment(
    airflow: Connections, worker: Callable[..., Ledger], waits: Waits
):
    hooks = [OddHook(pause=waits, limiter=RateLimiter(worker(name).engine)) for name in ("ann", "bob")]
    for number in range(12):
        hooks[number % 2].read()
    assert 1 <= len(waits) <= 2, "ten of a hundred a minute may go at once, whoever sends them"


@pytest.mark.parametrize("status", [429, 503])
def test_a_wait_the_vendor_asks_for_is_everybodys(
    status: int, airflow: Connections, sandbox: Sandbox, worker: Callable[..., Ledger], waits: Waits
):
    first, second = (
        OddHook(pause=waits, limiter=RateLimiter(worker(name).engine)) for name in ("ann", "bob")
    )
    arm(sandbox, "odd", "status", status=status, retry_after="300", operation="read")
    with pytest.raises(RateLimited):
        first.read()
    with pytest.raises(RateLimited) as raised:
        second.write()
    assert 250 < raised.value.retry_after_s <= 300
    assert len(sandbox.requests.entries()) == 1, "no call while the vendor wants none"
    assert not waits
