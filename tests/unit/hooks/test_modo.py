"""The Modo client against the simulated Modo."""

from __future__ import annotations

import io
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from include.sandbox.core import Sandbox
from interchange.errors import OutcomeUnknown, RateLimited, Refused, SettingsError, Unavailable
from interchange.hooks.modo import ModoHook
from tests.unit.vendors import Connections, Waits, arm, calls, effects

MESSAGE = {
    "title": "Daily check",
    "body": "<p>Please open it.</p>",
    "style": "information",
    "send_tag": "university",
    "push_notifications": True,
}
XML = b"<directory><person/></directory>"


@pytest.fixture
def hook(airflow: Connections, waits: Waits) -> Iterator[ModoHook]:
    made = ModoHook(pause=waits)
    yield made
    made.close()


def options(sandbox: Sandbox, **values: Any) -> None:
    sandbox.vendor("modo").set_options(values)


def upload(hook: ModoHook, content: bytes = XML, name: str = "staff-2026") -> None:
    hook.upload_directory(io.BytesIO(content), name=name, file_name="directory.xml")


@pytest.mark.parametrize("status", [200, 201, 202])
@pytest.mark.parametrize("body", ["json", "text", "empty"])
def test_any_success_is_one(status: int, body: str, sandbox: Sandbox, hook: ModoHook):
    """What Modo answers is not public, so only the status counts."""
    options(sandbox, success_status=status, success_body=body)
    hook.send_message(MESSAGE)
    upload(hook)
    assert [entry["title"] for entry in effects(sandbox, "message_sent")] == ["Daily check"]
    assert [entry["name"] for entry in effects(sandbox, "directory_revision")] == ["staff-2026"]


def test_a_directory_arrives_byte_by_byte_as_a_form(sandbox: Sandbox, hook: ModoHook):
    content = b"<d>" + b"<p n='\xc3\xbc'/>" * 100_000 + b"</d>"
    upload(hook, content, "Füße #1")
    (revision,) = sandbox.vendor("modo").revisions
    assert (revision["name"], revision["file_name"]) == ("Füße #1", "directory.xml")
    assert revision["content"] == content
    (request,) = calls(sandbox, "upload_directory")
    assert request["headers"]["Content-Type"].startswith("multipart/form-data; boundary=")
    assert request["path"] == "/api/v1/directories/revisions/", "with its slash at the end"


def test_each_token_serves_its_own_resource(airflow: Connections, sandbox: Sandbox, waits: Waits):
    given = airflow.extra_of("modo_default")
    swapped = {"directory_token": given["channel_token"], "channel_token": given["directory_token"]}
    airflow.change("modo_default", extra=swapped)
    hook = ModoHook(pause=waits)
    for send in (lambda: hook.send_message(MESSAGE), lambda: upload(hook)):
        with pytest.raises(Refused, match="check the credentials and permissions of connection modo_default"):
            send()
    assert not sandbox.effects.entries()


@pytest.mark.parametrize(("missing", "method"), [("channel_token", "send"), ("directory_token", "upload")])
def test_a_missing_token_is_named(missing: str, method: str, airflow: Connections, sandbox: Sandbox):
    airflow.change("modo_default", extra={missing: None})
    hook = ModoHook()
    with pytest.raises(SettingsError, match=f"connection modo_default: extra '{missing}' is missing"):
        hook.send_message(MESSAGE) if method == "send" else upload(hook)
    assert not sandbox.requests.entries()


@pytest.mark.parametrize("kind", ["reset", "lose_answer", "status", "status_after", "html", "truncate"])
def test_nothing_is_sent_a_second_time(kind: str, sandbox: Sandbox, hook: ModoHook, waits: Waits):
    """People would get a second push; nobody can be asked whether they got the first."""
    arm(sandbox, "modo", kind, operation="send_message", status=502)
    with pytest.raises(OutcomeUnknown):
        hook.send_message(MESSAGE)
    arm(sandbox, "modo", kind, operation="upload_directory", status=502)
    with pytest.raises(OutcomeUnknown):
        upload(hook)
    assert len(calls(sandbox, "send_message")) == len(calls(sandbox, "upload_directory")) == 1
    assert not waits


def test_a_web_page_is_no_answer_of_modo(sandbox: Sandbox, hook: ModoHook):
    """A proxy or a sign-in page answers 200 as well, and nothing has been sent."""
    arm(sandbox, "modo", "html", operation="send_message", status=200)
    with pytest.raises(OutcomeUnknown, match="a web page"):
        hook.send_message(MESSAGE)
    arm(sandbox, "modo", "html", operation="upload_directory", status=200)
    with pytest.raises(OutcomeUnknown, match="a web page"):
        upload(hook)


