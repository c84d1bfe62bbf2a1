"""Each storage, as a workflow uses it: the sandbox's stores with the real SDKs, and a real disk."""

from __future__ import annotations

import contextlib
import dataclasses
import hashlib
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from include.sandbox.core import Sandbox
from include.sandbox.faults import Fault, FaultKind
from interchange.core.spinoco_files import NotEmpty
from interchange.errors import BadRecord, NotFound, Refused, SettingsError, Unavailable
from interchange.settings.spinoco_sync import AzureStorage, GcsStorage, LocalStorage, S3Storage
from interchange.storages import Content, Occupied, Spooled, Storage, open_storage, spool
from interchange.storages.base import MANIFESTS
from tests.unit.vendors import Connections

KINDS = ("local", "s3", "gcs", "azure")
CLOUDS = ("s3", "gcs", "azure")
MIB = 1 << 20
NAME = "2026/11/27/ü (1)+%&.ogg"


class Place:
    """One kind of storage, and what it holds, seen past our own code."""

    def __init__(self, kind: str, sandbox: Sandbox, folder: Path) -> None:
        self.kind = kind
        self.sandbox = sandbox
        self.folder = folder
        self.opened: list[Storage] = []

    def open(self, **changes: Any) -> Storage:
        settings: Any = {
            "local": lambda: LocalStorage.model_validate(
                {"provider": "local", "save_to": str(self.folder / "data"), **changes}
            ),
            "s3": lambda: S3Storage.model_validate(
                {"provider": "s3", "bucket": "recordings", "prefix": "calls/archive", **changes}
            ),
            "gcs": lambda: GcsStorage.model_validate(
                {"provider": "gcs", "bucket": "recordings", "prefix": "calls/archive", **changes}
            ),
            "azure": lambda: AzureStorage.model_validate(
                {"provider": "azure", "container": "recordings", "prefix": "calls/archive", **changes}
            ),
        }[self.kind]()
        self.opened.append(open_storage(settings, name="archive"))
        return self.opened[-1]

    def holds(self) -> dict[str, bytes]:
        if self.kind == "local":
            root = self.folder / "data"
            return {
                str(path.relative_to(root)): path.read_bytes()
                for path in root.rglob("*")
                if path.is_file() and MANIFESTS not in path.parts
            }
        objects = self.sandbox.vendor(self.kind).objects("recordings")
        return {name.removeprefix("calls/archive/"): content for name, content in objects.items()}


