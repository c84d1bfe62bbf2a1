"""The sandbox's core over real sockets: routing, bodies, TLS, journals, state over restarts, time."""

from __future__ import annotations

import contextlib
import datetime as dt
import hashlib
import http.client
import io
import json
import os
import socket
import ssl
import threading
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest
from hypothesis import given
from hypothesis import strategies as st
from urllib3.filepost import encode_multipart_formdata

from include.sandbox.core import Clock, Journal, Sandbox
from include.sandbox.wire import Body, Request
from tests.sandbox.echo import STREAM, Echo, Guarded, Quiet
from tests.unit.vendors import wait_for


@pytest.fixture
def sandbox() -> Iterator[Sandbox]:
    with Sandbox([Echo, Quiet]) as running:
        yield running


@pytest.fixture
def client(sandbox: Sandbox) -> Iterator[httpx.Client]:
    with trusting(sandbox) as opened:
        yield opened


def trusting(sandbox: Sandbox, vendor: str = "echo") -> httpx.Client:
    trust = ssl.create_default_context(cafile=str(sandbox.ca_bundle))
    return httpx.Client(base_url=sandbox.url(vendor), verify=trust, trust_env=False, timeout=10)


def raw(sandbox: Sandbox, request: bytes, vendor: str = "quiet") -> bytes:
    """Everything the server says to these bytes, until it closes the connection."""
    with socket.create_connection(address(sandbox, vendor), timeout=10) as line:
        line.sendall(request)
        return b"".join(iter(lambda: line.recv(65536), b""))


def address(sandbox: Sandbox, vendor: str = "echo") -> tuple[str, int]:
    url = httpx.URL(sandbox.url(vendor))
    return url.host, url.port or 0


# Routing


def test_a_route_gets_its_named_segments_decoded_and_the_query_whole(client: httpx.Client) -> None:
    answer = client.get("/files/a%20folder/%C3%BC.csv", params=[("x", "1"), ("x", "2"), ("empty", "")])

    assert answer.json() == {"path": "a folder/ü.csv", "query": {"x": ["1", "2"], "empty": [""]}}


@pytest.mark.parametrize(("method", "path"), [("GET", "/nothing"), ("GET", "/stream/"), ("PATCH", "/stream")])
def test_what_no_route_matches_is_not_found_and_still_in_the_journal(
    sandbox: Sandbox, client: httpx.Client, method: str, path: str
) -> None:
    assert client.request(method, path).status_code == 404
    assert [(e["operation"], e["status"]) for e in sandbox.requests.entries()] == [("unknown", 404)]


def test_each_vendor_has_its_own_port(sandbox: Sandbox) -> None:
    with trusting(sandbox, "quiet") as plain, trusting(sandbox, "echo") as secure:
        assert plain.get("/").json() == {"hello": sandbox.url("quiet")}
        assert secure.get("/").status_code == 404


def test_a_vendor_that_does_not_exist_is_named_with_those_that_do(sandbox: Sandbox) -> None:
    with pytest.raises(ValueError, match=r"no vendor 'modem'.*'echo', 'quiet'"):
        sandbox.url("modem")


# Bodies


@pytest.mark.parametrize("size", [0, 1, 300_000])
def test_a_body_with_a_length_arrives_whole(client: httpx.Client, size: int) -> None:
    content = os.urandom(size)

    assert client.put("/things/1", content=content).json()["sha256"] == hashlib.sha256(content).hexdigest()


def test_a_chunked_body_arrives_whole(client: httpx.Client) -> None:
    pieces = [os.urandom(n) for n in (1, 300_000, 17)]
    answer = client.put("/things/1", content=iter(pieces))

    assert answer.request.headers["transfer-encoding"] == "chunked"
    assert answer.json()["sha256"] == hashlib.sha256(b"".join(pieces)).hexdigest()


