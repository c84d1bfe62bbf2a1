"""An export file into OneDrive: whole, once, and gone on with by whoever comes next."""

from __future__ import annotations

import hashlib
import logging
import multiprocessing
import sqlite3
import threading
import zipfile
from collections.abc import Callable
from io import BytesIO
from pathlib import Path
from typing import Any

import pytest

from include.sandbox.core import Sandbox
from interchange.core.quickxorhash import QuickXorHash
from interchange.core.stored import Verdict
from interchange.delivery.onedrive import SMALL_FILE
from interchange.delivery.source import Damaged
from interchange.errors import Busy, Conflict, OutcomeUnknown, RateLimited, Refused, Unavailable
from interchange.hooks.onedrive import OneDriveHook
from interchange.ledger import Ledger, State
from tests.unit.delivery.conftest import FRAGMENT, REF, Deliver, Vendor, csv_of
from tests.unit.vendors import UNIT, USER, Waits, arm, calls, effects, files, statuses, stored, wait_for

SIZE = 1_500_000
LARGE = csv_of(SIZE)
FRAGMENTS = -(-SIZE // FRAGMENT)
PATH = "/Exports/large.csv"


@pytest.fixture
def large(vendor: Vendor) -> Vendor:
    vendor.gives(LARGE)
    return vendor


def graph(sandbox: Sandbox, **values: Any) -> None:
    sandbox.vendor("graph").set_options(values)


def break_off(sandbox: Sandbox, at: int) -> None:
    """From the n-th fragment on, the upload host fails, and so does whoever asks about it."""
    arm(sandbox, "upload", "status", status=503, operation="fragment", call=at, times=99)
    arm(sandbox, "upload", "status", status=503, operation="session_status", times=99)


def accepted(sandbox: Sandbox) -> list[str]:
    """Ranges of the fragments that the upload host took, in order."""
    taken = [entry for entry in calls(sandbox, "fragment") if entry["status"] in (200, 201, 202)]
    return [entry["headers"]["Content-Range"] for entry in taken]


def all_ranges(size: int = SIZE, fragment: int = FRAGMENT) -> list[str]:
    return [f"bytes {start}-{min(start + fragment, size) - 1}/{size}" for start in range(0, size, fragment)]


def is_there(sandbox: Sandbox, content: bytes = LARGE, path: str = PATH) -> bool:
    """Exactly this one file is in the drive, and it is this content."""
    assert list(files(sandbox)) == [path]
    return stored(sandbox, path) == content


# One request


def test_a_small_file_goes_in_one_request(sandbox: Sandbox, vendor: Vendor, deliver: Deliver):
    content = csv_of(9_000)
    vendor.gives(content)
    receipt = deliver("ann", vendor.source())
    assert is_there(sandbox, content)
    assert statuses(sandbox, "put_content") == [201]
    assert not calls(sandbox, "create_session")
    assert calls(sandbox, "put_content")[0]["headers"]["Content-Type"] == "text/csv"
    assert receipt["size"] == 9_000
    assert receipt["sha256"] == hashlib.sha256(content).hexdigest()
    assert receipt["rows"] == content.count(b"\r\n") - 3
    assert receipt["proof"] == Verdict.SAME
    assert receipt["item_id"] == files(sandbox)[PATH]["item_id"]


def test_done_once_it_is_not_done_again(sandbox: Sandbox, vendor: Vendor, deliver: Deliver):
    vendor.gives(csv_of(9_000))
    assert deliver("ann", vendor.source()) == deliver("bob", vendor.source())
    assert len(effects(sandbox, "file_stored")) == 1


def test_two_workers_do_not_deliver_at_once(
    sandbox: Sandbox, vendor: Vendor, deliver: Deliver, worker: Callable[..., Ledger]
):
    vendor.gives(csv_of(9_000))
    worker("ann").begin(REF, lease_s=30)
    with pytest.raises(Busy):
        deliver("bob", vendor.source())
    assert not calls(sandbox, "put_content", "read")


@pytest.mark.parametrize("extra", [0, 1])
def test_the_boundary_between_the_two_ways(extra: int, sandbox: Sandbox, vendor: Vendor, deliver: Deliver):
    """Older documents allow one request 4 MiB."""
    graph(sandbox, simple_limit_bytes=4 << 20)
    content = csv_of(SMALL_FILE + extra)
    vendor.gives(content)
    deliver("ann", vendor.source(), small_file=SMALL_FILE)
    assert is_there(sandbox, content)
    assert len(calls(sandbox, "create_session")) == extra


@pytest.mark.parametrize("kind", ["lose_answer", "status_after", "truncate"])
def test_a_small_file_whose_answer_was_lost_is_looked_up(
    kind: str, sandbox: Sandbox, vendor: Vendor, deliver: Deliver
):
    content = csv_of(9_000)
    vendor.gives(content)
    arm(sandbox, "graph", kind, operation="put_content")
    with pytest.raises(OutcomeUnknown):
        deliver("ann", vendor.source())
    receipt = deliver("bob", vendor.source())
    assert (receipt["size"], receipt["proof"]) == (9_000, Verdict.SAME)
    assert is_there(sandbox, content)
    assert len(effects(sandbox, "file_stored")) == 1
    assert len(calls(sandbox, "read")) == 1, "bob did not even read the file"


def test_a_small_file_that_did_not_arrive_is_sent_again(sandbox: Sandbox, vendor: Vendor, deliver: Deliver):
    content = csv_of(9_000)
    vendor.gives(content)
    arm(sandbox, "graph", "reset", operation="put_content")
    with pytest.raises(OutcomeUnknown):
        deliver("ann", vendor.source())
    deliver("bob", vendor.source())
    assert is_there(sandbox, content)


def test_an_older_file_of_the_same_size_is_not_taken_for_ours(
    sandbox: Sandbox, vendor: Vendor, deliver: Deliver, waits: Waits
):
    """Without a hash only its version tells it from the one that was about to be sent."""
    graph(sandbox, hashes="missing")
    with_hook = OneDriveHook(pause=waits)
    with_hook.put_small(USER, PATH, csv_of(9_000, seed=2), media_type="text/csv")
    content = csv_of(9_000)
    vendor.gives(content)
    arm(sandbox, "graph", "reset", operation="put_content")
    with pytest.raises(OutcomeUnknown):
        deliver("ann", vendor.source())
    receipt = deliver("bob", vendor.source())
    assert is_there(sandbox, content)
    assert receipt["proof"] == Verdict.SAME_SIZE_NO_HASH
    assert receipt["version"] == with_hook.item(USER, PATH).version  # type: ignore[union-attr]


# Upload sessions


def test_a_large_file_goes_in_fragments(sandbox: Sandbox, large: Vendor, deliver: Deliver):
    receipt = deliver("ann", large.source())
    assert is_there(sandbox)
    assert accepted(sandbox) == all_ranges()
    assert len(calls(sandbox, "create_session")) == 1
    assert len(calls(sandbox, "read")) == 1, "the file was read once"
    expected = QuickXorHash()
    expected.update(LARGE)
    assert receipt["quick_xor_hash"] == expected.base64() == files(sandbox)[PATH]["quick_xor_hash"]
    assert receipt["proof"] == Verdict.SAME


def test_a_large_file_replaces_the_one_before(
    sandbox: Sandbox, large: Vendor, deliver: Deliver, waits: Waits
):
    graph(sandbox, missing_parents_session="404")
    OneDriveHook(pause=waits).put_small(USER, PATH, b"old", media_type="text/csv")
    deliver("ann", large.source())
    assert is_there(sandbox)
    assert files(sandbox)[PATH]["versions"] == 2


STUMBLES = [
    {"kind": "reset"},
    {"kind": "lose_answer"},
    {"kind": "truncate"},
    {"kind": "status", "status": 503},
    {"kind": "status", "status": 500},
    {"kind": "status", "status": 404},
    {"kind": "status", "status": 429, "retry_after": "2"},
    {"kind": "status_after", "status": 503},
    {"kind": "status_after", "status": 500, "retry_after": "1"},
    {"kind": "html", "status": 502},
    {"kind": "html", "status": 200},
]


@pytest.mark.parametrize("fault", STUMBLES, ids=lambda fault: "-".join(map(str, fault.values())))
@pytest.mark.parametrize("fragment", [1, 3])
def test_a_stumble_in_the_middle_costs_no_byte_twice(
    fragment: int, fault: dict[str, Any], sandbox: Sandbox, large: Vendor, deliver: Deliver
):
    """Also a 503 that hides a success: the server is asked what it has."""
    arm(sandbox, "upload", operation="fragment", call=fragment, **fault)
    deliver("ann", large.source())
    assert is_there(sandbox)
    stored_ranges = [entry["headers"]["Content-Range"] for entry in calls(sandbox, "fragment")]
    assert sorted(set(stored_ranges), key=stored_ranges.index) == all_ranges()
    assert len(stored_ranges) <= FRAGMENTS + 1
    assert len(calls(sandbox, "create_session")) == 1
    assert len(effects(sandbox, "file_stored")) == 1


@pytest.mark.parametrize("fault", STUMBLES, ids=lambda fault: "-".join(map(str, fault.values())))
def test_a_stumble_at_the_last_byte_stores_the_file(
    fault: dict[str, Any], sandbox: Sandbox, large: Vendor, deliver: Deliver
):
    arm(sandbox, "upload", operation="fragment", call=FRAGMENTS, **fault)
    deliver("ann", large.source())
    assert is_there(sandbox)
    assert len(effects(sandbox, "file_stored")) == 1


@pytest.mark.parametrize("at", [1, 2, FRAGMENTS - 1, FRAGMENTS])
def test_another_worker_goes_on_where_the_first_one_stopped(
    at: int, sandbox: Sandbox, large: Vendor, deliver: Deliver
):
    """No fragment that the server has is sent again, at whichever one the first worker gave up."""
    break_off(sandbox, at)
    with pytest.raises((Unavailable, OutcomeUnknown)):
        deliver("ann", large.source())
    assert len(accepted(sandbox)) == at - 1
    sandbox.clear_faults()
    receipt = deliver("bob", large.source())
    assert is_there(sandbox)
    assert accepted(sandbox) == all_ranges()
    assert len(calls(sandbox, "create_session")) == 1
    assert receipt["sha256"] == hashlib.sha256(LARGE).hexdigest()


def test_a_killed_worker_is_followed_by_another(sandbox: Sandbox, large: Vendor, deliver: Deliver):
    """The process is gone in the middle, without a word: its claim runs out, its session goes on."""
    killed = threading.Event()
    large.on_piece = lambda sent: None if sent < 1_200_000 else wait_for(killed.is_set)
    ann = multiprocessing.get_context("fork").Process(
        target=lambda: deliver("ann", large.source(), lease_s=1.0)
    )
    ann.start()
    wait_for(lambda: len(accepted(sandbox)) >= 2)
    ann.kill()
    ann.join()
    killed.set()
    receipt: dict[str, Any] = {}
    while not receipt:
        try:
            receipt = deliver("bob", large.source())
        except Busy as exc:
            claim_ends_in_s = exc.retry_after_s
            threading.Event().wait(claim_ends_in_s)
    assert is_there(sandbox)
    assert accepted(sandbox) == all_ranges()
    assert len(calls(sandbox, "create_session")) == 1


def test_a_finished_upload_whose_answer_was_lost_is_found(sandbox: Sandbox, large: Vendor, deliver: Deliver):
    """Nobody could be asked at the time, so it counts as unknown; the next worker looks before it sends."""
    arm(sandbox, "upload", "lose_answer", operation="fragment", call=FRAGMENTS)
    arm(sandbox, "upload", "status", status=503, operation="session_status", times=99)
    with pytest.raises(OutcomeUnknown):
        deliver("ann", large.source())
    receipt = deliver("bob", large.source())
    assert is_there(sandbox)
    assert receipt["proof"] == Verdict.SAME
    assert len(effects(sandbox, "file_stored")) == 1
    assert len(calls(sandbox, "read")) == 1


def test_a_finished_upload_that_cannot_be_seen_yet_ends_as_one_file(
    sandbox: Sandbox, large: Vendor, deliver: Deliver
):
    graph(sandbox, visible_after_gets=2)
    arm(sandbox, "upload", "lose_answer", operation="fragment", call=FRAGMENTS)
    deliver("ann", large.source())
    assert is_there(sandbox)


@pytest.mark.parametrize("status", [404, 200])
def test_a_session_that_was_finished_by_an_earlier_worker(
    status: int, sandbox: Sandbox, large: Vendor, deliver: Deliver, worker: Callable[..., Ledger]
):
    """Whatever its URL answers then: 404, or no ranges at all."""
    sandbox.vendor("upload").set_options({"finished_status": status})
    arm(sandbox, "upload", "lose_answer", operation="fragment", call=FRAGMENTS)
    arm(sandbox, "upload", "status", status=503, operation="session_status", times=99)
    with pytest.raises(OutcomeUnknown):
        deliver("ann", large.source())
    sandbox.clear_faults()
    # A person who did not look said that it had not happened.
    worker("eve").settle(REF, to=State.PLANNED, by="eve", reason="did not look")
    deliver("bob", large.source())
    assert is_there(sandbox)


# What the next worker must not go on with


def test_a_source_that_gives_other_bytes_is_never_mixed(sandbox: Sandbox, large: Vendor, deliver: Deliver):
    """Same name, same length, same beginning of the upload: only its content tells."""
    break_off(sandbox, 4)
    with pytest.raises(Unavailable):
        deliver("ann", large.source())
    sandbox.clear_faults()
    changed = csv_of(SIZE, seed=2)
    large.gives(changed)
    deliver("bob", large.source())
    assert is_there(sandbox, changed)
    assert len(calls(sandbox, "create_session")) == 2
    assert len(effects(sandbox, "session_deleted")) == 1


def test_another_file_of_the_same_length_starts_over(sandbox: Sandbox, large: Vendor, deliver: Deliver):
    break_off(sandbox, 4)
    with pytest.raises(Unavailable):
        deliver("ann", large.source())
    sandbox.clear_faults()
    deliver("bob", large.source(identity="file-2"))
    assert is_there(sandbox)
    assert len(effects(sandbox, "session_deleted")) == 1


def test_a_source_of_another_length_starts_over(sandbox: Sandbox, large: Vendor, deliver: Deliver):
    break_off(sandbox, 4)
    with pytest.raises(Unavailable):
        deliver("ann", large.source())
    sandbox.clear_faults()
    longer = csv_of(SIZE + 5)
    large.gives(longer)
    deliver("bob", large.source())
    assert is_there(sandbox, longer)
    assert len(effects(sandbox, "session_deleted")) == 1


def test_a_source_that_has_become_small_leaves_no_session(sandbox: Sandbox, large: Vendor, deliver: Deliver):
    break_off(sandbox, 4)
    with pytest.raises(Unavailable):
        deliver("ann", large.source())
    sandbox.clear_faults()
    small = csv_of(9_000)
    large.gives(small)
    deliver("bob", large.source())
    assert is_there(sandbox, small)
    assert len(effects(sandbox, "session_deleted")) == 1


def test_another_fragment_size_starts_over(sandbox: Sandbox, large: Vendor, deliver: Deliver):
    break_off(sandbox, 4)
    with pytest.raises(Unavailable):
        deliver("ann", large.source())
    sandbox.clear_faults()
    deliver("bob", large.source(), fragment_size=2 * UNIT)
    assert is_there(sandbox)


def test_a_session_that_ran_out_is_replaced(sandbox: Sandbox, large: Vendor, deliver: Deliver):
    break_off(sandbox, 4)
    with pytest.raises(Unavailable):
        deliver("ann", large.source())
    sandbox.clear_faults()
    sandbox.clock.advance(16 * 60)
    deliver("bob", large.source())
    assert is_there(sandbox)
    assert len(calls(sandbox, "create_session")) == 2


def test_a_url_whose_credential_ended_is_replaced(sandbox: Sandbox, large: Vendor, deliver: Deliver):
    """It lives for a day, however the session's own end moves on."""
    graph(sandbox, session_life_s=10**6)
    break_off(sandbox, 4)
    with pytest.raises(Unavailable):
        deliver("ann", large.source())
    sandbox.clear_faults()
    sandbox.clock.advance(25 * 3600)
    deliver("bob", large.source())
    assert is_there(sandbox)


def test_a_credential_that_ends_in_mid_upload_is_replaced(sandbox: Sandbox, large: Vendor, deliver: Deliver):
    graph(sandbox, session_life_s=10**6)
    advanced: list[int] = []

    def a_day_later(sent: int) -> None:
        if sent > SIZE // 2 and not advanced:
            advanced.append(sent)
            sandbox.clock.advance(25 * 3600)

    large.on_piece = a_day_later
    deliver("ann", large.source())
    assert advanced
    assert is_there(sandbox)


# What the server may do with a session


@pytest.mark.parametrize("behaviour", ["session_lost", "keeps_half", "splits_ranges"])
@pytest.mark.parametrize("fragment", [2, 4])
def test_a_session_with_a_will_of_its_own_still_ends_right(
    behaviour: str, fragment: int, sandbox: Sandbox, large: Vendor, deliver: Deliver
):
    """It forgets everything, takes less than was sent, or names what is missing in pieces."""
    sandbox.vendor("upload").set_options({"fragments": {fragment: behaviour}})
    large.gives(content := csv_of(4 * 2 * UNIT - 10_000))
    receipt = deliver("ann", large.source(), fragment_size=2 * UNIT)
    assert is_there(sandbox, content)
    assert receipt["proof"] == Verdict.SAME
    assert len(effects(sandbox, "file_stored")) == 1


def test_sessions_that_are_lost_again_and_again_are_given_up(
    sandbox: Sandbox, large: Vendor, deliver: Deliver
):
    sandbox.vendor("upload").set_options({"fragments": dict.fromkeys(range(1, 30), "session_lost")})
    with pytest.raises(Unavailable, match="3 upload sessions were lost one after another"):
        deliver("ann", large.source())
    sandbox.vendor("upload").set_options({"fragments": {}})
    deliver("bob", large.source())
    assert is_there(sandbox)


def test_a_long_wait_gives_the_worker_back_and_keeps_the_session(
    sandbox: Sandbox, large: Vendor, deliver: Deliver
):
    arm(sandbox, "upload", "status", status=429, retry_after="120", operation="fragment", call=4)
    with pytest.raises(RateLimited) as raised:
        deliver("ann", large.source())
    assert raised.value.retry_after_s == 120
    deliver("bob", large.source())
    assert is_there(sandbox)
    assert accepted(sandbox) == all_ranges()


def test_a_full_drive_is_refused_and_leaves_nothing(sandbox: Sandbox, large: Vendor, deliver: Deliver):
    arm(sandbox, "upload", "status", status=507, operation="fragment", call=4)
    with pytest.raises(Refused, match="HTTP 507"):
        deliver("ann", large.source())
    assert files(sandbox) == {}
    assert len(effects(sandbox, "session_deleted")) == 1
    graph(sandbox, quota_bytes=1_000_000)
    with pytest.raises(Refused, match="quotaLimitReached"):
        deliver("bob", large.source())


def test_a_folder_that_takes_the_name_in_mid_upload_is_a_conflict(
    sandbox: Sandbox, large: Vendor, deliver: Deliver, waits: Waits
):
    """The server keeps the bytes and refuses the name at the last fragment; nothing is overwritten."""
    made: list[int] = []

    def somebody(sent: int) -> None:
        if sent > SIZE // 2 and not made:
            made.append(sent)
            OneDriveHook(pause=waits).ensure_folder(USER, "Exports/large.csv")

    large.on_piece = somebody
    with pytest.raises(Conflict):
        deliver("ann", large.source())
    assert len(calls(sandbox, "commit_session")) == 1
    assert files(sandbox) == {}


def test_a_session_whose_url_was_lost_is_waited_for(sandbox: Sandbox, large: Vendor, deliver: Deliver):
    graph(sandbox, second_session="conflict")
    arm(sandbox, "graph", "lose_answer", operation="create_session")
    with pytest.raises(Unavailable):
        deliver("ann", large.source())
    with pytest.raises(RateLimited, match="a forgotten upload session still holds the file") as raised:
        deliver("bob", large.source())
    assert raised.value.retry_after_s == 300
    sandbox.clock.advance(901)
    deliver("bob", large.source())
    assert is_there(sandbox)


# Proof


@pytest.mark.parametrize("hashes", ["missing", "empty"])
def test_without_a_hash_the_size_has_to_do_and_is_said(
    hashes: str, sandbox: Sandbox, large: Vendor, deliver: Deliver, waits: Waits
):
    graph(sandbox, hashes=hashes)
    assert deliver("ann", large.source())["proof"] == Verdict.SAME_SIZE_NO_HASH
    assert waits == [0.5, 1.0, 2.0, 4.0], "it is looked for a few times"


def test_a_hash_that_comes_late_is_waited_for(
    sandbox: Sandbox, large: Vendor, deliver: Deliver, waits: Waits
):
    graph(sandbox, hashes_after_gets=2)
    assert deliver("ann", large.source())["proof"] == Verdict.SAME
    assert len(waits) == 3


def test_a_file_that_was_stored_wrong_is_sent_again(sandbox: Sandbox, large: Vendor, deliver: Deliver):
    graph(sandbox, corrupt_uploads=[1])
    with pytest.raises(Unavailable, match=r"onedrive\.verify: the stored file is not the one that was sent"):
        deliver("ann", large.source())
    deliver("bob", large.source())
    assert is_there(sandbox)


def test_a_file_kind_that_the_server_rewrites_is_not_sent_for_ever(
    sandbox: Sandbox, large: Vendor, deliver: Deliver
):
    graph(sandbox, altered_suffixes=[".xlsx"])
    receipt = deliver("ann", large.source(), name="large.xlsx")
    assert receipt["proof"] == Verdict.ALTERED_BY_SERVER
    assert receipt["sha256"] == hashlib.sha256(LARGE).hexdigest()
    assert len(effects(sandbox, "file_stored")) == 1


# What must never arrive


def a_zip(content: bytes, *, level: int = 0) -> bytes:
    packed = BytesIO()
    with zipfile.ZipFile(packed, "w", zipfile.ZIP_DEFLATED, compresslevel=level) as archive:
        archive.writestr("../evil:name?.csv", content)
    return packed.getvalue()


def damaged(content: bytes) -> bytes:
    middle = len(content) // 2
    return content[:middle] + bytes([content[middle] ^ 1]) + content[middle + 1 :]


USELESS = {
    "nothing": (b"", "the file is empty"),
    "html": (b"<!doctype html><html>Service error</html>", "HTML page"),
    "envelope": (b'{"meta": {"httpStatus": "500"}}', "an API answer"),
    "small corrupt zip": (damaged(a_zip(csv_of(9_000))), "damaged"),
    "large corrupt zip": (damaged(a_zip(LARGE)), "damaged"),
    "large cut zip": (a_zip(LARGE)[:-30], "damaged"),
    "large html": (b"<html>" + b" " * SIZE, "HTML page"),
}


@pytest.mark.parametrize("what", USELESS)
def test_what_is_no_export_is_not_stored(what: str, sandbox: Sandbox, vendor: Vendor, deliver: Deliver):
    """Nor is what was there before touched; and no session stays behind."""
    content, words = USELESS[what]
    before = csv_of(5_000)
    vendor.gives(before)
    deliver_before = OneDriveHook()
    deliver_before.put_small(USER, PATH, before, media_type="text/csv")
    vendor.gives(content)
    with pytest.raises(Damaged, match=words):
        deliver("ann", vendor.source())
    assert is_there(sandbox, before)
    assert sandbox.vendor("graph").snapshot()["open_sessions"] == 0


@pytest.mark.parametrize(("size", "announced"), [(9_000, 10_000), (SIZE, SIZE + 1000)])
def test_a_length_that_is_not_kept_stores_nothing(
    size: int, announced: int, sandbox: Sandbox, vendor: Vendor, deliver: Deliver
):
    vendor.gives(csv_of(size), length=announced)
    with pytest.raises(Unavailable):
        deliver("ann", vendor.source())
    assert files(sandbox) == {}


def test_a_download_that_broke_off_goes_on_in_the_same_session(
    sandbox: Sandbox, large: Vendor, deliver: Deliver
):
    """It is read from its start again, but not sent from its start."""
    arm(sandbox, "odd", "truncate", operation="read", after_bytes=SIZE // 2)
    with pytest.raises(Unavailable, match=r"odd\.read|qualtrics"):
        deliver("ann", large.source())
    assert 0 < len(accepted(sandbox)) < FRAGMENTS
    deliver("bob", large.source())
    assert is_there(sandbox)
    assert accepted(sandbox) == all_ranges()


def test_a_file_without_a_length_is_measured_first(sandbox: Sandbox, large: Vendor, deliver: Deliver):
    """An upload session needs the size before its first byte."""
    large.gives(LARGE, length=None)
    deliver("ann", large.source())
    assert is_there(sandbox)
    assert accepted(sandbox) == all_ranges()


@pytest.mark.parametrize("size", [9_000, SIZE])
def test_a_zip_that_was_not_asked_for_is_unpacked(
    size: int, sandbox: Sandbox, vendor: Vendor, deliver: Deliver
):
    """The vendor may pack a large result all the same; the file must be what its name says."""
    content = csv_of(size)
    vendor.gives(a_zip(content, level=1))
    receipt = deliver("ann", vendor.source(unpack=True))
    assert is_there(sandbox, content)
    assert receipt["size"] == size
    vendor.gives(content)
    assert deliver("bob", vendor.source(unpack=True)) == receipt


def test_a_zip_that_was_asked_for_is_stored_as_it_is(sandbox: Sandbox, vendor: Vendor, deliver: Deliver):
    packed = a_zip(LARGE)
    vendor.gives(packed)
    assert deliver("ann", vendor.source(), name="large.zip")["size"] == len(packed)
    assert is_there(sandbox, packed, "/Exports/large.zip")


# Secrets


def everything_in(ledger_file: Path) -> bytes:
    return b"".join(path.read_bytes() for path in ledger_file.parent.glob(f"{ledger_file.name}*"))


def test_a_sessions_url_is_kept_only_encrypted(
    sandbox: Sandbox,
    large: Vendor,
    deliver: Deliver,
    ledger_file: Path,
    caplog: pytest.LogCaptureFixture,
    capsys: pytest.CaptureFixture[str],
):
    caplog.set_level(logging.DEBUG)
    break_off(sandbox, 4)
    with pytest.raises(Unavailable) as raised:
        deliver("ann", large.source())
    with sqlite3.connect(ledger_file) as database:
        (progress,) = database.execute("SELECT progress FROM effects").fetchone()
    assert progress.startswith("gAAAA"), "a Fernet token"
    content = everything_in(ledger_file)
    printed = capsys.readouterr()
    shown = caplog.text + printed.out + printed.err + str(raised.value)
    for word in ("tempauth", "uploadSession?"):
        assert word.encode() not in content
        assert word not in shown
    sandbox.clear_faults()
    deliver("bob", large.source())
    with sqlite3.connect(ledger_file) as database:
        assert database.execute("SELECT progress FROM effects").fetchone() == (None,)


def test_without_a_key_nothing_is_kept_and_it_still_works(
    sandbox: Sandbox, large: Vendor, deliver: Deliver, ledger_file: Path
):
    break_off(sandbox, 4)
    with pytest.raises(Unavailable):
        deliver("ann", large.source(), fernet_key=None)
    with sqlite3.connect(ledger_file) as database:
        assert database.execute("SELECT progress FROM effects").fetchone() == (None,)
    assert b"tempauth" not in everything_in(ledger_file)
    sandbox.clear_faults()
    deliver("bob", large.source(), fernet_key=None)
    assert is_there(sandbox)
    assert len(calls(sandbox, "create_session")) == 2
