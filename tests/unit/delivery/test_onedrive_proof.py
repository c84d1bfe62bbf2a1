"""What is stored is what was read, what is no export is not stored, and what is secret stays so."""

from __future__ import annotations

import hashlib
import logging
import sqlite3
import zipfile
from io import BytesIO
from pathlib import Path

import pytest

from include.sandbox.core import Sandbox
from interchange.core.stored import Verdict
from interchange.delivery.source import Damaged
from interchange.errors import Unavailable
from interchange.hooks.onedrive import OneDriveHook
from tests.unit.delivery.conftest import (
    FRAGMENTS,
    LARGE,
    PATH,
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
from tests.unit.vendors import USER, Waits, arm, calls, effects, files

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
    receipt = deliver("ann", vendor.source(packed=False))
    assert is_there(sandbox, content)
    assert receipt["size"] == size
    vendor.gives(content)
    assert deliver("bob", vendor.source(packed=False)) == receipt


def test_a_zip_that_was_asked_for_is_stored_as_it_is(sandbox: Sandbox, vendor: Vendor, deliver: Deliver):
    packed = a_zip(LARGE)
    vendor.gives(packed)
    assert deliver("ann", vendor.source(packed=True), name="large.zip")["size"] == len(packed)
    assert is_there(sandbox, packed, "/Exports/large.zip")


def test_something_else_in_place_of_the_zip_is_not_stored(sandbox: Sandbox, vendor: Vendor, deliver: Deliver):
    vendor.gives(LARGE)
    with pytest.raises(Damaged, match="a ZIP was ordered, and the file is none"):
        deliver("ann", vendor.source(packed=True), name="large.zip")
    assert files(sandbox) == {}


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
