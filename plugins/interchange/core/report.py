"""
A weekly report, row by row: which tickets are closed, which rows are wrong, and whether it still is the report we know.

A row that is wrong by itself is set aside. What says that the report as a whole has changed (another column order,
another date format, formulas that fail) stops everything before the first mail, since whoever reads on would tell
somebody something false.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from datetime import date, datetime
from typing import NamedTuple
from zoneinfo import ZoneInfo

from interchange.core.addresses import normalised
from interchange.errors import BadRecord, SettingsError

Cell = str | int | float | bool | datetime | date | None
FORMULA_ERRORS = frozenset(
    ("#REF!", "#N/A", "#VALUE!", "#NAME?", "#DIV/0!", "#NUM!", "#NULL!", "#ERROR!", "#SPILL!", "#CALC!")
)
NAMED = 10
"""So many places are named in an error."""
LONGEST_TICKET = 200  # characters
_KNOWN = ("Firstname", "Lastname", "Email", "Ticket", "Status", "Date")
_NEEDED = ("Email", "Ticket", "Status", "Date")
MANY = 0.5
"""More than this share of the closed rows' dates unreadable is another format, not single mistakes."""


class ReportDrift(SettingsError):
    """The report is not the one the settings describe: nothing was planned or sent."""


# A report may have a million rows: what is made for each is a tuple, which takes a third of the time of a frozen
# dataclass.


class ReportRow(NamedTuple):
    """
    :param number: as a person sees it in the source, from 1.
    :param cells: from the first column on; a row may be shorter than others.
    """

    number: int
    cells: tuple[Cell, ...]


@dataclass(frozen=True, kw_only=True)
class ReportRules:
    """See :class:`interchange.settings.ticket_closure.Settings`."""

    columns: tuple[str, ...]
    closed_statuses: tuple[str, ...]
    date_format: str
    time_zone: str
    header: bool


class Closing(NamedTuple):
    """
    One closed ticket.

    :param ticket: as text, leading zeros kept where the source has them.
    :param address: normalised.
    """

    row: int
    ticket: str
    closed_on: date
    address: str
    first_name: str
    last_name: str


@dataclass(frozen=True, kw_only=True)
class BadRow:
    """
    A row that is set aside.

    :param field: the column; :param reason: holds no name, no address.
    """

    row: int
    field: str
    reason: str
    ticket: str


@dataclass(frozen=True, kw_only=True)
class Report:
    """:param rows: rows with anything in them, without the header."""

    rows: int
    closings: tuple[Closing, ...]
    quarantined: tuple[BadRow, ...]


def read_report(rows: Iterable[ReportRow], rules: ReportRules, *, today: date) -> Report:
    """
    Read a report once, from its first row to its last; what is kept is what is closed.

    :param today: in the report's zone. A ticket closed later is a mistake.
    :raises ReportDrift: with rows and columns, never with what stands in them.
    """
    reader = _Reader(rules, today)
    for row in rows:
        reader.take(row)
    return reader.report()


