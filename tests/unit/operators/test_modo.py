"""A directory file into Modo: checked whole, uploaded once."""

from __future__ import annotations

import hashlib
import tracemalloc
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from include.sandbox.core import Sandbox
from interchange.errors import BadRecord, RateLimited, Refused, SettingsError
from interchange.ledger import EffectRef, Ledger, RunRef, State
from interchange.ledger.limits import RateLimiter
from interchange.operators.modo import DirectoryFile, check_directory, plan_upload, upload_directory
from tests.unit.vendors import Connections, arm, calls, effects

PERSON = b'<person id="u1"><name>J\xc3\xbcrgen</name><!-- no one --></person>'
GOOD = b'<?xml version="1.0" encoding="UTF-8"?>\n<directory>' + PERSON * 20 + b"</directory>\n"


@pytest.fixture
def file(tmp_path: Path) -> Path:
    path = tmp_path / "directory.xml"
    path.write_bytes(GOOD)
    return path


def check(path: Path | str, *, min_entries: int = 1, max_mib: int = 1) -> DirectoryFile:
    return check_directory(str(path), min_entries=min_entries, max_mib=max_mib)


# The check


def test_a_good_file_is_described(file: Path):
    assert check(file) == DirectoryFile(size=len(GOOD), entries=20, sha256=hashlib.sha256(GOOD).hexdigest())
    assert check(f"file://{file}") == check(file)


