"""A synchronisation, whatever Spinoco, the line, the storage or our own process do meanwhile."""

from __future__ import annotations

import dataclasses
import errno
import json
import os
import stat
import threading
import time
from collections.abc import Callable
from datetime import timedelta
from typing import Any

import pytest

from include.sandbox.faults import Fault, FaultKind
from interchange.errors import Busy, Refused, Unavailable
from interchange.hooks.spinoco import SpinocoHook
from interchange.ledger import State
from interchange.storages.base import MANIFESTS, Spooled
from interchange.storages.local import LocalDisk
from interchange.sync.pages import PAGE, PAGE_DONE, WORKFLOW, Source
from interchange.sync.run import _is_due
from tests.unit.sync.conftest import KINDS, World

MODES = ("cursor", "serve", "first_query")
EVERY = pytest.mark.parametrize("world", KINDS, indirect=True)


@EVERY
def test_all_files_are_stored_once_and_their_receipts_say_where(world: World) -> None:
    """Defect C12: no record was kept."""
    world.add({"recordings": [30_000, 20_000], "transcribed": True}, number=24)

    summary = world.run()

    assert world.is_complete()
    assert (summary.pages, summary.stored, summary.waiting) == (3, 28, 0)
    receipts = [effect.receipt or {} for effect in world.files(State.CONFIRMED)]
    held = world.holds()
    assert {receipt["path"] for receipt in receipts} == set(held)
    assert all(receipt["size"] == len(held[receipt["path"]]) for receipt in receipts)
    assert sorted(receipt["sha256"] for receipt in receipts) == world.hashes
    assert {receipt["type"] for receipt in receipts} == {"Recordings", "Transcriptions"}
    assert world.left_over() == []


def test_a_second_run_fetches_nothing(world: World) -> None:
    world.add(number=5)
    world.run()
    world.sandbox.requests.clear()
    summary = world.run()
    assert (summary.stored, len(world.calls("get_file"))) == (0, 0)


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("leading_slash", [True, False])
def test_whatever_counts_as_receiving_nothing_is_lost(world: World, mode: str, leading_slash: bool) -> None:
    """Defect C14: a list that was missing ended it."""
    world.spinoco.set_options(
        {"acknowledge": mode, "leading_slash": leading_slash, "always_lists": False, "lengths": "none"}
    )
    for _ in range(3):
        world.add({"kind": "chat"}, number=12)
        world.run()
    assert world.is_complete()
    assert len(world.calls("get_file")) == 36


def test_more_come_while_a_run_is_at_work(world: World) -> None:
    world.add(number=10)
    world.run(max_pages=1)
    world.add(number=15)
    world.run()
    assert world.is_complete()


def test_a_limit_of_pages_is_gone_on_from(world: World) -> None:
    world.add(number=35)
    first = world.run(max_pages=1)
    assert (first.stored, first.more) == (10, True)
    for _ in range(8):
        world.run(max_pages=1)
    assert world.is_complete()
    assert len(world.calls("get_file")) == 35


@pytest.mark.parametrize("mode", MODES)
def test_a_page_is_known_before_its_first_file_is_fetched(world: World, mode: str) -> None:
    """A run that ends in the middle of a page is gone on with, whatever Spinoco thinks was received."""
    world.spinoco.set_options({"acknowledge": mode})
    world.add(number=20)
    world.fault("status", status=401, call=4, times=100)
    with pytest.raises(Refused):
        world.run()
    assert len(world.ledger.list(workflow=WORKFLOW, kind=PAGE)) == 1
    world.sandbox.clear_faults()

    world.run()

    assert world.is_complete()
    pages, done = (len(world.ledger.list(workflow=WORKFLOW, kind=kind)) for kind in (PAGE, PAGE_DONE))
    assert (pages, done) == (2, 2)


# A file that is not as it should be


DAMAGES = ["empty", "cut", "wrong_bit", "no_end", "short", "missing", "error"]


