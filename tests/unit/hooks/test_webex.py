"""The Webex client against the simulated Webex."""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from include.sandbox.connections import WEBEX_REFRESH_TOKEN
from include.sandbox.core import Sandbox
from interchange.core.slots import Slot
from interchange.errors import (
    InterchangeError,
    NotFound,
    OutcomeUnknown,
    RateLimited,
    Refused,
    SettingsError,
    Unavailable,
)
from interchange.hooks.webex import LONGEST_TEXT, WebexHook
from interchange.hooks.webex_tokens import Tokens, seed_of
from interchange.ledger import Ledger
from interchange.ledger.tokens import TokenVault
from tests.unit.vendors import Connections, Waits, arm, calls

ZONE = "Europe/Kyiv"


@pytest.fixture
def webex(sandbox: Sandbox) -> Any:
    return sandbox.vendor("webex")


@pytest.fixture
def bot(airflow: Connections, waits: Waits) -> Iterator[WebexHook]:
    made = WebexHook("webex_bot", pause=waits)
    yield made
    made.close()


@pytest.fixture
def client(airflow: Connections, worker: Callable[..., Ledger], waits: Waits) -> Callable[[str], WebexHook]:
    """The meetings' connection, as one more process has it."""
    return lambda owner: WebexHook("webex_meetings", vault=TokenVault(worker(owner)), pause=waits)


def slot(days: int = 7) -> Slot:
    moment = datetime.now(UTC).replace(second=0, microsecond=0) + timedelta(days=days)
    return Slot.at(moment, zone=ZONE, minutes=30)


def book(hook: WebexHook, tag: str = "interchange:abc", **more: Any) -> Any:
    facts: dict[str, Any] = {
        "title": "Coffee",
        "agenda": "Say hello",
        "slot": slot(),
        "addresses": ["ana@example.test", "emil@example.test"],
        "tag": tag,
        "join_before_host_minutes": 5,
    }
    return hook.create_meeting(**{**facts, **more})


