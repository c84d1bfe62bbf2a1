"""Spinoco in a box: pages and what acknowledges them, names, files that are Ogg, and files that only look like it."""

from __future__ import annotations

import datetime as dt
import ssl
import struct
from collections.abc import Iterator
from typing import Any

import httpx
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from include.sandbox.connections import SPINOCO_TOKEN
from include.sandbox.core import Sandbox
from include.sandbox.vendors.spinoco import Spinoco
from include.sandbox.vendors.spinoco.names import BadTemplate, file_name, formatted
from include.sandbox.vendors.spinoco.ogg import LAST, SMALLEST, OggFile

TEMPLATE = "{{due_date|yyyy}}/{{due_date|MM}}/{{due_date|yyyyMMddHHmmss}}-{{task_id}}"
QUERY: dict[str, Any] = {
    "tag": "archive-1",
    "get": "Recordings,Transcriptions",
    "delete": "Recordings",
    "fileNameTemplate": TEMPLATE,
    "startFrom": "1725896747277",
    "skillsShould": [],
    "skillsMust": [],
    "skillsMustNot": [],
    "hashTagsShould": [],
    "hashTagsMust": [],
    "hashTagsMustNot": [],
}
VIP = "1d4de98c-c130-11ef-9cd2-0242ac120002"


@pytest.fixture(scope="module")
def running() -> Iterator[Sandbox]:
    with Sandbox([Spinoco]) as sandbox:
        yield sandbox


@pytest.fixture
def vendor(running: Sandbox) -> Spinoco:
    running.reset()
    made: Spinoco = running.vendor("spinoco")
    return made


@pytest.fixture(scope="module")
def http(running: Sandbox) -> Iterator[httpx.Client]:
    with httpx.Client(
        base_url=running.url("spinoco"),
        verify=ssl.create_default_context(cafile=str(running.ca_bundle)),
        headers={"Authorization": f"Bearer {SPINOCO_TOKEN}"},
        trust_env=False,
    ) as client:
        yield client


def calls(number: int, **facts: Any) -> dict[str, Any]:
    return {"tasks": [{"id": f"task-{n}", "recordings": [900], **facts} for n in range(1, number + 1)]}


def first(http: httpx.Client, count: int = 10, **changes: Any) -> dict[str, Any]:
    answer = http.post("/task/sync/", json={"query": {**QUERY, **changes}, "count": count})
    assert answer.status_code == 200, answer.text
    page: dict[str, Any] = answer.json()
    return page


def after(http: httpx.Client, cursor: str, count: int = 10) -> dict[str, Any]:
    answer = http.post("/task/sync/", json={"page": cursor, "count": count})
    assert answer.status_code == 200, answer.text
    page: dict[str, Any] = answer.json()
    return page


def ids(page: dict[str, Any]) -> list[str]:
    return [entry["taskId"] for entry in page["result"]]


# Pages


def test_pages_are_followed_by_their_cursors(vendor: Spinoco, http: httpx.Client) -> None:
    """Every page that is not empty has one, and it holds the query."""
    vendor.seed(calls(5))
    page = first(http, count=2)
    seen = [ids(page)]
    while "next" in page:
        page = after(http, page["next"], count=2)
        seen.append(ids(page))
    assert seen == [["task-1", "task-2"], ["task-3", "task-4"], ["task-5"], []]


@pytest.mark.parametrize(
    ("mode", "again"),
    [
        # What was never presented comes again.
        ("cursor", ["task-3", "task-4"]),
        ("serve", []),
        # The next first query is itself the acknowledgement.
        ("first_query", []),
    ],
)
def test_what_counts_as_received(mode: str, again: list[str], vendor: Spinoco, http: httpx.Client) -> None:
    vendor.set_options({"acknowledge": mode})
    vendor.seed(calls(4))
    page = first(http, count=2)
    assert ids(after(http, page["next"], count=2)) == ["task-3", "task-4"]
    assert ids(first(http)) == again


@pytest.mark.parametrize("mode", ["serve", "first_query"])
def test_in_other_modes_the_last_page_has_no_cursor(mode: str, vendor: Spinoco, http: httpx.Client) -> None:
    vendor.set_options({"acknowledge": mode})
    vendor.seed(calls(2))
    assert "next" not in first(http)


def test_a_page_can_be_asked_for_again_with_its_cursor(vendor: Spinoco, http: httpx.Client) -> None:
    vendor.seed(calls(3))
    cursor = first(http, count=1)["next"]
    assert ids(after(http, cursor)) == ids(after(http, cursor)) == ["task-2", "task-3"]


