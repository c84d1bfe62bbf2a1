"""Spinoco's files: what is sound, where it goes, what may be deleted."""

from __future__ import annotations

import itertools
from collections.abc import Iterable
from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from include.sandbox.vendors.spinoco.ogg import OggFile
from interchange.core.safe_names import comparison_key
from interchange.core.spinoco_files import (
    JSON_LIMIT,
    Original,
    checker_of,
    comes_late,
    file_key,
    plan_deletions,
    stored_path,
)
from interchange.errors import BadRecord

NOW = datetime(2026, 11, 22, 12, tzinfo=UTC)
TASK = "b808d74e-84b2-11ef-b864-0242ac120002"
KINDS = ("a.ogg", "a.trans.json", "a.meta.json", "a.history.json", "a.unheard-of")


def check(name: str, pieces: Iterable[bytes]) -> None:
    checker = checker_of(name)
    for piece in pieces:
        checker.feed(piece)
    checker.finish()


@pytest.mark.parametrize("name", KINDS)
def test_nothing_empty_is_ever_sound(name: str) -> None:
    with pytest.raises(BadRecord, match="is empty"):
        check(name, [b"", b""])


def test_a_recording_is_a_whole_ogg_file() -> None:
    pages = list(OggFile(seed="one", size=200_000))
    check("A.OGG", pages)
    with pytest.raises(BadRecord, match="not marked as the last"):
        check("a.ogg", pages[:-1])
    with pytest.raises(BadRecord, match="no Ogg file"):
        check("a.ogg", [b"<html>"])


@given(st.lists(st.integers(0, 40), max_size=6))
def test_json_may_come_in_any_pieces_and_not_without_its_end(cuts: list[int]) -> None:
    whole = '{"transcription": [{"text": "Žluťoučký"}]}'.encode()
    marks = [0, *sorted(cuts), len(whole)]
    check("a.trans.json", (whole[a:b] for a, b in itertools.pairwise(marks)))
    with pytest.raises(BadRecord):
        check("a.trans.json", [whole[:-1]])


@pytest.mark.parametrize(
    ("content", "told"),
    [
        (b"<html>", "no JSON"),
        (b'{"a": 1} {"a": 2}', "no JSON"),
        (b'{"a": "\xff"}', "not UTF-8"),
        (b'{"a": NaN}', "a number that JSON has not"),
        (b"[" * 200_000, "nested too deeply"),
        (b"[" + b" " * JSON_LIMIT + b"]", "is longer"),
    ],
)
def test_what_is_no_json_is_told_without_quoting_it(content: bytes, told: str) -> None:
    with pytest.raises(BadRecord, match=told):
        check("a.meta.json", [content])


def test_only_a_transcription_comes_late() -> None:
    assert [name for name in KINDS if comes_late(name)] == ["a.trans.json"]


def test_a_file_keeps_its_identity_however_its_path_is_written() -> None:
    assert file_key(TASK, "recording/1") == file_key(TASK, "/recording/1")
    assert file_key(TASK, "/recording/1") != file_key(TASK, "/recording/2")
    assert "420111222333" not in file_key(TASK, "/recording/420111222333")


@given(st.permutations(["Call.ogg", "call.ogg", "CALL.ogg", "x/../call.ogg", "/call.ogg"]))
def test_two_files_never_get_one_place_and_one_file_never_two(names: list[str]) -> None:
    taken: dict[str, str] = {}
    places = {}
    for name in names:
        path = stored_path(name, name, taken)
        taken[comparison_key(path)] = name
        places[name] = path
    assert len({comparison_key(path) for path in places.values()}) == len(names)
    assert {name: stored_path(name, name, taken) for name in names} == places


def test_a_place_that_is_taken_twice_over_is_refused() -> None:
    marked = stored_path("a.ogg", "mine", {"a.ogg": "other"})
    with pytest.raises(BadRecord, match="belongs to another file"):
        stored_path("a.ogg", "mine", {"a.ogg": "other", comparison_key(marked): "a third"})


def original(key: str, *, days: float | None = 10, proved: bool = True, task: str = "t") -> Original:
    at = None if days is None else NOW - timedelta(days=days)
    return Original(key=key, task_id=task, stored_at=at, proved=proved)


def test_only_a_proved_old_copy_that_nobody_holds_lets_its_original_go() -> None:
    plan = plan_deletions(
        [
            original("exactly", days=7),
            original("oldest", days=30),
            original("young", days=6.99),
            original("no copy", days=None),
            original("not proved", proved=False),
            original("held", task="ABC"),
        ],
        now=NOW,
        keep_days=7,
        hold=["abc"],
        limit=10,
    )
    assert (plan.go, plan.wait) == (("oldest", "exactly"), ())
    assert (plan.young, plan.held, plan.unproved) == (("young",), ("held",), ("no copy", "not proved"))


@pytest.mark.parametrize("limit", [0, 1, 2, 3])
def test_beyond_the_limit_a_person_is_waited_for(limit: int) -> None:
    some = [original("b", days=2), original("a", days=3)]
    plan = plan_deletions(some, now=NOW, keep_days=0, hold=[], limit=limit)
    assert len(plan.go) == min(limit, 2)
    assert plan.go + plan.wait == ("a", "b")
