"""Exports into object stores, against the real emulators and through Airflow's connections."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import pytest

from include.sandbox.emulators import S3, AzureBlob, Emulator, Gcs
from interchange.delivery.objects import BLOCK, ObjectDelivery, read_back
from interchange.delivery.source import Damaged
from interchange.errors import Refused, SettingsError, Unavailable
from tests.unit.delivery.conftest import Vendor, csv_of

SCHEMES: dict[str, type[Emulator]] = {"s3": S3, "gs": Gcs, "abfs": AzureBlob}
FILE = "responses.csv"


@dataclass(frozen=True)
class Store:
    """One emulator with a bucket, as a workflow's settings name it."""

    scheme: str
    conn_id: str
    emulator: Emulator

    def url(self, bucket: str = "exports") -> str:
        return f"{self.scheme}://{self.conn_id}@{bucket}/surveys"

    def found(self) -> bytes | None:
        from airflow.sdk import ObjectStoragePath

        path: Any = ObjectStoragePath(f"{self.url()}/{FILE}")
        path.fs.invalidate_cache()
        return bytes(path.read_bytes()) if path.exists() else None


@pytest.fixture(scope="module", params=list(SCHEMES))
def store(request: pytest.FixtureRequest) -> Iterator[Store]:
    scheme = request.param
    conn_id = f"store_{scheme}"
    with SCHEMES[scheme]() as emulator, pytest.MonkeyPatch.context() as patch:
        for name, value in emulator.environment().items():
            patch.setenv(name, value)
        patch.setenv(f"AIRFLOW_CONN_{conn_id.upper()}", json.dumps(emulator.connection()))
        emulator.create_bucket("exports")
        yield Store(scheme, conn_id, emulator)


@pytest.mark.parametrize("size", [3_000, 2 * BLOCK + 12_345], ids=["small", "several parts"])
def test_an_export_is_stored_whole_and_read_back(vendor: Vendor, store: Store, size: int):
    content = csv_of(size)
    vendor.gives(content)

    receipt = ObjectDelivery(store.url(), FILE).deliver(vendor.source())

    assert store.found() == content
    assert receipt["sha256"] == hashlib.sha256(content).hexdigest()
    assert receipt["size"] == size
    assert read_back(receipt["url"]) == (receipt["size"], receipt["sha256"])


def test_running_again_replaces_the_object(vendor: Vendor, store: Store):
    vendor.gives(csv_of(3_000, seed=1))
    ObjectDelivery(store.url(), FILE).deliver(vendor.source())
    later = csv_of(4_000, seed=2)
    vendor.gives(later)

    ObjectDelivery(store.url(), FILE).deliver(vendor.source())

    assert store.found() == later


@pytest.mark.parametrize(
    ("content", "length", "error"),
    [
        (csv_of(2 * BLOCK), 3 * BLOCK, Unavailable),
        (b"<html><body>maintenance</body></html>", -1, Damaged),
        (b"", -1, Damaged),
    ],
    ids=["cut off", "a page", "empty"],
)
def test_what_is_no_whole_export_never_replaces_the_object(
    vendor: Vendor, store: Store, content: bytes, length: int, error: type[Exception]
):
    before = csv_of(3_000)
    vendor.gives(before)
    ObjectDelivery(store.url(), FILE).deliver(vendor.source())
    vendor.gives(content, length=length)

    with pytest.raises(error):
        ObjectDelivery(store.url(), FILE).deliver(vendor.source())

    assert store.found() == before


def test_a_missing_bucket_is_for_a_person(vendor: Vendor, store: Store):
    vendor.gives(csv_of(3_000))

    with pytest.raises((Refused, SettingsError)):
        ObjectDelivery(store.url("nosuchbucket"), FILE).deliver(vendor.source())


def test_a_file_that_is_not_there_is_not_found(store: Store):
    assert read_back(f"{store.url()}/nothing.csv") is None