def test_a_closed_port_and_a_429_are_tried_again(airflow: Connections, sandbox: Sandbox):
    arm(sandbox, "modo", "refuse", seconds=60)
    hook = ModoHook(pause=lambda seconds: sandbox.end_refusals())
    hook.send_message(MESSAGE)
    arm(sandbox, "modo", "status", status=429, retry_after="2", operation="send_message")
    hook.send_message(MESSAGE)
    assert len(effects(sandbox, "message_sent")) == 2
    arm(sandbox, "modo", "status", status=429, operation="send_message")
    with pytest.raises(RateLimited):
        hook.send_message(MESSAGE)


def test_an_upload_that_is_tried_again_has_all_of_its_content(
    sandbox: Sandbox, hook: ModoHook, tmp_path: Path
):
    """What a refused try has read of the file is read again."""
    file = tmp_path / "directory.xml"
    file.write_bytes(b"<d>" + b"<p/>" * 100_000 + b"</d>")
    arm(sandbox, "modo", "status", status=429, retry_after="2", operation="upload_directory")
    with file.open("rb") as content:
        hook.upload_directory(content, name="staff-2026", file_name=file.name)
    assert len(calls(sandbox, "upload_directory")) == 2
    assert [revision["content"] for revision in sandbox.vendor("modo").revisions] == [file.read_bytes()]


def test_a_path_without_its_slash_is_not_followed(airflow: Connections, sandbox: Sandbox):
    """The redirect would turn the message into a harmless looking GET."""
    airflow.change("modo_default", extra={"message_path": "/api/v1/messages/personal"})
    with pytest.raises(Refused, match="redirect: check the connection's host and paths"):
        ModoHook().send_message(MESSAGE)
    assert len(sandbox.requests.entries()) == 1


def test_a_path_on_another_host_gets_no_token(airflow: Connections, sandbox: Sandbox):
    airflow.change("modo_default", extra={"message_path": f"{sandbox.url('odd')}/things/one"})
    with pytest.raises(Refused, match="another host"):
        ModoHook().send_message(MESSAGE)
    assert not sandbox.requests.entries()


@pytest.mark.parametrize("shape", ["django", "text", "empty"])
def test_a_wrong_message_is_told_by_its_status(shape: str, sandbox: Sandbox, hook: ModoHook):
    options(sandbox, error_body=shape)
    with pytest.raises(Refused) as raised:
        hook.send_message({**MESSAGE, "push_notifications": "true"})
    assert raised.value.status == 400
    assert not effects(sandbox, "message_sent")


def test_a_revision_is_enabled_where_that_takes_a_request(airflow: Connections, sandbox: Sandbox):
    assert not ModoHook().enables_separately
    airflow.change("modo_default", extra={"enable_path": "/things/{name}"}, host=sandbox.url("odd"))
    hook = ModoHook()
    assert hook.enables_separately
    with pytest.raises(Refused):
        hook.enable_directory("staff / 2026 {x}", None)
    (request,) = calls(sandbox, "write", "unknown")
    assert request["path"] == "/things/staff / 2026 {x}"


def test_a_revision_is_enabled_by_the_id_that_the_upload_gave(airflow: Connections, sandbox: Sandbox):
    options(sandbox, enable_at_upload=False)
    airflow.change("modo_default", extra={"enable_path": "/api/v1/directories/revisions/{id}/enable/"})
    hook = ModoHook()
    revision = hook.upload_directory(io.BytesIO(XML), name="staff", file_name="directory.xml")
    assert sandbox.vendor("modo").current is None
    hook.enable_directory("staff", revision)
    assert sandbox.vendor("modo").current == revision


@pytest.mark.parametrize("body", ["text", "empty"])
def test_without_an_id_a_person_enables_the_revision(body: str, airflow: Connections, sandbox: Sandbox):
    options(sandbox, success_body=body)
    airflow.change("modo_default", extra={"enable_path": "/revisions/{id}/enable/"})
    hook = ModoHook()
    revision = hook.upload_directory(io.BytesIO(XML), name="staff", file_name="directory.xml")
    with pytest.raises(Refused, match="held no id of the revision: enable it in Modo's console"):
        hook.enable_directory("staff", revision)


def test_the_test_button_sends_nothing(airflow: Connections, sandbox: Sandbox):
    both = "Modo answers (HTTP 405 to the channel token, HTTP 405 to the directory token)"
    assert ModoHook().test_connection() == (True, both)
    airflow.change("modo_default", extra={"directory_token": None})
    assert ModoHook().test_connection() == (True, "Modo answers (HTTP 405 to the channel token)")
    airflow.change("modo_default", extra={"directory_token": None, "channel_token": None})
    assert "give extra 'channel_token' or 'directory_token'" in ModoHook().test_connection()[1]
    airflow.change("modo_default", extra={"channel_token": "sandbox-modo-channel-token-0001"})
    arm(sandbox, "modo", "status", status=403)
    worked, words = ModoHook().test_connection()
    assert not worked
    assert "credentials" in words
    assert not sandbox.effects.entries()


def test_a_modo_that_is_down_is_unavailable(airflow: Connections, sandbox: Sandbox, waits: Waits):
    arm(sandbox, "modo", "refuse", seconds=60)
    with pytest.raises(Unavailable):
        ModoHook(pause=waits).probe()
