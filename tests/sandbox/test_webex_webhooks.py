"""Webex in a box: webhooks, their delivery, their signature, and what failures do to them."""

from __future__ import annotations

import hashlib
import hmac
import json
from typing import Any

import pytest

from include.sandbox.core import Sandbox
from include.sandbox.vendors.webex import Webex
from include.sandbox.vendors.webex.seeds import BOT_EMAIL, person_id
from tests.sandbox.webex import Receiver, WebexClient, card, eventually

ANA = "ana@example.test"
SECRET = "sandbox-secret-пароль"


def hooked(client: WebexClient, receiver: Receiver, **fields: Any) -> dict[str, Any]:
    body = {"name": "n", "targetUrl": receiver.url, "resource": "messages", "event": "created", **fields}
    made: dict[str, Any] = client.post("/webhooks", body)
    return made


def say(webex: Webex, text: str = "hi", **fields: Any) -> str:
    return str(webex.seed({"say": {"person": ANA, "text": text, **fields}})["say"][0])


def settled(webex: Webex) -> None:
    eventually(lambda: webex.courier.pending == 0, "nothing on its way")


# Objects


def test_a_webhook_is_made_listed_changed_and_deleted(bot: WebexClient, receiver: Receiver) -> None:
    made = hooked(bot, receiver, secret=SECRET, filter="roomType=direct")
    assert (made["status"], made["ownedBy"], made["secret"]) == ("active", "creator", SECRET)
    assert bot.get("/webhooks")["items"] == [made] == [bot.get(f"/webhooks/{made['id']}")]
    changed = bot.put(f"/webhooks/{made['id']}", {"name": "other", "targetUrl": receiver.url + "/2"})
    assert (changed["name"], changed["resource"], changed["secret"]) == ("other", "messages", SECRET)
    bot.delete(f"/webhooks/{made['id']}")
    bot.delete(f"/webhooks/{made['id']}", 404)
    assert bot.get("/webhooks")["items"] == []


def test_the_same_webhook_can_be_made_twice_and_both_fire(
    webex: Webex, bot: WebexClient, receiver: Receiver
) -> None:
    ids = {hooked(bot, receiver)["id"], hooked(bot, receiver)["id"]}
    assert len(ids) == 2
    say(webex)
    assert {envelope["id"] for envelope in receiver.envelopes(2)} == ids
    webex.set_options({"duplicate_webhook_conflict": True})
    bot.post(
        "/webhooks",
        {"name": "n", "targetUrl": receiver.url, "resource": "messages", "event": "created"},
        409,
    )


def test_webhooks_belong_to_who_made_them(bot: WebexClient, host: WebexClient, receiver: Receiver) -> None:
    made = hooked(bot, receiver)
    assert host.get("/webhooks")["items"] == []
    host.get(f"/webhooks/{made['id']}", 404)
    host.delete(f"/webhooks/{made['id']}", 404)


def test_webhooks_come_in_pages(bot: WebexClient, receiver: Receiver) -> None:
    for _ in range(3):
        hooked(bot, receiver)
    assert [len(page) for page in bot.pages("/webhooks", max=2)] == [2, 1]


@pytest.mark.parametrize(
    ("fields", "status"),
    [
        ({"name": None}, 400),
        ({"targetUrl": "mailto:ana@example.test"}, 400),
        ({"resource": "letters"}, 400),
        ({"event": "started"}, 400),
        ({"resource": "attachmentActions", "event": "all"}, 400),
        ({"resource": "all", "event": "created"}, 400),
        ({"resource": "meetings"}, 403),
        ({"ownedBy": "org"}, 403),
        ({"filter": "shoe=1"}, 400),
        ({"filter": "roomId=Y2lz"}, 400),
    ],
)
def test_a_wrong_webhook_is_refused(
    bot: WebexClient, receiver: Receiver, fields: dict[str, Any], status: int
) -> None:
    body = {"name": "n", "targetUrl": receiver.url, "resource": "messages", "event": "created", **fields}
    told = bot.post("/webhooks", {k: v for k, v in body.items() if v is not None}, status)
    if name := fields.get("filter", "").partition("=")[0]:
        assert told["message"].endswith(f"error = 'Invalid value for filter: {name}')")


