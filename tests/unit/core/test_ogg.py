"""A recording is whole, or it is found out."""

from __future__ import annotations

import itertools
import random
from collections.abc import Iterable

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from include.sandbox.vendors.spinoco.ogg import SMALLEST, OggFile
from interchange.core.ogg import OggInspector
from interchange.errors import BadRecord

WHOLE = b"".join(OggFile(seed="one", size=200_000))
PAGES = list(OggFile(seed="one", size=200_000))


def inspect(pieces: Iterable[bytes]) -> int:
    inspector = OggInspector()
    for piece in pieces:
        inspector.feed(memoryview(piece))
    return inspector.finish()


@settings(deadline=None)
@given(st.integers(SMALLEST, 140_000), st.lists(st.integers(0, 140_000), max_size=12))
def test_a_sound_file_is_one_in_whatever_pieces_it_comes(size: int, cuts: list[int]) -> None:
    content = b"".join(OggFile(seed="two", size=size))
    borders = sorted({0, size, *(cut % (size + 1) for cut in cuts)})
    pages = len(list(OggFile(seed="two", size=size)))
    assert inspect(content[a:b] for a, b in itertools.pairwise(borders)) == pages


@settings(deadline=None)
@given(st.integers(1, len(WHOLE) - 1))
def test_a_file_cut_off_anywhere_is_found(length: int) -> None:
    with pytest.raises(BadRecord, match=r"cut off in the middle of page|which is not marked as the last"):
        inspect([WHOLE[:length]])


@settings(deadline=None)
@given(st.integers(0, len(WHOLE) * 8 - 1))
def test_one_wrong_bit_anywhere_is_found(bit: int) -> None:
    broken = bytearray(WHOLE)
    broken[bit // 8] ^= 1 << bit % 8
    with pytest.raises(BadRecord):
        inspect([bytes(broken)])


@pytest.mark.parametrize("missing", range(1, len(PAGES) - 1))
def test_a_page_missing_in_the_middle_is_found(missing: int) -> None:
    with pytest.raises(BadRecord, match=f"a page is missing before page {missing + 1}"):
        inspect(page for number, page in enumerate(PAGES) if number != missing)


def test_two_pages_in_the_wrong_order_are_found() -> None:
    with pytest.raises(BadRecord, match="a page is missing before page 2"):
        inspect([PAGES[0], PAGES[2], PAGES[1], PAGES[3]])


def test_a_file_without_its_beginning_is_found() -> None:
    with pytest.raises(BadRecord, match="a page is missing before page 1"):
        inspect(PAGES[1:])


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        (b"", "is empty"),
        (b"<html>Service unavailable</html>", "is no Ogg file"),
        (b"{}", "is no Ogg file"),
        (b"Ogg", "cut off in the middle of page 1"),
        (WHOLE + b"<html>", "has no page after page 4"),
        (WHOLE + b"O", "cut off in the middle of page 5"),
        (PAGES[0][:4] + b"\1" + PAGES[0][5:], "page 1 is of an unknown version"),
        (PAGES[0] + PAGES[0], "begins a stream that has begun already"),
    ],
)
def test_what_is_no_recording_is_named(content: bytes, reason: str) -> None:
    with pytest.raises(BadRecord, match=reason):
        inspect([content])


def test_several_streams_are_one_file() -> None:
    """One after another, or page by page in turn."""
    other = list(OggFile(seed="three", size=150_000))
    assert inspect([*PAGES, *other]) == len(PAGES) + len(other)
    mixed = [page for pair in itertools.zip_longest(PAGES, other) for page in pair if page]
    assert inspect(mixed) == len(mixed)
    with pytest.raises(BadRecord, match="not marked as the last"):
        inspect([*PAGES, *other[:-1]])


def test_a_page_is_all_that_is_kept() -> None:
    inspector = OggInspector()
    letters = random.Random(1)
    for page in OggFile(seed="four", size=3_000_000):
        cut = letters.randrange(len(page))
        for piece in (page[:cut], page[cut:]):
            inspector.feed(piece)
            assert len(inspector._begun) < 70_000
    assert inspector.finish() == 46