def test_tags_know_nothing_of_each_other(vendor: Spinoco, http: httpx.Client) -> None:
    vendor.seed(calls(1))
    page = first(http)
    after(http, page["next"])
    assert ids(first(http)) == []
    assert ids(first(http, tag="archive-2")) == ["task-1"]


def test_two_clients_of_one_tag_steal_each_others_pages(vendor: Spinoco, http: httpx.Client) -> None:
    vendor.seed(calls(2))
    mine = first(http, count=1)
    theirs = first(http, count=1)
    after(http, theirs["next"])
    assert ids(mine) == ids(theirs) == ["task-1"]
    assert ids(first(http)) == ["task-2"], "whoever of them has stored the first task or not"


def test_a_start_counts_only_for_a_new_tag(vendor: Spinoco, http: httpx.Client) -> None:
    vendor.seed(calls(1, due="2020-01-01T00:00:00+00:00"))
    assert ids(first(http)) == []
    assert ids(first(http, startFrom="0")) == []
    assert ids(first(http, tag="new", startFrom="0")) == ["task-1"]


def test_a_task_that_has_changed_comes_again(vendor: Spinoco, http: httpx.Client) -> None:
    vendor.seed(calls(1))
    page = first(http)
    after(http, page["next"])
    vendor.seed({"transcribe": ["task-1"]})
    (entry,) = first(http)["result"]
    assert [name["fileName"].rpartition("task-1")[2] for name in entry["get"]] == [".ogg", ".trans.json"]


@pytest.mark.parametrize("page", ["no cursor", "", 3, None, "bm90IGpzb24="])
def test_a_foreign_cursor_is_refused(page: Any, vendor: Spinoco, http: httpx.Client) -> None:
    assert http.post("/task/sync/", json={"page": page, "count": 10}).status_code == 400
    vendor.set_options({"bad_cursor_status": 410})
    assert http.post("/task/sync/", json={"page": page, "count": 10}).status_code == 410


# Queries


@pytest.mark.parametrize(
    "changes",
    [
        {"tag": "x" * 65},
        {"tag": "ř" * 33},
        {"tag": ""},
        {"get": "Recordings,Faxes"},
        {"get": ["Recordings"]},
        {"delete": "Transcriptions"},
        {"startFrom": 1725896747277},
        {"startFrom": "yesterday"},
        {"skillsMust": ["LONGER"]},
        {"skillsMust": "SK1"},
        {"hashTagsMust": ["vip"]},
        {"fileNameTemplate": "{{due_date|bogus}}"},
        {"fileNameTemplate": "{{caller}}"},
        {"more": 1},
    ],
)
def test_a_wrong_query_is_refused(changes: dict[str, Any], vendor: Spinoco, http: httpx.Client) -> None:
    vendor.seed(calls(1))
    answer = http.post("/task/sync/", json={"query": {**QUERY, **changes}, "count": 10})
    assert answer.status_code == 400
    assert answer.json()["error"]


@pytest.mark.parametrize("count", [0, "10", None, True])
def test_a_wrong_count_is_refused(count: Any, vendor: Spinoco, http: httpx.Client) -> None:
    assert http.post("/task/sync/", json={"query": QUERY, "count": count}).status_code == 400


@pytest.mark.parametrize(
    ("conditions", "found"),
    [
        ({"skillsMust": ["SK1"]}, ["task-1"]),
        ({"skillsShould": ["SK1", "SK2"]}, ["task-1", "task-2"]),
        ({"skillsMustNot": ["SK1"]}, ["task-2", "task-3"]),
        ({"hashTagsMust": [VIP]}, ["task-2", "task-3"]),
        ({"hashTagsMust": [f"{VIP}:gold"]}, ["task-3"]),
        ({"hashTagsMustNot": [f"{VIP}:gold"]}, ["task-1", "task-2"]),
    ],
)
def test_conditions(
    conditions: dict[str, Any], found: list[str], vendor: Spinoco, http: httpx.Client
) -> None:
    facts: list[dict[str, Any]] = [
        {"skill": "SK1"},
        {"skill": "SK2", "hash_tags": [VIP]},
        {"hash_tags": [f"{VIP}:gold"]},
    ]
    vendor.seed({"tasks": [{"id": f"task-{n}", **more} for n, more in enumerate(facts, start=1)]})
    assert ids(first(http, **conditions)) == found


def test_every_type_of_data_has_its_suffix(vendor: Spinoco, http: httpx.Client) -> None:
    vendor.seed({"tasks": [{"id": "c", "transcribed": True}, {"id": "h", "kind": "chat"}]})
    page = first(
        http,
        get="Recordings,Transcriptions,CallMetadata,ChatHistory",
        delete="",
        fileNameTemplate="{{task_id}}",
    )
    names = [file["fileName"] for entry in page["result"] for file in entry["get"]]
    assert names == ["c.ogg", "c.trans.json", "c.meta.json", "h.history.json"]
    assert all(entry["delete"] == [] for entry in page["result"])