@pytest.mark.parametrize("body", [{"name": "n"}, {"targetUrl": "https://example.test"}])
def test_a_change_needs_name_and_address(bot: WebexClient, receiver: Receiver, body: dict[str, Any]) -> None:
    made = hooked(bot, receiver)
    bot.put(f"/webhooks/{made['id']}", body, 400)
    whole = {"name": "n", "targetUrl": receiver.url}
    # Only its deletion ends a webhook.
    bot.put(f"/webhooks/{made['id']}", {**whole, "status": "inactive"}, 400)


# Delivery


def test_a_notification_names_the_message_but_does_not_tell_it(
    webex: Webex, bot: WebexClient, receiver: Receiver
) -> None:
    made = hooked(bot, receiver, secret=SECRET)
    message = say(webex, "a secret plan")
    (envelope,) = receiver.envelopes(1)
    assert (envelope["id"], envelope["resource"], envelope["event"]) == (made["id"], "messages", "created")
    assert envelope["actorId"] == person_id(ANA)
    assert {"orgId", "createdBy", "appId", "ownedBy", "status", "created", "name", "targetUrl"} < set(
        envelope
    )
    assert set(envelope["data"]) == {"id", "roomId", "roomType", "personId", "personEmail", "created"}
    assert (envelope["data"]["id"], envelope["data"]["personEmail"]) == (message, ANA)
    raw = receiver.got[0][1].decode()
    assert "plan" not in raw
    assert SECRET not in raw
    assert bot.get(f"/messages/{message}")["text"] == "a secret plan"


def test_the_signature_is_sha1_over_the_raw_bytes(webex: Webex, bot: WebexClient, receiver: Receiver) -> None:
    hooked(bot, receiver, secret=SECRET, name="Každý příspěvek")
    say(webex)
    receiver.envelopes(1)
    headers, body = receiver.got[0]
    expected = hmac.new(SECRET.encode(), body, hashlib.sha1).hexdigest()
    assert headers["X-Spark-Signature"] == expected
    # The same content written anew is other bytes.
    again = json.dumps(json.loads(body)).encode()
    assert hmac.new(SECRET.encode(), again, hashlib.sha1).hexdigest() != expected


def test_without_a_secret_there_is_no_signature(webex: Webex, bot: WebexClient, receiver: Receiver) -> None:
    hooked(bot, receiver)
    say(webex)
    receiver.envelopes(1)
    assert "X-Spark-Signature" not in receiver.got[0][0]


def test_a_submission_is_told_without_its_inputs(webex: Webex, bot: WebexClient, receiver: Receiver) -> None:
    hooked(bot, receiver, resource="attachmentActions")
    bot.post("/messages", {"toPersonEmail": ANA, "text": "card", "attachments": [card()]})
    (action,) = webex.seed({"submit": {"person": ANA, "inputs": {"date": "2031-03-04"}}})["submit"]
    (envelope,) = receiver.envelopes(1)
    assert envelope["data"]["id"] == action
    assert set(envelope["data"]) == {"id", "type", "messageId", "personId", "roomId", "created"}


def test_a_bot_is_told_of_its_own_messages(bot: WebexClient, receiver: Receiver) -> None:
    hooked(bot, receiver)
    bot.post("/messages", {"toPersonEmail": ANA, "text": "hi"})
    (envelope,) = receiver.envelopes(1)
    assert envelope["data"]["personId"] == bot.get("/people/me")["id"]


def test_in_a_group_a_bot_is_told_of_mentions_only(
    webex: Webex, bot: WebexClient, receiver: Receiver
) -> None:
    room = webex.seed({"rooms": {"title": "Team", "members": [ANA, BOT_EMAIL]}})["rooms"][0]
    hooked(bot, receiver)
    say(webex, "not for the bot", room=room)
    mention = say(webex, "/help", room=room, mention=True)
    settled(webex)
    (envelope,) = receiver.envelopes(1)
    assert envelope["data"]["id"] == mention
    assert envelope["data"]["mentionedPeople"] == [bot.get("/people/me")["id"]]


