"""
The file being moved: read as a stream, measured while it passes.

Memory is bounded by the fragment size: one fragment being sent, one waiting, one being filled.
"""

from __future__ import annotations

import hashlib
import queue
import threading
from collections.abc import Callable, Generator, Iterator
from contextlib import AbstractContextManager, contextmanager
from dataclasses import asdict, dataclass
from typing import Any

from interchange.core.export_content import ExportInspector, unpacked
from interchange.core.quickxorhash import QuickXorHash
from interchange.errors import BadRecord, Unavailable
from interchange.hooks.answers import CHUNK, Download

OPERATION = "qualtrics.export_file"


@dataclass(frozen=True, kw_only=True)
class FileFacts:
    """
    What was read, for the receipt and for comparing with what is stored.

    :param size: bytes.
    :param rows: responses; None where the format does not tell.
    :param quick_xor_hash: base64, as Graph gives it.
    """

    size: int
    rows: int | None
    sha256: str
    quick_xor_hash: str

    def as_json(self) -> dict[str, Any]:
        return asdict(self)


class Damaged(Unavailable):
    """The export itself is no usable file; nothing was stored. Another job may do better."""


@dataclass(frozen=True, kw_only=True)
class Fragment:
    """
    :param prefix: SHA-256 (hex) of all bytes before ``start``; ``prefix_after`` includes this fragment.
    :param facts: set on the last fragment only, when the whole file has been found to be sound.
    """

    start: int
    content: bytearray
    prefix: str
    prefix_after: str
    facts: FileFacts | None

    @property
    def end(self) -> int:
        return self.start + len(self.content)


class Source:
    """
    One export file that can be opened again and then gives the same bytes.

    :param opener: opens the vendor's answer.
    :param identity: names the content: the same identity is the same file (Qualtrics' file id).
    :param export_format: what the file should be, see :class:`~interchange.core.export_content.ExportInspector`.
    :param packed: a ZIP was ordered, and nothing else will do. If not, the content of a ZIP is handed on instead of
        the ZIP: the vendor may pack what was asked for unpacked.
    """

    def __init__(
        self,
        opener: Callable[[], AbstractContextManager[Download]],
        *,
        identity: str,
        export_format: str,
        packed: bool,
    ) -> None:
        self._open = opener
        self.identity = identity
        self._format = export_format
        self._packed = packed

    @contextmanager
    def reading(self) -> Iterator[Reading]:
        """Open the file from its start."""
        with self._open() as download:
            yield Reading(download, export_format=self._format, packed=self._packed)


class Reading:
    """One pass over the file, hashed and inspected. ``length`` is None where it is not known beforehand."""

    def __init__(self, download: Download, *, export_format: str, packed: bool) -> None:
        self._inspector = ExportInspector(export_format, packed=packed)
        self._sha256 = hashlib.sha256()
        self._quick_xor = QuickXorHash()
        self._chunks = download.chunks(CHUNK)
        self.length = download.length
        if not packed:
            first = next(self._chunks, b"")
            while len(first) < 4 and (more := next(self._chunks, b"")):
                first += more
            self._chunks = _put_back(first, self._chunks)
            if first.startswith(b"PK"):
                self._chunks = (bytes(piece) for piece in unpacked(self._chunks))
                self.length = None

    def chunks(self) -> Iterator[bytes]:
        """
        The file, piece by piece, hashed and inspected as it goes.

        :raises Unavailable: the line broke.
        :raises Damaged: it is clear already that this is no export.
        """
        for chunk in self._raw():
            self._take(chunk)
            yield chunk

    def measure(self) -> FileFacts:
        """Read the file to its end and keep nothing: for answers that do not announce their length."""
        for _ in self.chunks():
            continue
        return self.facts()

    def _raw(self) -> Iterator[bytes]:
        try:
            yield from self._chunks
        except BadRecord as exc:
            raise Damaged(OPERATION, exc.reason) from exc

    def _take(self, content: bytes | bytearray) -> None:
        self._sha256.update(content)
        self._quick_xor.update(content)
        try:
            self._inspector.feed(memoryview(content))
        except BadRecord as exc:
            raise Damaged(OPERATION, exc.reason) from exc

    def facts(self) -> FileFacts:
        """
        What the whole file was; only after :meth:`chunks` has ended.

        :raises Damaged: the file is cut off, corrupt, or something else.
        """
        try:
            content = self._inspector.finish()
        except BadRecord as exc:
            raise Damaged(OPERATION, exc.reason) from exc
        return FileFacts(
            size=self._quick_xor.length,
            rows=content.rows,
            sha256=self._sha256.hexdigest(),
            quick_xor_hash=self._quick_xor.base64(),
        )

    def fragments(self, size: int, *, total: int) -> Generator[Fragment, None, None]:
        """
        The file in fragments of ``size`` bytes, read ahead by one in a thread of its own.

        The last fragment is handed out only after the whole file has been found to be sound and ``total`` bytes long:
        until then a destination that commits with the last byte has committed nothing.

        :raises Unavailable: the line broke, or the file has another length than announced.
        :raises Damaged: it is no usable export.
        """
        ahead: queue.Queue[Fragment | BaseException] = queue.Queue(maxsize=1)
        given_up = threading.Event()

        def read() -> None:
            try:
                for fragment in self._cut(size, total):
                    while not given_up.is_set():
                        try:
                            ahead.put(fragment, timeout=0.2)
                            break
                        except queue.Full:
                            continue
                    if given_up.is_set():
                        return
            except BaseException as exc:  # noqa: BLE001  # handed to the other thread, which raises it
                while not given_up.is_set():
                    try:
                        ahead.put(exc, timeout=0.2)
                        return
                    except queue.Full:
                        continue

        reader = threading.Thread(target=read, name="export-reader", daemon=True)
        reader.start()
        try:
            while True:
                entry = ahead.get()
                if isinstance(entry, BaseException):
                    raise entry
                yield entry
                if entry.facts is not None:
                    return
        finally:
            given_up.set()
            reader.join()

    def _cut(self, size: int, total: int) -> Iterator[Fragment]:
        start = 0
        prefix = self._sha256.hexdigest()
        buffer, filled = bytearray(min(size, total)), 0
        for chunk in self._raw():
            rest = memoryview(chunk)
            while rest:
                if filled == len(buffer):
                    if start + filled == total:
                        raise Unavailable(OPERATION, f"more than the announced {total} bytes came")
                    self._take(buffer)
                    after = self._sha256.hexdigest()
                    yield Fragment(start=start, content=buffer, prefix=prefix, prefix_after=after, facts=None)
                    start, prefix = start + filled, after
                    buffer, filled = bytearray(min(size, total - start)), 0
                taken = min(len(rest), len(buffer) - filled)
                buffer[filled : filled + taken] = rest[:taken]
                filled += taken
                rest = rest[taken:]
        if start + filled != total:
            raise Unavailable(OPERATION, f"{total} bytes were announced, {start + filled} came")
        self._take(buffer)
        facts = self.facts()
        yield Fragment(start=start, content=buffer, prefix=prefix, prefix_after=facts.sha256, facts=facts)


def _put_back(first: bytes, rest: Iterator[bytes]) -> Iterator[bytes]:
    if first:
        yield first
    yield from rest
