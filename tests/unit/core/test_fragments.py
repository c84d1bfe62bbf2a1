"""Fragments cover a file exactly once, in allowed sizes; answers lead to the right next step."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from interchange.core.fragments import (
    DEFAULT_FRAGMENT_SIZE,
    FRAGMENT_LIMIT,
    FRAGMENT_UNIT,
    LARGEST_FRAGMENT_SIZE,
    Fragment,
    Step,
    after_answer,
    fragment_size_from_mib,
    next_fragment,
    next_offset,
)
from interchange.errors import BadRecord


def test_the_default_is_ten_mib_in_whole_units() -> None:
    assert DEFAULT_FRAGMENT_SIZE == 10 * 1024 * 1024 == fragment_size_from_mib(10)
    assert DEFAULT_FRAGMENT_SIZE % FRAGMENT_UNIT == 0
    assert LARGEST_FRAGMENT_SIZE % FRAGMENT_UNIT == 0
    assert FRAGMENT_LIMIT - FRAGMENT_UNIT <= LARGEST_FRAGMENT_SIZE < FRAGMENT_LIMIT


@given(st.integers(1, 2**40), st.integers(1, LARGEST_FRAGMENT_SIZE // FRAGMENT_UNIT))
def test_fragments_cover_the_file_once(total: int, units: int) -> None:
    size = units * FRAGMENT_UNIT
    # Only the ends are walked: a huge file has a million fragments.
    offset = max(0, (total // size - 3) * size)
    while offset < total:
        fragment = next_fragment(offset, total, size)
        assert fragment.start == offset
        assert fragment.is_last == (fragment.end == total)
        assert fragment.size == size or fragment.is_last
        offset = fragment.end
    assert offset == total


def test_content_range_includes_the_last_byte() -> None:
    assert next_fragment(0, 123_456_789).content_range == "bytes 0-10485759/123456789"
    assert Fragment(100, 101, 101).content_range == "bytes 100-100/101"


@pytest.mark.parametrize(
    ("offset", "total", "size"),
    [
        (5, 5, FRAGMENT_UNIT),
        (-1, 5, FRAGMENT_UNIT),
        (0, 0, FRAGMENT_UNIT),
        (0, 5, 4 * 1024 * 1024),
        (0, 5, 192 * FRAGMENT_UNIT),
        (0, 5, 0),
    ],
)
def test_impossible_fragments_are_refused(offset: int, total: int, size: int) -> None:
    with pytest.raises(ValueError, match=r"no fragment starts|no allowed fragment size"):
        next_fragment(offset, total, size)


@pytest.mark.parametrize("mib", [0, -1, 60, 1000])
def test_sizes_outside_the_vendors_limits_are_refused(mib: int) -> None:
    with pytest.raises(ValueError, match="1 to 59"):
        fragment_size_from_mib(mib)


@given(st.integers(1, 59))
def test_every_allowed_size_is_whole_units(mib: int) -> None:
    size = fragment_size_from_mib(mib)
    assert size % FRAGMENT_UNIT == 0
    assert mib * 1024 * 1024 - FRAGMENT_UNIT < size <= mib * 1024 * 1024


@pytest.mark.parametrize(
    ("ranges", "expected"),
    [
        (["0-"], 0),
        (["26-"], 26),
        (["12345-55232", "77829-99375"], 12345),
        (["700-", "100-199"], 100),
        ([], None),
    ],
)
def test_expected_ranges(ranges: list[str], expected: int | None) -> None:
    assert next_offset(ranges) == expected


@pytest.mark.parametrize("bad", ["", "-5", "a-b", "10", "20-10", "1-2-3", 5, None])
def test_unreadable_ranges_are_refused(bad: str) -> None:
    with pytest.raises(BadRecord):
        next_offset(["0-", bad])


@pytest.mark.parametrize(
    ("ranges", "buffered_from", "sent_to", "expected"),
    [
        (["200-"], 100, 200, (Step.CONTINUE, 200)),  # the usual case
        (["100-"], 100, 200, (Step.CONTINUE, 100)),  # the fragment was dropped whole: send it again
        (["150-"], 100, 200, (Step.CONTINUE, 150)),
        (["150-170", "190-"], 100, 200, (Step.CONTINUE, 150)),
        (["99-"], 100, 200, (Step.RESTART, 0)),  # a byte that is gone from memory
        (["0-"], 100, 200, (Step.RESTART, 0)),
        (["300-"], 100, 200, (Step.RESTART, 0)),  # bytes we never sent
        (["1000-"], 100, 200, (Step.RESTART, 0)),
        ([], 100, 200, (Step.CONTINUE, 200)),  # not every missing range is listed
        ([], 900, 1000, (Step.FINISHED, 1000)),
        (["1000-"], 900, 1000, (Step.FINISHED, 1000)),
        (["900-"], 900, 1000, (Step.CONTINUE, 900)),
    ],
)
def test_the_step_after_an_answer(
    ranges: list[str], buffered_from: int, sent_to: int, expected: tuple[Step, int]
) -> None:
    assert after_answer(ranges, buffered_from=buffered_from, sent_to=sent_to, total=1000) == expected
