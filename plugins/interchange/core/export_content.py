"""
Looking at an exported file while it is being moved.

A finished export job is no proof of a usable file: the vendor or something in between may answer with an
error page, an API envelope, nothing at all, or half a file. The inspector watches the bytes on their way and
says at the end whether they are a whole export, before the file is taken for done. It never holds more than a
piece of it.

Whether the file is a ZIP is read from its bytes, not from the request: the vendor reserves the right to pack
a large result although none was asked for.
"""

from __future__ import annotations

import csv
import io
import json
import re
from collections.abc import Generator, Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any, TypeAlias

import ijson  # type: ignore[import-untyped]  # it has no stubs

from interchange.core.qualtrics_options import FORMATS
from interchange.core.row_counters import HEADER_ROWS, counter_for
from interchange.core.zip_reader import LOCAL_HEADER, ZipEntryReader
from interchange.errors import BadRecord, SettingsError

_HEAD_SIZE = 512
_EMPTY_ZIP = b"PK\x05\x06"
_MARKS = (b"\xef\xbb\xbf", b"\xff\xfe", b"\xfe\xff")
_HTML = re.compile(
    rb"\s*(?:<\?xml[^>]*>\s*)?(?:<!--.*?-->\s*)?<(?:!doctype\s+html|html|head|body)\b",
    re.IGNORECASE | re.DOTALL,
)
# How every SPSS system file begins; the third kind is compressed.
_SPSS = (b"$FL2", b"$FL3")
_ENVELOPE = re.compile(rb'\s*\{\s*"(?:meta|result)"\s*:')

RESPONSE_ID_COLUMN = "ResponseId"


@dataclass(frozen=True, kw_only=True)
class ExportFacts:
    """
    What an export turned out to be.

    :param rows: responses in it, or None where they cannot be counted (spss, some xml).
    :param size: bytes of the file as it was sent.
    :param content_size: bytes after unpacking; the same as ``size`` without a ZIP.
    :param zipped: whether it is a ZIP.
    """

    rows: int | None
    size: int
    content_size: int
    zipped: bool


class ExportInspector:
    """
    Watches one export. Feed every byte once and in order, then call :meth:`finish`.

    :param export_format: a key of :data:`~interchange.core.qualtrics_options.FORMATS`.
    :param packed: a ZIP was ordered: nothing else will do.
    """

    def __init__(self, export_format: str, *, packed: bool = False) -> None:
        self._format = export_format
        self._packed = packed
        self._content = _Content()
        self._counter = counter_for(export_format)
        self._head = b""
        self._head_checked = False
        self._size = 0
        self._content_size = 0

    @property
    def zipped(self) -> bool | None:
        """Whether the file is a ZIP; None until its first four bytes have been seen."""
        return self._content.zipped

    def feed(self, data: bytes | memoryview) -> None:
        """
        Take the next bytes of the file, in a piece of any length.

        :raises BadRecord: it is already clear that this is no usable export.
        """
        self._size += len(data)
        for piece in self._content.feed(data):
            self._take(bytes(piece))

    def finish(self) -> ExportFacts:
        """
        :raises BadRecord: the file is empty, cut off, damaged, or something other than an export.
        """
        for piece in self._content.finish():
            self._take(bytes(piece))
        if self._size == 0:
            raise BadRecord(
                "export",
                "the file is empty. (An unpacked ndjson export without responses looks the same as a failed "
                "download: ask for it with compress: true.)",
            )
        self._check_head()
        return ExportFacts(
            rows=self._counter.finish() if self._counter is not None else None,
            size=self._size,
            content_size=self._content_size,
            zipped=bool(self.zipped),
        )

    def _take(self, content: bytes) -> None:
        self._content_size += len(content)
        if not self._head_checked:
            self._head += content[: _HEAD_SIZE - len(self._head)]
            if len(self._head) == _HEAD_SIZE:
                self._check_head()
        if self._counter is not None:
            self._counter.feed(content)

    def _check_head(self) -> None:
        if self._head_checked:
            return
        self._head_checked = True
        head = self._head.removeprefix(_MARKS[0])
        if _HTML.match(head):
            raise BadRecord("export", "the file is an HTML page, not an export")
        if _ENVELOPE.match(head):
            raise BadRecord("export", "the file is an API answer, not an export")
        if self._packed and not self.zipped:
            raise BadRecord("export", "a ZIP was ordered, and the file is none")
        start = head.lstrip()[:1]
        if self._format in ("json", "ndjson") and start not in (b"{", b""):
            raise BadRecord("export", f"the file does not begin like {self._format}")
        if self._format == "xml" and start != b"<" and not head.startswith(_MARKS):
            raise BadRecord("export", "the file does not begin like xml")
        if self._format == "spss" and not self._head.startswith(_SPSS):
            raise BadRecord("export", "the file does not begin like an SPSS system file")


