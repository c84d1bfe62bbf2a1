"""
Ogg files of any size, as streams: real pages with their checksums, made of noise.

The page format and its checksum are those of RFC 3533. What is in the packets is no sound.
"""

from __future__ import annotations

import random
import struct
import zlib
from collections.abc import Iterator
from dataclasses import dataclass

SEGMENT = 255
SEGMENTS = 255
PAYLOAD = SEGMENT * SEGMENTS
HEADER = 27
PAGE = HEADER + SEGMENTS + PAYLOAD
SMALLEST = HEADER + 1
CONTINUED, FIRST, LAST = 0x01, 0x02, 0x04

# The checksum's polynomial is zlib's, with the bits of each byte the other way round.
_TURNED = bytes(int(f"{byte:08b}"[::-1], 2) for byte in range(256))


@dataclass(frozen=True, kw_only=True)
class OggFile:
    """
    A file of exactly ``size`` bytes; the same seed gives the same bytes.

    :param size: at least :data:`SMALLEST`.
    """

    seed: str
    size: int

    def __post_init__(self) -> None:
        if self.size < SMALLEST:
            raise ValueError(f"an Ogg file has at least {SMALLEST} bytes, not {self.size}")

    def __iter__(self) -> Iterator[bytes]:
        noise = random.Random(self.seed)
        serial = noise.getrandbits(32)
        block = noise.randbytes(PAYLOAD)
        left, number, flags = self.size, 0, FIRST
        while left:
            length = min(left, PAGE)
            if left - length < SMALLEST and (left > length or length == PAGE):
                # What is left must be a page as well, and a full page's packet goes on in the next.
                length -= SMALLEST
            left -= length
            yield _page(block[: _payload_of(length)], length, flags | (0 if left else LAST), serial, number)
            flags = CONTINUED if length == PAGE else 0
            number += 1


def _payload_of(length: int) -> int:
    """How much of a page is payload: each 255 bytes of it cost one more in the table of segments."""
    rest = length - HEADER
    return PAYLOAD if length == PAGE else rest - (rest // (SEGMENT + 1) + 1)


def _page(payload: bytes, length: int, flags: int, serial: int, number: int) -> bytes:
    segments = length - HEADER - len(payload)
    whole, rest = divmod(len(payload), SEGMENT)
    table = bytes([SEGMENT] * whole + [rest]).ljust(segments, b"\0")[:segments]
    head = struct.pack("<4sBBqIIIB", b"OggS", 0, flags, number, serial, number, 0, segments)
    page = head + table + payload
    return page[:22] + struct.pack("<I", checksum(page)) + page[26:]


def checksum(page: bytes) -> int:
    """Of a page whose own checksum is zero."""
    turned = zlib.crc32(page.translate(_TURNED), 0xFFFFFFFF) ^ 0xFFFFFFFF
    return int(f"{turned:032b}"[::-1], 2)