@pytest.mark.parametrize(
    ("content", "content_type"),
    [
        (b"\xff", "application/json"),
        (b"{", "application/json"),
        (b"a=\xff", "application/x-www-form-urlencoded"),
    ],
)
def test_a_body_that_is_not_what_its_route_reads_is_a_bad_request(
    client: httpx.Client, content: bytes, content_type: str
) -> None:
    path = "/json" if content_type.endswith("json") else "/form"
    assert client.post(path, content=content, headers={"content-type": content_type}).status_code == 400


def test_a_body_above_the_limit_is_refused_and_the_connection_goes_on(client: httpx.Client) -> None:
    assert client.put("/things/1", content=bytes(9 << 20)).status_code == 400
    assert client.put("/things/1", content=iter([bytes(9 << 20)])).status_code == 400
    assert client.put("/things/1", content=b"small").status_code == 200


@pytest.mark.parametrize("chunked", [False, True])
def test_an_answer_before_the_body_was_read_reaches_a_client_that_still_sends(
    sandbox: Sandbox, client: httpx.Client, chunked: bool
) -> None:
    for _ in range(3):
        content = iter([b"x" * 5_000_000]) if chunked else b"x" * 5_000_000
        assert client.post("/early", content=content).status_code == 413
    assert client.put("/things/1", content=b"next").json()["size"] == 4
    assert len(sandbox.requests.entries()) == 4  # Nothing of a body was taken for a request.


def test_a_client_is_told_once_to_continue_before_it_sends_its_body(sandbox: Sandbox) -> None:
    context = ssl.create_default_context(cafile=str(sandbox.ca_bundle))
    with (
        socket.create_connection(address(sandbox), timeout=10) as plain,
        context.wrap_socket(plain, server_hostname="localhost") as line,
    ):
        line.sendall(b"PUT /things/1 HTTP/1.1\r\nHost: x\r\nContent-Length: 4\r\n")
        line.sendall(b"Expect: 100-continue\r\n\r\n")
        assert line.recv(65536) == b"HTTP/1.1 100 Continue\r\n\r\n"
        line.sendall(b"body")
        assert line.recv(65536).startswith(b"HTTP/1.1 200")


@pytest.mark.parametrize(
    "framing",
    [
        b"Content-Length: ten\r\n\r\n",
        b"Content-Length: -1\r\n\r\n",
        b"Transfer-Encoding: chunked\r\n\r\nzz\r\n",
    ],
)
def test_a_body_without_a_readable_length_is_a_bad_request_and_ends_the_connection(
    sandbox: Sandbox, framing: bytes
) -> None:
    said = raw(sandbox, b"POST /json HTTP/1.1\r\nHost: x\r\n" + framing)

    assert said.count(b"HTTP/1.1 ") == 1
    assert said.startswith((b"HTTP/1.1 400", b"HTTP/1.1 404"))


@pytest.mark.parametrize(
    "framing", [b"Content-Length: 10\r\n\r\nhalf", b"Transfer-Encoding: chunked\r\n\r\na\r\nhalf"]
)
def test_a_body_that_stops_half_way_stores_nothing(sandbox: Sandbox, framing: bytes) -> None:
    context = ssl.create_default_context(cafile=str(sandbox.ca_bundle))
    with (
        socket.create_connection(address(sandbox), timeout=10) as plain,
        context.wrap_socket(plain, server_hostname="localhost") as line,
        contextlib.suppress(OSError),  # The server may end it abruptly as well.
    ):
        line.sendall(b"PUT /things/1 HTTP/1.1\r\nHost: x\r\n" + framing)
        line.unwrap()
        while line.recv(65536):
            pass

    assert sandbox.vendor("echo").things == {}
    assert sandbox.effects.entries() == []