@pytest.mark.parametrize("damage", DAMAGES)
def test_one_bad_file_stops_nobody_and_its_original_stays(world: World, damage: str) -> None:
    """Defects C5, C6 and C7: half a file was kept; an empty one too, its original deleted; a 404 blocked the page."""
    world.settings |= {"delete": ["Recordings"]}
    world.add(number=5, size=150_000)
    bad = sorted(world.originals)[2]
    world.damage(bad, damage)

    summary = world.run()

    assert (summary.stored, summary.waiting, summary.quarantined, summary.deleted) == (4, 1, 0, 4)
    assert bad not in world.spinoco.deleted
    assert len(world.holds()) == 4

    world.damage(bad, None)
    assert world.run().stored == 1
    assert world.is_complete()
    assert len(world.spinoco.deleted) == 5


def test_a_bad_file_is_told_with_its_task_and_counted(world: World, caplog: pytest.LogCaptureFixture) -> None:
    """Defect C15: the log of a page that failed did not say which task; nothing was counted."""
    task = "b808d74e-84b2-11ef-b864-0242ac120002"
    world.add({"id": task, "recordings": [20_000]}, number=4)
    (bad,) = [path for path in world.originals if task in path]
    world.damage(bad, "cut")
    caplog.set_level("INFO")

    summary = world.run()

    (told,) = [record.getMessage() for record in caplog.records if record.levelname == "WARNING"]
    assert task in told
    assert "is cut off" in told
    assert f"{summary}".startswith("1 pages, 4 stored")


def test_a_file_that_stays_bad_is_left_in_quarantine_and_the_cursor_moves_on(world: World) -> None:
    world.settings |= {"attempts": 3, "delete": ["Recordings"]}
    world.add(number=3)
    bad = min(world.originals)
    world.damage(bad, "cut")
    for expected in (0, 0, 1):
        world.add(number=1)
        assert world.run().quarantined == expected
    (aside,) = world.files(State.QUARANTINED)
    assert (aside.field, aside.attempts) == ("file", 3)
    assert "is cut off" in (aside.reason or "")
    world.sandbox.requests.clear()
    world.run()
    assert [entry["path"] for entry in world.calls("get_file")] == []

    world.damage(bad, None)
    world.ledger.replay(aside.ref, by="a person", reason="Spinoco has mended it")
    world.run()
    assert world.is_complete()
    assert len(world.spinoco.deleted) == 6


def test_a_file_that_does_not_come_is_kept_for_a_day_at_least(world: World) -> None:
    world.settings |= {"attempts": 1}
    world.add(number=3)
    world.damage(min(world.originals), "error")
    for _ in range(3):
        assert (world.run().quarantined, world.last.waiting) == (0, 1)
    world.days = 1.1
    assert world.run().quarantined == 1


def test_a_late_transcription_is_fetched_later(world: World) -> None:
    world.add({"recordings": [20_000], "transcribed": True})
    (late,) = [path for path in world.originals if "transcription" in path]
    world.damage(late, "missing")
    assert (world.run().stored, world.last.waiting) == (1, 1)
    world.damage(late, None)
    assert world.run().stored == 1
    assert world.is_complete()


def test_a_transcription_is_looked_for_ever_more_seldom_and_not_for_ever(world: World) -> None:
    world.settings |= {"late_days": 14}
    world.add({"recordings": [20_000], "transcribed": True})
    (late,) = [path for path in world.originals if "transcription" in path]
    world.damage(late, "missing")
    world.run()
    # The ledger's own clock stands still, so what it knows is made old: it waited three days.
    (effect,) = world.files(State.PLANNED)
    soon, old = (
        dataclasses.replace(
            effect,
            created_at=effect.updated_at - waited,
        )
        for waited in (timedelta(minutes=30), timedelta(days=3))
    )
    later = effect.updated_at + timedelta(days=1)
    assert _is_due(soon, effect.updated_at)
    assert not _is_due(old, later)
    assert _is_due(old, later + timedelta(days=1))

    world.days = 13.9
    assert (world.run().waiting, world.last.quarantined) == (1, 0)
    world.days = 14.1
    assert (world.run().waiting, world.last.quarantined) == (0, 1)


