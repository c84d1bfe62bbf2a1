"""Webex's deliveries: only signed ones count, each once, and each gets its run, whatever fails in between."""

from __future__ import annotations

import hashlib
import hmac
import json
import socket
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import httpx
import pytest
from fastapi import FastAPI
from starlette.testclient import TestClient

from include.sandbox.connections import connections
from include.sandbox.core import Sandbox
from interchange.hooks.webex import WebexHook
from interchange.ledger import Ledger, State
from interchange.roulette.events import Event
from interchange.web import webex_receiver
from interchange.web.webex_receiver import MAX_BODY_BYTES, Receiver, event_of, is_signed
from interchange.web.webex_starter import Starter, start_run, unstarted
from tests.deployment import wait_until
from tests.unit.web import airflow_tables
from tests.unit.web.conftest import OPERATOR, Visitor
from tests.unit.web.served import served

PATH = "/interchange/webex/webhook"
SECRET = "a-secret-of-the-bot-0123456789"
BOT, ANA = "Y2lzY29zcGFyazovL3VzL1BFT1BMRS9ib3Q", "Y2lzY29zcGFyazovL3VzL1BFT1BMRS9hbmE"
FIRST = Event(resource="messages", id="Y2lzY29zcGFyazovL3VzL01FU1NBR0UvMQ")
SECOND = Event(resource="messages", id="Y2lzY29zcGFyazovL3VzL01FU1NBR0UvMg")
CARD = Event(resource="attachmentActions", id="Y2lzY29zcGFyazovL3VzL0FUVEFDSE1FTlRfQUNUSU9OLzM")
PATIENCE_S = 30.0

Visit = Callable[..., Visitor]


def envelope(about: Event, by: str = ANA, **changes: Any) -> bytes:
    """As Webex sends it, see developer.webex.com, Webhooks."""
    told = {
        "id": "Y2lzY29zcGFyazovL3VzL1dFQkhPT0svMQ",
        "name": "interchange messages",
        "targetUrl": "https://airflow.example/interchange/webex/webhook",
        "resource": about.resource,
        "event": "created",
        "orgId": "Y2lz",
        "createdBy": BOT,
        "appId": "Y2lz",
        "ownedBy": "creator",
        "status": "active",
        "created": "2031-02-01T08:00:00.000Z",
        "actorId": by,
        "data": {
            "id": about.id,
            "roomId": "Y2lz",
            "roomType": "direct",
            "personId": by,
            "personEmail": "ana@example.test",
            "created": "2031-03-01T09:15:00.120Z",
        },
    }
    return json.dumps({**told, **changes}).encode()


def signed(body: bytes, secret: str = SECRET) -> dict[str, str]:
    return {"X-Spark-Signature": hmac.new(secret.encode(), body, hashlib.sha1).hexdigest()}


@pytest.fixture
def connect(airflow: pytest.MonkeyPatch) -> Callable[[str | None], None]:
    """Give the bot's connection this webhook secret."""

    def set_secret(secret: str | None) -> None:
        extra = {} if secret is None else {"webhook_secret": secret}
        fields = {"conn_type": "webex", "password": "a-bot-token-0123456789", "extra": extra}
        airflow.setenv("AIRFLOW_CONN_WEBEX_BOT", json.dumps(fields))

    set_secret(SECRET)
    return set_secret


@pytest.fixture(scope="module")
def airflows_database() -> Iterator[None]:
    airflow_tables.make_all()
    yield
    airflow_tables.drop_all()


@pytest.fixture
def airflows_tables(airflows_database: None) -> Iterator[None]:
    """All of them, without any DAG."""
    yield
    airflow_tables.empty_all()


@pytest.fixture
def bot_dag(airflow: pytest.MonkeyPatch) -> None:
    airflow_tables.know_dag("webex_bot")


def events(ledger: Ledger) -> dict[str, State]:
    return {effect.ref.key: effect.state for effect in ledger.list(workflow="webex_bot", kind="event")}