@given(
    st.one_of(
        st.binary(max_size=60), st.text("\r\n-ab\x0b\x85\0", max_size=30).map(lambda t: t.encode("latin-1"))
    )
)
def test_multipart_files_keep_every_byte(content: bytes) -> None:
    encoded, content_type = encode_multipart_formdata(
        {"upload": ("a b.xml", content, "application/xml"), "name": "x ü"}, boundary="limit"
    )
    headers = http.client.HTTPMessage()
    headers["Content-Type"] = content_type
    body = Body(io.BytesIO(encoded), {"Content-Length": str(len(encoded))})
    request = Request(
        method="POST", path="/", raw_path="/", query={}, headers=headers, body=body, base_url=""
    )
    parts = request.multipart()

    assert parts["upload"].content == content
    assert (parts["upload"].filename, parts["upload"].content_type) == ("a b.xml", "application/xml")
    assert parts["name"].content.decode() == "x ü"


# Answers


def test_streams_come_whole_with_and_without_a_length(client: httpx.Client) -> None:
    with_length, chunked = client.get("/stream"), client.get("/chunks")

    assert with_length.content == chunked.content == STREAM
    assert with_length.headers["content-length"] == str(len(STREAM))
    assert chunked.headers["transfer-encoding"] == "chunked"


def test_head_tells_the_length_and_sends_nothing(client: httpx.Client) -> None:
    answer = client.head("/stream")

    assert (answer.headers["content-length"], answer.content) == (str(len(STREAM)), b"")
    assert client.get("/files/x").status_code == 200


def test_an_answer_without_content_keeps_the_connection_usable(client: httpx.Client) -> None:
    assert client.delete("/things/1").status_code == 204
    assert client.get("/files/x").status_code == 200


def test_a_bug_in_a_vendor_is_shown_and_not_taken_for_a_client_that_hung_up(
    sandbox: Sandbox, client: httpx.Client, capfd: pytest.CaptureFixture[str]
) -> None:
    sandbox.vendor("echo").things = None
    with pytest.raises(httpx.RemoteProtocolError):
        client.put("/things/1", content=b"x")

    assert "TypeError" in capfd.readouterr().err


# TLS


def test_a_client_that_does_not_trust_the_authority_refuses(sandbox: Sandbox) -> None:
    with (
        httpx.Client(trust_env=False) as stranger,
        pytest.raises(httpx.ConnectError, match="CERTIFICATE_VERIFY_FAILED"),
    ):
        stranger.get(sandbox.url("echo"))
    assert {entry["operation"] for entry in sandbox.requests.entries()} <= {"handshake"}


@pytest.mark.parametrize("name", ["elsewhere.example", "127.0.0.2"])
def test_another_host_name_than_the_certificate_says_is_refused(sandbox: Sandbox, name: str) -> None:
    context = ssl.create_default_context(cafile=str(sandbox.ca_bundle))
    with (
        socket.create_connection(address(sandbox), timeout=10) as plain,
        pytest.raises(ssl.SSLCertVerificationError, match=r"not valid for|mismatch"),
    ):
        context.wrap_socket(plain, server_hostname=name)


@pytest.mark.parametrize("name", ["localhost", "127.0.0.1", "sandbox", "vendors.example"])
def test_the_names_it_is_reached_by_are_in_the_certificate_even_if_the_folder_was_used_before(
    tmp_path: Path, name: str
) -> None:
    with Sandbox([Echo], folder=tmp_path):
        pass
    with Sandbox([Echo], folder=tmp_path, public_host="vendors.example") as running:
        context = ssl.create_default_context(cafile=str(running.ca_bundle))
        # Later versions of Python check this by default.
        context.verify_flags |= ssl.VERIFY_X509_STRICT
        port = httpx.URL(running.url("echo")).port or 0
        with (
            socket.create_connection(("127.0.0.1", port), timeout=10) as plain,
            context.wrap_socket(plain, server_hostname=name) as line,
        ):
            assert line.version() == "TLSv1.3"
        assert running.url("echo") == f"https://vendors.example:{port}"


