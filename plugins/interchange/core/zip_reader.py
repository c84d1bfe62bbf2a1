"""
Reading a ZIP with one entry from a stream that cannot seek.

Qualtrics packs an export as a single deflated entry whose local header has no sizes: they follow the data, in
a descriptor, and stand again in the central directory at the end. Everything that is there is compared:
checksum, sizes, directory, end record. So a cut or damaged file is noticed although no byte of it is kept.

Why not a library: :mod:`zipfile` must seek; ``stream-unzip`` pulls from an iterator, so it cannot watch bytes
that another loop is passing on to an upload, and it does not look at the end of the file.

The entry's name is never used: it comes from the survey's title and may hold anything, such as
``../evil.csv``.

Source of the layout: PKWARE's APPNOTE, sections 4.3 and 4.5.3.
"""

from __future__ import annotations

import enum
import struct
import zlib
from collections.abc import Generator

from interchange.errors import BadRecord

LOCAL_HEADER = b"PK\x03\x04"
_DESCRIPTOR = b"PK\x07\x08"
_CENTRAL = b"PK\x01\x02"
_END_64 = b"PK\x06\x06"
_END = b"PK\x05\x06"

_LOCAL_FIELDS = struct.Struct("<4sHHHHHIIIHH")
_CENTRAL_FIELDS = struct.Struct("<4sHHHHHHIIIHHHHHII")
_END_FIELDS = struct.Struct("<4sHHHHIIH")
_DESCRIPTOR_FORMS = ((24, "<4sIQQ"), (20, "<IQQ"), (16, "<4sIII"), (12, "<III"))
_LOCATOR_SIZE = 20
_ZIP64_EXTRA = 0x0001

_STORED, _DEFLATED = 0, 8
_ENCRYPTED, _SIZES_FOLLOW = 0x0001, 0x0008
_FULL_16, _FULL_32 = 0xFFFF, 0xFFFFFFFF
_PIECE = 256 * 1024
"""Bytes unpacked at a time at most, in and out: what bounds the memory of a file made to explode."""
_LONGEST_TAIL = 512 * 1024
"""Bytes after the entry: its directory record and the end records, each with at most 64 KiB of name or
comment."""


def _damaged(what: str) -> BadRecord:
    return BadRecord("export", f"the ZIP is damaged or cut off: {what}")


class _Place(enum.Enum):
    """Where in the ZIP the next byte belongs."""

    HEAD = enum.auto()
    ENTRY = enum.auto()
    TAIL = enum.auto()


