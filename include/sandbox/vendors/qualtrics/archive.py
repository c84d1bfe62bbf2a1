"""
Files as runs of bytes: a piece and how often it is repeated. So a file of a gibibyte is one block and a
number.

ZIPs are written as recorded from the vendor: one deflated entry, general purpose flags 0x0808, that is, sizes
and CRC only behind the data and a UTF-8 name.
"""

from __future__ import annotations

import datetime as dt
import struct
import zlib
from collections.abc import Iterator
from dataclasses import dataclass

FLAGS = 0x0808
DEFLATE = 8
ROW = 1024
BLOCK_ROWS = 1024


@dataclass(frozen=True, kw_only=True)
class Content:
    """The bytes of ``runs`` one after the other, each piece repeated."""

    runs: tuple[tuple[bytes, int], ...]

    @property
    def length(self) -> int:
        return sum(len(piece) * times for piece, times in self.runs)

    def __iter__(self) -> Iterator[bytes]:
        for piece, times in self.runs:
            for _ in range(times):
                yield piece

    @classmethod
    def of(cls, data: bytes) -> Content:
        return cls(runs=((data, 1),))


def zipped(name: str, content: Content, at: dt.datetime) -> Content:
    """
    A ZIP with one entry of any name. Content that repeats is deflated block by block without compression, so
    that the ZIP is as large as what is in it, and made as fast. It must stay below 4 GiB: this is no ZIP64.
    """
    if len(content.runs) == 1 and content.runs[0][1] == 1:
        deflater = zlib.compressobj(wbits=-zlib.MAX_WBITS)
        body: tuple[tuple[bytes, int], ...] = ((deflater.compress(content.runs[0][0]) + deflater.flush(), 1),)
    else:
        end = zlib.compressobj(wbits=-zlib.MAX_WBITS).flush()
        body = (*((_stored(piece), times) for piece, times in content.runs), (end, 1))
    compressed = Content(runs=body).length
    label = name.encode()
    # MS-DOS time: two-second steps from 1980.
    time = at.hour << 11 | at.minute << 5 | at.second // 2
    date = (at.year - 1980) << 9 | at.month << 5 | at.day
    local = (
        struct.pack("<4s5H3L2H", b"PK\3\4", 20, FLAGS, DEFLATE, time, date, 0, 0, 0, len(label), 0) + label
    )
    sizes = struct.pack("<3L", _crc(content), compressed, content.length)
    central = struct.pack("<4s6H", b"PK\1\2", 20, 20, FLAGS, DEFLATE, time, date) + sizes
    central += struct.pack("<5H2L", len(label), 0, 0, 0, 0, 0, 0) + label
    start = len(local) + compressed + 16
    end_record = struct.pack("<4s4H2LH", b"PK\5\6", 0, 0, 1, 1, len(central), start, 0)
    return Content(runs=((local, 1), *body, (b"PK\7\x08" + sizes + central + end_record, 1)))


def damaged(archive: Content) -> Iterator[bytes]:
    """The bytes of a ZIP from :func:`zipped` with one wrong in the middle of its first compressed piece."""
    for number, piece in enumerate(archive):
        if number == 1:
            middle = len(piece) // 2
            piece = piece[:middle] + bytes([piece[middle] ^ 0xFF]) + piece[middle + 1 :]
        yield piece


def _stored(piece: bytes) -> bytes:
    """Deflate's "stored" blocks, none of them the last: they can be put one after the other."""
    size = 0xFFFF
    blocks = (piece[at : at + size] for at in range(0, len(piece), size))
    return b"".join(struct.pack("<BHH", 0, len(block), len(block) ^ size) + block for block in blocks)


def _crc(content: Content) -> int:
    """
    The CRC-32, without going through each repetition.

    For one piece the new CRC is an affine function, over GF(2), of the CRC before it: 33 probes give all of
    it.
    """
    crc = 0
    for piece, times in content.runs:
        if times < 100:
            for _ in range(times):
                crc = zlib.crc32(piece, crc)
            continue
        constant = zlib.crc32(piece, 0)
        images = [zlib.crc32(piece, 1 << bit) ^ constant for bit in range(32)]
        for _ in range(times):
            crc, before = constant, crc
            for bit in range(32):
                if before >> bit & 1:
                    crc ^= images[bit]
    return crc


def large_csv(header: bytes, row: list[str], size: int) -> Content:
    """
    A CSV of exactly ``size`` bytes: the header, and one row again and again, padded in its last cell.

    :param row: cells that need no quotes.
    """
    start = ",".join(row).encode() + b","
    blocks, rest = divmod(size - len(header) - ROW, ROW * BLOCK_ROWS)
    rows, longer = divmod(rest + ROW, ROW)

    def line(length: int) -> bytes:
        return start.ljust(length - 2, b"x") + b"\r\n"

    tail = line(ROW) * (rows - 1) + line(ROW + longer)
    return Content(runs=((header, 1), (line(ROW) * BLOCK_ROWS, blocks), (tail, 1)))
