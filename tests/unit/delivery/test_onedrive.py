"""An export file into OneDrive: whole, once, and gone on with by whoever comes next."""

from __future__ import annotations

import hashlib
import multiprocessing
import threading
from collections.abc import Callable
from typing import Any

import pytest

from include.sandbox.core import Sandbox
from interchange.core.quickxorhash import QuickXorHash
from interchange.core.stored import Verdict
from interchange.delivery.onedrive import SMALL_FILE
from interchange.errors import Busy, Conflict, OutcomeUnknown, RateLimited, Refused, Unavailable
from interchange.hooks.onedrive import OneDriveHook
from interchange.ledger import Ledger, State
from tests.unit.delivery.conftest import (
    FRAGMENTS,
    LARGE,
    PATH,
    REF,
    SIZE,
    Deliver,
    Vendor,
    accepted,
    all_ranges,
    break_off,
    csv_of,
    graph,
    is_there,
)
from tests.unit.vendors import UNIT, USER, Waits, arm, calls, effects, files, statuses, wait_for

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


def test_a_session_is_gone_on_with_only_for_the_file_it_was_opened_for(
    sandbox: Sandbox, large: Vendor, deliver: Deliver
):
    """Somebody has corrected the place: the former upload is ended, and its file never appears."""
    break_off(sandbox, 3)
    with pytest.raises((Unavailable, OutcomeUnknown)):
        deliver("ann", large.source())
    sandbox.clear_faults()
    deliver("bob", large.source(), name="other.csv")
    assert is_there(sandbox, path="/Exports/other.csv")
    assert len(calls(sandbox, "create_session")) == 2
    assert len(calls(sandbox, "cancel")) == 1


def test_nor_is_a_file_at_another_place_taken_for_it(sandbox: Sandbox, large: Vendor, deliver: Deliver):
    arm(sandbox, "upload", "lose_answer", operation="fragment", call=FRAGMENTS)
    arm(sandbox, "upload", "status", status=503, operation="session_status", times=99)
    with pytest.raises((Unavailable, OutcomeUnknown)):
        deliver("ann", large.source())
    sandbox.clear_faults()
    deliver("bob", large.source(), name="other.csv")
    assert "/Exports/other.csv" in files(sandbox)


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
        if sent > 1_200_000 and not made:
            made.append(sent)
            wait_for(lambda: bool(calls(sandbox, "create_session")))
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