@pytest.mark.parametrize(
    ("chosen", "told"),
    [
        ("roomType=group", 0),
        ("roomType=direct", 1),
        (f"personEmail={ANA}&roomType=direct", 1),
        ("hasFiles=true", 0),
    ],
)
def test_filters_choose(webex: Webex, bot: WebexClient, receiver: Receiver, chosen: str, told: int) -> None:
    hooked(bot, receiver, filter=chosen)
    say(webex)
    settled(webex)
    assert len(receiver.got) == told


def test_a_firehose_has_all_of_messages_rooms_and_memberships(bot: WebexClient, receiver: Receiver) -> None:
    hooked(bot, receiver, resource="all", event="all")
    room = bot.post("/rooms", {"title": "Team"})["id"]
    bot.post("/messages", {"roomId": room, "text": "hi"})
    seen = {(e["resource"], e["event"]) for e in receiver.envelopes(3)}
    assert seen == {("memberships", "created"), ("rooms", "created"), ("messages", "created")}


def test_edits_and_deletions_are_told(bot: WebexClient, receiver: Receiver) -> None:
    hooked(bot, receiver, event="all")
    message = bot.post("/messages", {"toPersonEmail": ANA, "text": "hi"})
    bot.put(f"/messages/{message['id']}", {"roomId": message["roomId"], "text": "else"})
    bot.delete(f"/messages/{message['id']}")
    assert {e["event"] for e in receiver.envelopes(3)} == {"created", "updated", "deleted"}


# Ways of delivery


def test_notifications_come_side_by_side(webex: Webex, bot: WebexClient, receiver: Receiver) -> None:
    hooked(bot, receiver)
    receiver.gate.clear()
    for _ in range(4):
        say(webex)
    eventually(lambda: receiver.at_once == 4, "four at once")
    # Nobody waits for a receiver: the API answers meanwhile.
    bot.get("/people/me")
    receiver.gate.set()


def test_notifications_can_be_doubled(webex: Webex, bot: WebexClient, receiver: Receiver) -> None:
    webex.set_options({"webhook_copies": 3})
    hooked(bot, receiver)
    say(webex)
    assert len({json.dumps(envelope) for envelope in receiver.envelopes(3)}) == 1


def test_notifications_can_come_last_one_first(webex: Webex, bot: WebexClient, receiver: Receiver) -> None:
    webex.set_options({"webhook_reorder": 3})
    hooked(bot, receiver)
    said = [say(webex), say(webex)]
    assert receiver.got == []
    said.append(say(webex))
    assert [e["data"]["id"] for e in receiver.envelopes(3)] == said[::-1]
    rest = say(webex)
    webex.set_options({"webhook_reorder": 0})
    assert receiver.envelopes(4)[-1]["data"]["id"] == rest


def test_notifications_can_be_held_back(webex: Webex, bot: WebexClient, receiver: Receiver) -> None:
    webex.set_options({"webhook_hold": True})
    hooked(bot, receiver)
    say(webex)
    for _ in range(20):
        bot.get("/people/me")
    assert webex.snapshot()["deliveries_pending"] == 1
    assert receiver.got == []
    webex.set_options({"webhook_hold": False})
    receiver.envelopes(1)


def test_notifications_can_be_lost(webex: Webex, bot: WebexClient, receiver: Receiver, box: Sandbox) -> None:
    webex.set_options({"webhook_drop": 1})
    hooked(bot, receiver)
    lost = say(webex)
    kept = say(webex)
    assert [e["data"]["id"] for e in receiver.envelopes(1)] == [kept]
    assert [e["data_id"] for e in box.effects.entries(kind="webhook_dropped")] == [lost]


def test_a_notification_may_be_ahead_of_what_it_tells(
    webex: Webex, bot: WebexClient, receiver: Receiver
) -> None:
    webex.set_options({"lag_reads": 1, "webhook_delay_s": 0.01})
    hooked(bot, receiver)
    say(webex)
    (envelope,) = receiver.envelopes(1)
    bot.get(f"/messages/{envelope['data']['id']}", 404)
    bot.get(f"/messages/{envelope['data']['id']}")


