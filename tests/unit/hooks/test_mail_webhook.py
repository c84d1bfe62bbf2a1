"""The mail webhook's client against the sandbox: what each answer, and no answer, means."""

from __future__ import annotations

import time

import pytest

from include.sandbox.core import Sandbox
from interchange.core.closings import payload
from interchange.errors import OutcomeUnknown, Refused, SettingsError, Unavailable
from interchange.hooks.mail_webhook import MailAccepted, MailRefused, MailWebhookHook
from tests.unit.vendors import Connections, Waits, arm, calls

ELEMENT = {
    "full_name": "Ann ITO",
    "email_address": "ann@example.com",
    "ready_to_send": True,
    "email": {"subject": "s", "to_address": ["ann@example.com"], "cc_address": [""], "body": "b"},
}
BODY = payload([ELEMENT])


@pytest.fixture
def hook(airflow: Connections, waits: Waits) -> MailWebhookHook:
    return MailWebhookHook(pause=waits)


def without_keys(airflow: Connections) -> None:
    airflow.change("ticket_mail_webhook", extra={"idempotency_header": None})


def sent(sandbox: Sandbox) -> int:
    return len(sandbox.vendor("mail_webhook").mails)


@pytest.mark.parametrize("status", [200, 201, 202, 204])
def test_any_2xx_is_success(sandbox: Sandbox, hook: MailWebhookHook, status: int) -> None:
    """Defect B6: only 200 counted."""
    sandbox.vendor("mail_webhook").set_options({"success": status})
    assert hook.post(BODY, idempotency_key="k") == MailAccepted(status=status, request_id=None)


@pytest.mark.parametrize("kind", ["lose_answer", "truncate", "status_after"])
def test_a_lost_answer_is_asked_for_again_under_the_same_key(
    sandbox: Sandbox, hook: MailWebhookHook, waits: Waits, kind: str
) -> None:
    """Defect B12: nothing was tried again, and nothing bound a second POST to the first one."""
    arm(sandbox, "mail_webhook", kind, call=1, operation="send_mails", status=503)

    hook.post(BODY, idempotency_key="k")

    assert sent(sandbox) == 1
    assert len(calls(sandbox, "send_mails")) == 2
    assert len(waits) == 1


def test_a_webhook_that_says_nothing_is_not_waited_for(
    sandbox: Sandbox, hook: MailWebhookHook, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Defect B12: there was no time-out."""
    monkeypatch.setenv("INTERCHANGE_READ_TIMEOUT_S", "0.3")
    arm(sandbox, "mail_webhook", "stall", call=1, operation="send_mails", seconds=30)
    started = time.monotonic()

    hook.post(BODY, idempotency_key="k")

    assert time.monotonic() - started < 10
    assert sent(sandbox) == 1


def test_a_proxys_page_is_not_taken_for_success(
    sandbox: Sandbox, airflow: Connections, hook: MailWebhookHook
) -> None:
    arm(sandbox, "mail_webhook", "html", call=1, operation="send_mails", status=200)
    hook.post(BODY, idempotency_key="k")
    assert sent(sandbox) == 1
    without_keys(airflow)
    arm(sandbox, "mail_webhook", "html", call=3, operation="send_mails", status=200)
    with pytest.raises(OutcomeUnknown):
        MailWebhookHook().post(BODY, idempotency_key="k")


def test_a_lost_answer_without_keys_is_not_asked_for_again(
    sandbox: Sandbox, airflow: Connections, hook: MailWebhookHook
) -> None:
    """Defect B7: an answer that was lost meant that everyone was mailed again."""
    without_keys(airflow)
    arm(sandbox, "mail_webhook", "lose_answer", call=1, operation="send_mails")

    assert not hook.deduplicates
    with pytest.raises(OutcomeUnknown):
        hook.post(BODY, idempotency_key="k")
    assert len(calls(sandbox, "send_mails")) == 1


@pytest.mark.parametrize("later", ["status", "refuse"])
def test_what_comes_after_an_attempt_without_an_answer_does_not_make_it_certain(
    sandbox: Sandbox, hook: MailWebhookHook, later: str
) -> None:
    arm(sandbox, "mail_webhook", "lose_answer", call=1, operation="send_mails")
    if later == "status":
        arm(sandbox, "mail_webhook", "status", call=2, operation="send_mails", status=401)
    else:
        sandbox.vendor("mail_webhook").set_options({"refused": ["ann@example.com"], "idempotency_header": ""})
        sandbox.vendor("mail_webhook").set_options({"refused": []})
        arm(sandbox, "mail_webhook", "status", call=2, operation="send_mails", status=422)
    with pytest.raises(OutcomeUnknown):
        hook.post(BODY, idempotency_key="k")


@pytest.mark.parametrize("status", [400, 409, 413, 415, 422])
def test_a_refusal_means_nothing_was_taken(sandbox: Sandbox, hook: MailWebhookHook, status: int) -> None:
    sandbox.vendor("mail_webhook").set_options({"refused": ["ann@example.com"], "refusal": status})
    with pytest.raises(MailRefused) as caught:
        hook.post(BODY, idempotency_key="k")
    assert caught.value.status == status
    assert "ann" not in str(caught.value)
    assert sent(sandbox) == 0


def test_a_wrong_token_is_for_a_person(sandbox: Sandbox, airflow: Connections, hook: MailWebhookHook) -> None:
    """Defect B12: the webhook let anybody in."""
    airflow.change("ticket_mail_webhook", password="wrong-token-of-the-tests")
    with pytest.raises(Refused) as caught:
        hook.post(BODY, idempotency_key="k")
    assert not isinstance(caught.value, MailRefused)


def test_throttling_means_later(sandbox: Sandbox, hook: MailWebhookHook) -> None:
    arm(sandbox, "mail_webhook", "status", call=1, operation="send_mails", status=429, times=9)
    with pytest.raises(Unavailable):
        hook.post(BODY, idempotency_key="k")


@pytest.mark.parametrize("name", ["not a name", "Ünique", 5])
def test_a_header_must_have_a_name(airflow: Connections, hook: MailWebhookHook, name: object) -> None:
    airflow.change("ticket_mail_webhook", extra={"idempotency_header": name})
    with pytest.raises(SettingsError, match="idempotency_header"):
        hook.post(BODY, idempotency_key="k")


def test_an_address_must_be_there(airflow: Connections, hook: MailWebhookHook) -> None:
    airflow.change("ticket_mail_webhook", host="")
    with pytest.raises(SettingsError, match="host"):
        hook.post(BODY, idempotency_key="k")


def test_a_look_sends_nothing(sandbox: Sandbox, hook: MailWebhookHook) -> None:
    well, words = hook.test_connection()
    assert well, words
    assert sent(sandbox) == 0


def test_no_secret_and_no_address_is_shown(
    sandbox: Sandbox, airflow: Connections, hook: MailWebhookHook, caplog: pytest.LogCaptureFixture
) -> None:
    hook.post(BODY, idempotency_key="k")
    assert "example.com" not in caplog.text
    assert not [secret for secret in airflow.secrets if secret in caplog.text]