def test_a_transcription_that_comes_with_a_later_page_is_fetched(world: World) -> None:
    world.add({"id": "b808d74e-84b2-11ef-b864-0242ac120002", "recordings": [20_000]})
    world.run()
    world.spinoco.seed({"transcribe": ["b808d74e-84b2-11ef-b864-0242ac120002"]})
    world.run()
    assert world.is_complete()
    assert len(world.calls("get_file")) == 2


# The line


@pytest.mark.parametrize("kind", ["truncate", "reset", "status", "lose_answer", "html"])
def test_a_transfer_that_breaks_off_is_begun_anew(world: World, kind: str) -> None:
    """Defect C5: a stream that broke off left an empty file under the final name."""
    world.add(number=4)
    world.fault(kind, call=2)
    assert world.run().stored + world.last.waiting == 4
    world.sandbox.clear_faults()
    world.run()
    assert world.is_complete()


def test_if_no_file_comes_the_run_fails_and_none_is_blamed(world: World) -> None:
    """Defect C1: when its attempts were used up it ended with success."""
    world.settings |= {"attempts": 1}
    world.add(number=5)
    world.fault("status", status=503, times=1000)
    with pytest.raises(Unavailable, match="none of 5 files could be fetched"):
        world.run()
    assert {effect.state for effect in world.files()} == {State.PLANNED}
    world.sandbox.clear_faults()
    world.run()
    assert world.is_complete()