def test_each_delivery_is_an_effect(webex: Webex, bot: WebexClient, receiver: Receiver, box: Sandbox) -> None:
    hooked(bot, receiver)
    message = say(webex)
    settled(webex)
    (effect,) = box.effects.entries(kind="webhook_delivery")
    assert (effect["data_id"], effect["status"]) == (message, 204)


def test_a_reset_forgets_what_was_on_its_way(
    webex: Webex, bot: WebexClient, receiver: Receiver, box: Sandbox
) -> None:
    hooked(bot, receiver)
    receiver.gate.clear()
    say(webex)
    eventually(lambda: receiver.at_once == 1, "one on its way")
    box.reset()
    receiver.gate.set()
    settled(webex)
    assert box.effects.entries() == []


# Failures


def status_of(bot: WebexClient, hook: dict[str, Any]) -> str:
    return str(bot.get(f"/webhooks/{hook['id']}")["status"])


def fail(webex: Webex, times: int) -> None:
    for _ in range(times):
        say(webex)
    settled(webex)


def test_a_hundred_failures_in_five_minutes_end_a_webhook(
    webex: Webex, bot: WebexClient, receiver: Receiver, box: Sandbox
) -> None:
    hook = hooked(bot, receiver)
    receiver.status = 500
    fail(webex, 99)
    assert status_of(bot, hook) == "active"
    fail(webex, 1)
    assert status_of(bot, hook) == "inactive"
    assert len(box.effects.entries(kind="webhook_inactive")) == 1
    # It never comes back by itself, and is told nothing.
    box.clock.advance(86_400)
    receiver.status = 204
    webex.set_options({"webhook_drop": 1})
    fail(webex, 1)
    assert len(receiver.got) == 100
    # There was nothing that could have been lost.
    assert webex.options.webhook_drop == 1
    assert status_of(bot, hook) == "inactive"


def test_failures_over_a_longer_time_do_not_count(
    webex: Webex, bot: WebexClient, receiver: Receiver, box: Sandbox
) -> None:
    hook = hooked(bot, receiver)
    receiver.status = 302
    fail(webex, 60)
    box.clock.advance(301)
    fail(webex, 60)
    assert status_of(bot, hook) == "active"


@pytest.mark.parametrize(("wait_s", "after"), [(0, "inactive"), (301, "active")])
def test_a_revived_webhook_ends_at_the_first_failure_of_five_minutes(
    webex: Webex, bot: WebexClient, receiver: Receiver, box: Sandbox, wait_s: int, after: str
) -> None:
    hook = hooked(bot, receiver)
    webex.world.webhooks[hook["id"]].active = False
    bot.put(f"/webhooks/{hook['id']}", {"name": "n", "targetUrl": receiver.url, "status": "active"})
    box.clock.advance(wait_s)
    receiver.status = 503
    fail(webex, 1)
    assert status_of(bot, hook) == after


def test_a_receiver_that_is_not_there_is_a_failure(webex: Webex, bot: WebexClient, box: Sandbox) -> None:
    gone = Receiver()
    gone.close()
    hooked(bot, gone)
    fail(webex, 1)
    (effect,) = box.effects.entries(kind="webhook_delivery")
    assert effect["status"] is None
    assert webex.snapshot()["webhooks"][0]["failures"] == 1


def test_delivery_goes_on_after_the_token_has_ended(
    webex: Webex, host: WebexClient, receiver: Receiver, box: Sandbox
) -> None:
    hooked(host, receiver, resource="meetings", event="started")
    body = {"title": "Coffee", "start": "2031-03-04T15:10:00", "end": "2031-03-04T15:40:00"}
    meeting = host.post("/meetings", body)["id"]
    box.clock.advance(15 * 86_400)
    host.get("/webhooks", 401)
    webex.seed({"attend": {"meeting": meeting, "state": "started"}})
    (envelope,) = receiver.envelopes(1)
    assert (envelope["event"], envelope["data"]["id"]) == ("started", meeting)
    assert "password" not in envelope["data"]
