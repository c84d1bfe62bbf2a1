"""The alert hook against a simulated chat."""

from __future__ import annotations

from typing import Any

import pytest

from include.sandbox.core import Sandbox
from interchange.errors import OutcomeUnknown, Refused, SettingsError
from interchange.hooks.alerts import AlertsHook
from tests.unit.vendors import Connections, Waits, arm, calls, statuses

TEXT = 'Signs & "markings": 3 activities wait → look at Peña'


@pytest.fixture
def hook(airflow: Connections, waits: Waits) -> AlertsHook:
    return AlertsHook("alerts_default", pause=waits)


def shown(sandbox: Sandbox) -> list[str]:
    texts: list[str] = sandbox.vendor("alerts").texts
    return texts


def test_a_sentence_arrives_letter_by_letter(hook: AlertsHook, sandbox: Sandbox):
    hook.send(TEXT)
    assert shown(sandbox) == [TEXT]
    (request,) = calls(sandbox, "alert")
    assert request["headers"]["Content-Type"] == "application/json"
    assert "Authorization" not in request["headers"], "there is no token"


def test_a_token_is_sent_as_a_bearers(airflow: Connections, sandbox: Sandbox):
    sandbox.vendor("alerts").set_options({"token": "chat-token"})
    airflow.change("alerts_default", password="chat-token")
    AlertsHook("alerts_default").send(TEXT)
    assert calls(sandbox, "alert")[0]["headers"]["Authorization"] == "Bearer …"
    airflow.change("alerts_default", password="another-token")
    with pytest.raises(Refused, match="connection alerts_default"):
        AlertsHook("alerts_default").send(TEXT)
    assert shown(sandbox) == [TEXT]


@pytest.mark.parametrize(
    ("fault", "times_shown"),
    [
        ({"kind": "reset"}, 0),
        ({"kind": "lose_answer"}, 1),
        ({"kind": "status_after", "status": 503}, 1),
        ({"kind": "html", "status": 502}, 0),
        ({"kind": "truncate"}, 1),
    ],
)
def test_a_sentence_is_never_shown_twice(
    fault: dict[str, Any], times_shown: int, hook: AlertsHook, sandbox: Sandbox, waits: Waits
):
    arm(sandbox, "alerts", **fault)
    with pytest.raises(OutcomeUnknown):
        hook.send(TEXT)
    assert (len(shown(sandbox)), len(calls(sandbox, "alert")), waits) == (times_shown, 1, [])


def test_a_chat_that_asks_for_a_moment_gets_it(hook: AlertsHook, sandbox: Sandbox, waits: Waits):
    arm(sandbox, "alerts", "status", status=429, retry_after="2")
    hook.send(TEXT)
    assert (statuses(sandbox, "alert"), waits) == ([429, 200], [2.0])


@pytest.mark.parametrize("text", ["", "  "])
def test_a_sentence_the_chat_does_not_take_is_refused(text: str, hook: AlertsHook, sandbox: Sandbox):
    with pytest.raises(Refused):
        hook.send(text)
    assert not shown(sandbox)


def test_a_webhook_without_an_address_is_a_setting(airflow: Connections):
    airflow.change("alerts_default", host="", port=None)
    with pytest.raises(SettingsError, match=r"alerts_default: host \(the webhook's URL\) is missing"):
        AlertsHook("alerts_default").send(TEXT)


def test_the_address_is_a_secret_of_its_own(
    airflow: Connections,
    sandbox: Sandbox,
    caplog: pytest.LogCaptureFixture,
    capsys: pytest.CaptureFixture[str],
):
    """A chat's webhook often has its credential in its path; nor is what was said for every reader of a log."""
    caplog.set_level("DEBUG")
    told = ""
    AlertsHook("alerts_default").send("citizens' words")
    airflow.change("alerts_default", host=f"{sandbox.url('alerts')}/services/T0/path-secret")
    for fault in (None, {"kind": "reset"}, {"kind": "truncate"}):
        if fault:
            arm(sandbox, "alerts", **fault)
        with pytest.raises((Refused, OutcomeUnknown)) as raised:
            AlertsHook("alerts_default").send("citizens' words")
        told += str(raised.value)
    everything = caplog.text + told + "".join(capsys.readouterr())
    assert "alerts.send: HTTP 404" in everything
    assert "urllib3.connectionpool" in everything, "the most talkative level"
    for word in ("path-secret", "citizens"):
        assert word not in everything
