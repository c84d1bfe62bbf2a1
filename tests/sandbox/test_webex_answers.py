"""Webex in a box: how it fails, what it may add, what outlives a restart; and the description that judges it."""

from __future__ import annotations

import copy
import ssl
from pathlib import Path
from typing import Any

import httpx
import pytest

from include.sandbox.connections import WEBEX_BOT_TOKEN, connections
from include.sandbox.control import Control
from include.sandbox.core import Sandbox
from include.sandbox.faults import Fault, FaultKind
from include.sandbox.vendors.webex import Webex
from tests import webex_spec
from tests.sandbox.webex import Receiver, WebexClient, card, token
from tests.webex_spec import NotAsDescribed, check_answer, check_journal, check_request

ANA = "ana@example.test"
HELLO = {"toPersonEmail": ANA, "text": "hi"}
COFFEE = {"title": "Coffee", "start": "2031-03-04T15:10:00", "end": "2031-03-04T15:40:00"}


def arm(box: Sandbox, **fields: Any) -> None:
    box.arm(Fault(vendor="webex", **fields))


# Failures


@pytest.mark.parametrize(
    ("status", "wait"), [(429, "1"), (429, "3600"), (423, "7"), (423, None), (503, "30")]
)
def test_waits_are_asked_for(box: Sandbox, bot: WebexClient, status: int, wait: str | None) -> None:
    arm(box, kind=FaultKind.STATUS, status=status, retry_after=wait)
    answer = bot.answer("POST", "/messages", status, json=HELLO)
    assert answer.headers.get("Retry-After") == wait
    # The documentation's own example of a 429 is a page.
    assert answer.headers["Content-Type"].startswith("text/html" if status == 429 else "application/json")
    assert box.effects.entries() == []


@pytest.mark.parametrize("status", [500, 502, 503, 504])
@pytest.mark.parametrize(
    ("body", "kind"), [("envelope", "application/json"), ("html", "text/html"), ("empty", "")]
)
def test_failures_have_bodies_of_all_kinds(
    box: Sandbox, webex: Webex, bot: WebexClient, status: int, body: str, kind: str
) -> None:
    webex.set_options({"failure_body": body})
    arm(box, kind=FaultKind.STATUS, status=status, operation="create_message")
    assert (
        bot.answer("POST", "/messages", status, json=HELLO).headers.get("Content-Type", "").startswith(kind)
    )


@pytest.mark.parametrize(
    ("path", "body", "operation", "effect"),
    [
        ("/messages", HELLO, "create_message", "message_sent"),
        ("/meetings", COFFEE, "create_meeting", "meeting_created"),
    ],
)
def test_an_answer_can_get_lost_after_the_deed(
    box: Sandbox, bot: WebexClient, host: WebexClient, path: str, body: Any, operation: str, effect: str
) -> None:
    client = host if path == "/meetings" else bot
    arm(box, kind=FaultKind.LOSE_ANSWER, operation=operation)
    with pytest.raises(httpx.TransportError):
        client.http.post(path, json=body)
    assert len(box.effects.entries(kind=effect)) == 1


def test_a_reset_before_the_deed_leaves_nothing(box: Sandbox, bot: WebexClient) -> None:
    arm(box, kind=FaultKind.RESET, operation="create_message")
    with pytest.raises(httpx.TransportError):
        bot.http.post("/messages", json=HELLO)
    assert box.effects.entries() == []


def test_errors_may_be_missing(webex: Webex, bot: WebexClient) -> None:
    assert "errors" in bot.get("/messages/Y2lz", 404)
    webex.set_options({"errors_array": False})
    assert set(bot.get("/messages/Y2lz", 404)) == {"message", "trackingId"}
    assert set(bot.get("/meetings", 403)) == {"message", "trackingId"}


def test_there_may_be_fields_that_nobody_knows(webex: Webex, bot: WebexClient) -> None:
    webex.set_options({"extra_fields": True})
    message = bot.http.post("/messages", json=HELLO).json()
    assert "sandboxUnknown" in message
    listed = bot.http.get("/messages/direct", params={"personEmail": ANA}).json()
    assert "sandboxUnknown" in listed
    assert "sandboxUnknown" in listed["items"][0]
    with pytest.raises(NotAsDescribed, match="sandboxUnknown"):
        check_answer("POST", "/messages", 200, message)


