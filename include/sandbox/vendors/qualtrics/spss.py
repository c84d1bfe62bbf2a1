"""
A small writer of SPSS system files (.sav): uncompressed, UTF-8, with variable names, wordings and value
labels.

The layout is the one PSPP's developers describe ("System File Format"). Texts are cut at 255 bytes, the width
of a plain string variable.
"""

from __future__ import annotations

import datetime as dt
import math
import re
import struct
import sys
from collections.abc import Sequence

from include.sandbox.vendors.qualtrics.columns import Cell, Column
from include.sandbox.vendors.qualtrics.data import Response

EPOCH = dt.datetime(
    1582, 10, 14, tzinfo=dt.UTC
)  # SPSS counts seconds from the Gregorian calendar's first day
WIDEST = 255
FORMAT_STRING, FORMAT_NUMBER, FORMAT_DATETIME = 1, 5, 22
MISSING = -sys.float_info.max


def render(
    title: str,
    columns: Sequence[Column],
    responses: Sequence[Response],
    at: dt.datetime,
    zone: dt.tzinfo,
) -> bytes:
    rows = [[_value(column, column.cell(response), zone) for column in columns] for response in responses]
    widths = [_width(column, [row[number] for row in rows]) for number, column in enumerate(columns)]
    units = [_units(width) for width in widths]
    short = [f"V{number:07}" for number in range(1, len(columns) + 1)]
    parts = [_header(title, sum(units), len(rows), at)]
    for column, name, width in zip(columns, short, widths, strict=True):
        parts.append(_variable(column, name, width))
    position = 1
    for column, size in zip(columns, units, strict=True):
        if column.labels and column.numeric:
            parts.append(_value_labels(column.labels, position))
        position += size
    parts += [
        _extension(3, 4, struct.pack("<8i", 20, 0, 0, -1, 1, 1, 2, 65001)),
        _extension(4, 8, struct.pack("<3d", MISSING, sys.float_info.max, math.nextafter(MISSING, 0))),
        _extension(
            13, 1, "\t".join(f"{a}={b}" for a, b in zip(short, _names(columns), strict=True)).encode()
        ),
        _extension(20, 1, b"UTF-8"),
        struct.pack("<2i", 999, 0),
    ]
    for row in rows:
        for value, size in zip(row, units, strict=True):
            parts.append(value.ljust(8 * size) if isinstance(value, bytes) else struct.pack("<d", value))
    return b"".join(parts)


def _value(column: Column, cell: Cell, zone: dt.tzinfo) -> bytes | float:
    if column.is_date and isinstance(cell, dt.datetime):
        wall_clock = cell.astimezone(zone).replace(tzinfo=dt.UTC)
        return (wall_clock - EPOCH).total_seconds()
    if column.numeric:
        return float(cell) if isinstance(cell, int | float) else MISSING
    return _cut("" if cell is None else str(cell), WIDEST)


def _cut(text: str, size: int) -> bytes:
    return text.encode()[:size].decode(errors="ignore").encode()


def _width(column: Column, values: list[bytes | float]) -> int:
    """Bytes of a string variable; 0 for a number."""
    if column.numeric or column.is_date:
        return 0
    return max([1, *(len(value) for value in values if isinstance(value, bytes))])


def _units(width: int) -> int:
    """A value's size in the file, in steps of eight bytes."""
    return max(1, -(-width // 8))


def _header(title: str, units: int, cases: int, at: dt.datetime) -> bytes:
    # English month names, whatever the locale.
    month = ("Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec")[at.month - 1]
    return struct.pack(
        "<4s60s5id9s8s64s3x",
        b"$FL2",
        b"@(#) SPSS DATA FILE".ljust(60),
        2,
        units,
        0,
        0,
        cases,
        100.0,
        f"{at.day:02} {month} {at.year % 100:02}".encode(),
        at.strftime("%H:%M:%S").encode(),
        _cut(title, 64).ljust(64),
    )


def _variable(column: Column, short: str, width: int) -> bytes:
    if width:
        form = FORMAT_STRING << 16 | width << 8
    elif column.is_date:
        form = FORMAT_DATETIME << 16 | 20 << 8
    else:
        form = FORMAT_NUMBER << 16 | 8 << 8 | 2
    label = _cut(column.text, 252)
    record = struct.pack("<6i8s", 2, width, 1, 0, form, form, short.encode())
    record += struct.pack("<i", len(label)) + label.ljust(-(-len(label) // 4) * 4)
    further = struct.pack("<6i8s", 2, -1, 0, 0, 0, 0, b" " * 8)
    return record + further * (_units(width) - 1)


def _value_labels(labels: dict[int, str], position: int) -> bytes:
    record = struct.pack("<2i", 3, len(labels))
    for code, text in labels.items():
        label = _cut(text, 120)
        size = -(-(len(label) + 1) // 8) * 8
        record += struct.pack("<dB", code, len(label)) + label.ljust(size - 1)
    return record + struct.pack("<3i", 4, 1, position)


def _extension(subtype: int, size: int, data: bytes) -> bytes:
    return struct.pack("<4i", 7, subtype, size, len(data) // size) + data


def _names(columns: Sequence[Column]) -> list[str]:
    """The export tags as SPSS variable names: letters, digits and underscores, at most 64 bytes."""
    return [
        _cut(re.sub(r"^(?=[\d_])", "V", re.sub(r"\W", "_", column.tag)), 64).decode() for column in columns
    ]