def test_lists_may_be_left_out(vendor: Spinoco, http: httpx.Client) -> None:
    vendor.set_options({"always_lists": False})
    vendor.seed({"tasks": [{"id": "h", "kind": "chat"}]})
    assert first(http)["result"] == [{"taskId": "h"}]


# Names


def test_dates_are_written_as_java_does(vendor: Spinoco, http: httpx.Client) -> None:
    at = dt.datetime(2026, 12, 31, 13, 5, 9, 45_000, tzinfo=dt.UTC)
    assert formatted(at, "yyyy-MM-dd HH:mm:ss.SSS") == "2026-12-31 13:05:09.045"
    assert formatted(at, "yyyymmddhhmmss") == "20260531010509", "minutes for months, and half a day"
    assert formatted(at, "YYYY") == "2026"
    assert formatted(dt.datetime(2027, 1, 1, tzinfo=dt.UTC), "YYYY") == "2026", "the year of its week"
    assert formatted(at, "yy M d H h a EEE MMM 'at' ''") == "26 12 31 13 1 PM Thu Dec at '"
    with pytest.raises(BadTemplate, match="Illegal pattern character 'b'"):
        formatted(at, "bb")


@pytest.mark.parametrize(("zone", "name"), [("UTC", "20260701220000"), ("Europe/Prague", "20260702000000")])
def test_the_servers_zone_decides(zone: str, name: str, vendor: Spinoco, http: httpx.Client) -> None:
    vendor.set_options({"zone": zone})
    vendor.seed(calls(1, due="2026-07-01T22:00:00+00:00"))
    page = first(http, fileNameTemplate="{{due_date|yyyyMMddHHmmss}}")
    assert page["result"][0]["get"][0]["fileName"] == f"{name}.ogg"


def test_callers_are_digits(vendor: Spinoco, http: httpx.Client) -> None:
    vendor.seed(calls(1, **{"from": "420111", "to": "420222"}))
    page = first(http, fileNameTemplate="{{call_from}}/../{{call_to}} ř")
    assert page["result"][0]["get"][0]["fileName"] == "420111/../420222 ř.ogg", "what a template says is done"


@pytest.mark.parametrize(
    ("several", "names"), [("index", ["x.ogg", "x-2.ogg"]), ("same", ["x.ogg", "x.ogg"])]
)
def test_several_recordings_of_one_task(
    several: str, names: list[str], vendor: Spinoco, http: httpx.Client
) -> None:
    vendor.set_options({"several": several})
    vendor.seed({"tasks": [{"id": "x", "recordings": [900, 900]}]})
    page = first(http, fileNameTemplate="{{task_id}}")
    assert [file["fileName"] for file in page["result"][0]["get"]] == names


def test_paths_may_lack_their_slash(vendor: Spinoco, http: httpx.Client) -> None:
    vendor.set_options({"leading_slash": False})
    vendor.seed(calls(1))
    assert first(http)["result"][0]["get"][0]["path"].startswith("recording/")


def test_a_name_without_a_date_is_one(vendor: Spinoco) -> None:
    facts: dict[str, Any] = {"task_id": "t", "due": dt.datetime.now(dt.UTC), "call_from": "1", "call_to": "2"}
    assert file_name("{{ task_id }}", zone=dt.UTC, **facts) == "t"


# Files


def pages_of(content: bytes) -> list[tuple[int, bool]]:
    """Each page's flags, and whether its checksum is right, by the definition of the format."""
    found, at = [], 0
    while at < len(content):
        assert content[at : at + 4] == b"OggS"
        segments = content[at + 26]
        end = at + 27 + segments + sum(content[at + 27 : at + 27 + segments])
        page = content[at:end]
        said = struct.unpack("<I", page[22:26])[0]
        found.append((page[5], crc(page[:22] + bytes(4) + page[26:]) == said))
        at = end
    assert at == len(content), "the last page is whole"
    return found


def crc(data: bytes) -> int:
    value = 0
    for byte in data:
        value ^= byte << 24
        for _ in range(8):
            value = (value << 1 ^ (0x04C11DB7 if value & 1 << 31 else 0)) & 0xFFFFFFFF
    return value


@settings(deadline=None, max_examples=60)
@given(st.integers(SMALLEST, 3000) | st.integers(65_000, 66_000))
def test_a_recording_is_ogg_of_any_size(size: int) -> None:
    content = b"".join(OggFile(seed="x", size=size))
    assert len(content) == size
    pages = pages_of(content)
    assert all(right for _, right in pages)
    assert [bool(flags & LAST) for flags, _ in pages] == [False] * (len(pages) - 1) + [True]


