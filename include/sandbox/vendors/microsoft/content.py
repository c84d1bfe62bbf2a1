"""
A file's bytes on their way in: written to disk, counted and hashed as a stream, never held in memory.

QuickXorHash is written here once more, although the product has it too: two implementations of the published
description check each other.
"""

from __future__ import annotations

import base64
import hashlib
import threading
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

WIDTH = 160
"""Bits of the state, and the period in bytes: byte i goes to bit 11 * i modulo 160, as byte i + 160 does."""
BLOCK = WIDTH * 256
READ = 1 << 20


class QuickXor:
    """
    The checksum of OneDrive for Business.

    Whole blocks are XORed as integers. A block is a multiple of the period, so the bytes that share a place
    in the state lie above each other, and their places are worked out once, at the end.
    """

    def __init__(self) -> None:
        self._stacked = 0
        self._rest = bytearray()
        self._size = 0

    def copy(self) -> QuickXor:
        twin = QuickXor()
        twin._stacked, twin._rest, twin._size = self._stacked, bytearray(self._rest), self._size
        return twin

    def update(self, piece: bytes) -> None:
        self._size += len(piece)
        self._rest += piece
        whole = len(self._rest) - len(self._rest) % BLOCK
        if not whole:
            return
        stacked = self._stacked
        with memoryview(self._rest) as view:
            for start in range(0, whole, BLOCK):
                stacked ^= int.from_bytes(view[start : start + BLOCK], "little")
        self._stacked = stacked
        del self._rest[:whole]

    def text(self) -> str:
        """Base64 of the 20 bytes of the final state."""
        stacked = (self._stacked ^ int.from_bytes(self._rest, "little")).to_bytes(BLOCK, "little")
        state = 0
        for place in range(WIDTH):
            lane = 0
            for byte in stacked[place::WIDTH]:
                lane ^= byte
            spot = 11 * place % WIDTH
            moved = lane << spot
            # What sticks out above bit 159 comes in again at bit 0.
            state ^= moved & ((1 << WIDTH) - 1) ^ moved >> WIDTH
        return base64.b64encode((state ^ self._size << 96).to_bytes(20, "little")).decode()


@dataclass(frozen=True, kw_only=True)
class Sealed:
    """A complete file. ``blob`` is None where the sandbox counts and hashes only."""

    size: int
    sha256: str
    quick_xor_hash: str
    blob: Path | None


class Content:
    """
    The bytes of one file, complete or still growing.

    :param path: where to write them; None: they are hashed and counted only.
    :param spoiled: the very first byte is stored inverted, as a corrupting service would.
    """

    def __init__(self, path: Path | None, *, spoiled: bool = False) -> None:
        self.path = path
        self.size = 0
        self.sealed = False
        # Fragments of one file come one at a time; a second connection waits for its turn.
        self.turn = threading.Lock()
        self._spoiled = spoiled
        self._sha256 = hashlib.sha256()
        self._quick = QuickXor()
        if path is not None:
            path.parent.mkdir(parents=True, exist_ok=True)
            path.touch()

    def take(self, pieces: Iterable[bytes], *, keep: int | None = None) -> None:
        """
        Add all pieces, or none of them: if the stream breaks off, everything is as it was before.

        :param keep: add only so many bytes, read the rest all the same.
        """
        sha256, quick, size = self._sha256.copy(), self._quick.copy(), self.size
        target = self.path.open("r+b") if self.path is not None else None
        try:
            if target:
                target.seek(size)
            for piece in pieces:
                if keep is not None:
                    piece, keep = piece[:keep], keep - min(keep, len(piece))
                if size == 0 and piece and self._spoiled:
                    piece = bytes([piece[0] ^ 0xFF]) + piece[1:]
                sha256.update(piece)
                quick.update(piece)
                size += len(piece)
                if target:
                    target.write(piece)
        finally:
            if target:
                target.close()
        # Bytes of a broken stream stay in the file beyond ``size`` and are written over.
        self._sha256, self._quick, self.size = sha256, quick, size

    def seal(self) -> Sealed:
        if self.path is not None:
            with self.path.open("r+b") as target:
                target.truncate(self.size)
        self.sealed = True
        return Sealed(
            size=self.size, sha256=self._sha256.hexdigest(), quick_xor_hash=self._quick.text(), blob=self.path
        )

    def discard(self) -> None:
        if self.path is not None and not self.sealed:
            self.path.unlink(missing_ok=True)

    # Over a restart only the file and its length are kept; the sums are made again from the file.

    def __getstate__(self) -> dict[str, Any]:
        return {"path": self.path, "size": self.size, "sealed": self.sealed}

    def __setstate__(self, state: dict[str, Any]) -> None:
        fresh = Content(state["path"])
        if fresh.path is not None and fresh.path.stat().st_size >= state["size"]:
            fresh._hash_again(state["size"])
        self.__dict__.update(vars(fresh), sealed=state["sealed"])

    def _hash_again(self, size: int) -> None:
        """The bytes are in the file already; a spoiled first byte too."""
        for piece in read_file(self.path, size) if self.path else ():
            self._sha256.update(piece)
            self._quick.update(piece)
            self.size += len(piece)


def read_file(path: Path, size: int) -> Iterator[bytes]:
    """The first ``size`` bytes of a file, piece by piece."""
    with path.open("rb") as source:
        while size > 0 and (piece := source.read(min(READ, size))):
            size -= len(piece)
            yield piece
