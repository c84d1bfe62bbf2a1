"""Every fault of the sandbox as a client meets it, and the effect it leaves behind."""

from __future__ import annotations

import errno
import socket
import ssl
import time
from collections.abc import Callable, Iterator
from typing import Any

import httpx
import pytest

from include.sandbox.core import Sandbox
from include.sandbox.faults import Fault, FaultKind
from tests.sandbox.echo import STREAM, Echo, Quiet


@pytest.fixture
def sandbox() -> Iterator[Sandbox]:
    with Sandbox([Echo, Quiet]) as running:
        yield running


@pytest.fixture
def client(sandbox: Sandbox) -> Iterator[httpx.Client]:
    trust = ssl.create_default_context(cafile=str(sandbox.ca_bundle))
    with httpx.Client(base_url=sandbox.url("echo"), verify=trust, trust_env=False, timeout=10) as opened:
        yield opened


@pytest.fixture
def arm(sandbox: Sandbox) -> Callable[..., Fault]:
    def arm(kind: FaultKind, **values: Any) -> Fault:
        fault = Fault(vendor="echo", kind=kind, **values)
        sandbox.arm(fault)
        return fault

    return arm


Arm = Callable[..., Fault]


def store(client: httpx.Client, name: str = "1") -> httpx.Response:
    return client.put(f"/things/{name}", content=b"x" * 1000)


def outcome(call: Callable[[], httpx.Response]) -> int | str:
    """The status, or the kind of failure, of one call."""
    try:
        return call().status_code
    except httpx.TransportError as exc:
        return type(exc).__name__


def collect(answer: httpx.Response, into: bytearray) -> None:
    for piece in answer.iter_raw():
        into += piece


def wait_for_port(sandbox: Sandbox, *, at_most_s: float = 5) -> None:
    url = httpx.URL(sandbox.url("echo"))
    deadline = time.monotonic() + at_most_s
    while True:
        try:
            socket.create_connection((url.host, url.port or 0), timeout=1).close()
            return
        except ConnectionRefusedError:
            assert time.monotonic() < deadline, "the port did not come back"


# Faults before anything was done


NOT_DONE = [FaultKind.RESET, FaultKind.STALL, FaultKind.STATUS, FaultKind.HTML]
DONE = [
    FaultKind.STATUS_AFTER,
    FaultKind.LOSE_ANSWER,
    FaultKind.TRUNCATE,
    FaultKind.WRONG_BYTES,
    FaultKind.SLOW,
]


@pytest.mark.parametrize("kind", NOT_DONE)
def test_these_faults_leave_the_vendor_as_it_was(
    sandbox: Sandbox, client: httpx.Client, arm: Arm, kind: FaultKind
) -> None:
    arm(kind, seconds=0.05)
    outcome(lambda: store(client))

    assert sandbox.vendor("echo").things == {}
    assert sandbox.effects.entries() == []
    assert outcome(lambda: store(client)) == 200


@pytest.mark.parametrize("kind", DONE)
def test_these_faults_come_after_the_deed(
    sandbox: Sandbox, client: httpx.Client, arm: Arm, kind: FaultKind
) -> None:
    arm(kind, seconds=0.05)
    outcome(lambda: store(client))

    assert set(sandbox.vendor("echo").things) == {"1"}
    assert len(sandbox.effects.entries()) == 1


def test_a_reset_call_ends_without_any_answer(client: httpx.Client, arm: Arm) -> None:
    arm(FaultKind.RESET)
    assert outcome(lambda: store(client)) in {"ReadError", "WriteError", "RemoteProtocolError"}


def test_the_answer_of_a_carried_out_call_is_lost(client: httpx.Client, arm: Arm) -> None:
    arm(FaultKind.LOSE_ANSWER)
    assert outcome(lambda: store(client)) in {"ReadError", "RemoteProtocolError"}


def test_a_connection_is_cut_by_a_reset_not_by_a_good_bye(sandbox: Sandbox) -> None:
    sandbox.arm(Fault(vendor="quiet", kind=FaultKind.RESET))
    url = httpx.URL(sandbox.url("quiet"))
    with socket.create_connection((url.host, url.port or 0), timeout=10) as line:
        line.sendall(b"GET / HTTP/1.1\r\nHost: x\r\n\r\n")
        with pytest.raises(ConnectionResetError):
            line.recv(100)


def test_a_stalled_call_is_silent_and_then_cut(client: httpx.Client, arm: Arm) -> None:
    arm(FaultKind.STALL, seconds=0.3, times=2)
    started = time.monotonic()
    with pytest.raises((httpx.ReadError, httpx.RemoteProtocolError)):
        store(client)
    assert time.monotonic() - started >= 0.3
    with pytest.raises(httpx.ReadTimeout):
        client.put("/things/1", content=b"x", timeout=0.05)


@pytest.mark.parametrize("retry_after", ["7", "Sun, 22 Nov 2026 12:00:00 GMT", None])
@pytest.mark.parametrize("kind", [FaultKind.STATUS, FaultKind.STATUS_AFTER])
def test_a_status_comes_with_or_without_the_time_to_wait(
    client: httpx.Client, arm: Arm, retry_after: str | None, kind: FaultKind
) -> None:
    arm(kind, status=429, retry_after=retry_after)
    answer = store(client)

    assert (answer.status_code, answer.headers.get("retry-after")) == (429, retry_after)