def test_a_wrong_path_is_not_found(bot: WebexClient) -> None:
    answer = bot.http.get("/letters")
    assert answer.status_code == 404
    assert answer.json()["message"] == "The requested resource could not be found."
    assert answer.json()["trackingId"] == answer.headers["trackingid"]


@pytest.mark.parametrize("content", [b"{", b"[1]", b"text"])
def test_a_body_that_is_no_object_is_refused(bot: WebexClient, content: bytes) -> None:
    bot.answer("POST", "/messages", 400, content=content)


def test_tracking_ids_differ(bot: WebexClient) -> None:
    seen = {bot.answer("GET", "/people/me").headers["trackingid"] for _ in range(3)}
    assert len(seen) == 3


# Restart, and control over HTTP


def test_everything_outlives_a_restart(tmp_path: Path, receiver: Receiver) -> None:
    with Sandbox([Webex], folder=tmp_path) as box:
        access = token(box).json()["access_token"]
        host, bot = WebexClient(box, access), WebexClient(box, WEBEX_BOT_TOKEN)
        meeting = host.post("/meetings", COFFEE)["id"]
        message = bot.post("/messages", {**HELLO, "attachments": [card()]})["id"]
        hook = bot.post(
            "/webhooks",
            {"name": "n", "targetUrl": receiver.url, "resource": "attachmentActions", "event": "created"},
        )
        host.http.close()
        bot.http.close()
    with Sandbox([Webex], folder=tmp_path) as box:
        host, bot = WebexClient(box, access), WebexClient(box, WEBEX_BOT_TOKEN)
        assert host.get(f"/meetings/{meeting}")["title"] == "Coffee"
        assert bot.get("/webhooks")["items"] == [hook]
        box.vendor("webex").seed({"submit": {"person": ANA, "message": message}})
        receiver.envelopes(1)
        host.http.close()
        bot.http.close()


def test_a_person_or_a_test_plays_the_people_over_http(
    box: Sandbox, bot: WebexClient, receiver: Receiver
) -> None:
    control = Control(box)
    control.start()
    http = httpx.Client(base_url=control.url, trust_env=False)
    bot.post("/messages", {**HELLO, "attachments": [card()]})
    done = http.post(
        "/vendors/webex/seed",
        json={
            "say": {"person": ANA, "text": "2"},
            "submit": {"person": ANA, "inputs": {"date": "2031-03-04"}},
        },
    )
    assert done.status_code == 200
    assert bot.get(f"/messages/{done.json()['say'][0]}")["text"] == "2"
    assert bot.get(f"/attachment/actions/{done.json()['submit'][0]}")["inputs"]["date"] == "2031-03-04"
    state = http.get("/state/webex").json()
    assert [action["person"] for action in state["actions"]] == [ANA]
    assert http.get("/journal/effects", params={"kind": "card_submitted"}).json()[0]["person"] == ANA
    wrong = http.post("/vendors/webex/seed", json={"say": {"person": "x", "text": "2"}})
    assert (wrong.status_code, "nobody" in wrong.json()["error"]) == (400, True)
    switched = http.patch("/vendors/webex/options", json={"rotate": True}).json()
    assert switched["rotate"] is True
    http.close()
    control.stop()


def test_state_shows_no_secrets(box: Sandbox, webex: Webex, bot: WebexClient, host: WebexClient) -> None:
    host.post("/meetings", {**COFFEE, "password": "Kx7mPq29Za"})
    hook = {"name": "n", "targetUrl": "http://127.0.0.1:9/x", "resource": "messages", "event": "created"}
    bot.post("/webhooks", {**hook, "secret": "hush-hush"})
    told = str(webex.snapshot()) + str(box.requests.entries()) + str(box.effects.entries())
    for secret in ("Kx7mPq29Za", "hush-hush", "sandbox-webex-secret", WEBEX_BOT_TOKEN):
        assert secret not in told


def test_the_connections_work(box: Sandbox) -> None:
    made = connections(box)
    bot, meetings = made["webex_bot"], made["webex_meetings"]
    trust = ssl.create_default_context(cafile=bot["extra"]["ca_bundle"])
    with httpx.Client(verify=trust, trust_env=False) as http:
        me = http.get(f"{bot['host']}/people/me", headers={"Authorization": f"Bearer {bot['password']}"})
        assert me.json()["type"] == "bot"
        form = {
            "grant_type": "refresh_token",
            "client_id": meetings["login"],
            "client_secret": meetings["password"],
            "refresh_token": meetings["extra"]["refresh_token"],
        }
        assert http.post(f"{meetings['host']}/access_token", data=form).status_code == 200


