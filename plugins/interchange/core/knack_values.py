"""
What a Knack record's fields mean: text, numbers and moments.

``field_N`` is for display and often HTML; ``field_N_raw`` is the stored value, but not every type of field has one.
Shapes: docs/sources/knack.md.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from datetime import UTC, datetime, tzinfo
from html import unescape
from typing import Any

from interchange.errors import BadRecord

Record = Mapping[str, Any]

_BREAK = re.compile(r"<br\s*/?>(?:\r?\n)?", re.IGNORECASE)
_TAG = re.compile(r"</?[a-zA-Z][^<>]*>")
# Keys of the raw objects whose text is what a person reads, the first that is there.
_TEXT_KEYS = ("identifier", "email", "url", "formatted", "full", "filename", "timestamp")


def text_of(record: Record, field: str) -> str:
    """
    A field as text; empty where it is empty or missing.

    :raises BadRecord: it holds something that is no text, such as an object of an unknown shape.
    """
    raw = record.get(f"{field}_raw")
    if raw is None:
        raw = record.get(field)
        if isinstance(raw, str):
            # The display value: tags may stand in it, but only where there is no raw value.
            raw = unescape(_TAG.sub("", _BREAK.sub("\n", raw)))
    elif isinstance(raw, str):
        raw = _BREAK.sub("\n", raw)
    return _text(raw, field)


def _text(raw: Any, field: str) -> str:
    match raw:
        case None:
            return ""
        case bool():
            return "Yes" if raw else "No"
        case str():
            return raw
        case int():
            return str(raw)
        case float():
            return str(int(raw)) if raw.is_integer() else str(raw)
        case list():
            return ", ".join(filter(None, (_text(entry, field) for entry in raw)))
        case Mapping():
            for key in _TEXT_KEYS:
                if isinstance(raw.get(key), str):
                    return str(raw[key])
    raise BadRecord(field, f"cannot be read as text ({type(raw).__name__})")


def number_of(record: Record, field: str) -> int:
    """
    A whole number, also one that is stored as text: ``"10"`` comes after ``"9"``.

    :raises BadRecord: there is none.
    """
    text = text_of(record, field).strip().replace(",", "")
    if not re.fullmatch(r"[0-9]{1,18}", text):
        raise BadRecord(field, "is empty" if not text else "is no whole number")
    return int(text)


def moment_of(record: Record, field: str, zone: tzinfo) -> datetime:
    """
    A date and time, aware, in the application's zone, to the minute.

    Knack gives the application's wall clock as if it were UTC. In the hour that a change of clocks repeats, the first
    one is meant; a time that a change leaves out is moved on by it. Both are guesses no worse than others: Knack does
    not keep which one it was.

    :raises BadRecord: there is none, or it cannot be read.
    """
    raw = record.get(f"{field}_raw")
    if not isinstance(raw, Mapping):
        raise BadRecord(field, "is empty" if raw in (None, "", []) else "is no date")
    stamp = raw.get("unix_timestamp")
    if isinstance(stamp, int | float) and not isinstance(stamp, bool):
        try:
            wall = datetime.fromtimestamp(stamp / 1000, UTC).replace(tzinfo=None)
        except (OverflowError, OSError, ValueError):
            raise BadRecord(field, "is no date") from None
    else:
        try:
            wall = datetime.fromisoformat(str(raw.get("iso_timestamp"))).replace(tzinfo=None)
        except ValueError:
            raise BadRecord(field, "is no date") from None
    # Through UTC, so that a wall clock that never was becomes one that is.
    return wall.replace(tzinfo=zone, fold=0).astimezone(UTC).astimezone(zone)


def same_name(name: str) -> str:
    """An activity's name as names are compared: white space at its ends and its length do not count."""
    return " ".join(name.split())