@pytest.mark.parametrize("status", [200, 502])
def test_a_page_of_html_stands_in_for_the_vendor_s_answer(
    client: httpx.Client, arm: Arm, status: int
) -> None:
    arm(FaultKind.HTML, status=status)
    answer = store(client)

    assert answer.status_code == status
    assert answer.headers["content-type"].startswith("text/html")
    assert answer.text.startswith("<html>")


# Faults of an answer


@pytest.mark.parametrize("after_bytes", [0, 1, 70_000, 150_000, len(STREAM) - 1])
def test_exactly_so_many_bytes_arrive_of_a_truncated_answer(
    client: httpx.Client, arm: Arm, after_bytes: int
) -> None:
    arm(FaultKind.TRUNCATE, after_bytes=after_bytes)
    received = bytearray()
    with (
        client.stream("GET", "/stream") as answer,
        pytest.raises(httpx.RemoteProtocolError, match="complete"),
    ):
        collect(answer, received)

    assert bytes(received) == STREAM[:after_bytes]


def test_half_of_an_answer_arrives_unless_said_otherwise(client: httpx.Client, arm: Arm) -> None:
    arm(FaultKind.TRUNCATE)
    received = bytearray()
    with client.stream("GET", "/stream") as answer, pytest.raises(httpx.RemoteProtocolError):
        collect(answer, received)

    assert bytes(received) == STREAM[: len(STREAM) // 2]


def test_a_truncated_chunked_answer_breaks_off_inside_a_chunk(client: httpx.Client, arm: Arm) -> None:
    arm(FaultKind.TRUNCATE, after_bytes=80_000)
    received = bytearray()
    with client.stream("GET", "/chunks") as answer, pytest.raises(httpx.RemoteProtocolError, match="chunked"):
        collect(answer, received)

    assert bytes(received) == STREAM[:80_000]


def test_an_answer_without_a_body_cannot_be_cut_in_the_middle_so_it_is_lost(
    client: httpx.Client, arm: Arm
) -> None:
    arm(FaultKind.TRUNCATE, operation="remove")
    assert outcome(lambda: client.delete("/things/1")) in {"ReadError", "RemoteProtocolError"}


@pytest.mark.parametrize("path", ["/stream", "/chunks"])
@pytest.mark.parametrize("offset", [0, 69_999, 70_000, 70_003, len(STREAM) - 1])
def test_exactly_one_byte_of_an_answer_is_wrong(
    client: httpx.Client, arm: Arm, path: str, offset: int
) -> None:
    arm(FaultKind.WRONG_BYTES, after_bytes=offset)
    content = client.get(path).content

    assert len(content) == len(STREAM)
    assert [i for i in range(len(STREAM)) if content[i] != STREAM[i]] == [offset]
    assert client.get(path).content == STREAM


def test_a_slow_answer_comes_in_the_end(client: httpx.Client, arm: Arm) -> None:
    arm(FaultKind.SLOW, seconds=0.2)
    started = time.monotonic()
    assert store(client).status_code == 200
    assert time.monotonic() - started >= 0.2


# Refused connections


def test_a_refused_call_meets_a_closed_port_that_comes_back(
    sandbox: Sandbox, client: httpx.Client, arm: Arm
) -> None:
    store(client)
    arm(FaultKind.REFUSE, seconds=0.3)
    with pytest.raises(httpx.ConnectError, match=rf"\[Errno {errno.ECONNREFUSED}\]"):
        store(client)
    wait_for_port(sandbox)

    assert store(client).status_code == 200
    assert len(sandbox.requests.entries()) == 2


def test_a_port_can_show_a_certificate_that_nobody_trusts(
    sandbox: Sandbox, client: httpx.Client, arm: Arm
) -> None:
    store(client)
    arm(FaultKind.BAD_CERTIFICATE, call=3, seconds=0.5)
    assert [outcome(lambda: store(client)) for _ in range(2)] == [200, "ConnectError"]
    with pytest.raises(httpx.ConnectError, match="CERTIFICATE_VERIFY_FAILED"):
        store(client)
    # Whoever looks away finds nobody there.
    with httpx.Client(base_url=sandbox.url("echo"), verify=False) as careless:  # noqa: S501  # that is the test
        assert outcome(lambda: store(careless)) in ("RemoteProtocolError", "ReadError")
    sandbox.end_refusals()

    assert store(client).status_code == 200


def test_a_refusal_waits_for_its_call_and_lets_the_one_before_finish(
    sandbox: Sandbox, client: httpx.Client, arm: Arm
) -> None:
    arm(FaultKind.REFUSE, call=3, seconds=0.2)
    assert [outcome(lambda: store(client)) for _ in range(3)] == [200, 200, "ConnectError"]
    wait_for_port(sandbox)

    assert outcome(lambda: store(client)) == 200


@pytest.mark.parametrize("kind", [FaultKind.RESET, FaultKind.LOSE_ANSWER, FaultKind.STATUS])
def test_a_refusal_may_follow_another_fault(
    sandbox: Sandbox, client: httpx.Client, arm: Arm, kind: FaultKind
) -> None:
    arm(kind, call=1)
    arm(FaultKind.REFUSE, call=2, seconds=0.2)
    outcome(lambda: store(client))

    assert outcome(lambda: store(client)) == "ConnectError"
    wait_for_port(sandbox)


def test_only_the_port_of_that_vendor_is_closed(sandbox: Sandbox, arm: Arm) -> None:
    arm(FaultKind.REFUSE, seconds=30)
    assert httpx.get(sandbox.url("quiet") + "/", trust_env=False).status_code == 200


@pytest.mark.parametrize("end", [Sandbox.clear_faults, Sandbox.reset])
def test_clearing_the_faults_opens_the_port_at_once(
    sandbox: Sandbox, client: httpx.Client, arm: Arm, end: Callable[[Sandbox], None]
) -> None:
    arm(FaultKind.REFUSE, seconds=60)
    assert outcome(lambda: store(client)) == "ConnectError"
    end(sandbox)
    assert outcome(lambda: store(client)) == 200


def test_a_sandbox_that_stops_while_a_port_is_closed_stays_closed(sandbox: Sandbox, arm: Arm) -> None:
    arm(FaultKind.REFUSE, seconds=60)
    started = time.monotonic()
    sandbox.stop()

    assert time.monotonic() - started < 10
    url = httpx.URL(sandbox.url("echo"))
    with pytest.raises(ConnectionRefusedError):
        socket.create_connection((url.host, url.port or 0), timeout=10)


# Which call


def test_a_fault_by_call_number_counts_every_call_of_the_vendor(client: httpx.Client, arm: Arm) -> None:
    arm(FaultKind.STATUS, call=3)
    statuses = [outcome(call) for call in (lambda: store(client), lambda: client.get("/files/x")) * 2]

    assert statuses == [200, 200, 503, 200]


def test_a_fault_of_an_operation_counts_calls_of_that_operation(client: httpx.Client, arm: Arm) -> None:
    arm(FaultKind.STATUS, call=2, operation="file")
    statuses = [outcome(call) for call in (lambda: store(client), lambda: client.get("/files/x")) * 3]

    assert statuses == [200, 200, 200, 503, 200, 200]


def test_without_a_number_the_next_call_meets_it(client: httpx.Client, arm: Arm) -> None:
    store(client)
    arm(FaultKind.STATUS, operation="file")
    store(client)

    assert outcome(lambda: client.get("/files/x")) == 503
    assert outcome(lambda: client.get("/files/x")) == 200


def test_a_fault_may_hold_for_several_calls_in_a_row(client: httpx.Client, arm: Arm) -> None:
    fault = arm(FaultKind.STATUS, call=2, times=2)

    assert [outcome(lambda: store(client)) for _ in range(4)] == [200, 503, 503, 200]
    assert fault.met == 2


def test_requests_without_a_route_can_fail_as_well(client: httpx.Client, arm: Arm) -> None:
    arm(FaultKind.STATUS, operation="unknown")
    assert outcome(lambda: client.get("/nowhere")) == 503


def test_the_journal_says_which_call_met_which_fault(
    sandbox: Sandbox, client: httpx.Client, arm: Arm
) -> None:
    arm(FaultKind.LOSE_ANSWER, call=2)
    arm(FaultKind.STATUS, call=3)
    for _ in range(3):
        outcome(lambda: store(client))

    assert [(e["fault"], e["status"]) for e in sandbox.requests.entries()] == [
        (None, 200),
        ("lose_answer", None),
        ("status", 503),
    ]


@pytest.mark.parametrize(
    ("values", "complaint"),
    [
        ({"kind": FaultKind.RESET, "operation": "stoer"}, "no operation 'stoer'"),
        ({"kind": FaultKind.RESET, "vendor": "modem"}, "no vendor 'modem'"),
        ({"kind": FaultKind.REFUSE, "operation": "store"}, "never seen"),
        ({"kind": FaultKind.REFUSE, "times": 2}, "never seen"),
        ({"kind": FaultKind.BAD_CERTIFICATE, "operation": "store"}, "never seen"),
        ({"kind": FaultKind.RESET, "call": 0}, "call must be a number from 1, got 0"),
        ({"kind": FaultKind.RESET, "times": 0}, "times must be"),
        ({"kind": FaultKind.SLOW, "seconds": "1"}, "seconds must be"),
    ],
)
def test_a_fault_that_could_never_be_met_is_refused(
    sandbox: Sandbox, values: dict[str, Any], complaint: str
) -> None:
    with pytest.raises(ValueError, match=complaint):
        sandbox.arm(Fault(**{"vendor": "echo", **values}))
    assert sandbox.faults.faults == []


def test_a_closed_port_cannot_be_closed_again(sandbox: Sandbox, arm: Arm) -> None:
    arm(FaultKind.REFUSE, seconds=60)
    with pytest.raises(ValueError, match="closed already"):
        arm(FaultKind.REFUSE)
