"""
QuickXorHash, the checksum that OneDrive for Business reports for a file.

The algorithm, as Microsoft publishes it: 160 bits of state start at zero. Byte number *i* of the file is
XORed in at bit ``(i * 11) % 160``, wrapping round from bit 159 to bit 0. At the end the file's length, as 64
bits in little-endian order, is XORed into the last eight of the 20 state bytes. It is shown as base64.

It finds transfer errors and nothing else: it is no cryptographic hash.

Speed without an extension of our own: the shift repeats every 160 bytes, because ``160 * 11 % 160 == 0``. So all
bytes with the same ``i % 160`` can be XORed together first: short pieces as big integers, long ones by numpy, ten
times as fast and without holding the interpreter's lock. The shifts are then applied to 160 bytes only, whatever the
file's size.
"""

from __future__ import annotations

import base64
import json

PERIOD = 160
"""Bytes after which the shift repeats."""
_SHIFT = 11
_BITS = 160
_MASK = (1 << _BITS) - 1
_BLOCK = PERIOD * 16
"""Bytes turned into one integer at a time: small enough to stay in the processor's cache."""
_ROW = PERIOD * 1024
"""Bytes of one row when numpy folds."""
_LONG = 8 * _ROW
"""From so many bytes on a piece is worth loading numpy (20 MiB, half a second) for."""


class QuickXorHash:
    """
    The checksum of a stream, fed piece by piece; pieces may have any length.

    :param data: the first bytes, if there are any yet.
    """

    def __init__(self, data: bytes | bytearray | memoryview = b"") -> None:
        self._folded = 0
        self._length = 0
        self.update(data)

    @property
    def length(self) -> int:
        """How many bytes have been fed."""
        return self._length

    def update(self, data: bytes | bytearray | memoryview) -> None:
        """Take in the next bytes."""
        view = memoryview(data).cast("B")
        size = len(view)
        # A block is read as a little-endian integer, so byte k of it sits at bit 8 * k. Blocks start at a
        # multiple of the period, which the first, short piece makes sure of.
        offset = self._length % PERIOD
        folded = self._folded
        position = 0
        if offset:
            position = min(PERIOD - offset, size)
            folded ^= int.from_bytes(view[:position], "little") << (8 * offset)
        if size - position >= _LONG:
            rows = (size - position) // _ROW
            folded ^= _folded_rows(view[position : position + rows * _ROW])
            position += rows * _ROW
        from_bytes = int.from_bytes
        for start in range(position, size, _BLOCK):
            folded ^= from_bytes(view[start : start + _BLOCK], "little")
        self._folded = folded
        self._length += size

    def digest(self) -> bytes:
        """The 20 bytes of the hash of everything fed so far; feeding may go on afterwards."""
        columns = self._columns()
        state = 0
        for index, value in enumerate(columns):
            shift = index * _SHIFT % _BITS
            state ^= value << shift
        # Bits pushed out at the top come back in at the bottom.
        state = (state & _MASK) ^ (state >> _BITS)
        state ^= self._length << (_BITS - 64)
        return (state & _MASK).to_bytes(_BITS // 8, "little")

    def base64(self) -> str:
        """The hash as Graph writes it in ``file.hashes.quickXorHash``: 28 characters."""
        return base64.b64encode(self.digest()).decode("ascii")

    def copy(self) -> QuickXorHash:
        """An independent hash that has taken in the same bytes."""
        twin = QuickXorHash()
        twin._folded = self._folded
        twin._length = self._length
        return twin

    def export_state(self) -> str:
        """The state as short text, from which :meth:`from_state` goes on in another process."""
        return json.dumps({"length": self._length, "columns": self._columns().hex()})

    @classmethod
    def from_state(cls, text: str) -> QuickXorHash:
        """
        Go on from :meth:`export_state`.

        :raises ValueError: this is not such a state.
        """
        state = json.loads(text)
        if not isinstance(state, dict) or set(state) != {"length", "columns"}:
            raise ValueError("not a QuickXorHash state: expected length and columns")
        length, columns = state["length"], bytes.fromhex(state["columns"])
        if type(length) is not int or length < 0 or len(columns) != PERIOD:
            raise ValueError("not a QuickXorHash state: wrong length or columns")
        hasher = cls()
        hasher._length = length
        hasher._folded = int.from_bytes(columns, "little")
        return hasher

    def _columns(self) -> bytes:
        """All bytes fed so far, XORed by their position modulo the period."""
        columns = self._folded
        width = 8 * PERIOD
        folded = 0
        while columns:
            folded ^= columns & ((1 << width) - 1)
            columns >>= width
        self._folded = folded
        return folded.to_bytes(PERIOD, "little")


def _folded_rows(rows: memoryview) -> int:
    import numpy as np

    words = np.frombuffer(rows, dtype=np.uint64).reshape(-1, _ROW // 8)
    return int.from_bytes(np.bitwise_xor.reduce(words, axis=0).tobytes(), "little")
