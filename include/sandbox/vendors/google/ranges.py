"""A1 notation, as the Sheets API reads it."""

from __future__ import annotations

import re
from dataclasses import dataclass

_CORNER = re.compile(r"\$?([A-Za-z]{1,3})?\$?([0-9]+)?")


class BadRange(ValueError):
    """Cannot be read, or names no sheet."""


@dataclass(frozen=True, kw_only=True)
class Range:
    """Numbers count from 1, both ends included; None: to the end of the grid."""

    sheet: str | None
    first_row: int = 1
    first_column: int = 1
    last_row: int | None = None
    last_column: int | None = None


def parse(text: str, titles: list[str]) -> Range:
    """
    ``Sheet1!A2:F``, ``'My Sheet'!A:C``, ``Sheet1``, ``A1:B2``.

    :param titles: of the sheets there are.
    :raises BadRange: as the API words it.
    """
    bad = BadRange(f"Unable to parse range: {text}")
    quoted = re.fullmatch(r"'((?:[^']|'')+)'(?:!(.+))?", text, re.DOTALL)
    if quoted:
        sheet: str | None = quoted[1].replace("''", "'")
        cells = quoted[2] or ""
    elif "!" in text:
        sheet, _, cells = text.partition("!")
    elif text in titles:
        sheet, cells = text, ""
    else:
        sheet, cells = None, text
    if sheet is not None and sheet not in titles:
        raise bad
    if not cells:
        if sheet is None:
            raise bad
        return Range(sheet=sheet)
    start, colon, end = cells.partition(":")
    first, last = _corner(start), _corner(end or start)
    if first is None or last is None or (not colon and None in first):
        raise bad
    return Range(
        sheet=sheet,
        first_column=first[0] or 1,
        first_row=first[1] or 1,
        last_column=last[0],
        last_row=last[1],
    )


def _corner(text: str) -> tuple[int | None, int | None] | None:
    found = _CORNER.fullmatch(text)
    if not found or not text:
        return None
    column = None
    if found[1]:
        column = 0
        for letter in found[1].upper():
            column = column * 26 + ord(letter) - ord("A") + 1
    return column, int(found[2]) if found[2] else None


def letters(column: int) -> str:
    text = ""
    while column:
        column, rest = divmod(column - 1, 26)
        text = chr(ord("A") + rest) + text
    return text


def shown(sheet: str, first_row: int, first_column: int, last_row: int, last_column: int) -> str:
    """The whole range, as answers echo it."""
    title = sheet if re.fullmatch(r"[A-Za-z_][A-Za-z0-9_]*", sheet) else "'" + sheet.replace("'", "''") + "'"
    return f"{title}!{letters(first_column)}{first_row}:{letters(last_column)}{last_row}"
