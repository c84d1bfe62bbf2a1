"""Drives, folders, files and upload sessions, against the simulated OneDrive."""

from __future__ import annotations

import logging
import threading
import traceback
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from include.sandbox.core import Sandbox
from interchange.errors import (
    Conflict,
    InterchangeError,
    NotFound,
    OutcomeUnknown,
    RateLimited,
    Refused,
)
from interchange.hooks.onedrive import OneDriveHook
from tests.unit.vendors import UNIT, USER, Connections, Waits, arm, calls, effects, files, statuses, stored


@pytest.fixture
def hook(airflow: Connections, waits: Waits) -> Iterator[OneDriveHook]:
    made = OneDriveHook(pause=waits)
    yield made
    made.close()


def graph(sandbox: Sandbox, **values: Any) -> None:
    sandbox.vendor("graph").set_options(values)


def put(hook: OneDriveHook, path: str, content: bytes = b"a,b\r\n1,2\r\n") -> Any:
    return hook.put_small(USER, path, content, media_type="text/csv")


# Drives and folders


@pytest.mark.parametrize("user", ["nomysite@contoso.example", "nobody@contoso.example"])
@pytest.mark.parametrize("code", ["Request_ResourceNotFound", "itemNotFound"])
def test_a_missing_drive_is_told_and_never_taken_for_a_missing_file(
    user: str, code: str, sandbox: Sandbox, hook: OneDriveHook
):
    graph(sandbox, unknown_user_code=code)
    words = "no such user or drive; a drive is made when its owner opens OneDrive for the first time"
    with pytest.raises(Refused, match=words):
        hook.drive(user)
    with pytest.raises(Refused, match=words):
        hook.ensure_folder(user, "A/B")
    with pytest.raises(Refused):
        hook.put_small(user, "a.csv", b"x", media_type="text/csv")


def test_a_missing_licence_is_refused(hook: OneDriveHook):
    with pytest.raises(Refused, match="BadRequest"):
        hook.drive("nolicence@contoso.example")


def test_a_file_that_is_not_there_is_none(hook: OneDriveHook):
    assert hook.item(USER, "Nowhere/at all.csv") is None


def test_a_cut_answer_about_a_missing_file_is_asked_for_again(sandbox: Sandbox, hook: OneDriveHook):
    """Its code is lost with it; without one the drive itself would seem to be missing."""
    arm(sandbox, "graph", "truncate", operation="get_item", times=2)
    assert hook.item(USER, "Nowhere/at all.csv") is None
    assert statuses(sandbox, "get_item") == [404, 404, 404]


def folders(sandbox: Sandbox) -> list[str]:
    found: list[str] = sandbox.vendor("graph").snapshot()["users"][USER]["folders"]
    return found


@pytest.mark.parametrize("mode", ["create", "404"])
def test_nested_folders_are_made_once(mode: str, sandbox: Sandbox, hook: OneDriveHook):
    graph(sandbox, missing_parents_children=mode)
    for _ in range(2):
        hook.ensure_folder(USER, "/Surveys/2026/Nov & Dec/")
    assert folders(sandbox) == ["/Surveys", "/Surveys/2026", "/Surveys/2026/Nov & Dec"]
    hook.ensure_folder(USER, "Surveys/2026/Third")
    assert len(effects(sandbox, "folder_created")) == 4
    hook.ensure_folder(USER, "")
    hook.ensure_folder(USER, "/")


def test_letter_case_makes_no_second_folder(sandbox: Sandbox, hook: OneDriveHook):
    hook.ensure_folder(USER, "Surveys/Exports")
    hook.ensure_folder(USER, "SURVEYS/exports/New")
    put(hook, "surveys/EXPORTS/new/a.csv")
    assert folders(sandbox) == ["/Surveys", "/Surveys/Exports", "/Surveys/Exports/New"]
    assert list(files(sandbox)) == ["/Surveys/Exports/New/a.csv"]


