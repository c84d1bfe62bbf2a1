"""
Cutting a file into upload fragments, and what to do after each answer.

Facts from Microsoft's page on upload sessions and from rclone: fragments go in order, one at a time; each but
the last is a multiple of 327,680 bytes, or the commit at the end may fail; a request stays below 60 MiB; an
answer's ``nextExpectedRanges`` may hold several ranges, need not name all of them, and may have closed ends.
"""

from __future__ import annotations

import enum
import re
from collections.abc import Sequence
from dataclasses import dataclass

from interchange.errors import BadRecord

FRAGMENT_UNIT = 327_680
"""Bytes: every fragment but the last is a multiple of this."""
FRAGMENT_LIMIT = 60 * 1024 * 1024
"""Bytes: a request must stay below this."""
DEFAULT_FRAGMENT_SIZE = 32 * FRAGMENT_UNIT
"""Bytes: 10 MiB, the upper end of what Microsoft recommends."""
LARGEST_FRAGMENT_SIZE = (FRAGMENT_LIMIT - 1) // FRAGMENT_UNIT * FRAGMENT_UNIT

_RANGE = re.compile(r"(\d+)-(\d*)")


@dataclass(frozen=True)
class Fragment:
    """Bytes ``start`` (included) to ``end`` (excluded) of a file of ``total`` bytes."""

    start: int
    end: int
    total: int

    @property
    def size(self) -> int:
        """Bytes in this fragment."""
        return self.end - self.start

    @property
    def is_last(self) -> bool:
        """Whether the file ends with this fragment."""
        return self.end == self.total

    @property
    def content_range(self) -> str:
        """The ``Content-Range`` header, whose last byte is included: ``bytes 0-99/1000``."""
        return f"bytes {self.start}-{self.end - 1}/{self.total}"


def fragment_size_from_mib(mib: int) -> int:
    """
    The largest allowed fragment size within this many MiB.

    :raises ValueError: no multiple of the unit fits, or the request would reach the vendor's limit.
    """
    size = mib * 1024 * 1024 // FRAGMENT_UNIT * FRAGMENT_UNIT
    if not FRAGMENT_UNIT <= size < FRAGMENT_LIMIT:
        raise ValueError(f"a fragment of {mib} MiB is not allowed: 1 to 59 MiB")
    return size


def next_fragment(offset: int, total: int, size: int = DEFAULT_FRAGMENT_SIZE) -> Fragment:
    """
    The fragment that starts at ``offset`` of a file of ``total`` bytes: ``size`` bytes, or what is left.

    :raises ValueError: an impossible offset, or a size that the vendor would refuse.
    """
    if not 0 <= offset < total:
        raise ValueError(f"no fragment starts at byte {offset} of {total}")
    if size % FRAGMENT_UNIT or not 0 < size < FRAGMENT_LIMIT:
        raise ValueError(f"{size} is no allowed fragment size")
    return Fragment(offset, min(offset + size, total), total)


def next_offset(ranges: Sequence[str]) -> int | None:
    """
    The first byte the server still wants, from ``nextExpectedRanges``.

    :param ranges: such as ``["26-"]``, ``["12345-55232", "77829-99375"]``; in any order.
    :return: None for an empty list: the server wants nothing more.
    :raises BadRecord: a range that cannot be read.
    """
    starts = []
    for text in ranges:
        found = _RANGE.fullmatch(str(text).strip())
        if found is None or (found[2] and int(found[2]) < int(found[1])):
            raise BadRecord("nextExpectedRanges", "an entry is not a range like 26- or 12345-55232")
        starts.append(int(found[1]))
    return min(starts, default=None)


class Step(enum.Enum):
    """What to do after an answer to a fragment or to a question about the session."""

    CONTINUE = "continue"
    """Send on from the offset the server named; its bytes are at hand."""
    FINISHED = "finished"
    """The server has every byte."""
    RESTART = "restart"
    """The server wants bytes that are no longer at hand: read the source again from the start, in a new
    session."""


def after_answer(ranges: Sequence[str], *, buffered_from: int, sent_to: int, total: int) -> tuple[Step, int]:
    """
    Decide how an upload goes on.

    :param ranges: the answer's ``nextExpectedRanges``.
    :param buffered_from: offset of the oldest byte still in memory; the source is a stream and cannot go
        back.
    :param sent_to: offset after the last byte that was read from the source.
    :param total: the file's size, fixed when the session was made.
    :return: the step, and the offset to go on from (0 for a restart).
    :raises BadRecord: a range that cannot be read.
    """
    offset = next_offset(ranges)
    if offset is None:
        # Nothing is named. That is no proof of a complete file while we hold bytes that were never sent.
        offset = sent_to
    if offset >= total and sent_to >= total:
        return Step.FINISHED, total
    if buffered_from <= offset <= sent_to:
        return Step.CONTINUE, offset
    # Below: those bytes are gone from memory. Above: the server has bytes that we did not send, so this
    # session belongs to another upload, and going on would mix two files.
    return Step.RESTART, 0