@pytest.fixture(params=KINDS)
def place(
    request: pytest.FixtureRequest,
    sandbox: Sandbox,
    airflow: Connections,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> Iterator[Place]:
    # Unfinished files of a cloud's are in the worker's temporary folder, which tests share.
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    made = Place(request.param, sandbox, tmp_path)
    yield made
    for storage in made.opened:
        storage.close()


def spooled(storage: Storage, content: bytes, name: str = "file") -> Spooled:
    return spool([content], storage.spool_folder / name, NotEmpty(), storage.digests)


def facts(file: Spooled) -> Content:
    return Content(size=file.size, sha256=file.sha256, digests=file.digests)


@pytest.mark.parametrize("size", [1, MIB, 9 * MIB + 1])
def test_a_file_is_there_as_it_was_and_can_be_proved(place: Place, size: int) -> None:
    storage = place.open()
    content = os.urandom(size)
    file = spooled(storage, content)
    assert (file.size, file.sha256) == (size, hashlib.sha256(content).hexdigest())

    storage.store(file, NAME, key="task/1")

    assert place.holds() == {NAME: content}
    found = storage.look(NAME)
    assert found is not None
    assert found.size == size
    assert storage.prove(NAME, facts(file)) is None
    assert b"".join(storage.read(NAME)) == content
    assert list(storage.paths()) == [NAME]
    assert storage.address(NAME).endswith(NAME)


def test_nothing_is_ever_overwritten(place: Place) -> None:
    """Defect C11: it overwrote without asking."""
    storage = place.open()
    storage.store(spooled(storage, b"first"), NAME, key="task/1")
    with pytest.raises(Occupied):
        storage.store(spooled(storage, b"other"), NAME, key="task/2")
    assert place.holds() == {NAME: b"first"}


def test_what_an_earlier_attempt_wrote_is_left(place: Place) -> None:
    storage = place.open()
    for _ in range(2):
        storage.store(spooled(storage, b"content"), NAME, key="task/1")
    assert place.holds() == {NAME: b"content"}


def test_what_is_missing_or_altered_is_found(place: Place) -> None:
    storage = place.open()
    file = spooled(storage, b"content")
    assert storage.look(NAME) is None
    assert storage.prove(NAME, facts(file)) == "is missing"
    with pytest.raises(NotFound):
        b"".join(storage.read(NAME))
    storage.store(file, NAME, key="task/1")
    assert storage.prove(NAME, dataclasses.replace(facts(file), size=8)) == "has 7 bytes, not 8"
    wrong = dataclasses.replace(facts(file), sha256="0" * 64)
    assert storage.prove(NAME, wrong) == "has another checksum"


@pytest.mark.parametrize("place", CLOUDS, indirect=True)
def test_the_services_own_checksum_counts_not_what_was_noted(place: Place) -> None:
    storage = place.open()
    file = spooled(storage, b"content")
    storage.store(file, NAME, key="task/1")
    if place.kind == "s3":
        # S3 has computed the SHA-256 itself.
        found = storage.look(NAME)
        assert found is not None
        assert found.computed
        return
    (name,) = file.digests
    wrong = dataclasses.replace(facts(file), digests={name: bytes(len(file.digests[name]))})
    assert storage.prove(NAME, wrong) == "has another checksum"
    unknown = dataclasses.replace(facts(file), digests={})
    assert storage.prove(NAME, unknown) is None


@pytest.mark.parametrize("place", CLOUDS, indirect=True)
@pytest.mark.parametrize("kind", [FaultKind.RESET, FaultKind.STATUS, FaultKind.LOSE_ANSWER, FaultKind.HTML])
def test_a_disturbed_upload_is_whole_or_not_there(place: Place, kind: FaultKind) -> None:
    storage = place.open()
    content = os.urandom(300_000)
    file = spooled(storage, content)
    place.sandbox.arm(Fault(vendor=place.kind, kind=kind, operation="post" if place.kind == "gcs" else "put"))
    try:
        storage.store(file, NAME, key="task/1")
    except Unavailable:
        place.sandbox.clear_faults()
        storage.store(file, NAME, key="task/1")
    assert place.holds() == {NAME: content}


@pytest.mark.parametrize("place", CLOUDS, indirect=True)
def test_a_store_that_is_away_means_later(place: Place, airflow: Connections) -> None:
    if place.kind == "s3":
        config = airflow.extra_of("aws_default")["config_kwargs"]
        airflow.change(
            "aws_default", extra={"config_kwargs": {**config, "retries": {"total_max_attempts": 1}}}
        )
    storage = place.open()
    file = spooled(storage, b"content")
    place.sandbox.arm(Fault(vendor=place.kind, kind=FaultKind.STATUS, status=503, times=50))
    for call in (
        lambda: storage.store(file, NAME, key="task/1"),
        lambda: storage.look(NAME),
        lambda: list(storage.paths()),
        lambda: b"".join(storage.read(NAME)),
    ):
        with pytest.raises(Unavailable):
            call()


@pytest.mark.parametrize("place", CLOUDS, indirect=True)
def test_a_place_that_is_not_there_or_not_ours_is_for_a_person(place: Place) -> None:
    where = {"container": "elsewhere"} if place.kind == "azure" else {"bucket": "elsewhere"}
    storage = place.open(**where)
    with pytest.raises(Refused):
        storage.store(spooled(storage, b"content"), NAME, key="task/1")
    with pytest.raises(SettingsError, match="connection nobody"):
        place.open(conn_id="nobody").look(NAME)


@pytest.mark.parametrize("place", CLOUDS, indirect=True)
def test_a_refused_credential_is_for_a_person(place: Place, airflow: Connections) -> None:
    if place.kind == "s3":
        airflow.change("aws_default", login="somebody")
    elif place.kind == "gcs":
        place.sandbox.arm(Fault(vendor="gcs", kind=FaultKind.STATUS, status=403, times=50))
    else:
        text = place.sandbox.vendor("azure").connection_string.replace("AccountKey=E", "AccountKey=F")
        airflow.change("wasb_default", extra={"connection_string": text})
    storage = place.open()
    with pytest.raises(Refused):
        storage.store(spooled(storage, b"content"), NAME, key="task/1")


def test_what_is_not_sound_never_gets_there(place: Place) -> None:
    """Defects C5 and C6: half a file, or none, came under the final name."""
    storage = place.open()
    with pytest.raises(BadRecord, match="is empty"):
        spooled(storage, b"")

    def broken() -> Iterator[bytes]:
        yield b"half"
        raise Unavailable("spinoco.file", "the transfer broke off")

    with pytest.raises(Unavailable):
        spool(broken(), storage.spool_folder / "file", NotEmpty(), storage.digests)
    assert place.holds() == {}
    assert list(storage.paths()) == []


def test_unfinished_files_are_swept(place: Place) -> None:
    storage = place.open()
    spooled(storage, b"left by a killed process")
    assert list(storage.spool_folder.iterdir())
    storage.sweep()
    assert not list(storage.spool_folder.glob("*"))
    storage.sweep()


def test_a_stored_file_is_known_as_ours_until_the_ledger_knows_it(place: Place) -> None:
    """A killed process's file is neither fetched again nor taken for somebody else's."""
    storage = place.open()
    assert storage.found(NAME, "task/1") is None
    file = spool([b"content"], storage.spool_path("task/1"), NotEmpty(), storage.digests)
    storage.store(file, NAME, key="task/1")
    storage.sweep()

    found = place.open().found(NAME, "task/1")
    assert found is not None
    assert found.size == 7
    assert storage.found(NAME, "task/2") is None

    storage.settled(["task/1"])
    storage.sweep(all_settled=True)
    assert place.holds() == {NAME: b"content"}
    if place.kind == "local":
        assert [path.name for path in (place.folder / "data" / MANIFESTS).rglob("*") if path.is_file()] == []


def test_an_unfinished_file_is_not_what_somebody_else_has_stored(place: Place) -> None:
    storage = place.open()
    storage.store(spooled(storage, b"theirs"), NAME, key="task/1")
    spool([b"ours"], storage.spool_path("task/2"), NotEmpty(), storage.digests)
    assert storage.found(NAME, "task/2") is None


def test_fetching_again_never_harms_what_is_stored(place: Place) -> None:
    storage = place.open()
    for content in (b"content", b"another"):
        file = spool([content], storage.spool_path("task/1"), NotEmpty(), storage.digests)
        with contextlib.suppress(Occupied):
            storage.store(file, NAME, key="task/1")
    assert place.holds() == {NAME: b"content"}


def test_a_manifest_is_no_data(place: Place) -> None:
    storage = place.open()
    storage.store(spooled(storage, b"{}"), f"{MANIFESTS}/archive/1.jsonl", key="manifest")
    assert list(storage.paths()) == []
    assert b"".join(storage.read(f"{MANIFESTS}/archive/1.jsonl")) == b"{}"


# The disk


def test_a_disk_that_may_not_be_written_is_for_a_person(tmp_path: Path) -> None:
    taken = tmp_path / "file"
    taken.write_text("x")
    for save_to in (taken, taken / "below"):
        settings = LocalStorage.model_validate({"provider": "local", "save_to": str(save_to)})
        with pytest.raises(SettingsError, match="is no folder"):
            open_storage(settings, name="archive")


@pytest.mark.parametrize(("first", "second"), [("a", "a/b"), ("a/b", "a")])
def test_a_name_that_is_a_folder_elsewhere_is_taken(tmp_path: Path, first: str, second: str) -> None:
    """One such name may not stop a whole synchronisation."""
    settings = LocalStorage.model_validate({"provider": "local", "save_to": str(tmp_path)})
    storage = open_storage(settings, name="archive")
    storage.store(spooled(storage, b"first"), first, key="task/1")
    with pytest.raises(Occupied):
        storage.store(spooled(storage, b"second"), second, key="task/2")
    assert (tmp_path / first).read_bytes() == b"first"


def test_a_full_disk_means_later(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    settings = LocalStorage.model_validate({"provider": "local", "save_to": str(tmp_path)})
    storage = open_storage(settings, name="archive")
    file = spooled(storage, b"content")

    def full(*_: Any) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "link", full)
    with pytest.raises(Unavailable, match="the disk is full"):
        storage.store(file, NAME, key="task/1")


def test_a_disk_without_links_is_for_a_person(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    settings = LocalStorage.model_validate({"provider": "local", "save_to": str(tmp_path)})
    storage = open_storage(settings, name="archive")
    file = spooled(storage, b"content")

    def without(*_: Any) -> None:
        raise OSError(1, "Operation not permitted")

    monkeypatch.setattr(os, "link", without)
    with pytest.raises(SettingsError, match="knows no hard links"):
        storage.store(file, NAME, key="task/1")
