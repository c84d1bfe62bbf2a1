"""The sandbox's general faults, met by these vendors: they leave behind what a real service would."""

from __future__ import annotations

import hashlib
from typing import Any

import pytest
import requests

from include.sandbox.faults import Fault, FaultKind
from tests.sandbox.onedrive import UNIT, OneDrive, problem, sample

CONTENT = sample(2 * UNIT + 10)


def arm(onedrive: OneDrive, vendor: str, operation: str, kind: FaultKind, **values: Any) -> None:
    onedrive.sandbox.arm(Fault(vendor=vendor, operation=operation, kind=kind, **values))


def statuses(onedrive: OneDrive, vendor: str, operation: str) -> list[int | None]:
    return [call["status"] for call in onedrive.sandbox.requests.entries(vendor=vendor, operation=operation)]


@pytest.mark.parametrize(
    ("kind", "ranges"), [(FaultKind.RESET, ["0-"]), (FaultKind.LOSE_ANSWER, [f"{UNIT}-"])]
)
def test_a_connection_reset_before_and_after_a_fragment_is_stored(
    onedrive: OneDrive, kind: FaultKind, ranges: list[str]
) -> None:
    url = onedrive.session_url("/f")
    arm(onedrive, "upload", "fragment", kind)

    with pytest.raises(requests.ConnectionError):
        onedrive.fragment(url, CONTENT, 0, UNIT)

    assert onedrive.status(url).json()["nextExpectedRanges"] == ranges


def test_the_answer_to_the_last_fragment_is_lost(onedrive: OneDrive) -> None:
    url = onedrive.session_url("/f")
    arm(onedrive, "upload", "fragment", FaultKind.LOSE_ANSWER, call=3)

    with pytest.raises(requests.ConnectionError):
        onedrive.send_all(url, CONTENT)

    assert problem(onedrive.status(url)) == (404, "itemNotFound")
    item = onedrive.item("/f").json()
    (stored,) = onedrive.effects("file_stored")
    assert item["size"] == len(CONTENT)
    assert item["file"]["hashes"]["quickXorHash"] == stored["quick_xor_hash"]
    assert stored["sha256"] == hashlib.sha256(CONTENT).hexdigest()


@pytest.mark.parametrize(
    ("status", "code"),
    [(429, "activityLimitReached"), (503, "serviceNotAvailable"), (500, "generalException")],
)
def test_a_refusal_with_retry_after_stores_nothing(onedrive: OneDrive, status: int, code: str) -> None:
    url = onedrive.session_url("/f")
    arm(onedrive, "upload", "fragment", FaultKind.STATUS, status=status, retry_after="31")
    arm(onedrive, "graph", "put_content", FaultKind.STATUS, status=status, retry_after="31")

    for answer in (onedrive.fragment(url, CONTENT, 0, UNIT), onedrive.put("/g", b"x")):
        assert problem(answer) == (status, code)
        assert answer.headers["Retry-After"] == "31"
    assert onedrive.status(url).json()["nextExpectedRanges"] == ["0-"]
    assert onedrive.files() == {}


def test_a_fragment_is_stored_although_the_answer_is_an_error(onedrive: OneDrive) -> None:
    url = onedrive.session_url("/f")
    arm(onedrive, "upload", "fragment", FaultKind.STATUS_AFTER, call=2, times=2)
    onedrive.fragment(url, CONTENT, 0, UNIT)

    assert problem(onedrive.fragment(url, CONTENT, UNIT, UNIT)) == (503, "serviceNotAvailable")
    assert onedrive.status(url).json()["nextExpectedRanges"] == [f"{2 * UNIT}-"]
    assert problem(onedrive.fragment(url, CONTENT, 2 * UNIT, UNIT)) == (503, "serviceNotAvailable")
    assert onedrive.status(url).status_code == 404
    assert onedrive.item("/f").json()["size"] == len(CONTENT)


@pytest.mark.parametrize(
    ("status", "code"),
    [(404, "itemNotFound"), (409, "nameAlreadyExists"), (423, "resourceLocked"), (507, "quotaLimitReached")],
)
def test_a_fragment_is_refused_once(onedrive: OneDrive, status: int, code: str) -> None:
    url = onedrive.session_url("/f")
    arm(onedrive, "upload", "fragment", FaultKind.STATUS, status=status)

    assert problem(onedrive.fragment(url, CONTENT, 0, UNIT)) == (status, code)
    assert onedrive.fragment(url, CONTENT, 0, UNIT).status_code == 202


def test_a_simple_upload_whose_answer_is_lost_is_stored(onedrive: OneDrive) -> None:
    arm(onedrive, "graph", "put_content", FaultKind.LOSE_ANSWER)

    with pytest.raises(requests.ConnectionError):
        onedrive.put("/f", CONTENT)
    assert onedrive.put("/f", CONTENT).status_code == 200

    assert [e["version"] for e in onedrive.effects("file_stored")] == [1, 2]


def test_a_session_whose_url_is_lost_stays_open_until_it_expires(onedrive: OneDrive) -> None:
    arm(onedrive, "graph", "create_session", FaultKind.LOSE_ANSWER)

    with pytest.raises(requests.ConnectionError):
        onedrive.open("/f")

    assert onedrive.sandbox.vendor("graph").snapshot()["open_sessions"] == 1
    onedrive.sandbox.clock.advance(901)
    assert onedrive.sandbox.vendor("graph").snapshot()["open_sessions"] == 0
    assert len(onedrive.effects("session_expired")) == 1


@pytest.mark.parametrize("kind", [FaultKind.TRUNCATE, FaultKind.WRONG_BYTES])
def test_an_answer_that_cannot_be_read(onedrive: OneDrive, kind: FaultKind) -> None:
    arm(onedrive, "graph", "create_session", kind, after_bytes=0)

    with pytest.raises(requests.RequestException):
        onedrive.open("/f").json()

    assert len(onedrive.effects("session_created")) == 1


def test_faults_are_counted_by_operation(onedrive: OneDrive) -> None:
    arm(onedrive, "graph", "get_item", FaultKind.STATUS, call=2, times=2, status=502)

    onedrive.put("/f", b"x")
    assert [onedrive.item("/f").status_code for _ in range(4)] == [200, 502, 502, 200]
    assert statuses(onedrive, "graph", "get_item") == [200, 502, 502, 200]


def test_operations_have_names(onedrive: OneDrive) -> None:
    url = onedrive.session_url("/f")
    onedrive.send_all(url, b"x")
    item = onedrive.item("/f").json()
    onedrive.call("GET", f"/items/{item['id']}/content")
    onedrive.call("GET", "/root/children")
    onedrive.folder("A")
    onedrive.call("GET", "/root:/f:/versions")
    onedrive.call("PATCH", "/root:/f", json={})
    onedrive.call("DELETE", "/root:/f")
    onedrive.put("/f", b"x")
    onedrive.call("GET", "")
    onedrive.status(url)
    onedrive.http.delete(url)
    onedrive.http.post(url)

    called = {
        vendor: [e["operation"] for e in onedrive.sandbox.requests.entries(vendor=vendor)]
        for vendor in ("graph", "upload")
    }
    assert called == {
        "graph": [
            "create_session", "get_item", "get_content", "list_children", "create_folder", "list_versions",
            "update_item", "delete_item", "put_content", "get_drive",
        ],
        "upload": ["fragment", "download", "session_status", "cancel", "commit"],
    }  # fmt: skip
