"""The spreadsheet of the demo: a weekly report of tickets."""

from __future__ import annotations

import datetime as dt
from typing import Any

HEADER = ["Firstname", "Lastname", "Email", "Ticket", "Status", "Date"]
# Name, address, ticket, status, days ago.
_ROWS: list[tuple[str, str, str, str, str, int | None]] = [
    ("Ann", "Ito", "ann@example.com", "T-1001", "Closed", 3),
    ("Bob", "Okoro", "bob@example.com", "T-1002", "Open", 2),
    ("Ann", "Ito", "Ann@Example.com ", "T-1003", "closed ", 5),
    ("Cy", "Oh", "cy@example.com", "T-1004", "Closed", 9),
    ("Dee", "de la Cruz", "dee@example.com", "0001005", "CLOSED", 1),
    ("Ann", "Ito", "another.ann@example.com", "T-1006", "Closed", 4),
    ("Eve", "", "eve@example.com", "T-1007", "Closed", 12),
    ("Flo", "Möller", "flo@example.com", "T-1008", "Closed", 30),
    ("Gus", "Lindqvist", "gus at example.com", "T-1009", "Closed", 6),
    ("Hal", "Nakamura", "hal@example.com", "T-1010", "Closed", -40),
    ("Ida", "Ferrari", "ida@example.com", "T-1011", "Closed", 700),
    ("Bob", "Okoro", "bob@example.com", "T-1012", "Closed", 8),
    ("Joe", "Petrov", "joe@example.com", "T-1013", "Open", None),
]


def demo_sheet(today: dt.date) -> list[list[Any]]:
    """Rows of the sheet, header included; one is empty, one is short."""
    rows: list[list[Any]] = [list(HEADER)]
    for first, last, address, ticket, status, days in _ROWS:
        row: list[Any] = [first, last, address, ticket, status]
        if days is not None:
            row.append({"date": (today - dt.timedelta(days=days)).isoformat()})
        rows.append(row)
    rows.insert(5, [])
    return rows