BOMB = b"<!ENTITY a '0123456789'>" + b"".join(
    b"<!ENTITY %c '%b'>" % (name, b"&%c;" % (name - 1) * 10) for name in range(ord("b"), ord("k"))
)
WRONG = {
    "empty": (b"", "is empty"),
    "cut off": (GOOD[:-10], r"not well-formed XML \(line \d+\); it may be cut off"),
    "cut off in an entry": (GOOD[: len(GOOD) // 2], "not well-formed"),
    "not closed": (b"<directory><person></directory>", "not well-formed"),
    "two roots": (b"<directory><person/></directory><directory/>", "not well-formed"),
    "a page of HTML": (b"<!doctype html><html><p>Service error<br></html>", "not well-formed"),
    "an archive": (b"PK\x03\x04" + bytes(100), "not well-formed"),
    "wrong letters": (b"<d><person>\xff\xfe</person></d>", "not well-formed"),
    "too few entries": (b"<directory>" + PERSON * 4 + b"</directory>", "has 4 entries .* at least 5"),
    "no entry": (b"<directory>only text</directory>", "has 0 entries"),
    "too large": (b"<d>" + b"<p/>" * 300_000 + b"</d>", "is larger than 1 MiB"),
    "an entity bomb": (
        b"<!DOCTYPE d [" + BOMB + b"]><d>" + b"<p/>" * 9 + b'<p x="&j;"/></d>',
        "declares the entity",
    ),
}


@pytest.mark.parametrize("what", WRONG)
def test_a_file_that_is_no_directory_is_refused(what: str, file: Path):
    content, words = WRONG[what]
    file.write_bytes(content)
    with pytest.raises(BadRecord, match=words):
        check(file, min_entries=5)


@pytest.mark.parametrize(
    "declared", [b"<!ENTITY s SYSTEM 'file:///etc/hostname'>", b"<!ENTITY % s '1'>", b"<!ENTITY s '1'>", BOMB]
)
def test_a_file_with_entities_of_its_own_is_refused(declared: bytes, file: Path):
    """Expanding them, here or at Modo, could open other files or fill the memory."""
    file.write_bytes(b"<!DOCTYPE d [" + declared + b"]><d><p/></d>")
    with pytest.raises(BadRecord, match=r"declares the entity '\w': write out what it stands for"):
        check(file)


@pytest.mark.parametrize("encoding", ["utf-16", "latin-1", "windows-1252"])
def test_other_encodings_are_read(encoding: str, file: Path):
    text = f'<?xml version="1.0" encoding="{encoding}"?><d><p>J\xfcrgen</p></d>'
    file.write_bytes(text.encode(encoding))
    assert check(file).entries == 1


def test_an_unknown_encoding_is_told(file: Path):
    for name in ("klingon", "shift_jis"):
        file.write_bytes(f'<?xml version="1.0" encoding="{name}"?><d><p/></d>'.encode())
        with pytest.raises(BadRecord, match=r"encoding that cannot be read; use UTF-8|not well-formed"):
            check(file)


def test_a_missing_file_is_told(tmp_path: Path):
    with pytest.raises(BadRecord, match="cannot be read: No such file"):
        check(tmp_path / "nowhere.xml")
    with pytest.raises(BadRecord, match="cannot be read"):
        check(tmp_path)
    with pytest.raises(SettingsError, match="give the path or URL"):
        check("")


@pytest.mark.parametrize("nested", [False, True], ids=["flat", "all in one list"])
def test_memory_does_not_grow_with_the_file(nested: bool, tmp_path: Path):
    file = tmp_path / "large.xml"
    person = b"<person><name>J</name>" + b" " * 1000 + b"</person>"
    with file.open("wb") as large:
        large.write(b"<directory>" + b"<people>" * nested)
        for _ in range(50):
            large.write(person * 1024)
        large.write(b"</people>" * nested + b"</directory>")
    assert file.stat().st_size > 50_000_000
    tracemalloc.start()
    try:
        found = check(file, max_mib=100)
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert found.entries == (1 if nested else 50 * 1024)
    assert peak < 8 << 20


def test_a_plan_names_the_revision(file: Path):
    params: dict[str, Any] = {"file": str(file), "min_entries": 1, "max_mib": 1}
    assert plan_upload(params)["name"] == "directory"
    assert plan_upload({**params, "name": "staff"}) == {
        "file": str(file),
        "name": "staff",
        "size": len(GOOD),
        "entries": 20,
        "sha256": hashlib.sha256(GOOD).hexdigest(),
    }


# The upload


@pytest.fixture
def upload(airflow: Connections, file: Path, worker: Callable[..., Ledger]) -> Callable[..., dict[str, Any]]:
    checked = check(file)

    def run(owner: str, *, name: str = "staff", checked: DirectoryFile = checked) -> dict[str, Any]:
        ledger = worker(owner)
        return upload_directory(
            str(file),
            name=name,
            checked=checked,
            conn_id="modo_default",
            ledger=ledger,
            limiter=RateLimiter(ledger.engine),
            run=RunRef(dag_id="modo_directory", run_id="run", request=owner),
            lease_s=30,
        )

    return run


def test_a_directory_is_uploaded_once(sandbox: Sandbox, upload: Callable[..., dict[str, Any]], file: Path):
    assert upload("ann") == upload("bob")
    assert len(calls(sandbox, "upload_directory")) == 1
    (revision,) = sandbox.vendor("modo").revisions
    assert revision["content"] == GOOD
    file.write_bytes(GOOD.replace(b"u1", b"u2"))
    upload("cid", checked=check(file))
    assert len(sandbox.vendor("modo").revisions) == 2


@pytest.mark.parametrize("kind", ["lose_answer", "reset", "status"])
def test_an_upload_without_an_answer_is_left_to_a_person(
    kind: str,
    sandbox: Sandbox,
    upload: Callable[..., dict[str, Any]],
    worker: Callable[..., Ledger],
    file: Path,
):
    arm(sandbox, "modo", kind, operation="upload_directory", status=504)
    for owner in ("ann", "bob", "cid"):
        with pytest.raises(Refused, match="may exist"):
            upload(owner)
    assert len(calls(sandbox, "upload_directory")) == 1
    ref = EffectRef("modo_directory", "directory", f"staff/{check(file).sha256[:32]}")
    effect = worker("eve").get(ref)
    assert effect is not None
    assert effect.state is State.UNKNOWN
    worker("eve").settle(ref, to=State.PLANNED, by="eve", reason="looked at the console")
    upload("dan")
    assert len(calls(sandbox, "upload_directory")) == 2


def test_a_file_that_changed_since_its_check_is_not_uploaded(
    sandbox: Sandbox, upload: Callable[..., dict[str, Any]], file: Path
):
    file.write_bytes(b"<directory/>")
    with pytest.raises(SettingsError, match="has changed since it was checked; clear task 'check'"):
        upload("ann")
    file.unlink()
    with pytest.raises(SettingsError, match="cannot be read: No such file"):
        upload("bob")
    assert not calls(sandbox, "upload_directory")
    file.write_bytes(GOOD)
    upload("cid")
    assert len(effects(sandbox, "directory_revision")) == 1


def test_enabling_is_repeated_without_another_upload(
    airflow: Connections, sandbox: Sandbox, upload: Callable[..., dict[str, Any]]
):
    """It is a request of its own where the connection says so."""
    sandbox.vendor("modo").set_options({"enable_at_upload": False})
    airflow.change("modo_default", extra={"enable_path": "/api/v1/directories/revisions/{id}/enable/"})
    arm(sandbox, "modo", "status", status=429, retry_after="60", operation="enable_directory")
    with pytest.raises(RateLimited):
        upload("ann")
    assert sandbox.vendor("modo").current is None
    upload("bob")
    (revision,) = sandbox.vendor("modo").revisions
    assert sandbox.vendor("modo").current == revision["id"]
    assert len(calls(sandbox, "upload_directory")) == 1