def test_many_tasks_may_make_the_same_folder(airflow: Connections, sandbox: Sandbox, waits: Waits):
    start, failed = threading.Barrier(6), []

    def make() -> None:
        hook = OneDriveHook(pause=waits)
        hook.authorization(renew=True)
        start.wait()
        try:
            hook.ensure_folder(USER, "A/B/C/D")
        except InterchangeError as exc:
            failed.append(exc)

    threads = [threading.Thread(target=make) for _ in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not failed
    assert folders(sandbox) == ["/A", "/A/B", "/A/B/C", "/A/B/C/D"]


def test_a_folder_that_is_a_file_is_told(hook: OneDriveHook):
    put(hook, "Surveys")
    with pytest.raises(Refused, match="'Surveys' is a file: choose another folder"):
        hook.ensure_folder(USER, "Surveys")


# Files

NAMES = [
    "50% of #1 + #2.csv",
    "Füße & größer; a=b, c.csv",
    "日本語 - ответы.csv",
    "it's (really) [one] @ 1,5€.csv",
    "a%2Fb.csv",
]


@pytest.mark.parametrize("name", NAMES)
def test_names_arrive_as_they_are(name: str, sandbox: Sandbox, hook: OneDriveHook):
    folder = "Ordner #1/100 %"
    hook.ensure_folder(USER, folder)
    item = put(hook, f"{folder}/{name}")
    assert item.name == name
    url = hook.create_session(USER, f"{folder}/2 {name}", size=3)
    answer = hook.put_fragment(url, b"abc", start=0, total=3)
    assert answer.item is not None
    assert sorted(files(sandbox)) == sorted([f"/{folder}/{name}", f"/{folder}/2 {name}"])
    found = hook.item(USER, f"{folder}/{name}")
    assert found == item


def test_a_file_is_replaced_not_doubled(sandbox: Sandbox, hook: OneDriveHook):
    first, second = put(hook, "a.csv", b"one"), put(hook, "a.csv", b"two!")
    assert (first.id, second.size) == (second.id, 4)
    assert first.version != second.version
    assert list(files(sandbox)) == ["/a.csv"]
    assert stored(sandbox, "/a.csv") == b"two!"
    url = hook.create_session(USER, "a.csv", size=5)
    hook.put_fragment(url, b"three", start=0, total=5)
    assert stored(sandbox, "/a.csv") == b"three"


def test_the_hash_is_none_where_the_server_gives_none(sandbox: Sandbox, hook: OneDriveHook):
    for hashes, known in (("right", True), ("missing", False), ("empty", False)):
        graph(sandbox, hashes=hashes)
        assert (put(hook, "a.csv").quick_xor_hash is not None) is known


@pytest.mark.parametrize("key", ["innerError", "innererror"])
def test_an_error_carries_its_inner_codes(key: str, sandbox: Sandbox, hook: OneDriveHook):
    graph(sandbox, inner_error_key=key)
    url = hook.create_session(USER, "a.csv", size=2 * UNIT)
    hook.put_fragment(url, bytes(UNIT), start=0, total=2 * UNIT)
    with pytest.raises(Refused) as raised:
        hook.put_fragment(url, bytes(UNIT), start=0, total=2 * UNIT)
    assert (raised.value.status, raised.value.code) == (416, "invalidRange/fragmentOverlap")
    assert raised.value.request_id


@pytest.mark.parametrize(
    ("situation", "kind", "code"),
    [
        ({"quota_bytes": 3}, Refused, "quotaLimitReached"),
        ({"simple_limit_bytes": 3}, Refused, "HTTP 413"),
        ({"missing_parents_put": "409"}, Conflict, "invalidRequest"),
        ({"missing_parents_put": "404"}, NotFound, "itemNotFound"),
    ],
)
def test_what_a_person_must_mend_is_refused_at_once(
    situation: dict[str, Any],
    kind: type[Refused],
    code: str,
    sandbox: Sandbox,
    hook: OneDriveHook,
    waits: Waits,
):
    graph(sandbox, **situation)
    with pytest.raises(kind, match=code):
        put(hook, "x/a.csv" if "missing_parents_put" in situation else "a.csv")
    assert len(calls(sandbox, "put_content")) == 1
    assert not waits


def test_a_file_that_somebody_has_open_is_tried_again_later(
    sandbox: Sandbox, hook: OneDriveHook, waits: Waits
):
    graph(sandbox, locked_paths=["/a.csv"])
    with pytest.raises(RateLimited, match="resourceLocked") as raised:
        put(hook, "a.csv")
    assert raised.value.retry_after_s == 300
    assert not waits
    graph(sandbox, locked_paths=[])
    put(hook, "a.csv")
    assert list(files(sandbox)) == ["/a.csv"]


def test_a_missing_permission_is_told(airflow: Connections, sandbox: Sandbox, waits: Waits):
    pem = Path(airflow.extra_of("onedrive_default")["certificate"]).read_text()
    sandbox.vendor("identity").seed(
        {"clients": [{"id": "sandbox-onedrive-client", "certificates": [pem], "roles": ["Files.Read.All"]}]}
    )
    with pytest.raises(
        Refused, match=r"accessDenied\): check the credentials and permissions .*onedrive_default"
    ):
        put(OneDriveHook(pause=waits), "a.csv")


@pytest.mark.parametrize("kind", ["reset", "lose_answer", "truncate", "status_after"])
def test_an_upload_without_an_answer_is_not_repeated(kind: str, sandbox: Sandbox, hook: OneDriveHook):
    arm(sandbox, "graph", kind, operation="put_content")
    with pytest.raises(OutcomeUnknown):
        put(hook, "a.csv")
    assert len(calls(sandbox, "put_content")) == 1


# Upload sessions


def test_our_token_never_goes_to_the_upload_host(sandbox: Sandbox, hook: OneDriveHook):
    url = hook.create_session(USER, "a.csv", size=2 * UNIT)
    assert not url.startswith(sandbox.url("graph"))
    hook.put_fragment(url, bytes(UNIT), start=0, total=2 * UNIT)
    assert hook.session_ranges(url) == (f"{UNIT}-",)
    hook.cancel_session(url)
    hook.cancel_session(url)
    with pytest.raises(NotFound):
        hook.session_ranges(url)
    there = [entry for entry in sandbox.requests.entries() if entry["vendor"] == "upload"]
    assert len(there) == 5
    assert all("Authorization" not in entry["headers"] for entry in there)
    assert len(effects(sandbox, "session_deleted")) == 1


def test_an_upload_url_is_in_no_log_and_no_error(
    airflow: Connections,
    sandbox: Sandbox,
    hook: OneDriveHook,
    caplog: pytest.LogCaptureFixture,
    capsys: pytest.CaptureFixture[str],
):
    caplog.set_level(logging.DEBUG)
    url = hook.create_session(USER, "a.csv", size=2 * UNIT)
    told = []
    actions: list[Callable[[], object]] = [
        lambda: hook.put_fragment(url, bytes(UNIT), start=0, total=2 * UNIT),
        lambda: hook.session_ranges(url),
        lambda: hook.cancel_session(url),
        lambda: hook.commit_session(USER, "a.csv", url),
    ]
    for kind in ("reset", "lose_answer", "truncate", "status", "html"):
        for action in actions:
            for vendor in ("upload", "graph"):
                arm(sandbox, vendor, kind, times=9)
            try:
                action()
            except InterchangeError as exc:
                told.append("".join(traceback.format_exception(exc)))
            sandbox.clear_faults()
    assert len(told) > 15
    printed = capsys.readouterr()
    everything = "\n".join([*told, caplog.text, printed.out, printed.err])
    ticket = url.partition("tempauth=")[2]
    assert len(ticket) > 20
    for secret in (ticket, "eyJ", *airflow.secrets):
        assert secret not in everything


def test_a_session_that_only_lacks_its_name_is_committed(sandbox: Sandbox, hook: OneDriveHook):
    """The server keeps the bytes: after a name conflict, or, as here, when it was told not to commit."""
    url = hook.create_session(USER, "a.csv", size=3)
    arm(sandbox, "upload", "status", status=409, operation="fragment")
    with pytest.raises(Conflict):
        hook.put_fragment(url, b"abc", start=0, total=3)
    with pytest.raises(Refused, match="HTTP 400"):
        hook.commit_session(USER, "a.csv", url)
    (session,) = sandbox.vendor("graph").documents.state.sessions.values()
    session.defer = True
    assert hook.put_fragment(url, b"abc", start=0, total=3).item is None
    assert files(sandbox) == {}
    assert hook.commit_session(USER, "a.csv", url).size == 3
    assert stored(sandbox, "/a.csv") == b"abc"


def test_an_item_is_found_by_its_ids_wherever_it_is_now(sandbox: Sandbox, hook: OneDriveHook):
    item = put(hook, "a.csv")
    assert item.drive_id is not None
    library = sandbox.vendor("graph").documents
    drive = library.state.drives[item.drive_id]
    drive.rename(drive.items[item.id], "moved.csv")
    found = hook.item_by_id(item.drive_id, item.id)
    assert found is not None
    assert (found.id, found.name) == (item.id, "moved.csv")
    assert hook.item_by_id(item.drive_id, "01NOWHERE") is None
