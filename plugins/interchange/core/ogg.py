"""
Looking at a recording while it is being moved: is it a whole Ogg file?

A length says nothing where none was announced, and a file that ends after a whole page looks sound. Ogg (RFC 3533) has
what it takes to tell: each page has a checksum and a number, and the last page of a stream says that it is the last.
"""

from __future__ import annotations

from fastcrc import crc32

from interchange.errors import BadRecord

FIELD = "file"
_HEAD = 27
_LARGEST = _HEAD + 255 + 255 * 255
_CAPTURE = b"OggS"
_FIRST, _LAST = 0x02, 0x04


class OggInspector:
    """
    Watches one file. Feed every byte once and in order, then call :meth:`finish`. Keeps a page at most (64 KiB).

    Several logical streams, one after another or interleaved, are one file, as the format allows.
    """

    def __init__(self) -> None:
        self._begun = bytearray()
        """Of a page that goes on in the next piece. Pages that are whole in theirs are looked at where they are."""
        self._size = 0
        self._pages = 0
        self._next: dict[bytes, int] = {}
        """By serial number, of the streams that have begun and not ended: the number of the next page."""

    def feed(self, data: bytes | memoryview) -> None:
        """
        Take the next bytes, in a piece of any length.

        :raises BadRecord: it is already clear that this is no sound Ogg file.
        """
        self._size += len(data)
        rest = memoryview(data)
        while rest:
            known = len(self._begun)
            page = rest
            if known:
                self._begun += rest[: _LARGEST - known]
                page = memoryview(bytes(self._begun))
            length = self._page_length(page)
            if length is None:
                if not known:
                    self._begun += rest
                return
            self._take(page[:length])
            self._begun.clear()
            rest = rest[length - known :]

    def finish(self) -> int:
        """
        :return: how many pages there are.
        :raises BadRecord: the file is empty, cut off, or lacks its last pages.
        """
        if not self._size:
            raise BadRecord(FIELD, "is empty")
        if self._begun:
            raise BadRecord(FIELD, f"is cut off in the middle of page {self._pages + 1}")
        if self._next:
            raise BadRecord(FIELD, f"ends after page {self._pages}, which is not marked as the last")
        return self._pages

    def _page_length(self, data: memoryview) -> int | None:
        """The length of the page that begins here; None while it is not all there."""
        capture = bytes(data[:4])
        if capture != _CAPTURE[: len(capture)]:
            raise BadRecord(
                FIELD, "is no Ogg file" if not self._pages else f"has no page after page {self._pages}"
            )
        if len(data) < _HEAD:
            return None
        table = bytes(data[_HEAD : _HEAD + data[_HEAD - 1]])
        length = _HEAD + data[_HEAD - 1] + sum(table)
        return length if len(table) == data[_HEAD - 1] and len(data) >= length else None

    def _take(self, page: memoryview) -> None:
        number = self._pages + 1
        if page[4] != 0:
            raise BadRecord(FIELD, f"page {number} is of an unknown version")
        if _checksum(page) != int.from_bytes(page[22:26], "little"):
            raise BadRecord(FIELD, f"page {number} has a wrong checksum")
        serial, place = bytes(page[14:18]), int.from_bytes(page[18:22], "little")
        if page[5] & _FIRST:
            if serial in self._next:
                raise BadRecord(FIELD, f"page {number} begins a stream that has begun already")
            self._next[serial] = place
        if self._next.get(serial) != place:
            raise BadRecord(FIELD, f"a page is missing before page {number}")
        self._next[serial] = (place + 1) & 0xFFFFFFFF
        if page[5] & _LAST:
            del self._next[serial]
        self._pages = number


def _checksum(page: memoryview) -> int:
    """
    As it was computed: with zeros in its own place.

    The polynomial and the order of bits are those of the CRC-32 that MPEG-2 uses; Ogg begins with zero.
    """
    checksum = 0
    for part in (page[:22], bytes(4), page[26:]):
        checksum = crc32.mpeg_2(part, checksum)
    return checksum