# The description as a judge


EXAMPLES = [
    pytest.param(operation, kind, body, id=f"{operation.method} {operation.path} {kind}")
    for operation in webex_spec.operations()
    for kind, body in operation.examples
]


def test_the_description_has_the_operations_that_are_used() -> None:
    assert len(webex_spec.operations()) == 37
    assert len(EXAMPLES) > 40


@pytest.mark.parametrize(("operation", "kind", "body"), EXAMPLES)
def test_official_examples_pass(operation: webex_spec.Operation, kind: str, body: Any) -> None:
    path = operation.path.replace("{", "").replace("}", "")
    if kind == "request":
        query = dict.fromkeys(operation.needed, "x")
        check_request(operation.method, path, query, body)
    else:
        check_answer(operation.method, path, int(kind), body)


@pytest.mark.parametrize("correction", webex_spec.CORRECTIONS, ids=lambda c: f"{c.name}: {c.why}")
def test_each_correction_changes_what_it_names(correction: webex_spec.Correction) -> None:
    documents = [webex_spec.read(file) for file in webex_spec.FILES]
    found = [
        schema
        for document in documents
        for name, schema in webex_spec.named(document)
        if name == correction.name
    ]
    assert len(found) == 1
    mended = copy.deepcopy(found[0])
    correction.mend(mended)
    assert mended != found[0]


@pytest.mark.parametrize(
    ("method", "path", "query", "body", "words"),
    [
        ("POST", "/v1/meetings", {}, {**COFFEE, "timeZone": "UTC"}, "timeZone"),
        ("POST", "/meetings", {}, {"title": "x", "start": "x"}, "'end' is a required property"),
        ("POST", "/meetings", {}, {**COFFEE, "joinBeforeHostMinutes": "5"}, "joinBeforeHostMinutes"),
        ("PATCH", "/meetings/x", {}, {"title": None}, "title"),
        ("GET", "/meetings", {"integrationTags": "x"}, None, "no parameter 'integrationTags'"),
        ("GET", "/meetings", {"max": "null"}, None, "max"),
        ("GET", "/messages", {}, None, "parameter 'roomId' is missing"),
        ("GET", "/meetings", {"meetingType": "series"}, None, "meetingType"),
        ("POST", "/messages", {}, {"text": "x", "attachments": [{"content": {}}]}, "contentType"),
        (
            "POST",
            "/webhooks",
            {},
            {"name": "x", "targetUrl": "x", "resource": "message", "event": "created"},
            "resource",
        ),
        ("DELETE", "/messages", {}, None, "no operation"),
        ("DELETE", "/meetings/x", {"sendEmail": "no"}, None, "sendEmail"),
    ],
)
def test_wrong_requests_are_found(method: str, path: str, query: Any, body: Any, words: str) -> None:
    with pytest.raises(NotAsDescribed, match=words):
        check_request(method, path, query, body)
    with pytest.raises(NotAsDescribed, match=words):
        check_journal(
            [
                {
                    "vendor": "webex",
                    "method": method,
                    "path": path,
                    "query": query,
                    **({"body": body} if body else {}),
                }
            ]
        )


@pytest.mark.parametrize(
    ("method", "path", "status", "body"),
    [
        ("GET", "/meetings/x", 200, {"id": "x"}),
        ("POST", "/meetings", 201, {}),
        ("DELETE", "/meetings/x", 204, {}),
        ("POST", "/messages", 400, {"message": "x"}),
        ("POST", "/messages", 400, {"message": "x", "errors": ["x"], "trackingId": "x"}),
        ("GET", "/people/me", 200, {"loginEnabled": True}),
    ],
)
def test_wrong_answers_are_found(method: str, path: str, status: int, body: Any) -> None:
    with pytest.raises(NotAsDescribed):
        check_answer(method, path, status, body)


def test_the_journal_of_a_good_client_passes(box: Sandbox, bot: WebexClient, host: WebexClient) -> None:
    host.post("/meetings", {**COFFEE, "recurrence": None})
    host.pages("/meetings", max=1)
    bot.post("/messages", {**HELLO, "attachments": [card()]})
    bot.get("/messages/direct", personEmail=ANA)
    # Sign-in, too, stands there; nothing official describes it.
    assert check_journal(box.requests.entries()) == 4
    bot.http.get("/messages/direct", params={"personMail": ANA})
    with pytest.raises(NotAsDescribed, match="personMail"):
        check_journal(box.requests.entries())