def recording(vendor: Spinoco, size: int = 900) -> str:
    vendor.seed({"tasks": [{"id": "r", "recordings": [size]}]})
    return vendor.tasks["r"].files[0].path


@pytest.mark.parametrize("lengths", ["announced", "none"])
def test_a_file_is_fetched(lengths: str, vendor: Spinoco, http: httpx.Client) -> None:
    vendor.set_options({"lengths": lengths})
    path = recording(vendor, 200_000)
    answer = http.get(path)
    assert answer.headers["Content-Type"] == "audio/ogg"
    assert ("Content-Length" in answer.headers) is (lengths == "announced")
    file = vendor.file(path)
    assert file is not None
    assert answer.content == b"".join(file)
    assert answer.content == http.get(path).content


def test_a_length_may_be_wrong(vendor: Spinoco, http: httpx.Client) -> None:
    vendor.set_options({"lengths": "wrong"})
    with pytest.raises(httpx.RemoteProtocolError):
        http.get(recording(vendor))


@pytest.mark.parametrize("damage", ["short", "wrong_bit", "no_end", "cut", "empty"])
def test_a_damaged_file_arrives_without_an_error(damage: str, vendor: Spinoco, http: httpx.Client) -> None:
    path = recording(vendor, 150_000)
    whole = http.get(path).content
    vendor.seed({"damage": {path: damage}})
    answer = http.get(path)
    assert answer.status_code == 200
    assert int(answer.headers["Content-Length"]) == len(answer.content)
    assert answer.content != whole
    if damage in ("short", "no_end", "wrong_bit"):
        pages = pages_of(answer.content)
        assert all(right for _, right in pages) is (damage != "wrong_bit")
        assert bool(pages[-1][0] & LAST) is (damage == "wrong_bit")
    vendor.seed({"damage": {path: None}})
    assert http.get(path).content == whole


@pytest.mark.parametrize(("damage", "status"), [("missing", 404), ("error", 500)])
def test_a_file_that_cannot_be_had(damage: str, status: int, vendor: Spinoco, http: httpx.Client) -> None:
    path = recording(vendor)
    vendor.seed({"damage": {path: damage}})
    assert http.get(path).status_code == status


def test_a_deletion_is_real(vendor: Spinoco, http: httpx.Client) -> None:
    path = recording(vendor)
    assert http.delete(path).status_code == 204
    assert (http.get(path).status_code, http.delete(path).status_code) == (404, 404)
    assert [entry["path"] for entry in vendor.sandbox.effects.entries(kind="file_deleted")] == [path]
    (entry,) = first(http)["result"]
    assert (entry["get"], entry["delete"]) == ([], [])


def test_only_recordings_can_be_deleted(vendor: Spinoco, http: httpx.Client) -> None:
    vendor.seed({"tasks": [{"id": "r", "transcribed": True}]})
    path = next(file.path for file in vendor.tasks["r"].files if file.data_type == "Transcriptions")
    assert http.delete(path).status_code == 404
    assert http.get(path).status_code == 200


@pytest.mark.parametrize(("revoked", "syncs", "files"), [("all", 401, 401), ("files", 200, 401)])
def test_a_token_can_end_at_any_moment(
    revoked: str, syncs: int, files: int, vendor: Spinoco, http: httpx.Client
) -> None:
    path = recording(vendor)
    vendor.set_options({"revoked": revoked})
    assert http.post("/task/sync/", json={"query": QUERY, "count": 1}).status_code == syncs
    assert http.get(path).status_code == http.delete(path).status_code == files


def test_a_wrong_token(vendor: Spinoco, http: httpx.Client) -> None:
    answer = http.post(
        "/task/sync/", json={"query": QUERY, "count": 1}, headers={"Authorization": "Bearer x"}
    )
    assert answer.status_code == 401


def test_state_survives_a_restart(vendor: Spinoco, http: httpx.Client) -> None:
    vendor.seed(calls(2))
    page = first(http, count=1)
    after(http, page["next"])
    kept = vendor.dump()
    vendor.clear()
    vendor.load(kept)
    assert ids(first(http)) == ["task-2"]


@pytest.mark.parametrize(
    "seed",
    [
        {"more": 1},
        {"tasks": [{"number": 1}]},
        {"tasks": [{"kind": "fax"}]},
        {"touch": ["x"]},
        {"damage": {"/x": "y"}},
    ],
)
def test_a_wrong_seed_is_named(seed: dict[str, Any], vendor: Spinoco) -> None:
    with pytest.raises(ValueError, match=r"unknown|must be|no task|no damage"):
        vendor.seed(seed)