class _Content:
    """Tells a ZIP from a raw file by its first bytes, and gives the content of either."""

    def __init__(self) -> None:
        self.zipped: bool | None = None
        self._start = b""
        self._zip = ZipEntryReader()

    def feed(self, data: bytes | memoryview) -> Generator[bytes | memoryview, None, None]:
        if self.zipped is None:
            self._start += data
            if len(self._start) < len(LOCAL_HEADER):
                return
            data, self._start = self._start, b""
            if data.startswith(_EMPTY_ZIP):
                raise BadRecord("export", "the ZIP holds no file")
            self.zipped = data.startswith(LOCAL_HEADER)
        if self.zipped:
            yield from self._zip.feed(data)
        else:
            yield data

    def finish(self) -> Generator[bytes, None, None]:
        if self.zipped is None:
            self.zipped = False
            if self._start:
                yield self._start
        elif self.zipped:
            self._zip.finish()


def iter_rows(chunks: Iterable[bytes], export_format: str) -> Iterator[dict[str, str]]:
    """
    The responses of an export, one at a time, as text by column name.

    csv and tsv: the names are those of the first header row; the other two header rows are left out. json and
    ndjson: the names are the keys of ``values``, with ``labels.`` in front those of ``labels``, and
    ``ResponseId``; lists are joined with commas, as in csv.

    :param chunks: the file, packed or not, in pieces of any length.
    :raises BadRecord: the file is damaged or is no such table.
    :raises SettingsError: responses cannot be read out of this format.
    """
    if export_format not in FORMATS or not FORMATS[export_format].has_rows:
        raise SettingsError(
            f"responses cannot be read from format {export_format!r}; use csv, tsv, json or ndjson"
        )
    stream: _Stream = io.BufferedReader(_ChunkReader(unpacked(chunks)), buffer_size=256 * 1024)
    if export_format == "json":
        return _json_rows(stream)
    if export_format == "ndjson":
        return _ndjson_rows(stream)
    return _table_rows(stream, "\t" if export_format == "tsv" else ",")


def unpacked(chunks: Iterable[bytes]) -> Iterator[bytes | memoryview]:
    content = _Content()
    for chunk in chunks:
        yield from content.feed(chunk)
    yield from content.finish()


class _ChunkReader(io.RawIOBase):
    """Lets the standard library read from an iterator of bytes."""

    def __init__(self, chunks: Iterator[bytes | memoryview]) -> None:
        self._chunks = chunks
        self._rest = memoryview(b"")

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int:
        while not self._rest:
            chunk = next(self._chunks, None)
            if chunk is None:
                return 0
            self._rest = memoryview(chunk)
        size = min(len(buffer), len(self._rest))
        buffer[:size] = self._rest[:size]
        self._rest = self._rest[size:]
        return size


_Stream: TypeAlias = "io.BufferedReader[_ChunkReader]"


def _encoding(stream: _Stream) -> str:
    return "utf-16" if stream.peek(2)[:2] in _MARKS[1:] else "utf-8-sig"


def _table_rows(stream: _Stream, delimiter: str) -> Iterator[dict[str, str]]:
    with io.TextIOWrapper(stream, encoding=_encoding(stream), newline="") as text:
        reader = csv.reader(text, delimiter=delimiter, strict=True)
        try:
            header = next(reader, None)
            if header is None:
                raise BadRecord("export", "the table has no header row")
            for _ in range(HEADER_ROWS - 1):
                if next(reader, None) is None:
                    raise BadRecord("export", f"the table has fewer than {HEADER_ROWS} header rows")
            for number, cells in enumerate(reader, start=1):
                if not cells:
                    continue
                if len(cells) != len(header):
                    raise BadRecord(
                        "export", f"row {number} has {len(cells)} cells, the header {len(header)}"
                    )
                yield dict(zip(header, cells, strict=True))
        except (csv.Error, UnicodeDecodeError) as exc:
            # The exception's own text may quote the cell.
            raise BadRecord(
                "export", f"row near line {reader.line_num} cannot be read ({type(exc).__name__})"
            ) from None


def _json_rows(stream: _Stream) -> Iterator[dict[str, str]]:
    try:
        for response in ijson.items(stream, "responses.item"):
            yield _flat(response)
    except ijson.JSONError:
        raise BadRecord("export", "the JSON cannot be read") from None


def _ndjson_rows(stream: _Stream) -> Iterator[dict[str, str]]:
    for number, line in enumerate(stream, start=1):
        if not line.strip():
            continue
        try:
            response = json.loads(line)
        except ValueError:
            raise BadRecord("export", f"line {number} is not JSON") from None
        yield _flat(response)


def _flat(response: Any) -> dict[str, str]:
    values = response.get("values") if isinstance(response, dict) else None
    if not isinstance(values, dict):
        raise BadRecord("export", "a response has no values")
    row = {key: _as_text(value) for key, value in values.items()}
    labels = response.get("labels")
    if isinstance(labels, Mapping):
        row.update({f"labels.{key}": _as_text(value) for key, value in labels.items()})
    row.setdefault(RESPONSE_ID_COLUMN, _as_text(response.get("responseId", values.get("_recordId"))))
    return row


def _as_text(value: Any) -> str:
    if value is None:
        return ""
    if isinstance(value, str):
        return value
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, list):
        return ",".join(_as_text(entry) for entry in value)
    if isinstance(value, dict):
        return json.dumps(value, ensure_ascii=False, default=str)
    return str(value)
