"""Reading a report: what is closed, what is set aside, and when it is not the report we know."""

from __future__ import annotations

from datetime import UTC, date, datetime
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from interchange.core.report import Cell, Report, ReportDrift, ReportRow, ReportRules, read_report

COLUMNS = ("Firstname", "Lastname", "Email", "Ticket", "Status", "Date")
TODAY = date(2026, 11, 27)


def row(*changed: Cell, **cells: Cell) -> tuple[Cell, ...]:
    """A row as usual, or with other cells."""
    usual: dict[str, Cell] = {
        "first": "Ann", "last": "Ito", "email": "ann@example.com", "ticket": "T-1", "status": "Closed",
        "date": "20/11/2026",
    }  # fmt: skip
    return changed or tuple({**usual, **cells}.values())


def read(*rows: tuple[Cell, ...], **changes: Any) -> Report:
    rules: dict[str, Any] = {
        "columns": COLUMNS,
        "closed_statuses": ("Closed",),
        "date_format": "%d/%m/%Y",
        "time_zone": "Australia/Sydney",
        "header": False,
        **changes,
    }
    found = (ReportRow(number=number, cells=cells) for number, cells in enumerate(rows, 2))
    return read_report(found, ReportRules(**rules), today=TODAY)


def test_the_first_row_counts() -> None:
    """Defect B3: with a range below the header the first customer was dropped."""
    assert [closing.ticket for closing in read(row(), row(ticket="T-2")).closings] == ["T-1", "T-2"]


def test_short_and_empty_rows_are_no_mistake() -> None:
    """Defect B10: a report of short rows failed as a whole."""
    report = read(row(), (), ("Bob", "", "bob@example.com", "T-2"), (None, "", " "), row(ticket="T-3"))

    assert [closing.row for closing in report.closings] == [2, 6]
    assert report.rows == 3


def test_a_report_of_which_no_row_has_all_cells_is_read() -> None:
    """Defect B10: where all rows were short, or a surname was missing, the run failed."""
    rules = {"columns": (*COLUMNS, "Notes")}
    (found,) = read(row(last=None), ("Bob", "Oh", "bob@example.com", "T-2", "Open"), **rules).closings
    assert (found.first_name, found.last_name) == ("Ann", "")


def test_an_empty_report_calls_for_nothing() -> None:
    """Defect B10: an empty sheet ended the run."""
    assert read() == Report(rows=0, closings=(), quarantined=())


@pytest.mark.parametrize("status", ["closed", "Closed ", " CLOSED"])
def test_a_status_is_compared_as_people_mean_it(status: str) -> None:
    """Defect B11: case and blanks made a difference."""
    assert len(read(row(status=status)).closings) == 1


def test_an_open_tickets_row_may_hold_anything() -> None:
    assert read(row(status="Open", date="soon", email="nobody"), row(ticket="T-2")).quarantined == ()


@pytest.mark.parametrize(
    ("cell", "day"),
    [
        ("05/02/2026", date(2026, 2, 5)),
        (" 05/11/2026 ", date(2026, 11, 5)),
        (datetime(2026, 11, 20, 23, 59), date(2026, 11, 20)),  # noqa: DTZ001  # a workbook knows no zone
        (datetime(2026, 11, 20, 20, tzinfo=UTC), date(2026, 11, 21)),
        (date(2026, 11, 20), date(2026, 11, 20)),
    ],
)
def test_a_day_is_read_as_the_settings_say(cell: Cell, day: date) -> None:
    """Defects B4 and B16: 05/02 was taken for May."""
    assert read(row(date=cell)).closings[0].closed_on == day


@pytest.mark.parametrize(
    ("cells", "field", "reason"),
    [
        ({"date": "28/11/2026"}, "Date", "lies ahead"),
        ({"date": "2026-11-20"}, "Date", "is not written like %d/%m/%Y"),
        ({"date": None}, "Date", "is empty"),
        ({"date": 46346}, "Date", "is not written like"),
        ({"ticket": ""}, "Ticket", "is empty"),
        ({"ticket": "T" * 201}, "Ticket", "is no ticket number"),
        ({"email": ""}, "Email", "is empty"),
        ({"email": "ann at example.com"}, "Email", "white space"),
        ({"email": "ann@example.com, bob@example.com"}, "Email", "more than one"),
        ({"email": "Ann <ann@example.com>"}, "Email", "the address alone"),
        ({"email": "ann@localhost"}, "Email", "no domain"),
        ({"email": "ann.example.com"}, "Email", "is no address"),
    ],
)
def test_a_wrong_row_is_set_aside_with_its_reason_and_the_rest_goes_on(
    cells: dict[str, Cell], field: str, reason: str
) -> None:
    """Defects B5, B10 and B11: one wrong date failed the run, a day ahead silenced it, addresses went as they were."""
    report = read(row(), row(ticket="T-2", date="19/11/2026"), row(**{"ticket": "T-9", **cells}))

    assert [closing.ticket for closing in report.closings] == ["T-1", "T-2"]
    (bad,) = report.quarantined
    assert (bad.row, bad.field) == (4, field)
    assert reason in bad.reason
    assert "example" not in bad.reason