class ApiServer:
    """One process of Airflow's API server, as far as Webex sees it."""

    def __init__(self, **timing: float) -> None:
        self.starter = Starter(**timing)
        pages = FastAPI()
        pages.include_router(webex_receiver.routes(Receiver(self.starter)))
        self.app = FastAPI()
        self.app.mount("/interchange", pages)
        self._client = TestClient(self.app)

    def post(self, body: bytes, headers: dict[str, str] | None = None) -> int:
        answer = self._client.post(PATH, content=body, headers=signed(body) if headers is None else headers)
        # Whatever it is, no more is told than the status.
        assert answer.content == b""
        return answer.status_code

    def deliver(self, told: Event, **changes: Any) -> int:
        return self.post(envelope(told, **changes))

    def runs(self) -> dict[str, object]:
        """The runs there are, after all that waited was tried."""
        assert self.starter.idle(PATIENCE_S)
        return airflow_tables.runs_of("webex_bot")

    def close(self) -> None:
        self.starter.stop()
        self._client.close()


Start = Callable[..., ApiServer]


@pytest.fixture
def start(ledger: Ledger, connect: Callable[[str | None], None]) -> Iterator[Start]:
    """Start one more API server."""
    running: list[ApiServer] = []

    def begin(**timing: float) -> ApiServer:
        running.append(ApiServer(**timing))
        return running[-1]

    yield begin
    for server in running:
        server.close()


@pytest.fixture
def server(start: Start, bot_dag: None) -> ApiServer:
    return start()


@pytest.mark.parametrize("event", [FIRST, CARD], ids=["message", "card"])
def test_an_event_is_recorded_and_gets_its_run(server: ApiServer, ledger: Ledger, event: Event) -> None:
    """Defect E35: the work was done before the answer."""
    assert server.deliver(event) == 204

    assert events(ledger) == {f"{event.resource}/{event.id}": State.PLANNED}
    name = hashlib.sha256(f"{event.resource}/{event.id}".encode()).hexdigest()[:32]
    conf = {"event": {"resource": event.resource, "event": "created", "id": event.id}}
    assert server.runs() == {f"webex__{name}": conf}
    assert Event.of(conf["event"]) == event


def test_the_signature_is_that_of_the_bytes_as_they_came(server: ApiServer, ledger: Ledger) -> None:
    body = b' { "event":"created","resource" : "messages",\n"data":{"id":"A\\u0042c","\\u00e9":1.50} }\n'
    assert json.dumps(json.loads(body)).encode() != body
    assert server.post(body) == 204
    assert list(events(ledger)) == ["messages/ABc"]


BODY = envelope(FIRST)
GOOD = signed(BODY)["X-Spark-Signature"]


UNSIGNED: dict[str, dict[str, Any]] = {
    "none": {},
    "empty": {"X-Spark-Signature": ""},
    "zeros": {"X-Spark-Signature": "0" * 40},
    "short": {"X-Spark-Signature": GOOD[:-1]},
    "another last digit": {"X-Spark-Signature": GOOD[:-1] + ("0" if GOOD[-1] != "0" else "1")},
    "long": {"X-Spark-Signature": GOOD + "0"},
    "prefixed": {"X-Spark-Signature": f"sha1={GOOD}"},
    "no ASCII": {"X-Spark-Signature": "\u00e9".encode("latin-1")},
    "another secret": signed(BODY, "another-secret-0123456789"),
    "the body written anew": signed(json.dumps(json.loads(BODY), indent=1).encode()),
    "SHA-256": {"X-Spark-Signature": hmac.new(SECRET.encode(), BODY, hashlib.sha256).hexdigest()},
}


def test_what_is_not_signed_by_webex_leaves_nothing(
    server: ApiServer, ledger: Ledger, caplog: pytest.LogCaptureFixture
) -> None:
    """Defect E25: no secret, no signature."""
    answers = {name: server.post(BODY, headers) for name, headers in UNSIGNED.items()}
    assert answers == dict.fromkeys(UNSIGNED, 403)
    assert server.runs() == {}
    assert events(ledger) == {}
    assert caplog.text.count("signature is missing or wrong") == len(UNSIGNED)
    assert "example.test" not in caplog.text
    assert server.post(BODY) == 204