def test_a_vendor_that_asks_for_a_client_certificate_answers_nobody_without_one() -> None:
    with Sandbox([Guarded]) as sandbox:
        with (
            trusting(sandbox, "guarded") as anonymous,
            pytest.raises((httpx.ReadError, httpx.RemoteProtocolError)),
        ):
            anonymous.get("/who")
        # It is noted after the client has heard of it.
        wait_for(lambda: bool(sandbox.requests.entries()))
        assert [entry["operation"] for entry in sandbox.requests.entries()] == ["handshake"]

        issued = sandbox.authority.client("bus")
        context = ssl.create_default_context(cafile=str(sandbox.ca_bundle))
        context.load_cert_chain(issued.certificate, issued.key)
        with httpx.Client(verify=context, trust_env=False) as known:
            assert "client-bus" in known.get(sandbox.url("guarded") + "/who").json()["subject"]


def test_private_keys_are_readable_by_their_owner_only(tmp_path: Path) -> None:
    with Sandbox([Echo], folder=tmp_path) as sandbox:
        sandbox.authority.client("x")
    keys = sorted((tmp_path / "certificates").glob("*.key"))

    assert [key.name for key in keys] == ["ca.key", "client-x.key", "server-localhost.key"]
    assert {key.stat().st_mode & 0o777 for key in keys} == {0o600}


# Journals


def test_credentials_never_reach_the_journals(sandbox: Sandbox, client: httpx.Client) -> None:
    secret = "s3cr3t"
    client.put(
        "/things/1",
        content=b"body-" + secret.encode(),
        params={"tempauth": secret, "client_secret": secret, "page": "2"},
        headers={
            "Authorization": f"Bearer {secret}",
            "X-API-TOKEN": secret,
            "X-Knack-REST-API-Key": secret,
            "Cookie": f"session={secret}",
        },
    )

    everything = json.dumps([sandbox.requests.entries(), sandbox.effects.entries()])
    assert secret not in everything
    (entry,) = sandbox.requests.entries()
    assert entry["headers"]["Authorization"] == "Bearer …"
    assert entry["query"] == {"tempauth": ["…"], "client_secret": ["…"], "page": ["2"]}


def test_a_request_is_noted_with_what_went_in_and_out(sandbox: Sandbox, client: httpx.Client) -> None:
    answer = client.put("/things/7", content=b"12345")

    (entry,) = sandbox.requests.entries(vendor="echo")
    assert (entry["number"], entry["operation"], entry["status"]) == (1, "store", 200)
    assert (entry["method"], entry["path"]) == ("PUT", "/things/7")
    assert (entry["received_bytes"], entry["sent_bytes"]) == (5, len(answer.content))
    assert entry["duration_s"] >= 0
    (effect,) = sandbox.effects.entries()
    assert {**effect, "at": None} == {
        "number": 1, "at": None, "vendor": "echo", "kind": "stored", "id": "7", "size": 5,
    }  # fmt: skip


def test_the_journal_is_complete_when_the_client_has_its_answer(
    sandbox: Sandbox, client: httpx.Client
) -> None:
    for number in range(1, 101):
        client.put("/things/1", content=b"x")
        assert sandbox.requests.entries()[-1].keys() >= {
            "status",
            "received_bytes",
            "sent_bytes",
            "duration_s",
        }
        assert sandbox.effects.entries()[-1]["number"] == number


