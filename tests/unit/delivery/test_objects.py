"""An export file onto a disk: under its name only when it is whole."""

from __future__ import annotations

import hashlib
import multiprocessing
import threading
from pathlib import Path

import pytest

from include.sandbox.core import Sandbox
from interchange.delivery.objects import ObjectDelivery
from interchange.delivery.source import Damaged
from interchange.errors import BadRecord, SettingsError, Unavailable
from tests.unit.delivery.conftest import Vendor, csv_of
from tests.unit.vendors import arm, wait_for

CONTENT = csv_of(900_000)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return tmp_path / "exports" / "2026 #1"


@pytest.fixture
def delivery(folder: Path) -> ObjectDelivery:
    return ObjectDelivery(f"file://{folder.parent}/2026%20%231", "a+b %41.csv")


def names(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir()) if folder.exists() else []


def test_a_file_is_written_and_read_back(vendor: Vendor, delivery: ObjectDelivery, folder: Path):
    """Missing folders are made; the name on the disk is the name in the settings."""
    vendor.gives(CONTENT)
    for _ in range(2):
        receipt = delivery.deliver(vendor.source())
    assert names(folder) == ["a+b %41.csv"]
    assert (folder / "a+b %41.csv").read_bytes() == CONTENT
    assert receipt["sha256"] == hashlib.sha256(CONTENT).hexdigest()
    assert receipt["proof"] == "size and sha256, read back"


@pytest.mark.parametrize(
    "content", [b"", b"<html></html>", b'{"meta": {}}', b"PK\x03\x04damaged zip, cut off"]
)
def test_what_is_no_export_is_not_written(
    content: bytes, vendor: Vendor, delivery: ObjectDelivery, folder: Path
):
    vendor.gives(CONTENT)
    delivery.deliver(vendor.source())
    vendor.gives(content)
    with pytest.raises(Damaged):
        delivery.deliver(vendor.source())
    assert names(folder) == ["a+b %41.csv"]
    assert (folder / "a+b %41.csv").read_bytes() == CONTENT


def test_a_broken_download_leaves_nothing(
    sandbox: Sandbox, vendor: Vendor, delivery: ObjectDelivery, folder: Path
):
    vendor.gives(CONTENT)
    arm(sandbox, "odd", "truncate", operation="read")
    with pytest.raises(Unavailable):
        delivery.deliver(vendor.source())
    assert names(folder) == []
    delivery.deliver(vendor.source())
    assert names(folder) == ["a+b %41.csv"]


def test_a_killed_worker_leaves_nothing_under_the_name(
    vendor: Vendor, delivery: ObjectDelivery, folder: Path
):
    """And what it leaves beside the name is used up by the next one."""
    killed = threading.Event()
    # More than a pipe's worth of the file is on the disk before the vendor stalls.
    vendor.gives(csv_of(3_000_000))
    vendor.on_piece = lambda sent: None if sent < 2_500_000 else wait_for(killed.is_set)
    child = multiprocessing.get_context("fork").Process(target=lambda: delivery.deliver(vendor.source()))
    child.start()
    wait_for(lambda: any((folder / name).stat().st_size for name in names(folder)))
    child.kill()
    child.join()
    killed.set()
    (left,) = names(folder)
    assert left.startswith(".")
    vendor.gives(CONTENT)
    delivery.deliver(vendor.source())
    assert names(folder) == ["a+b %41.csv"]
    assert (folder / "a+b %41.csv").read_bytes() == CONTENT


@pytest.mark.parametrize("place", ["/proc/interchange", "/sys/interchange"])
def test_a_place_where_nobody_may_write_is_a_setting(place: str, vendor: Vendor):
    """Not even the superuser may there; whether for want of permission or of a disk."""
    vendor.gives(CONTENT)
    with pytest.raises(SettingsError, match=rf"file://{place}/a\.csv: cannot be written: \w+"):
        ObjectDelivery(f"file://{place}", "a.csv").deliver(vendor.source())


def test_an_encoded_slash_in_the_name_does_not_leave_the_folder(vendor: Vendor, tmp_path: Path):
    vendor.gives(CONTENT)
    ObjectDelivery(f"file://{tmp_path}/exports", "x..%2F..%2Fa.csv").deliver(vendor.source())
    assert names(tmp_path) == ["exports"]
    assert names(tmp_path / "exports") == ["x..%2F..%2Fa.csv"]


def test_a_place_that_cannot_hold_the_file_is_a_setting(vendor: Vendor, tmp_path: Path):
    vendor.gives(CONTENT)
    (tmp_path / "file").write_text("a file")
    (tmp_path / "folder" / "a.csv").mkdir(parents=True)
    for folder in ("file", "file/below", "folder"):
        with pytest.raises(SettingsError, match="cannot be written"):
            ObjectDelivery(f"file://{tmp_path}/{folder}", "a.csv").deliver(vendor.source())
    assert names(tmp_path / "folder") == ["a.csv"]


def test_a_place_outside_the_folder_is_refused():
    for url, name in (("file:///data", "../a.csv"), ("file:///data/../etc", "a.csv"), ("/data", "a.csv")):
        with pytest.raises(BadRecord):
            ObjectDelivery(url, name)


def test_a_file_without_a_length_is_read_once(sandbox: Sandbox, vendor: Vendor, delivery: ObjectDelivery):
    vendor.gives(CONTENT, length=None)
    assert delivery.deliver(vendor.source())["size"] == len(CONTENT)
    assert len(sandbox.requests.entries(operation="read")) == 1
