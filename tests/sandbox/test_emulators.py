"""
The storage emulators, reached as workflows reach them: ``scheme://connection@bucket/key`` through Airflow.

Part of this holds the libraries to what our writing of files relies on: a file is nothing until it is closed,
but closing happens in surprising places.
"""

from __future__ import annotations

import base64
import contextlib
import gc
import hashlib
import json
import os
import re
import socket
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
import pytest

from include.sandbox.emulators import HOST, S3, AzureBlob, Emulator, Gcs
from tools import guard
from tools.processes import ProcessError

SCHEMES: dict[str, type[Emulator]] = {"s3": S3, "gs": Gcs, "abfs": AzureBlob}
BLOCK = 5 << 20
"""S3's smallest part; more than one makes an upload of several requests."""
LARGE = os.urandom(3 * BLOCK + 17)


@dataclass(frozen=True)
class Storage:
    """A bucket of one emulator as fsspec sees it through Airflow's connection."""

    scheme: str
    fs: Any
    root: str

    def open(self, name: str, mode: str = "wb") -> Any:
        return self.fs.open(self.root + name, mode, block_size=BLOCK)

    def write(self, name: str, content: bytes, mode: str = "wb") -> None:
        with self.open(name, mode) as target:
            for start in range(0, len(content), 1 << 20):
                target.write(content[start : start + (1 << 20)])

    def found(self, name: str) -> bytes | None:
        self.fs.invalidate_cache()
        return bytes(self.fs.cat_file(self.root + name)) if self.fs.exists(self.root + name) else None


@pytest.fixture(scope="module", params=list(SCHEMES))
def storage(request: pytest.FixtureRequest) -> Iterator[Storage]:
    from airflow.sdk import ObjectStoragePath

    scheme = request.param
    # Airflow keeps one file system per connection id for the life of the process.
    conn_id = f"emulated_{scheme}"
    with SCHEMES[scheme]() as emulator, pytest.MonkeyPatch.context() as patch:
        for name, value in emulator.environment().items():
            patch.setenv(name, value)
        patch.setenv(f"AIRFLOW_CONN_{conn_id.upper()}", json.dumps(emulator.connection()))
        emulator.create_bucket("exports")
        path = ObjectStoragePath(f"{scheme}://{conn_id}@exports")
        yield Storage(scheme, path.fs, path.path.rstrip("/") + "/")


def test_a_large_file_is_written_as_a_stream_and_read_back(storage: Storage) -> None:
    storage.write("a folder/ü.csv", LARGE)

    assert storage.found("a folder/ü.csv") == LARGE
    assert storage.fs.info(storage.root + "a folder/ü.csv")["size"] == len(LARGE)


def test_an_empty_file_is_a_file(storage: Storage) -> None:
    storage.write("empty", b"")
    assert storage.found("empty") == b""


def test_a_file_is_replaced_as_a_whole_when_it_is_closed(storage: Storage) -> None:
    storage.write("replaced", b"before")
    target = storage.open("replaced")
    target.write(LARGE)
    assert storage.found("replaced") == b"before"
    target.close()
    assert storage.found("replaced") == LARGE


def test_what_each_service_tells_of_a_file(storage: Storage) -> None:
    storage.write("small", b"content")
    storage.write("large", LARGE)
    small, large = (storage.fs.info(storage.root + name) for name in ("small", "large"))
    md5 = hashlib.md5(b"content")

    assert (small["size"], large["size"]) == (7, len(LARGE))
    match storage.scheme:
        case "s3":  # An MD5 only while there is one part.
            assert small["ETag"] == f'"{md5.hexdigest()}"'
            assert re.search(r'-\d"$', large["ETag"])
        case "gs":
            assert small["md5Hash"] == base64.b64encode(md5.digest()).decode()
            assert large["md5Hash"] == base64.b64encode(hashlib.md5(LARGE).digest()).decode()
            assert large["crc32c"]
        case "abfs":  # Nothing, unless the writer gives it.
            assert small["content_settings"]["content_md5"] is None


@pytest.mark.parametrize("content", [b"second", LARGE], ids=["small", "large"])
def test_write_once_is_kept_where_the_service_keeps_it(storage: Storage, content: bytes) -> None:
    name = f"once-{len(content)}"
    storage.write(name, b"first", "xb")
    if storage.scheme == "gs":  # The emulator ignores the precondition; the real service does not.
        storage.write(name, content, "xb")
        assert storage.found(name) == content
    else:
        with pytest.raises(FileExistsError):
            storage.write(name, content, "xb")
        assert storage.found(name) == b"first"


def _leave_by_an_exception(storage: Storage, name: str) -> None:
    with contextlib.suppress(ArithmeticError), storage.open(name) as target:
        target.write(LARGE[:-1])
        raise ArithmeticError


def _drop(storage: Storage, name: str) -> None:
    target = storage.open(name)
    target.write(LARGE[:-1])
    del target
    gc.collect()


@pytest.mark.parametrize("leave", [_leave_by_an_exception, _drop])
def test_a_file_that_is_merely_left_is_committed_half_written(
    storage: Storage, leave: Callable[[Storage, str], None]
) -> None:
    """The trap: fsspec closes, and so commits, on leaving a failed ``with`` and on garbage collection."""
    name = f"trap{leave.__name__}"
    leave(storage, name)
    assert storage.found(name) == LARGE[:-1]


def test_a_file_that_is_marked_closed_is_never_committed(storage: Storage) -> None:
    storage.write("kept", b"before")
    for name in ("never", "kept"):
        target = storage.open(name)
        target.write(LARGE[:-1])
        if storage.scheme == "s3":
            target.discard()  # The parts would cost money until somebody aborts the upload.
        target.closed = True
        del target
        gc.collect()

    assert storage.found("never") is None
    assert storage.found("kept") == b"before"


def test_a_missing_bucket_is_an_error_at_the_latest_on_closing(storage: Storage) -> None:
    with pytest.raises((FileNotFoundError, RuntimeError)), storage.fs.open("nobucket/x", "wb") as target:
        target.write(b"x")


# Processes


def test_two_of_a_kind_run_side_by_side_and_nothing_is_left_of_them() -> None:
    with Gcs() as one, Gcs() as other:
        assert one.port != other.port
        one.create_bucket("only-here")
        assert httpx.get(f"{one.url}/storage/v1/b/only-here", trust_env=False).status_code == 200
        assert httpx.get(f"{other.url}/storage/v1/b/only-here", trust_env=False).status_code == 404
        sessions = [one.pid, other.pid]

    assert [guard.living(session) for session in sessions] == [[], []]
    with pytest.raises(httpx.ConnectError):
        httpx.get(one.url, trust_env=False)


def test_a_taken_port_is_named() -> None:
    with socket.create_server((HOST, 0)) as taken:
        port = taken.getsockname()[1]
        with pytest.raises(ProcessError, match=f"gcs cannot listen: port {port} is taken"):
            Gcs(port=port).start()


def test_an_emulator_that_cannot_start_shows_its_own_words(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    broken = tmp_path / "azurite-blob"
    broken.write_text("throw new Error('half of me is missing')")
    monkeypatch.setenv("INTERCHANGE_AZURITE", str(broken))
    with pytest.raises(
        ProcessError, match=r"azurite ended instead of starting\n(.|\n)*half of me is missing"
    ):
        AzureBlob().start()


def test_a_missing_azurite_says_how_to_get_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("INTERCHANGE_AZURITE", "/nowhere/azurite-blob")
    with pytest.raises(ProcessError, match="make setup"):
        AzureBlob().start()