def test_a_journal_numbers_entries_of_many_threads_without_gaps() -> None:
    journal = Journal(Clock())
    threads = [threading.Thread(target=lambda: [journal.add() for _ in range(200)]) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    assert [entry["number"] for entry in journal.entries()] == list(range(1, 1601))


# State, restart, reset, time


def test_state_effects_and_certificates_survive_a_restart_in_a_folder(tmp_path: Path) -> None:
    with Sandbox([Echo], folder=tmp_path) as first, trusting(first) as client:
        digest = client.put("/things/kept", content=b"x").json()["sha256"]
        trust = ssl.create_default_context(cafile=str(first.ca_bundle))
    with (
        Sandbox([Echo, Quiet], folder=tmp_path) as second,
        httpx.Client(verify=trust, trust_env=False) as old_client,
    ):
        assert second.vendor("echo").things == {"kept": digest}
        assert [e["kind"] for e in second.effects.entries()] == ["stored"]
        assert old_client.put(second.url("echo") + "/things/new", content=b"y").status_code == 200
        assert [e["number"] for e in second.effects.entries()] == [1, 2]


def test_what_a_client_was_told_is_kept_even_if_the_sandbox_is_killed(tmp_path: Path) -> None:
    with Sandbox([Echo], folder=tmp_path) as running, trusting(running) as client:
        client.put("/things/kept", content=b"x")
        with Sandbox([Echo], folder=tmp_path) as after_the_kill:
            assert set(after_the_kill.vendor("echo").things) == {"kept"}


def test_without_a_folder_nothing_stays_on_disk() -> None:
    with Sandbox([Echo]) as sandbox:
        folder = sandbox.folder
        assert folder.exists()
    assert not folder.exists()


def test_writes_by_many_clients_are_all_saved(tmp_path: Path) -> None:
    with Sandbox([Echo], folder=tmp_path) as sandbox:

        def write(worker: int) -> None:
            with trusting(sandbox) as client:
                for number in range(20):
                    client.put(f"/things/{worker}-{number}", content=b"x").raise_for_status()

        threads = [threading.Thread(target=write, args=(worker,)) for worker in range(4)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    with Sandbox([Echo], folder=tmp_path) as again:
        assert len(again.vendor("echo").things) == len(again.effects.entries()) == 80


def test_a_stopped_sandbox_answers_nobody_and_its_port_can_be_used_again() -> None:
    with Sandbox([Echo]) as first, trusting(first) as client:
        client.get("/files/x").raise_for_status()
        port = address(first)[1]
        first.stop()
        with pytest.raises(httpx.TransportError):
            client.get("/files/x")
        with Sandbox([Echo], ports={"echo": port}) as second, trusting(second) as other:
            assert other.get("/files/x").status_code == 200


def test_a_taken_port_is_named_and_nothing_is_left_open() -> None:
    with Sandbox([Echo]) as first:
        port = address(first)[1]
        second = Sandbox([Quiet, Echo], ports={"echo": port})
        with pytest.raises(OSError, match=f"cannot serve echo on 127.0.0.1:{port}: Address already in use"):
            second.start()
        with pytest.raises(ConnectionRefusedError):
            socket.create_connection(address(second, "quiet"), timeout=10)


def test_reset_forgets_everything(sandbox: Sandbox, client: httpx.Client) -> None:
    client.put("/things/1", content=b"x")
    sandbox.vendor("echo").set_options({"loud": True})
    sandbox.clock.advance(100)
    sandbox.reset()

    assert sandbox.vendor("echo").things == {}
    assert sandbox.vendor("echo").options == Echo.Options()
    assert sandbox.requests.entries() == sandbox.effects.entries() == []
    assert sandbox.clock.offset == dt.timedelta()


def test_the_clock_runs_from_the_machine_s_time_and_moves_on_demand(sandbox: Sandbox) -> None:
    before = dt.datetime.now(dt.UTC)
    assert before <= sandbox.vendor("echo").now() <= dt.datetime.now(dt.UTC)
    sandbox.clock.advance(3600)
    sandbox.clock.advance(-600)
    assert sandbox.vendor("echo").now() - before >= dt.timedelta(seconds=3000)


def test_an_unknown_switch_is_named_with_those_that_exist(sandbox: Sandbox) -> None:
    with pytest.raises(ValueError, match=r"no options \['quiet'\]; it has \['loud'\]"):
        sandbox.vendor("echo").set_options({"loud": True, "quiet": True})
    assert sandbox.vendor("echo").options.loud is False