@pytest.mark.parametrize("kind", ["reset", "truncate", "stall"])
@pytest.mark.parametrize("operation", ["sync", "delete_file"])
def test_a_call_that_breaks_off_is_made_again(
    world: World, operation: str, kind: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Defects C2, C3 and C4: it crashed over a reset, ended silently over a cut answer, and hung over a stall."""
    monkeypatch.setenv("INTERCHANGE_READ_TIMEOUT_S", "0.3")
    world.settings |= {"delete": ["Recordings"]}
    world.add(number=2)
    world.fault(kind, operation=operation, seconds=30)
    started = time.monotonic()
    world.run()
    assert time.monotonic() - started < 20
    assert (world.is_complete(), len(world.spinoco.deleted)) == (True, 2)


@pytest.mark.parametrize("operation", ["sync", "get_file", "delete_file"])
def test_a_refused_token_stops_the_run_at_once(world: World, operation: str) -> None:
    """Defect C1: after a 401 it ended with success."""
    world.settings |= {"delete": ["Recordings"]}
    world.add(number=8)
    world.fault("status", operation=operation, status=401, times=1000)
    with pytest.raises(Refused) as refused:
        world.run()
    assert refused.value.status == 401
    assert len(world.calls(operation)) <= world.settings["parallel"]


def test_as_many_files_are_fetched_at_once_as_is_set(world: World) -> None:
    """Defect C10: one file was fetched after another, ten tasks a page."""
    world.settings |= {"parallel": 3, "page_size": 6}
    world.add(number=9)
    together, refusal = threading.Barrier(3), world.spinoco._refusal

    def waited_for(request: Any, *, files: bool) -> Any:
        if files:
            together.wait(timeout=20)
        return refusal(request, files=files)

    world.spinoco._refusal = waited_for
    try:
        summary = world.run()
    finally:
        del world.spinoco._refusal
    assert (summary.pages, summary.stored, summary.waiting) == (2, 9, 0)


@pytest.mark.parametrize("fetched", [2, 3])
def test_files_are_fetched_while_one_is_stored_and_at_most_one_waits(
    world: World, monkeypatch: pytest.MonkeyPatch, fetched: int
) -> None:
    """A slow disk must neither hold up what comes nor be filled by it."""
    world.settings |= {"parallel": 1}
    world.add(number=4)
    waited: list[bool] = []
    store = LocalDisk.store

    def slowly(self: LocalDisk, file: Spooled, path: str, *, key: str) -> None:
        if not waited and not key.startswith("manifest"):
            waited.append(comes_true(lambda: len(world.calls("get_file")) >= fetched))
        store(self, file, path, key=key)

    monkeypatch.setattr(LocalDisk, "store", slowly)
    summary = world.run()
    assert waited == [fetched <= 2]
    assert (summary.stored, world.is_complete(), world.left_over()) == (4, True, [])


def comes_true(fact: Callable[[], bool], *, within_s: float = 2.0) -> bool:
    """Whether something that other threads do comes true."""
    end = time.monotonic() + within_s
    while time.monotonic() < end:
        if fact():
            return True
        time.sleep(0.02)
    return False


def test_a_file_that_the_disk_may_have_lost_is_fetched_anew(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    """After a sync that failed the next one succeeds, whatever became of the data."""
    world.add(number=1)
    fsync, failed = os.fsync, []

    def fail_once(descriptor: int) -> None:
        if not failed and stat.S_ISREG(os.fstat(descriptor).st_mode):
            failed.append(descriptor)
            raise OSError(errno.EIO, os.strerror(errno.EIO))
        fsync(descriptor)

    with monkeypatch.context() as patched:
        patched.setattr(os, "fsync", fail_once)
        with pytest.raises(Unavailable, match="the disk is not well"):
            world.run()
    assert (len(failed), world.holds()) == (1, {})
    assert world.run().stored == 1
    assert (len(world.calls("get_file")), world.is_complete(), world.left_over()) == (2, True, [])


def test_a_storage_that_refuses_gets_nothing_more_of_what_waits_for_it(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    world.settings |= {"parallel": 2}
    world.add(number=9)
    asked: list[str] = []

    def refuse(self: LocalDisk, file: Spooled, path: str, *, key: str) -> None:
        asked.append(path)
        comes_true(lambda: len(world.calls("get_file")) >= 4)
        raise Refused("storage.local", "is not let in", status=403)

    with monkeypatch.context() as patched:
        patched.setattr(LocalDisk, "store", refuse)
        with pytest.raises(Refused, match="is not let in"):
            world.run()
    assert len(asked) <= 2
    assert world.run().stored == 9
    assert (world.is_complete(), world.left_over()) == (True, [])


def test_a_cursor_that_is_not_known_any_more_starts_anew(world: World) -> None:
    world.add(number=15)
    world.run(max_pages=1)
    world.fault("status", operation="sync", status=400)
    world.run()
    assert world.is_complete()
    assert len(world.calls("get_file")) == 15


def test_a_wrong_query_is_no_lost_cursor(world: World) -> None:
    world.fault("status", operation="sync", status=400, times=10)
    with pytest.raises(Refused):
        world.run()


# Names


def test_two_files_of_one_name_are_both_kept(world: World) -> None:
    """Defect C11: they overwrote each other."""
    world.spinoco.set_options({"several": "same"})
    world.add({"recordings": [20_000, 30_000, 40_000]})
    world.run()
    assert world.is_complete()
    assert len({path.casefold() for path in world.holds()}) == 3


def test_names_that_differ_in_letter_case_only_are_both_kept(world: World) -> None:
    template = "{{call_from}}-{{task_id}}"
    world.settings |= {"file_name_template": template}
    world.add({"from": "Anna", "id": "b808d74e-84b2-11ef-b864-0242ac120002"})
    world.run()
    (first,) = world.holds()
    (effect,) = world.files()
    other = world.work()
    try:
        path = first.swapcase()
        assert other._names.claim({"another/key": path}) == {}
        assert other._names.claim({effect.ref.key: path}) == {effect.ref.key: first}
    finally:
        other.close()


@pytest.mark.parametrize("name", ["../../etc/passwd", "/etc/passwd", "con", "a\x00b", "x" * 400, "a//b/../c"])
def test_names_from_outside_lead_nowhere(world: World, name: str) -> None:
    world.settings |= {"file_name_template": "{{call_from}}-{{task_id}}"}
    world.add({"from": name})
    world.run()
    (stored,) = world.holds()
    assert ".." not in stored.split("/")
    assert world.is_complete()
    assert not (world.folder.parent / "etc").exists()


@EVERY
def test_a_file_of_somebody_else_is_never_overwritten_nor_taken_for_ours(world: World) -> None:
    """Defect C11: it was overwritten, such as the predecessor's in the same place under the same template."""
    world.add(number=1)
    hook = SpinocoHook()
    name = hook.first_page(world.sync.query()).tasks[0].get[0].name
    hook.close()
    foreign = b"somebody else's"
    if world.kind == "local":
        (world.folder / "data" / name).parent.mkdir(parents=True)
        (world.folder / "data" / name).write_bytes(foreign)
    else:
        put(world, name, foreign)

    for _ in range(2):
        world.run()

    held = world.holds()
    assert held.pop(name) == foreign
    ((path, _),) = held.items()
    (effect,) = world.files(State.CONFIRMED)
    assert (effect.receipt or {})["path"] == path
    assert world.hashes[0] != world.hashes[1]
    assert set(world.originals.values()) < set(world.hashes)


def put(world: World, name: str, content: bytes) -> None:
    """Somebody else's object."""
    vendor = world.sandbox.vendor(world.kind)
    if world.kind == "s3":
        vendor.put("recordings", name, content)
    elif world.kind == "gcs":
        import httpx

        httpx.post(
            f"{vendor.emulator.url}/upload/storage/v1/b/recordings/o",
            params={"uploadType": "media", "name": name},
            content=content,
            trust_env=False,
        ).raise_for_status()
    else:
        from azure.storage.blob import BlobServiceClient

        with BlobServiceClient.from_connection_string(vendor.emulator.connection_string) as service:
            service.get_container_client("recordings").upload_blob(name, content)


# Killed processes


@EVERY
def test_what_a_killed_run_has_stored_is_not_fetched_again(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Defects C9 and C12: it remembered nothing, so a page was fetched anew from its beginning."""
    world.add(number=6)
    work = world.work()
    # All files of the page are stored; the process ends before the ledger hears of it.
    monkeypatch.setattr(work, "_confirm", lambda _: (_ for _ in ()).throw(KeyboardInterrupt))
    monkeypatch.setattr(work, "_give_back", lambda *_: None)
    with pytest.raises(KeyboardInterrupt):
        work.synchronise()
    work.close()
    with pytest.raises(Busy):
        world.run()
    world.expire()
    world.sandbox.requests.clear()

    summary = world.run()

    assert world.is_complete()
    assert (summary.stored, len(world.calls("get_file"))) == (6, 0)
    assert world.left_over() == []
    assert sorted(effect.receipt["sha256"] for effect in world.files() if effect.receipt) == world.hashes


def test_a_file_two_tags_bring_is_fetched_once(world: World) -> None:
    world.add(number=3)
    world.run()
    world.settings |= {"tag": "another", "name": "another"}
    assert world.run().known == 3
    assert len(world.calls("get_file")) == 3


# Originals


def test_originals_go_only_after_their_copy_was_read_again(world: World) -> None:
    world.settings |= {"delete": ["Recordings"]}
    world.add({"recordings": [20_000], "transcribed": True}, number=11)
    summary = world.run()
    assert summary.deleted == 12
    assert world.is_complete()
    order = [entry["operation"] for entry in world.sandbox.requests.entries(vendor="spinoco")]
    assert order.index("delete_file") > max(n for n, name in enumerate(order) if name == "get_file")
    receipts = [effect.receipt or {} for effect in world.deletions(State.CONFIRMED)]
    assert {receipt["was_there"] for receipt in receipts} == {True}
    assert all(receipt["deleted_at"] for receipt in receipts)


@EVERY
@pytest.mark.parametrize("what", ["altered", "missing"])
def test_an_original_stays_if_its_copy_is_not_what_it_was(world: World, what: str) -> None:
    world.settings |= {"delete": ["Recordings"], "keep_days_before_delete": 1}
    world.add(number=3)
    world.run()
    assert world.spinoco.deleted == set()
    victim = min(world.holds())
    if world.kind == "local":
        path = world.folder / "data" / victim
        path.unlink()
        if what == "altered":
            path.write_bytes(b"x" * 20_000)
    else:
        remove(world, victim)
        if what == "altered":
            put(world, victim, b"x" * 20_000)
    world.days += 2

    with pytest.raises(Refused, match="originals stay at Spinoco"):
        world.run()

    assert len(world.spinoco.deleted) == 2
    (kept,) = world.deletions(State.QUARANTINED)
    assert kept.field == "copy"
    world.run()
    assert len(world.spinoco.deleted) == 2


def remove(world: World, name: str) -> None:
    """A person takes an object away."""
    vendor = world.sandbox.vendor(world.kind)
    if world.kind == "s3":
        vendor._client().delete_object(Bucket="recordings", Key=name)
    elif world.kind == "gcs":
        vendor._remove({"bucket": "recordings", "name": name})
    else:
        from azure.storage.blob import BlobServiceClient

        with BlobServiceClient.from_connection_string(vendor.emulator.connection_string) as service:
            service.get_container_client("recordings").delete_blob(name)


def test_originals_are_kept_for_the_days_that_are_set(world: World) -> None:
    world.settings |= {"delete": ["Recordings"], "keep_days_before_delete": 30}
    world.add(number=2)
    world.run()
    world.days += 29.9
    assert world.run().deleted == 0
    world.days += 0.2
    assert world.run().deleted == 2


def test_tasks_on_hold_keep_their_originals(world: World) -> None:
    held = "b808d74e-84b2-11ef-b864-0242ac120002"
    world.settings |= {"delete": ["Recordings"], "hold": [held.upper()]}
    world.add({"id": held}, number=2)
    assert world.run().deleted == 2
    assert world.run().deleted == 0
    world.settings |= {"hold": []}
    assert world.run().deleted == 1


def test_more_deletions_than_set_wait_for_a_person(world: World) -> None:
    world.settings |= {"delete": ["Recordings"], "max_deletions": 3}
    world.add(number=10)
    first = world.run()
    assert (first.deleted, first.deletions_waiting) == (3, 7)
    assert world.run().deleted == 0
    world.add(number=2)
    assert (world.run().deleted, world.last.deletions_waiting) == (2, 7)

    assert world.run(beyond_limit=True).deleted == 7
    assert len(world.spinoco.deleted) == 12


def test_an_original_that_is_gone_already_is_deleted(world: World) -> None:
    """Defect C8: a lost answer to DELETE poisoned the page."""
    world.settings |= {"delete": ["Recordings"]}
    world.add(number=3)
    world.fault("lose_answer", operation="delete_file")
    assert world.run().deleted == 3
    receipts = [effect.receipt or {} for effect in world.deletions(State.CONFIRMED)]
    assert sorted(receipt["was_there"] for receipt in receipts) == [False, True, True]


def test_after_half_of_the_deletions_no_file_is_asked_for_again(world: World) -> None:
    """Defect C9: the next start asked for what was deleted, and its 404 stopped it for good."""
    world.settings |= {"delete": ["Recordings"], "parallel": 1}
    world.add(number=10)
    world.fault("status", operation="delete_file", status=401, call=5, times=100)
    with pytest.raises(Refused):
        # Its page stays open.
        world.run(max_pages=1)
    assert len(world.spinoco.deleted) == 4
    world.sandbox.clear_faults()
    world.sandbox.requests.clear()

    assert world.run().deleted == 6
    assert world.calls("get_file") == []
    assert world.is_complete()


def test_a_killed_runs_deletions_are_waited_for(world: World) -> None:
    world.settings |= {"delete": ["Recordings"], "keep_days_before_delete": 1}
    world.add(number=3)
    world.run()
    world.days = 2
    world.worker("killed").begin(world.deletions()[0].ref, lease_s=20)
    with pytest.raises(Busy):
        world.run()
    assert world.spinoco.deleted == set()
    world.expire()
    assert world.run().deleted == 3


def test_nothing_is_deleted_that_was_not_asked_for(world: World) -> None:
    world.add(number=3)
    world.run()
    assert world.calls("delete_file") == []
    assert world.deletions() == []


# The storage


@pytest.mark.parametrize("world", ["s3", "gcs", "azure"], indirect=True)
def test_a_storage_that_is_away_fails_the_run_and_blames_no_file(world: World) -> None:
    world.settings |= {"attempts": 1}
    if world.kind == "s3":
        config = world.connections.extra_of("aws_default")["config_kwargs"]
        quick = {"config_kwargs": {**config, "retries": {"total_max_attempts": 1}}}
        world.connections.change("aws_default", extra=quick)
    world.add(number=4)
    world.sandbox.arm(Fault(vendor=world.kind, kind=FaultKind.STATUS, status=503, times=1000))
    with pytest.raises(Unavailable) as away:
        world.run()
    assert away.value.operation == f"storage.{world.kind}"
    assert State.QUARANTINED not in {effect.state for effect in world.files()}
    world.sandbox.clear_faults()
    world.run()
    assert world.is_complete()


# Beside the data


def test_a_manifest_beside_the_data_tells_of_each_file(world: World) -> None:
    """Defect C12: no record was kept."""
    world.settings |= {"delete": ["Recordings"]}
    world.add(number=12)
    world.run()
    lines = [
        json.loads(line)
        for path in (world.folder / "data" / MANIFESTS).rglob("*.jsonl")
        for line in path.read_text().splitlines()
    ]
    stored = {line["path"]: line["sha256"] for line in lines if "stored_at" in line}
    assert set(stored) == set(world.holds())
    assert sum("deleted_at" in line for line in lines) == 12


def test_a_preview_asks_for_no_page(world: World) -> None:
    world.settings |= {"delete": ["Recordings"], "max_deletions": 1, "keep_days_before_delete": 1}
    world.add(number=3)
    world.run()
    world.days += 2
    world.sandbox.requests.clear()
    work = world.work()
    try:
        preview = work.preview()
    finally:
        work.close()
    assert (preview["to_delete"], preview["beyond_max_deletions"], preview["files_waiting"]) == (1, 2, 0)
    assert [entry["operation"] for entry in world.sandbox.requests.entries(vendor="spinoco")] == ["get_task"]
    assert world.spinoco.deleted == set()


# What is not the files' fault, and runs that were killed in the middle of something else


def test_a_late_file_whose_next_attempt_was_killed_is_tried_again(world: World) -> None:
    """Its page is closed long since: no page brings it back."""
    world.add({"recordings": [20_000], "transcribed": True})
    (late,) = [path for path in world.originals if "transcription" in path]
    world.damage(late, "missing")
    world.run()
    (waiting,) = world.files(State.PLANNED)
    world.worker("killed").begin(waiting.ref, lease_s=20)
    world.expire()
    world.damage(late, None)

    assert world.run().stored == 1
    assert world.is_complete()


def test_runs_that_stopped_for_other_reasons_are_no_attempts_at_a_file(world: World) -> None:
    world.settings |= {"attempts": 2}
    world.add(number=3)
    world.spinoco.set_options({"revoked": "files"})
    for _ in range(4):
        with pytest.raises(Refused):
            world.run()
    world.spinoco.set_options({"revoked": ""})
    world.damage(min(world.originals), "cut")

    assert (world.run().waiting, world.last.quarantined) == (1, 0)
    assert (world.run().waiting, world.last.quarantined) == (0, 1)


def test_a_file_a_person_has_put_back_gets_all_its_attempts_again(world: World) -> None:
    world.settings |= {"attempts": 2}
    world.add(number=1)
    world.damage(min(world.originals), "cut")
    for _ in range(2):
        world.run()
    (aside,) = world.files(State.QUARANTINED)
    world.ledger.replay(aside.ref, by="a person", reason="try again")
    assert (world.run().waiting, world.last.quarantined) == (1, 0)
    assert (world.run().waiting, world.last.quarantined) == (0, 1)


def test_a_bad_file_is_tried_once_in_a_run_whether_its_page_is_open_or_not(world: World) -> None:
    world.add(number=15)
    bad = min(world.originals)
    world.damage(bad, "cut")
    for _ in range(3):
        world.sandbox.requests.clear()
        world.run(max_pages=1)
        assert len([entry for entry in world.calls("get_file") if entry["path"] == bad]) <= 1


def test_a_file_another_synchronisation_fetches_is_waited_for_and_blocks_no_other(world: World) -> None:
    world.add(number=3)
    hook = SpinocoHook()
    task = hook.first_page(world.sync.query()).tasks[0]
    hook.close()
    world.worker("another").begin(
        Source(task_id=task.id, name="", path=task.get[0].path).ref, lease_s=20, digest="another/1"
    )
    with pytest.raises(Busy):
        world.run()
    assert [effect.owner for effect in world.files(State.BEGUN)] == ["another"]


def test_an_original_that_cannot_be_deleted_stops_no_other(world: World) -> None:
    world.settings |= {"delete": ["Recordings"], "parallel": 1}
    world.add(number=4)
    # As often as the HTTP layer tries.
    world.fault("status", operation="delete_file", status=500, times=4)
    assert (world.run().deleted, world.last.undeleted) == (3, 1)
    assert (world.run().deleted, world.last.undeleted) == (1, 0)


def test_if_no_original_can_be_deleted_the_run_fails(world: World) -> None:
    world.settings |= {"delete": ["Recordings"]}
    world.add(number=4)
    world.fault("status", operation="delete_file", status=503, times=1000)
    with pytest.raises(Unavailable, match="none of 4 originals"):
        world.run()
    world.sandbox.clear_faults()
    assert world.run().deleted == 4


def test_an_original_whose_deletion_is_refused_waits_for_a_person(world: World) -> None:
    world.settings |= {"delete": ["Recordings"], "parallel": 1}
    world.add(number=3)
    world.fault("status", operation="delete_file", status=409)
    assert world.run().deleted == 2
    (refused,) = world.deletions(State.QUARANTINED)
    assert (refused.field, "409" in (refused.reason or "")) == ("original", True)


def test_deletions_a_killed_run_had_begun_are_within_its_limit(world: World) -> None:
    world.settings |= {"delete": ["Recordings"], "keep_days_before_delete": 1, "max_deletions": 1}
    world.add(number=3)
    world.run()
    world.days = 2
    killed = world.worker("killed")
    for effect in world.deletions():
        killed.begin(effect.ref, lease_s=20)
    world.expire()
    assert (world.run().deleted, world.last.deletions_waiting) == (3, 0)


@pytest.mark.parametrize("world", ["s3"], indirect=True)
def test_a_worker_without_room_for_a_file_blames_no_file(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    world.settings |= {"attempts": 1}
    world.add(number=2)
    (world.folder / "interchange-spool").write_text("a file where the folder must be")
    with pytest.raises(Unavailable) as away:
        world.run()
    assert away.value.operation == "storage.spool"
    assert {effect.state for effect in world.files()} == {State.PLANNED}
    (world.folder / "interchange-spool").unlink()
    world.run()
    assert world.is_complete()