@pytest.mark.parametrize("secret", [None, ""])
def test_without_a_secret_nothing_is_taken(
    server: ApiServer, ledger: Ledger, connect: Any, secret: str | None, caplog: pytest.LogCaptureFixture
) -> None:
    connect(secret)
    for headers in ({}, {"X-Spark-Signature": ""}, signed(BODY, "")):
        assert server.post(BODY, headers) == 503
    assert events(ledger) == {}
    assert "webex_bot has no webhook_secret" in caplog.text


def test_a_changed_secret_counts_at_once(
    server: ApiServer, ledger: Ledger, connect: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(webex_receiver, "WRONG_FOR_S", -1)
    assert server.deliver(FIRST) == 204
    connect("a-new-secret-0123456789")
    body = envelope(SECOND)
    assert server.post(body, signed(body, "a-new-secret-0123456789")) == 204
    assert server.post(body) == 403
    assert set(events(ledger)) == {FIRST.ref.key, SECOND.ref.key}


def test_settings_that_are_wrong_are_told_without_what_they_hold(
    server: ApiServer, ledger: Ledger, airflow: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    airflow.setenv("AIRFLOW_VAR_INTERCHANGE_WEBEX_ROULETTE", '{"admins": ["not an address@example.test"]}')
    assert server.deliver(FIRST) == 503
    assert "SettingsError" in caplog.text
    assert "example.test" not in caplog.text


def test_a_ledger_that_cannot_be_reached_makes_webex_count_a_failure(
    server: ApiServer, airflow: pytest.MonkeyPatch
) -> None:
    lost = {"conn_type": "postgres", "host": "127.0.0.1", "port": 1, "schema": "x"}
    airflow.setenv("AIRFLOW_CONN_INTERCHANGE_DB", json.dumps(lost))
    assert server.deliver(FIRST) == 503


class TestSize:
    def test_a_body_at_the_limit_is_read(self, server: ApiServer) -> None:
        body = envelope(FIRST)
        assert server.post(body + b" " * (MAX_BODY_BYTES - len(body))) == 204
        assert server.post(body + b" " * (MAX_BODY_BYTES - len(body) + 1)) == 413

    @pytest.mark.parametrize("announced", ["65537", "9" * 15])
    def test_one_that_says_it_is_large_is_not_waited_for(
        self, connect: Any, ledger: Ledger, announced: str
    ) -> None:
        assert self._answer_to(f"Content-Length: {announced}\r\n\r\n".encode()) == 413

    def test_one_that_grows_large_is_refused_while_it_comes(self, connect: Any, ledger: Ledger) -> None:
        chunk = b"8000\r\n" + b"x" * 0x8000 + b"\r\n"
        # It never ends.
        assert self._answer_to(b"Transfer-Encoding: chunked\r\n\r\n" + chunk * 3) == 413

    @staticmethod
    def _answer_to(rest: bytes) -> int:
        with served() as url:
            place = urlsplit(url)
            with socket.create_connection((place.hostname, place.port), timeout=PATIENCE_S) as line:
                line.sendall(f"POST {PATH} HTTP/1.1\r\nHost: airflow.example\r\n".encode() + rest)
                return int(line.recv(100).split()[1])


def test_other_events_are_no_concern(server: ApiServer, ledger: Ledger) -> None:
    others: list[dict[str, Any]] = [
        {"resource": "memberships"},
        {"resource": "rooms"},
        {"resource": "meetings", "event": "started"},
        {"resource": ["messages"]},
        {"event": "deleted"},
        {"event": "updated"},
        {"event": None},
    ]
    assert [server.deliver(FIRST, **changes) for changes in others] == [204] * len(others)
    assert (server.runs(), events(ledger)) == ({}, {})


def test_what_the_bot_says_itself_starts_nothing(server: ApiServer, ledger: Ledger) -> None:
    assert server.deliver(FIRST, by=BOT) == 204
    assert (server.runs(), events(ledger)) == ({}, {})


def test_without_word_of_who_made_the_webhook_nothing_is_taken_for_the_bots_own(server: ApiServer) -> None:
    body = json.loads(envelope(FIRST))
    del body["createdBy"], body["data"]["personId"]
    assert server.post(json.dumps(body).encode()) == 204
    assert len(server.runs()) == 1


def test_what_is_signed_and_no_event_is_refused(server: ApiServer, ledger: Ledger) -> None:
    bodies = [
        b"",
        b"x",
        b"\xff",
        b"[]",
        b"null",
        b"[" * 60_000,
        b'{"resource": "messages", "event": "created"}',
        b'{"resource": "messages", "event": "created", "data": []}',
        b'{"resource": "messages", "event": "created", "data": {"id": 7}}',
        b'{"resource": "messages", "event": "created", "data": {"id": ""}}',
        b'{"resource": "messages", "event": "created", "data": {"id": "../people/me"}}',
        b'{"resource": "messages", "event": "created", "data": {"id": "a\\n"}}',
        json.dumps({"resource": "messages", "event": "created", "data": {"id": "x" * 301}}).encode(),
    ]
    assert [server.post(body) for body in bodies] == [400] * len(bodies)
    assert events(ledger) == {}


def test_other_methods_are_not_answered(visit: Visit) -> None:
    assert visit(OPERATOR).client.get(PATH).status_code == 405


class TestOnce:
    def test_a_second_delivery_is_nothing_new(self, server: ApiServer, ledger: Ledger) -> None:
        for _ in range(3):
            assert server.deliver(FIRST) == 204
            assert len(server.runs()) == 1
        assert len(events(ledger)) == 1

    def test_a_replay_of_what_was_handled_starts_nothing(
        self, start: Start, bot_dag: None, ledger: Ledger
    ) -> None:
        ledger.begin(FIRST.ref, lease_s=60)
        ledger.confirm(FIRST.ref, {"answered": True})
        server = start()
        assert server.deliver(FIRST) == 204
        assert server.runs() == {}
        assert events(ledger) == {FIRST.ref.key: State.CONFIRMED}

    def test_many_at_once_are_each_taken_once(self, server: ApiServer, ledger: Ledger) -> None:
        wanted = [Event(resource="messages", id=f"M{number}") for number in range(25)]
        with served(server.app) as url, httpx.Client(trust_env=False) as client:

            def deliver(event: Event) -> int:
                body = envelope(event)
                return client.post(f"{url}{PATH}", content=body, headers=signed(body), timeout=60).status_code

            with ThreadPoolExecutor(8) as pool:
                assert set(pool.map(deliver, wanted * 3)) == {204}
        assert len(server.runs()) == 25
        assert set(events(ledger)) == {event.ref.key for event in wanted}
        assert {effect.run_id for effect in ledger.list()} == {event.run_id for event in wanted}


class TestNoRun:
    """A run that cannot be started is started later."""

    def test_by_the_next_delivery(
        self, start: Start, ledger: Ledger, caplog: pytest.LogCaptureFixture
    ) -> None:
        server = start(left_behind_s=0)
        assert server.deliver(FIRST) == 204
        assert server.runs() == {}
        assert "it is tried again: DagNotFound" in caplog.text

        airflow_tables.know_dag("webex_bot")
        assert server.deliver(SECOND) == 204
        assert set(server.runs()) == {FIRST.run_id, SECOND.run_id}
        assert unstarted(ledger.engine, for_s=0, limit=9) == []

    def test_by_the_same_process_after_a_while(self, start: Start) -> None:
        server = start(left_behind_s=0, again_s=0.02)
        server.deliver(FIRST)
        server.runs()
        airflow_tables.know_dag("webex_bot")
        wait_until(lambda: set(server.runs()) == {FIRST.run_id}, "not started")

    def test_though_it_did_not_look_left_behind_when_that_failed(self, start: Start) -> None:
        server = start(left_behind_s=1.0, again_s=1.5)
        server.deliver(FIRST)
        server.runs()
        airflow_tables.know_dag("webex_bot")
        wait_until(lambda: set(server.runs()) == {FIRST.run_id}, "not started")

    def test_the_oldest_first_and_so_many_at_once(self, ledger: Ledger) -> None:
        for event in (SECOND, FIRST, CARD):
            ledger.plan(event.ref)
        assert unstarted(ledger.engine, for_s=0, limit=2) == [SECOND, FIRST]

    def test_after_the_ledger_was_broken(self, start: Start, bot_dag: None, tmp_path: Path) -> None:
        server = start(left_behind_s=0)
        broken = Ledger(f"sqlite:///{tmp_path}/broken.db", owner="a test")
        broken.engine.dispose()
        (tmp_path / "broken.db").write_bytes(b"no database" * 1000)
        server.starter.add(broken, FIRST)
        assert server.starter.idle(PATIENCE_S)
        server.deliver(SECOND)
        assert set(server.runs()) == {SECOND.run_id}

    def test_by_another_process_after_a_kill(self, start: Start, ledger: Ledger, bot_dag: None) -> None:
        # Recorded and answered; then the process was gone.
        ledger.plan(FIRST.ref)
        server = start(left_behind_s=0)
        server.deliver(SECOND)
        assert set(server.runs()) == {FIRST.run_id, SECOND.run_id}

    def test_not_while_another_process_is_about_to(self, start: Start, ledger: Ledger, bot_dag: None) -> None:
        ledger.plan(FIRST.ref)
        server = start()
        server.deliver(SECOND)
        assert set(server.runs()) == {SECOND.run_id}

    def test_a_run_that_was_started_and_not_noted_is_not_started_again(
        self, start: Start, ledger: Ledger, bot_dag: None
    ) -> None:
        ledger.plan(FIRST.ref)
        start_run(FIRST)
        server = start(left_behind_s=0)
        server.deliver(SECOND)
        assert set(server.runs()) == {FIRST.run_id, SECOND.run_id}
        assert unstarted(ledger.engine, for_s=0, limit=9) == []

    def test_what_a_run_has_begun_is_its_own(self, start: Start, ledger: Ledger, bot_dag: None) -> None:
        ledger.begin(FIRST.ref, lease_s=60)
        server = start(left_behind_s=0)
        server.deliver(SECOND)
        assert set(server.runs()) == {SECOND.run_id}


def test_webex_in_a_box_is_understood(
    airflow: pytest.MonkeyPatch, ledger: Ledger, sandbox: Sandbox, server: ApiServer
) -> None:
    fields = connections(sandbox)["webex_bot"]
    airflow.setenv("AIRFLOW_CONN_WEBEX_BOT", json.dumps(fields))
    vendor = sandbox.vendor("webex")
    with served(server.app) as url:
        hook = WebexHook("webex_bot")
        for resource in ("messages", "attachmentActions"):
            hook.create_webhook(
                name="interchange",
                target=url + PATH,
                resource=resource,
                event="created",
                secret=fields["extra"]["webhook_secret"],
            )
        (said,) = vendor.seed({"say": {"person": "ana@example.test", "text": "/help"}})["say"]
        hook.send(markdown="What the bot says comes back to it, too.", address="ana@example.test")
        wait_until(lambda: len(deliveries(sandbox)) == 2, "not delivered")
    assert [delivery["status"] for delivery in deliveries(sandbox)] == [204, 204]
    assert list(events(ledger)) == [f"messages/{said}"]
    assert server.runs() == {
        Event(resource="messages", id=said).run_id: {
            "event": {"resource": "messages", "event": "created", "id": said}
        }
    }


def deliveries(sandbox: Sandbox) -> list[dict[str, Any]]:
    return [entry for entry in sandbox.effects.entries() if entry["kind"] == "webhook_delivery"]


def test_no_secret_signs_nothing() -> None:
    assert not is_signed(b"", "", b"")
    assert not is_signed(b"", hmac.new(b"", b"", hashlib.sha1).hexdigest(), b"")
    assert is_signed(b"", hmac.new(b"x", b"", hashlib.sha1).hexdigest(), b"x")


def test_an_event_is_told_the_same_to_the_run() -> None:
    event = event_of(envelope(CARD))
    assert event == CARD
    assert Event.of(CARD.conf["event"]) == CARD
