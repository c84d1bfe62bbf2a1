"""
File names as the server makes them from a template.

Java's SimpleDateFormat decides what the letters of a date pattern mean; they are case-sensitive (``MM`` month, ``mm``
minute; ``HH`` 0-23, ``hh`` 1-12; ``yyyy`` year, ``YYYY`` the year of the week).
"""

from __future__ import annotations

import datetime as dt
import re
from collections.abc import Callable, Mapping

_PLACEHOLDER = re.compile(r"\{\{\s*(\w+)\s*(?:\|([^}]*))?\}\}")
# A quoted text, or a run of one letter.
_PIECE = re.compile(r"'((?:[^']|'')*)'|([A-Za-z])\2*|[^A-Za-z']+")


def _week_year(at: dt.datetime, width: int) -> str:
    year = at.isocalendar().year
    return f"{year % 100:02}" if width == 2 else f"{year:0{width}}"


_LETTERS: Mapping[str, Callable[[dt.datetime, int], str]] = {
    "y": lambda at, width: f"{at.year % 100:02}" if width == 2 else f"{at.year:0{width}}",
    "Y": _week_year,
    "M": lambda at, width: at.strftime("%b" if width == 3 else "%B") if width > 2 else f"{at.month:0{width}}",
    "d": lambda at, width: f"{at.day:0{width}}",
    "D": lambda at, width: f"{at.timetuple().tm_yday:0{width}}",
    "H": lambda at, width: f"{at.hour:0{width}}",
    "k": lambda at, width: f"{at.hour or 24:0{width}}",
    "h": lambda at, width: f"{at.hour % 12 or 12:0{width}}",
    "K": lambda at, width: f"{at.hour % 12:0{width}}",
    "m": lambda at, width: f"{at.minute:0{width}}",
    "s": lambda at, width: f"{at.second:0{width}}",
    "S": lambda at, width: f"{at.microsecond // 1000:0{width}}",
    "a": lambda at, _width: "AM" if at.hour < 12 else "PM",
    "E": lambda at, width: at.strftime("%A" if width > 3 else "%a"),
    "u": lambda at, width: f"{at.isoweekday():0{width}}",
}


class BadTemplate(ValueError):
    """A template that names what there is not, or a pattern with a letter that means nothing."""


def formatted(at: dt.datetime, pattern: str) -> str:
    """
    :raises BadTemplate: a letter that SimpleDateFormat does not know.
    """

    def piece(found: re.Match[str]) -> str:
        quoted, letter = found.group(1), found.group(2)
        if quoted is not None:
            return quoted.replace("''", "'") or "'"
        if letter is None:
            return found.group(0)
        if letter not in _LETTERS:
            raise BadTemplate(f"Illegal pattern character '{letter}'")
        return _LETTERS[letter](at, len(found.group(0)))

    return _PIECE.sub(piece, pattern)


def file_name(
    template: str, *, task_id: str, due: dt.datetime, call_from: str, call_to: str, zone: dt.tzinfo
) -> str:
    """
    The name without a suffix.

    :param zone: in which the server writes dates.
    :raises BadTemplate: see the class.
    """
    values = {"task_id": task_id, "call_from": call_from, "call_to": call_to}

    def value(found: re.Match[str]) -> str:
        name, pattern = found.group(1), found.group(2)
        if name == "due_date":
            return formatted(due.astimezone(zone), pattern or "yyyyMMddHHmmss")
        if name not in values or pattern is not None:
            raise BadTemplate(f"Unknown placeholder '{found.group(0)}'")
        return values[name]

    return _PLACEHOLDER.sub(value, template)