def in_threads(work: Callable[[int], object], number: int) -> None:
    threads = [threading.Thread(target=work, args=(n,)) for n in range(number)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()


# Credentials


def test_a_bot_has_a_token_that_stays(bot: WebexHook) -> None:
    assert bot.me().name == "Coffee Roulette"
    assert not bot.renewable
    assert bot.test_connection() == (True, "Webex answers, and accepts the token")


def test_a_client_gets_a_token_for_its_refresh_token_and_keeps_it(
    client: Callable[[str], WebexHook], sandbox: Sandbox
) -> None:
    client("ann").me()
    client("bob").me()
    assert len(calls(sandbox, "access_token")) == 1


def test_tokens_are_kept_encrypted(client: Callable[[str], WebexHook], worker: Callable[..., Ledger]) -> None:
    hook = client("ann")
    hook.me()
    ledger = worker("bob")
    with ledger.engine.connect() as connection:
        (sealed,) = connection.exec_driver_sql("SELECT sealed FROM tokens").scalars()
    stored = hook.keeper().stored()
    assert stored is not None
    assert stored.access_token not in sealed
    assert stored.refresh_token not in sealed
    assert TokenVault(worker("carl", fernet_key=None)).read("webex_meetings") is None


def test_without_a_key_nothing_is_renewed_since_it_could_not_be_kept(
    airflow: Connections, worker: Callable[..., Ledger], sandbox: Sandbox
) -> None:
    hook = WebexHook("webex_meetings", vault=TokenVault(worker("ann", fernet_key=None)))
    with pytest.raises(SettingsError, match="fernet_key"):
        hook.me()
    assert not calls(sandbox, "access_token")


def test_an_old_token_is_renewed_before_it_ends(
    client: Callable[[str], WebexHook], sandbox: Sandbox, webex: Any
) -> None:
    webex.set_options({"access_life_s": 601})
    hook = client("ann")
    hook.me()
    stored = hook.keeper().stored()
    assert stored is not None
    assert stored.renew_at - (stored.access_ends - 601) == pytest.approx(540.9, abs=0.5)


def test_a_refused_token_is_renewed_once_and_the_call_made_again(
    client: Callable[[str], WebexHook], sandbox: Sandbox, webex: Any
) -> None:
    """Defect E18: after a refresh the new token was never used."""
    hook = client("ann")
    hook.me()
    webex.seed({"revoke": {"access": True}})
    assert hook.me().name == "Coffee Host"
    assert len(calls(sandbox, "access_token")) == 2


@pytest.mark.parametrize("rotate", [False, True])
def test_many_processes_renew_once(
    client: Callable[[str], WebexHook], sandbox: Sandbox, webex: Any, rotate: bool
) -> None:
    """Defect E19: each worker had a refresh token of its own; with one that changes, all but one would be dead."""
    webex.set_options({"rotate": rotate})
    client("ann").me()
    webex.seed({"revoke": {"access": True}})
    failed: list[Exception] = []

    def work(number: int) -> None:
        try:
            client(f"process {number}").me()
        except Exception as exc:  # noqa: BLE001  # whatever it is, the test shows it
            failed.append(exc)

    in_threads(work, 4)
    assert failed == []
    assert len(calls(sandbox, "access_token")) == 2
    assert client("late").me().name == "Coffee Host"


def test_a_pair_is_stored_before_it_is_used(
    client: Callable[[str], WebexHook], webex: Any, sandbox: Sandbox
) -> None:
    webex.set_options({"rotate": True})
    arm(sandbox, "webex", "status", operation="person_me", status=500, times=9)
    with pytest.raises(Unavailable):
        client("ann").me()
    sandbox.clear_faults()
    # The refresh token of the connection is dead now: only the stored one helps.
    webex.seed({"revoke": {"access": True}})
    assert client("bob").me().name == "Coffee Host"


def test_an_answer_without_a_refresh_token_leaves_the_one_there_is(
    client: Callable[[str], WebexHook], webex: Any
) -> None:
    webex.set_options({"refresh_in_answer": False})
    client("ann").me()
    webex.seed({"revoke": {"access": True}})
    assert client("bob").me().name == "Coffee Host"


@pytest.mark.parametrize("shape", ["envelope", "oauth"])
def test_a_dead_refresh_token_asks_for_a_log_in(
    client: Callable[[str], WebexHook], webex: Any, airflow: Connections, shape: str
) -> None:
    webex.set_options({"token_errors": shape})
    webex.seed({"revoke": {"refresh": True}})
    with pytest.raises(Refused, match="logs in again at /interchange/webex/login") as caught:
        client("ann").me()
    assert not [secret for secret in airflow.secrets if secret in str(caught.value)]


def test_only_a_refused_token_is_renewed(client: Callable[[str], WebexHook], sandbox: Sandbox) -> None:
    """Defect E23: whatever an answer lacked was taken for a token that had ended."""
    hook = client("ann")
    hook.me()
    for trouble in ({"kind": "truncate"}, {"kind": "status", "status": 403}, {"kind": "html", "status": 200}):
        kind = str(trouble.pop("kind"))
        arm(sandbox, "webex", kind, operation="person_me", times=9, **trouble)
        with pytest.raises(InterchangeError):
            hook.me()
        sandbox.clear_faults()
    assert hook.me().name == "Coffee Host"
    assert len(calls(sandbox, "access_token")) == 1


def test_a_refresh_token_typed_in_anew_replaces_what_is_stored(
    client: Callable[[str], WebexHook], webex: Any, airflow: Connections
) -> None:
    client("ann").me()
    webex.seed({"revoke": {"access": True, "refresh": True}})
    webex.seed({"tokens": {"token": "a-newer-refresh-token-0001", "kind": "refresh", "life_s": 999_999,
                           "person": "ana@example.test", "client": "sandbox-webex-integration"}})  # fmt: skip
    with pytest.raises(Refused):
        client("ann").me()
    airflow.change("webex_meetings", extra={"refresh_token": "a-newer-refresh-token-0001"})
    assert client("bob").me().name.startswith("Ana")


def test_nobody_has_logged_in(client: Callable[[str], WebexHook], airflow: Connections) -> None:
    airflow.change("webex_meetings", extra={"refresh_token": None})
    with pytest.raises(SettingsError, match="nobody has logged in yet"):
        client("ann").me()


def test_a_static_token_is_used_as_it_is(airflow: Connections, webex: Any, waits: Waits) -> None:
    webex.seed({"tokens": {"token": "a-personal-token-0001", "person": "ana@example.test"}})
    airflow.change("webex_meetings", extra={"access_token": "a-personal-token-0001"})
    assert WebexHook("webex_meetings", pause=waits).me().name.startswith("Ana")


def test_the_test_button_renews_nothing(airflow: Connections, sandbox: Sandbox) -> None:
    """What it got would be lost, and with it the refresh token where that changes."""
    assert WebexHook("webex_meetings").test_connection()[0]
    assert not calls(sandbox, "access_token")
    with pytest.raises(SettingsError, match="doctor"):
        WebexHook("webex_meetings").me()
    airflow.change("webex_meetings", password="")
    assert "client's secret" in WebexHook("webex_meetings").test_connection()[1]


def test_lives_come_from_the_answer() -> None:
    answer = {"access_token": "a" * 8, "expires_in": 3600, "refresh_token": "b" * 8}
    made = Tokens.of(answer, asked_at=1000, before=None, seed="s")
    assert (made.access_ends, made.renew_at, made.refresh_ends) == (4600, 4000, None)
    short = Tokens.of(
        {**answer, "expires_in": 100, "refresh_token_expires_in": 50}, asked_at=0, before=None, seed="s"
    )
    assert (short.renew_at, short.refresh_ends) == (90, 50)
    with pytest.raises(TypeError):
        Tokens.of({"access_token": "a"}, asked_at=0, before=None, seed="s")


def test_the_seed_tells_clients_and_refresh_tokens_apart() -> None:
    assert len({seed_of("a", None), seed_of("a", "b"), seed_of("ab", None), seed_of("c", "b")}) == 4
    assert WEBEX_REFRESH_TOKEN not in seed_of("a", WEBEX_REFRESH_TOKEN)


# Meetings


def test_a_meeting_is_found_again_by_its_tag(client: Callable[[str], WebexHook]) -> None:
    hook = client("ann")
    made = book(hook, slot=slot(60))
    book(hook, tag="interchange:other")
    now = datetime.now(UTC)
    found = hook.meetings_with_tag("interchange:abc", since=now, until=now + timedelta(days=366))
    assert [meeting.id for meeting in found] == [made.id]
    assert found[0].starts_at == slot(60).starts_at
    assert hook.meeting(made.id).tags == ("interchange:abc",)


def test_moving_keeps_id_and_link(client: Callable[[str], WebexHook], webex: Any) -> None:
    """Defect E13: moving made a second meeting."""
    hook = client("ann")
    made = book(hook)
    moved = hook.move_meeting(made.id, slot(9))
    assert (moved.id, moved.web_link) == (made.id, made.web_link)
    assert hook.meeting(made.id).starts_at == slot(9).starts_at
    assert len([m for m in webex.snapshot()["meetings"] if m["state"] == "live"]) == 1


def test_cancelling_twice(client: Callable[[str], WebexHook]) -> None:
    hook = client("ann")
    made = book(hook)
    assert hook.cancel_meeting(made.id)
    assert not hook.cancel_meeting(made.id)
    with pytest.raises(NotFound):
        hook.meeting(made.id)


def test_invitees_come_and_go_without_harm(client: Callable[[str], WebexHook]) -> None:
    hook = client("ann")
    made = book(hook)
    hook.invite(made.id, "kai@example.test")
    hook.invite(made.id, "kai@example.test")
    known = {invitee.address: invitee.id for invitee in hook.invitees(made.id)}
    assert sorted(known) == ["ana@example.test", "emil@example.test", "kai@example.test"]
    hook.uninvite(known["kai@example.test"])
    hook.uninvite(known["kai@example.test"])
    assert len(hook.invitees(made.id)) == 2


@pytest.mark.parametrize("kind", ["lose_answer", "status_after", "reset"])
def test_a_meeting_whose_answer_is_lost_is_unknown_and_not_tried_again(
    client: Callable[[str], WebexHook], sandbox: Sandbox, kind: str
) -> None:
    arm(sandbox, "webex", kind, operation="create_meeting")
    with pytest.raises(OutcomeUnknown):
        book(client("ann"))
    assert len(calls(sandbox, "create_meeting")) == 1


def test_a_bot_cannot_book(bot: WebexHook) -> None:
    with pytest.raises(Refused, match="webex_bot"):
        book(bot)


def test_what_is_too_long_for_webex_is_cut(client: Callable[[str], WebexHook]) -> None:
    book(client("ann"), title="ї" * 500, agenda="ї" * 5000)


# Messages


def test_what_was_said_is_found_again(bot: WebexHook, webex: Any) -> None:
    since = datetime.now(UTC) - timedelta(minutes=1)
    assert bot.direct_messages("ana@example.test", since=since) == []
    first = bot.send(markdown="Hello **Ana**", address="ana@example.test")
    card = {"type": "AdaptiveCard", "version": "1.3", "body": [], "actions": [{"type": "Action.Submit", "title": "Yes",
            "data": {"k": "card-1"}}]}  # fmt: skip
    second = bot.send(markdown="A card", address="ana@example.test", card=card)
    webex.seed({"say": {"person": "ana@example.test", "text": "hi"}})
    said = bot.direct_messages("ana@example.test", since=since)
    assert [message.id for message in said[1:]] == [second, first]
    assert said[0].text == "hi"
    assert said[1].cards[0]["actions"][0]["data"] == {"k": "card-1"}
    assert said[2].markdown == "Hello **Ana**"
    assert bot.direct_messages("ana@example.test", since=datetime.now(UTC) + timedelta(minutes=1)) == []


def test_what_the_bot_said_is_taken_back(bot: WebexHook, webex: Any) -> None:
    said = bot.send(markdown="Twice", address="ana@example.test")
    assert bot.delete_message(said)
    assert [one["deleted"] for one in webex.snapshot()["messages"]] == [True]
    assert not bot.delete_message(said)


def test_a_card_that_comes_back(bot: WebexHook, webex: Any) -> None:
    card = {
        "type": "AdaptiveCard",
        "version": "1.3",
        "body": [{"type": "Input.Date", "id": "day"}],
        "actions": [{"type": "Action.Submit", "title": "Propose", "data": {"k": "card-1"}}],
    }
    message = bot.send(markdown="A card", address="ana@example.test", card=card)
    (action,) = webex.seed({"submit": {"person": "ana@example.test", "inputs": {"day": "2031-03-04"}}})[
        "submit"
    ]
    got = bot.submission(action)
    assert (got.message_id, dict(got.inputs)) == (message, {"day": "2031-03-04", "k": "card-1"})
    assert bot.person(got.person_id).addresses == ("ana@example.test",)


def test_nobody_of_that_address(bot: WebexHook) -> None:
    assert bot.person_of("nobody@example.test") is None
    with pytest.raises(NotFound):
        bot.send(markdown="hi", address="nobody@example.test")


def test_the_limit_of_a_text_is_in_bytes(bot: WebexHook, sandbox: Sandbox) -> None:
    with pytest.raises(Refused, match="7439 bytes"):
        bot.send(markdown="ї" * (LONGEST_TEXT // 2 + 1), address="ana@example.test")
    bot.send(markdown="ї" * (LONGEST_TEXT // 2), address="ana@example.test")
    assert len(calls(sandbox, "create_message")) == 1


# Webhooks


def test_webhooks_of_all_pages_are_read(bot: WebexHook) -> None:
    for number in range(103):
        bot.create_webhook(
            name=f"hook {number}",
            target="http://127.0.0.1:1/x",
            resource="messages",
            event="created",
            secret="s" * 9,
        )
    found = bot.webhooks()
    assert len(found) == 103
    assert {hook.active for hook in found} == {True}
    bot.renew_webhook(found[0], secret="t" * 9)
    bot.delete_webhook(found[0].id)
    bot.delete_webhook(found[0].id)
    assert len(bot.webhooks()) == 102


# Troubles


def test_the_vendors_wish_to_wait_is_kept(bot: WebexHook, sandbox: Sandbox, waits: Waits) -> None:
    arm(sandbox, "webex", "status", operation="person_me", status=429, retry_after="3")
    assert bot.me().id
    assert waits == [3.0]
    arm(sandbox, "webex", "status", operation="person_me", status=429, retry_after="3600")
    with pytest.raises(RateLimited) as caught:
        bot.me()
    assert caught.value.retry_after_s == 3600


def test_no_token_and_no_address_in_the_log(
    bot: WebexHook, client: Callable[[str], WebexHook], airflow: Connections, caplog: pytest.LogCaptureFixture
) -> None:
    """Defect E21: tokens, bodies and whole meetings were printed."""
    caplog.set_level(logging.DEBUG)
    bot.send(markdown="a secret of Ana", address="ana@example.test")
    book(client("ann"))
    for hidden in (*airflow.secrets, "ana@example.test", "a secret of Ana", "hostKey", WEBEX_REFRESH_TOKEN):
        assert hidden not in caplog.text
