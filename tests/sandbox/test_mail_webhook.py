"""The simulated mail webhook by itself."""

from __future__ import annotations

import json
import ssl
from collections.abc import Iterator
from typing import Any

import httpx
import pytest

from include.sandbox.connections import MAIL_WEBHOOK_TOKEN
from include.sandbox.core import Sandbox
from include.sandbox.vendors import vendor_classes


def element(address: str = "ann@example.com", **changes: Any) -> dict[str, Any]:
    email = {"subject": "s", "to_address": [address], "cc_address": [""], "body": "b"}
    return {
        "full_name": "Ann ITO",
        "email_address": address,
        "ready_to_send": True,
        "email": email,
        **changes,
    }


@pytest.fixture
def sandbox() -> Iterator[Sandbox]:
    with Sandbox(vendor_classes(["mail_webhook"])) as running:
        yield running


@pytest.fixture
def client(sandbox: Sandbox) -> Iterator[httpx.Client]:
    with httpx.Client(
        base_url=sandbox.url("mail_webhook"),
        verify=ssl.create_default_context(cafile=str(sandbox.ca_bundle)),
        headers={"Authorization": f"Bearer {MAIL_WEBHOOK_TOKEN}"},
    ) as opened:
        yield opened


def mails(sandbox: Sandbox) -> list[str]:
    return [mail["to"] for mail in sandbox.vendor("mail_webhook").mails]


def test_sends_a_mail_for_each_element(sandbox: Sandbox, client: httpx.Client) -> None:
    answer = client.post("/mails", json=[element(), element("bob@example.com")])

    assert answer.status_code == 200
    assert mails(sandbox) == ["ann@example.com", "bob@example.com"]
    assert [entry["to"] for entry in sandbox.effects.entries(kind="mail_sent")] == mails(sandbox)
    (counts,) = sandbox.vendor("mail_webhook").snapshot()["by_week"].values()
    assert counts == {"ann@example.com": 1, "bob@example.com": 1}


@pytest.mark.parametrize(
    "wrong",
    [
        [], {}, "text", [element(), {}], [element(ready_to_send=False)], [element(email={})],
        [element("no address")], [{**element(), "more": 1}],
        [element(email={"subject": "", "to_address": ["ann@example.com"], "cc_address": [], "body": "b"})],
        [element(email={"subject": "s", "to_address": ["bob@example.com"], "cc_address": [], "body": "b"})],
        [element(email={"subject": "s", "to_address": ["ann@example.com"], "cc_address": "x", "body": "b"})],
    ],
)  # fmt: skip
def test_one_wrong_element_and_nothing_is_taken(sandbox: Sandbox, client: httpx.Client, wrong: Any) -> None:
    assert client.post("/mails", json=wrong).status_code == 400
    assert mails(sandbox) == []


def test_who_is_refused_is_named(sandbox: Sandbox, client: httpx.Client) -> None:
    sandbox.vendor("mail_webhook").set_options({"refused": ["bob@example.com"], "refusal": 422})
    answer = client.post("/mails", json=[element(), element("bob@example.com")])

    assert (answer.status_code, answer.json()["index"]) == (422, 1)
    assert mails(sandbox) == []


def test_a_known_key_sends_nothing_and_gets_the_first_answer(sandbox: Sandbox, client: httpx.Client) -> None:
    sandbox.vendor("mail_webhook").set_options({"success": 202})
    key = {"Idempotency-Key": "one"}
    first = client.post("/mails", json=[element()], headers=key)
    sandbox.vendor("mail_webhook").set_options({"success": 200})
    again = client.post("/mails", json=[element()], headers=key)
    other = client.post("/mails", json=[element("bob@example.com")], headers=key)

    assert (first.status_code, again.status_code, other.status_code) == (202, 202, 422)
    assert mails(sandbox) == ["ann@example.com"]


def test_a_refused_posts_key_is_free(sandbox: Sandbox, client: httpx.Client) -> None:
    key = {"Idempotency-Key": "one"}
    assert client.post("/mails", json=[{}], headers=key).status_code == 400
    assert client.post("/mails", json=[element()], headers=key).status_code == 200


def test_without_the_switch_keys_are_not_looked_at(sandbox: Sandbox, client: httpx.Client) -> None:
    sandbox.vendor("mail_webhook").set_options({"idempotency_header": ""})
    for _ in range(2):
        client.post("/mails", json=[element()], headers={"Idempotency-Key": "one"})
    assert len(mails(sandbox)) == 2


def test_wants_a_token_json_and_not_too_much(sandbox: Sandbox, client: httpx.Client) -> None:
    sandbox.vendor("mail_webhook").set_options({"most": 1})
    bad = client.post("/mails", json=[element()], headers={"Authorization": "Bearer wrong"})
    plain = client.post("/mails", content=json.dumps([element()]), headers={"Content-Type": "text/plain"})
    many = client.post("/mails", json=[element(), element("bob@example.com")])

    assert (bad.status_code, plain.status_code, many.status_code) == (401, 415, 413)
    assert mails(sandbox) == []