@dataclass
class _Reader:
    rules: ReportRules
    today: date
    rows: int = 0
    closings: dict[tuple[str, date], Closing] = field(default_factory=dict)
    bad: list[BadRow] = field(default_factory=list)

    def __post_init__(self) -> None:
        names = [_plain(name) for name in self.rules.columns]
        self._width = len(names)
        self._needed = [(name, names.index(_plain(name))) for name in _NEEDED]
        self._status = names.index(_plain("Status"))
        self._places = [names.index(_plain(name)) for name in _KNOWN if name != "Status"]
        self._closed = frozenset(_plain(status) for status in self.rules.closed_statuses)
        self._is_closed: dict[str, bool] = {}
        self._zone = ZoneInfo(self.rules.time_zone)
        self._days: dict[str, date | None] = {}
        self._addresses: dict[str, str] = {}
        self._disputed: dict[tuple[str, date], dict[str, Closing]] = {}
        self._swapped = _swapped(self.rules.date_format)
        self._empty = dict.fromkeys(_NEEDED, 0)
        self._formulas: list[str] = []
        self._unread: list[int] = []
        self._read = 0
        self._would_swap = 0
        self._awaits_header = self.rules.header
        self._is_first = True

    def take(self, row: ReportRow) -> None:
        cells = row.cells
        if len(cells) < self._width:
            cells += (None,) * (self._width - len(cells))
        texts = [cell.strip() if type(cell) is str else _text(cell) for cell in cells]
        if not any(texts):
            return
        if self._awaits_header:
            self._awaits_header = self._is_first = False
            self._check_header(row)
            return
        if self._is_first:
            self._is_first = False
            self._check_no_header(row)
        self.rows += 1
        for name, place in self._needed:
            text = texts[place]
            if not text:
                self._empty[name] += 1
            elif text[0] == "#" and text.upper() in FORMULA_ERRORS:
                self._formulas.append(f"row {row.number}, {name}: {text.upper()}")
        status = texts[self._status]
        closed = self._is_closed.get(status)
        if closed is None:
            closed = self._is_closed[status] = _plain(status) in self._closed
        if closed:
            self._take_closed(row.number, cells, texts)

    def _take_closed(self, number: int, cells: tuple[Cell, ...], texts: list[str]) -> None:
        first_name, last_name, email, ticket_number, day = self._places
        ticket = _ticket(cells[ticket_number], texts[ticket_number])
        try:
            closed_on = self._day(number, cells[day], texts[day])
            if not ticket or len(ticket) > LONGEST_TICKET or "\0" in ticket:
                raise BadRecord(
                    "Ticket",
                    f"is no ticket number of 1 to {LONGEST_TICKET} characters" if ticket else "is empty",
                )
            if closed_on > self.today:
                raise BadRecord("Date", f"lies ahead: {closed_on}; today is {self.today}")
            address = self._address(texts[email])
        except BadRecord as exc:
            self.bad.append(
                BadRow(row=number, field=exc.field, reason=exc.reason, ticket=ticket[:LONGEST_TICKET])
            )
            return
        closing = Closing(
            number, ticket, closed_on, address, _one_line(texts[first_name]), _one_line(texts[last_name])
        )
        identity = ticket, closed_on
        known = self.closings.setdefault(identity, closing)
        if known.address != address:
            self._disputed.setdefault(identity, {known.address: known}).setdefault(address, closing)

    def _address(self, text: str) -> str:
        # A customer stands in many rows.
        address = self._addresses.get(text)
        if address is None:
            address = self._addresses[text] = normalised(text)
        return address

    def _day(self, number: int, cell: Cell, text: str) -> date:
        if isinstance(cell, date):
            if not isinstance(cell, datetime):
                return cell
            # Workbooks know no zone: what is there is local time.
            return (cell.astimezone(self._zone) if cell.tzinfo else cell).date()
        if not text:
            raise BadRecord("Date", "is empty")
        if text not in self._days:
            self._days[text] = _parsed(text, self.rules.date_format)
        day = self._days[text]
        if day is None:
            self._unread.append(number)
            self._would_swap += self._swapped is not None and _parsed(text, self._swapped) is not None
            raise BadRecord("Date", f"is not written like {self.rules.date_format}")
        self._read += 1
        return day

    def report(self) -> Report:
        """
        :raises ReportDrift: the report as a whole is not what the settings describe.
        """
        if self._awaits_header:
            raise ReportDrift(
                "the report is empty: not even a row of column names is there (source.header is true)"
            )
        if self._formulas:
            raise ReportDrift(f"formulas show errors: {_named(self._formulas)}. Mend them in the report")
        if self.rows and (emptied := [name for name, number in self._empty.items() if number == self.rows]):
            raise ReportDrift(
                f"column {', '.join(emptied)} is empty in all {self.rows} rows: was a column moved or removed? The "
                f"settings say: {', '.join(self.rules.columns)}"
            )
        self._check_dates()
        for (ticket, closed_on), by_address in self._disputed.items():
            rows = ", ".join(str(closing.row) for closing in by_address.values())
            self.bad += [
                BadRow(
                    row=closing.row,
                    field="Email",
                    reason=f"the ticket's closing of {closed_on} is listed for different addresses (rows {rows})",
                    ticket=ticket,
                )
                for closing in by_address.values()
            ]
        return Report(
            rows=self.rows,
            closings=tuple(
                closing for identity, closing in self.closings.items() if identity not in self._disputed
            ),
            quarantined=tuple(sorted(self.bad, key=lambda row: row.row)),
        )

    def _check_dates(self) -> None:
        if not self._unread:
            return
        where = _named([f"row {number}" for number in self._unread])
        if self._would_swap and self._would_swap == len(self._unread):
            raise ReportDrift(
                f"Date is written like {self._swapped}, not like {self.rules.date_format} (date_format): {where}. "
                "Day and month of all other rows may be swapped as well, so nothing is sent"
            )
        if len(self._unread) > MANY * (len(self._unread) + self._read):
            raise ReportDrift(f"Date is not written like {self.rules.date_format} (date_format): {where}")

    def _check_header(self, row: ReportRow) -> None:
        found = [_text(cell).strip() for cell in row.cells]
        while found and not found[-1]:
            found.pop()
        wrong = [
            f"column {number} is {there!r}, not {wanted!r}"
            for number, (wanted, there) in enumerate(_side_by_side(self.rules.columns, found), 1)
            if _plain(wanted) != _plain(there)
        ]
        if wrong:
            raise ReportDrift(
                f"row {row.number} does not name the columns of the settings: {_named(wrong)}. Correct the report, or "
                "columns"
            )

    def _check_no_header(self, row: ReportRow) -> None:
        found = {_plain(_text(cell)) for cell in row.cells}
        if len(found & {_plain(name) for name in _KNOWN}) >= len(_NEEDED) - 1:
            raise ReportDrift(
                f"row {row.number} holds the names of columns: set source.header to true, or begin source.range below"
            )


def _side_by_side(wanted: Sequence[str], there: Sequence[str]) -> Iterable[tuple[str, str]]:
    for place in range(max(len(wanted), len(there))):
        yield wanted[place] if place < len(wanted) else "", there[place] if place < len(there) else ""


def _text(cell: Cell) -> str:
    if type(cell) is str:
        return cell.strip()
    return "" if cell is None else str(cell).strip()


def _one_line(text: str) -> str:
    return " ".join(text.split())


def _plain(text: str) -> str:
    return text.strip().casefold()


def _ticket(cell: Cell, text: str) -> str:
    return str(int(cell)) if isinstance(cell, float) and cell.is_integer() else text


def _parsed(text: str, date_format: str) -> date | None:
    try:
        return datetime.strptime(text, date_format).date()  # noqa: DTZ007  # a day of the report's own zone
    except ValueError:
        return None


def _swapped(date_format: str) -> str | None:
    """The format with day and month in each other's place; None where the month is a word."""
    if "%m" not in date_format:
        return None
    return date_format.replace("%d", "\0").replace("%m", "%d").replace("\0", "%m")


def _named(places: Sequence[str]) -> str:
    more = len(places) - NAMED
    return "; ".join(places[:NAMED]) + (f"; and {more} more" if more > 0 else "")
