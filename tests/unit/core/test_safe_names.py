"""Whatever a server calls a file, it gets a path that is safe, and no other file's."""

from __future__ import annotations

import os
import tempfile
from pathlib import Path, PurePosixPath, PureWindowsPath

import pytest
from hypothesis import given
from hypothesis import strategies as st

from interchange.core.safe_names import LONGEST_PATH, LONGEST_SEGMENT, comparison_key, distinct, safe_path
from interchange.errors import BadRecord


@pytest.mark.parametrize(
    ("name", "path"),
    [
        ("2026/11/22/20261122071500-b808d74e.ogg", "2026/11/22/20261122071500-b808d74e.ogg"),
        ("../../etc/passwd", "__/__/etc/passwd"),
        ("/etc/passwd", "etc/passwd"),
        ("a//b/./c", "a/b/c"),
        ("a/.../b", "a/___/b"),
        (r"C:\Windows\x.ogg", "C__Windows_x.ogg"),
        ("NUL", "_NUL"),
        ("con.ogg", "_con.ogg"),
        ("Com1.trans.json", "_Com1.trans.json"),
        ("console.ogg", "console.ogg"),
        ("line\nbreak\x00.ogg", "line_break_.ogg"),
        ("what?*.ogg", "what__.ogg"),
        ("point./blank /x.", "point_/blank/x_"),
        (" padded .ogg", "padded .ogg"),
        ("hovor č. 5.ogg", "hovor č. 5.ogg"),
        ("e\u0301.ogg", "\u00e9.ogg"),
        ("50%23.ogg", "50_23.ogg"),
        ("\ud800.ogg", "_.ogg"),
        (".hidden", ".hidden"),
    ],
)
def test_what_becomes_of_a_name(name: str, path: str) -> None:
    assert safe_path(name) == path


@pytest.mark.parametrize("name", ["", "/", "./.", "//"])
def test_nothing_is_no_name(name: str) -> None:
    with pytest.raises(BadRecord, match="fileName: is empty"):
        safe_path(name)


NAMES = st.text(st.characters() | st.sampled_from("./\\ :~"), min_size=1, max_size=400)


@given(NAMES)
def test_a_path_never_leads_out_and_never_is_too_long(name: str) -> None:
    try:
        path = safe_path(name)
    except BadRecord:
        return
    for kind in (PurePosixPath, PureWindowsPath):
        assert not kind(path).is_absolute()
        assert ".." not in kind(path).parts
    assert len(path.encode()) <= LONGEST_PATH
    assert all(0 < len(part.encode()) <= LONGEST_SEGMENT for part in path.split("/"))
    assert not any(part != part.rstrip(". ") for part in path.split("/"))
    assert safe_path(path) == path, "what is safe already stays as it is"
    assert os.path.normpath(path) == path


@given(NAMES)
def test_a_path_can_be_written_to_a_disk(name: str) -> None:
    try:
        path = safe_path(name)
    except BadRecord:
        return
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / path
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_bytes(b"x")
        assert Path(folder).resolve() in file.resolve().parents


def test_long_names_stay_apart_and_keep_their_suffix() -> None:
    one, two = (safe_path("ř" * 300 + f"{n}.trans.json") for n in (1, 2))
    assert one != two
    assert one.startswith("řřř")
    assert one.endswith(".trans.json")
    deep = "/".join(["x" * 150] * 10)
    assert safe_path(f"{deep}/a.ogg").endswith("/a.ogg")
    assert safe_path(f"{deep}/a.ogg") != safe_path(f"y/{deep}/a.ogg")


def test_two_files_of_one_name_are_told_apart_by_their_source() -> None:
    one, two = (distinct("2026/a.trans.json", f"/transcription/t/{n}") for n in (1, 2))
    assert one != two
    assert one == distinct("2026/a.trans.json", "/transcription/t/1"), "the same every time"
    assert one.startswith("2026/a~")
    assert one.endswith(".trans.json")
    assert distinct(".hidden", "x").startswith(".hidden~")
    assert distinct("a.b/name", "x").startswith("a.b/name~")


@pytest.mark.parametrize(("one", "two"), [("A/B.OGG", "a/b.ogg"), ("é.ogg", "e\u0301.ogg"), ("ß", "SS")])
def test_what_some_disks_take_for_one(one: str, two: str) -> None:
    assert comparison_key(one) == comparison_key(two)
