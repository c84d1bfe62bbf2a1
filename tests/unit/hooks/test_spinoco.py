"""The Spinoco client against the simulated Spinoco."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest

from include.sandbox.core import Sandbox
from include.sandbox.wire import answer_json
from interchange.errors import NotFound, RateLimited, Refused, SettingsError, Unavailable
from interchange.hooks.http import ATTEMPTS
from interchange.hooks.spinoco import RemoteFile, SpinocoHook, SyncedTask
from tests.unit.vendors import Connections, Waits, arm, calls, effects

QUERY = {
    "tag": "archive-1",
    "get": "Recordings",
    "delete": "Recordings",
    "fileNameTemplate": "{{task_id}}",
    "startFrom": "0",
}
SLOW_S = 0.6


@pytest.fixture
def spinoco(sandbox: Sandbox) -> Any:
    vendor = sandbox.vendor("spinoco")
    vendor.seed({"tasks": [{"id": f"task-{n}", "recordings": [900]} for n in (1, 2, 3)]})
    return vendor


@pytest.fixture
def hook(airflow: Connections, spinoco: Any, waits: Waits) -> Iterator[SpinocoHook]:
    made = SpinocoHook(pause=waits)
    yield made
    made.close()


def path_of(spinoco: Any, task: str = "task-1") -> str:
    path: str = spinoco.tasks[task].files[0].path
    return path


def fetch(hook: SpinocoHook, path: str) -> bytes:
    with hook.file(path) as download:
        return b"".join(download.chunks())


def answers(monkeypatch: pytest.MonkeyPatch, spinoco: Any, payload: Any) -> None:
    monkeypatch.setattr(spinoco, "_first_page", lambda body, count: answer_json(200, payload))


# Pages


def test_pages_are_followed_to_the_end(hook: SpinocoHook, spinoco: Any):
    page = hook.first_page(QUERY, count=2)
    seen = [[task.id for task in page.tasks]]
    while page.cursor is not None:
        page = hook.next_page(page.cursor, count=2)
        seen.append([task.id for task in page.tasks])
    assert seen == [["task-1", "task-2"], ["task-3"], []]


def test_a_task_says_what_to_fetch_and_what_to_delete(hook: SpinocoHook, spinoco: Any):
    path = path_of(spinoco)
    assert hook.first_page(QUERY).tasks[0] == SyncedTask(
        id="task-1", get=(RemoteFile(name="task-1.ogg", path=path),), delete=(path,)
    )


def test_lists_may_be_left_out(hook: SpinocoHook, spinoco: Any):
    """Defect C14: a list that was missing ended it."""
    spinoco.set_options({"always_lists": False})
    assert hook.first_page({**QUERY, "get": "", "delete": ""}).tasks[0] == SyncedTask(
        id="task-1", get=(), delete=()
    )


@pytest.mark.parametrize(
    "payload",
    [
        {},
        {"result": None},
        {"result": [{}]},
        {"result": ["task"]},
        {"result": [{"taskId": 3}]},
        {"result": [{"taskId": "t", "get": [{"path": "/x"}]}]},
        {"result": [{"taskId": "t", "get": [{"fileName": "", "path": "/x"}]}]},
        {"result": [{"taskId": "t", "delete": ["/x"]}]},
        {"result": [], "next": 3},
        {"result": [], "next": ""},
    ],
)
def test_what_is_no_page_is_none(
    payload: Any, hook: SpinocoHook, spinoco: Any, monkeypatch: pytest.MonkeyPatch
):
    """Half understood, a page would count as received."""
    answers(monkeypatch, spinoco, payload)
    with pytest.raises(Unavailable, match="no page of tasks"):
        hook.first_page(QUERY)


def test_a_mistake_in_the_query_is_for_a_person(hook: SpinocoHook):
    with pytest.raises(Refused):
        hook.first_page({**QUERY, "get": "Faxes"})
    with pytest.raises(Refused):
        hook.next_page("no cursor")


# Files


@pytest.mark.parametrize("lengths", ["announced", "none"])
@pytest.mark.parametrize("slash", [True, False])
def test_a_file_is_read(lengths: str, slash: bool, hook: SpinocoHook, spinoco: Any):
    spinoco.set_options({"lengths": lengths, "leading_slash": slash})
    (file,) = hook.first_page(QUERY).tasks[0].get
    assert fetch(hook, file.path) == b"".join(spinoco.file(file.path))


def test_a_file_shorter_than_announced_is_none(hook: SpinocoHook, spinoco: Any):
    spinoco.set_options({"lengths": "wrong"})
    with pytest.raises(Unavailable, match=r"broke off|901 bytes were announced, 900 came"):
        fetch(hook, path_of(spinoco))


def test_a_file_that_is_not_there(hook: SpinocoHook, spinoco: Any):
    spinoco.seed({"damage": {path_of(spinoco): "missing"}})
    with pytest.raises(NotFound):
        fetch(hook, path_of(spinoco))


def test_a_deletion_may_find_nothing(hook: SpinocoHook, sandbox: Sandbox, spinoco: Any):
    path = path_of(spinoco)
    assert (hook.delete(path), hook.delete(path)) == (True, False)
    assert len(effects(sandbox, "file_deleted")) == 1


def test_a_deletion_whose_answer_is_lost_is_done(hook: SpinocoHook, sandbox: Sandbox, spinoco: Any):
    """Defects C2 and C8: a reset crashed it, and what was gone already was a failure."""
    arm(sandbox, "spinoco", "lose_answer", operation="delete_file")
    assert hook.delete(path_of(spinoco)) is False
    assert len(effects(sandbox, "file_deleted")) == 1


@pytest.mark.parametrize("path", ["https://elsewhere.example/recording/x", "http://localhost/recording/x"])
def test_a_path_to_another_host_gets_no_token(path: str, hook: SpinocoHook, sandbox: Sandbox):
    with pytest.raises(Refused, match="another host"):
        fetch(hook, path)
    with pytest.raises(Refused, match="another host"):
        hook.delete(path)
    assert not calls(sandbox, "get_file", "delete_file")


# Faults


@pytest.mark.parametrize(
    "fault",
    [
        {"kind": "reset"},
        {"kind": "stall", "seconds": SLOW_S},
        {"kind": "status", "status": 500},
        {"kind": "html", "status": 200},
        {"kind": "html", "status": 502},
        {"kind": "truncate"},
        {"kind": "lose_answer"},
    ],
    ids=lambda fault: "-".join(map(str, fault.values())),
)
def test_a_page_in_trouble_is_asked_for_again(
    fault: dict[str, Any], hook: SpinocoHook, sandbox: Sandbox, monkeypatch: pytest.MonkeyPatch
):
    """Defects C2 and C3: it crashed over a reset, and ended silently over an answer that was cut."""
    monkeypatch.setenv("INTERCHANGE_READ_TIMEOUT_S", str(SLOW_S / 2))
    arm(sandbox, "spinoco", operation="sync", times=ATTEMPTS, **fault)
    with pytest.raises(Unavailable):
        hook.first_page(QUERY)
    sandbox.clear_faults()
    assert len(hook.first_page(QUERY).tasks) == 3


def test_asked_to_slow_down(hook: SpinocoHook, sandbox: Sandbox, waits: Waits):
    """Defect C16: it came back after thirty seconds, whatever was asked for."""
    arm(sandbox, "spinoco", "status", status=429, retry_after="3", operation="sync")
    assert hook.first_page(QUERY).tasks
    assert waits == [3.0]
    arm(sandbox, "spinoco", "status", status=429, retry_after="900", operation="sync")
    with pytest.raises(RateLimited):
        hook.first_page(QUERY)


def test_one_that_is_not_well_is_given_ever_more_time(hook: SpinocoHook, sandbox: Sandbox, waits: Waits):
    """Defect C16: all its pauses were the same."""
    arm(sandbox, "spinoco", "status", status=500, operation="sync", times=ATTEMPTS - 1)
    assert hook.first_page(QUERY).tasks
    assert waits == [0.5, 1.0, 2.0]


def test_a_file_that_breaks_off_is_unavailable(hook: SpinocoHook, sandbox: Sandbox, spinoco: Any):
    arm(sandbox, "spinoco", "truncate", operation="get_file")
    with pytest.raises(Unavailable, match="broke off"):
        fetch(hook, path_of(spinoco))


# Credentials


@pytest.mark.parametrize("revoked", ["all", "files"])
def test_a_revoked_token_is_for_a_person(revoked: str, hook: SpinocoHook, spinoco: Any):
    spinoco.set_options({"revoked": revoked})
    with pytest.raises(Refused, match="check the credentials and permissions of connection spinoco_default"):
        fetch(hook, path_of(spinoco))


def test_a_missing_token_is_named(airflow: Connections, sandbox: Sandbox):
    airflow.change("spinoco_default", password="")
    with pytest.raises(SettingsError, match=r"connection spinoco_default: password \(the API token\)"):
        SpinocoHook().first_page(QUERY)
    assert not sandbox.requests.entries()


def test_the_test_button_changes_nothing(airflow: Connections, hook: SpinocoHook, spinoco: Any):
    assert hook.test_connection() == (True, "Spinoco answers, and accepts the token")
    assert spinoco.tags == {}
    airflow.change("spinoco_default", password="wrong")
    well, words = SpinocoHook().test_connection()
    assert not well
    assert "not allowed" in words


def test_neither_logs_nor_errors_hold_token_or_callers(
    airflow: Connections,
    hook: SpinocoHook,
    sandbox: Sandbox,
    spinoco: Any,
    caplog: pytest.LogCaptureFixture,
    capsys: pytest.CaptureFixture[str],
):
    caplog.set_level("DEBUG")
    spinoco.seed({"tasks": [{"id": "t", "from": "420777888999"}]})
    hook.first_page({**QUERY, "fileNameTemplate": "{{call_from}}"})
    arm(sandbox, "spinoco", "status", status=400, operation="sync")
    with pytest.raises(Refused) as raised:
        hook.first_page(QUERY)
    everything = caplog.text + str(raised.value) + "".join(capsys.readouterr())
    assert "spinoco.sync: HTTP 200" in everything
    for word in (*airflow.secrets, "420777888999"):
        assert word not in everything