def test_an_address_is_one_customer_however_it_is_written() -> None:
    """Defect B11: addresses were compared letter by letter."""
    report = read(row(email=" Ann@Example.COM "), row(ticket="T-2"))
    assert {closing.address for closing in report.closings} == {"ann@example.com"}


@pytest.mark.parametrize(
    ("cell", "ticket"), [("0001005", "0001005"), (1005, "1005"), (1005.0, "1005"), (" T-1 ", "T-1")]
)
def test_a_ticket_number_is_text(cell: Cell, ticket: str) -> None:
    assert read(row(ticket=cell)).closings[0].ticket == ticket


def test_a_closing_that_is_there_twice_counts_once() -> None:
    assert len(read(row(), row(email="ANN@example.com")).closings) == 1


def test_a_closing_listed_for_two_customers_is_set_aside() -> None:
    """Defect B2: customers of one name were told of each other's tickets."""
    report = read(row(), row(email="bob@example.com"), row(ticket="T-2"))

    assert [closing.ticket for closing in report.closings] == ["T-2"]
    assert [(bad.row, bad.ticket) for bad in report.quarantined] == [(2, "T-1"), (3, "T-1")]


def test_a_closing_listed_for_two_customers_again_and_again_names_each_customers_first_row() -> None:
    report = read(row(), row(email="bob@example.com"), row(), row(email="bob@example.com"))

    assert [bad.row for bad in report.quarantined] == [2, 3]
    assert "(rows 2, 3)" in report.quarantined[0].reason


class TestDrift:
    def test_a_header_names_the_columns_in_their_order(self) -> None:
        header: tuple[Cell, ...] = ("firstname", " Lastname ", "EMAIL", "Ticket", "Status", "Date", "")
        assert len(read(header, row(), header=True).closings) == 1

    def test_moved_columns_are_told_by_name(self) -> None:
        moved: tuple[Cell, ...] = ("Firstname", "Lastname", "Ticket", "Email", "Status", "Date")
        with pytest.raises(ReportDrift, match="column 3 is 'Ticket', not 'Email'"):
            read(moved, row(), header=True)

    def test_a_new_column_is_told(self) -> None:
        with pytest.raises(ReportDrift, match="column 7 is 'Notes', not ''"):
            read((*COLUMNS, "Notes"), row(), header=True)

    def test_columns_that_are_not_ours_are_passed_over_if_the_settings_name_them(self) -> None:
        columns = ("Id", *COLUMNS, "Notes")
        report = read(columns, (7, *row(), "-"), header=True, columns=columns)
        assert report.closings[0].ticket == "T-1"

    def test_a_range_that_begins_at_the_header_is_told(self) -> None:
        with pytest.raises(ReportDrift, match=r"source\.header"):
            read(COLUMNS, row())

    def test_a_missing_header_is_told(self) -> None:
        with pytest.raises(ReportDrift, match="not even a row of column names"):
            read(header=True)

    @pytest.mark.parametrize("name", ["email", "ticket", "status", "date"])
    def test_an_emptied_column_is_told(self, name: str) -> None:
        with pytest.raises(ReportDrift, match=f"column {name.title()} is empty in all 2 rows"):
            read(row(**{name: ""}), row(**{name: None}))

    def test_formula_errors_are_told_with_their_places(self) -> None:
        with pytest.raises(ReportDrift, match="row 3, Email: #REF!"):
            read(row(), row(email="#REF!", status="Open"))

    def test_swapped_days_are_told_although_most_can_be_read(self) -> None:
        """Defect B4: nobody knows which of the others are meant the other way."""
        rows = [row(ticket=str(number), date=f"{number:02}/{number:02}/2026") for number in range(1, 12)]
        with pytest.raises(ReportDrift, match="%m/%d/%Y"):
            read(*rows, row(date="02/25/2026"))

    def test_another_format_is_told(self) -> None:
        rows = [row(ticket=str(number), date=f"2026-11-{number:02}") for number in range(1, 12)]
        with pytest.raises(ReportDrift, match=r"row 2; row 3; .* and 1 more"):
            read(*rows, row())

    def test_no_error_quotes_what_stands_in_a_row(self) -> None:
        with pytest.raises(ReportDrift) as caught:
            read(row(first="Zebediah", date="x"), row(first="Zebediah", date="y"))
        assert "Zebediah" not in str(caught.value)
        assert "example" not in str(caught.value)


@given(
    st.lists(
        st.lists(
            st.one_of(st.none(), st.text(), st.integers(), st.floats(), st.booleans(), st.dates()), max_size=8
        )
    )
)
def test_whatever_stands_in_a_report_it_is_read_or_refused_in_words(cells: list[list[Any]]) -> None:
    try:
        report = read(*(tuple(row) for row in cells))
    except ReportDrift:
        return
    assert len(report.closings) + len(report.quarantined) <= report.rows