class ZipEntryReader:
    """
    Takes a ZIP in pieces of any length and gives back the content of its only entry, piece by piece.

    Call :meth:`finish` after the last piece: only then is the content known to be right.
    """

    def __init__(self) -> None:
        self._head = bytearray()
        self._tail = bytearray()
        self._place = _Place.HEAD
        self._inflater: zlib._Decompress | None = None
        self._stored_left = 0
        self._expected: tuple[int, int, int] | None = None
        self._crc = 0
        self._packed = 0
        self._unpacked = 0

    def feed(self, data: bytes | memoryview) -> Generator[bytes | memoryview, None, None]:
        """
        Take the next bytes of the ZIP; the iterator must be used up before the next call.

        :return: pieces of the content, each at most 256 KiB.
        :raises BadRecord: this is not an undamaged ZIP with one readable entry.
        """
        rest = memoryview(data)
        if self._place is _Place.HEAD:
            rest = self._read_head(rest)
        while rest and self._place is _Place.ENTRY:
            piece, rest = rest[:_PIECE], rest[_PIECE:]
            unpack = self._copy(piece) if self._inflater is None else self._inflate(self._inflater, piece)
            unused = yield from unpack
            self._tail += unused
        if self._place is _Place.TAIL:
            if len(self._tail) + len(rest) > _LONGEST_TAIL:
                raise BadRecord("export", "the ZIP holds more than one file")
            self._tail += rest

    def finish(self) -> None:
        """
        Check the end of the ZIP against what was read.

        :raises BadRecord: the ZIP ends too early, or its checksum, sizes or directory do not fit the content.
        """
        if self._place is not _Place.TAIL:
            raise _damaged("it ends inside the file it holds")
        seen = (self._crc, self._packed, self._unpacked)
        if self._expected is not None:
            if self._expected != seen:
                raise _damaged("checksum or size differ from its header")
            directory = bytes(self._tail)
        else:
            directory = bytes(self._tail[self._descriptor_length(seen) :])
        self._check_directory(directory, seen)

    def _read_head(self, rest: memoryview) -> memoryview:
        """Collect the local header; returns the bytes after it, and nothing while it is incomplete."""
        self._head += rest
        if len(self._head) < _LOCAL_FIELDS.size:
            return memoryview(b"")
        signature, _, flags, method, _, _, crc, packed, unpacked, name_size, extra_size = (
            _LOCAL_FIELDS.unpack_from(self._head)
        )
        if signature != LOCAL_HEADER:
            raise _damaged("no entry at its start")
        size = _LOCAL_FIELDS.size + name_size + extra_size
        if len(self._head) < size:
            return memoryview(b"")
        if flags & _ENCRYPTED:
            raise BadRecord("export", "the ZIP is encrypted")
        if method == _DEFLATED:
            self._inflater = zlib.decompressobj(-zlib.MAX_WBITS)
        elif method != _STORED or flags & _SIZES_FOLLOW:
            raise BadRecord(
                "export", f"the ZIP uses compression method {method} in a way that cannot be streamed"
            )
        if not flags & _SIZES_FOLLOW:
            extra = bytes(self._head[size - extra_size : size])
            try:
                unpacked, packed = _wide_sizes(extra, unpacked, packed)
            except struct.error:
                raise _damaged("its header is wrong") from None
            self._expected = (crc, packed, unpacked)
            self._stored_left = packed
        after = memoryview(bytes(self._head[size:]))
        self._head.clear()
        self._place = _Place.ENTRY
        if self._inflater is None and self._stored_left == 0:
            self._place = _Place.TAIL
        return after

    def _copy(self, piece: memoryview) -> Generator[memoryview, None, memoryview]:
        """Pass on stored bytes; returns those after the entry."""
        content, unused = piece[: self._stored_left], piece[self._stored_left :]
        self._stored_left -= len(content)
        self._packed += len(content)
        self._unpacked += len(content)
        self._crc = zlib.crc32(content, self._crc)
        yield content
        if self._stored_left == 0:
            self._place = _Place.TAIL
        return unused

    def _inflate(self, inflater: zlib._Decompress, piece: memoryview) -> Generator[bytes, None, bytes]:
        """Unpack deflated bytes; returns those after the entry."""
        pending: bytes | memoryview = piece
        while True:
            try:
                content = inflater.decompress(pending, _PIECE)
            except zlib.error:
                raise _damaged("its content cannot be unpacked") from None
            if content:
                self._crc = zlib.crc32(content, self._crc)
                self._unpacked += len(content)
                yield content
            if inflater.eof:
                unused = inflater.unused_data
                self._packed += len(piece) - len(unused)
                self._place = _Place.TAIL
                return unused
            pending = inflater.unconsumed_tail
            # Output left inside zlib comes with the next piece: a directory always follows the entry.
            if not pending:
                self._packed += len(piece)
                return b""

    def _descriptor_length(self, seen: tuple[int, int, int]) -> int:
        """
        Bytes of the data descriptor after the entry.

        Its signature is optional and its sizes have 32 or 64 bits; nothing says which. The form that repeats
        what was read and is followed by the directory is the one.
        """
        for length, layout in _DESCRIPTOR_FORMS:
            if len(self._tail) < length + 4:
                continue
            fields = struct.unpack_from(layout, self._tail)
            if tuple(fields[-3:]) != seen or (len(fields) == 4 and fields[0] != _DESCRIPTOR):
                continue
            if self._tail[length : length + 4] in (_CENTRAL, LOCAL_HEADER):
                return length
        raise _damaged("checksum or size differ from what follows its content")

    def _check_directory(self, directory: bytes, seen: tuple[int, int, int]) -> None:
        if directory.startswith(LOCAL_HEADER):
            raise BadRecord("export", "the ZIP holds more than one file")
        try:
            fields = _CENTRAL_FIELDS.unpack_from(directory)
            signature, crc, packed, unpacked = fields[0], fields[7], fields[8], fields[9]
            name_size, extra_size, comment_size = fields[10:13]
            extra_start = _CENTRAL_FIELDS.size + name_size
            extra = directory[extra_start : extra_start + extra_size]
            unpacked, packed = _wide_sizes(extra, unpacked, packed)
            if signature != _CENTRAL or (crc, packed, unpacked) != seen:
                raise _damaged("its directory does not fit its content")
            end = extra_start + extra_size + comment_size
            if directory[end : end + 4] == _CENTRAL:
                raise BadRecord("export", "the ZIP holds more than one file")
            if directory[end : end + 4] == _END_64:
                (record_size,) = struct.unpack_from("<Q", directory, end + 4)
                end += 12 + record_size + _LOCATOR_SIZE
            signature, _, _, _, entries, _, _, comment_size = _END_FIELDS.unpack_from(directory, end)
        except struct.error:
            raise _damaged("its directory is incomplete") from None
        if signature != _END or entries not in (1, _FULL_16):
            raise _damaged("its end record is wrong")
        if len(directory) != end + _END_FIELDS.size + comment_size:
            raise _damaged("its end record is not its end")


def _wide_sizes(extra: bytes, unpacked: int, packed: int) -> tuple[int, int]:
    """The entry's sizes, read from the ZIP64 extra field where 32 bits do not hold them."""
    position = 0
    while position + 4 <= len(extra):
        kind, size = struct.unpack_from("<HH", extra, position)
        if kind == _ZIP64_EXTRA:
            wide = list(struct.unpack_from(f"<{size // 8}Q", extra, position + 4))
            # Only the sizes that did not fit are there, in this order.
            if unpacked == _FULL_32 and wide:
                unpacked = wide.pop(0)
            if packed == _FULL_32 and wide:
                packed = wide.pop(0)
        position += 4 + size
    return unpacked, packed
