"""
Counting the responses in an export while its bytes pass by, without parsing or keeping them.

Each counter takes the file's content in pieces of any length. It is made for speed: hundreds of megabytes a
second on one core, because it first throws away, in C, every byte that cannot matter.
"""

from __future__ import annotations

import re
from typing import Protocol

from interchange.errors import BadRecord

HEADER_ROWS = 3
"""csv and tsv begin with column names, question texts, and one JSON object per column."""

_ALL_BYTES = bytes(range(256))
_NOT_QUOTE_OR_NEWLINE = bytes(b for b in _ALL_BYTES if b not in b'"\n')
_NOT_STRUCTURE = bytes(b for b in _ALL_BYTES if b not in b'"{}[]')
_DEEPEST = 200
"""Levels of nesting in JSON after which we call it damaged."""


class RowCounter(Protocol):
    """What the inspector needs from a counter."""

    def feed(self, data: bytes) -> None:
        """Take the next bytes of the content."""

    def finish(self) -> int | None:
        """
        The number of responses, or None if it cannot be told.

        :raises BadRecord: the content ends in the middle.
        """


class TableCounter:
    """
    Rows of csv or tsv after the three header rows.

    A line feed inside quotes belongs to a cell. Whether a byte is inside is told by the number of quotes
    before it, odd or even: a doubled quote inside a cell leaves that unchanged.
    """

    def __init__(self) -> None:
        self._inside = False
        self._lines = 0
        self._last = b"\n"
        self._start = b""
        self._wide = False

    def feed(self, data: bytes) -> None:
        """See :class:`RowCounter`."""
        if len(self._start) < 2:
            self._start += data[:2]
            # A byte order mark of UTF-16: bytes are then no characters, and we do not count.
            self._wide = self._start[:2] in (b"\xff\xfe", b"\xfe\xff")
        self._last = data[-1:] or self._last
        marks = data.translate(None, _NOT_QUOTE_OR_NEWLINE) if b'"' in data else None
        if marks is None:
            self._lines += 0 if self._inside else data.count(b"\n")
            return
        # Two quotes with nothing between them change nothing, and most quotes are such once letters are gone.
        parts = marks.replace(b'""', b"").split(b'"')
        self._lines += sum(map(len, parts[1 if self._inside else 0 :: 2]))
        self._inside ^= len(parts) % 2 == 0

    def finish(self) -> int | None:
        """See :class:`RowCounter`."""
        if self._wide:
            return None
        if self._inside:
            raise BadRecord("export", "the table ends inside a quoted cell: it is cut off")
        rows = self._lines + (0 if self._last == b"\n" else 1)
        if rows < HEADER_ROWS:
            raise BadRecord(
                "export", f"the table has {rows} rows; Qualtrics always sends {HEADER_ROWS} header rows"
            )
        return rows - HEADER_ROWS


class JsonCounter:
    """
    Objects at one level of JSON, by following brackets outside of strings.

    :param path: the brackets that are open around a response: ``b"{["`` in ``{"responses": [{…}]}``, ``b""``
        in ndjson.
    :param key: what every export has somewhere, as written: an error's JSON has brackets too.
    """

    def __init__(self, path: bytes, key: bytes) -> None:
        self._path = path
        self._key = key
        self._has_key = False
        self._end = b""
        self._held_back = b""
        self._in_string = False
        self._open = bytearray()
        self._rows = 0
        self._roots = 0

    def feed(self, data: bytes) -> None:
        """See :class:`RowCounter`."""
        if not self._has_key:
            seen = self._end + data
            self._has_key = self._key in seen
            self._end = seen[-(len(self._key) - 1) :]
        if self._held_back:
            data = self._held_back + data
            self._held_back = b""
        if b"\\" in data:
            if (len(data) - len(data.rstrip(b"\\"))) % 2:
                data, self._held_back = data[:-1], b"\\"
            data = data.replace(b"\\\\", b"").replace(b'\\"', b"")
        # Two quotes with nothing between them change nothing; dropping them first makes the split cheap.
        parts = data.translate(None, _NOT_STRUCTURE).replace(b'""', b"").split(b'"')
        outside = b"".join(parts[1 if self._in_string else 0 :: 2])
        self._in_string ^= len(parts) % 2 == 0
        self._follow(outside.replace(b"[]", b""))

    def _follow(self, brackets: bytes) -> None:
        opened = self._open
        path, depth = self._path, len(self._path)
        for bracket in brackets:
            if bracket in b"{[":
                if len(opened) == depth and bracket == 0x7B and opened == path:
                    self._rows += 1
                if not opened:
                    self._roots += 1
                opened.append(bracket)
                if len(opened) > _DEEPEST:
                    raise BadRecord("export", f"the JSON is nested more than {_DEEPEST} levels deep")
            # In ASCII a closing bracket comes two places after its opening one.
            elif opened and opened[-1] == bracket - 2:
                opened.pop()
            else:
                raise BadRecord("export", "the JSON is damaged: its brackets do not match")

    def finish(self) -> int | None:
        """See :class:`RowCounter`."""
        if self._open or self._in_string:
            raise BadRecord("export", "the JSON is cut off: it ends inside an object")
        if self._path and self._roots != 1:
            raise BadRecord("export", "the JSON is not one object")
        if not self._has_key and (self._path or self._rows):
            raise BadRecord("export", f"the JSON has no {self._key.decode()}: it is no export")
        return self._rows


class XmlCounter:
    """``<Response>`` elements, by their closing tags. None if there is no element of that name in the
    file."""

    _CLOSING = b"</Response>"

    def __init__(self) -> None:
        self._end = b""
        self._rows = 0
        self._has_list = False

    def feed(self, data: bytes) -> None:
        """See :class:`RowCounter`."""
        seen = self._end + data
        self._rows += seen.count(self._CLOSING)
        self._has_list = self._has_list or b"<Responses" in seen
        # Shorter than the tag, so that no tag is counted twice.
        self._end = seen[-(len(self._CLOSING) - 1) :]

    def finish(self) -> int | None:
        """See :class:`RowCounter`."""
        if not re.search(rb">\s*\Z", self._end):
            raise BadRecord("export", "the XML is cut off: it does not end with a tag")
        return self._rows if self._rows or self._has_list else None


def counter_for(export_format: str) -> RowCounter | None:
    """The counter for a format; None where responses cannot be counted, as in spss."""
    if export_format in ("csv", "tsv"):
        return TableCounter()
    if export_format == "json":
        return JsonCounter(b"{[", b'"responses"')
    if export_format == "ndjson":
        return JsonCounter(b"", b'"values"')
    if export_format == "xml":
        return XmlCounter()
    return None
