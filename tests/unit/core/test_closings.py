"""Which mails a report calls for."""

from __future__ import annotations

from datetime import UTC, date, datetime
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from interchange.core.closings import (
    Selection,
    Told,
    closing_key,
    content_digest,
    element,
    months_before,
    payload,
    select_mails,
    week_of,
    week_start,
)
from interchange.core.report import Closing

DAY = date(2026, 11, 2)


def closing(ticket: str, address: str = "ann@example.com", *, on: date = DAY, **names: str) -> Closing:
    return Closing(
        row=int(ticket),
        ticket=ticket,
        closed_on=on,
        address=address,
        first_name=names.get("first", "Ann"),
        last_name=names.get("last", "Ito"),
    )


def select(*closings: Closing, **more: Any) -> Selection:
    values: dict[str, Any] = {
        "since": date(2026, 1, 1),
        "until": date(2026, 12, 31),
        "told": (),
        "mailed": (),
        "opted_out": (),
        "customer_of": str.upper,
        **more,
    }
    return select_mails(closings, **values)


def test_one_mail_holds_all_tickets_of_an_address_and_no_other_ones() -> None:
    """Defects B1 and B2: tickets were gathered by name, and bodies ran on from one customer to the next."""
    found = select(
        closing("1"),
        closing("2", "bob@example.com", first="Bob", last="Oh"),
        closing("3", "other-ann@example.com"),
        closing("4"),
    )

    told = {mail.address: [ticket.number for ticket in mail.tickets] for mail in found.mails}
    assert told == {"ann@example.com": ["1", "4"], "other-ann@example.com": ["3"], "bob@example.com": ["2"]}
    assert [mail.full_name for mail in found.mails] == ["Ann ITO", "Ann ITO", "Bob OH"]


@pytest.mark.parametrize(("first", "last", "name"), [("Ann", "", "Ann"), ("", "Ito", "ITO"), ("", "", "")])
def test_a_missing_name_leaves_no_blank(first: str, last: str, name: str) -> None:
    """Defect B10: without a surname, "Ann " was written to."""
    assert select(closing("1", first=first, last=last)).mails[0].full_name == name


def test_a_ticket_that_was_told_of_is_not_told_again_but_its_next_closing_is() -> None:
    again = date(2026, 11, 9)
    found = select(closing("1"), closing("1", on=again), told={closing_key("1", DAY)})

    assert [mail.tickets for mail in found.mails] == [(Told(number="1", closed_on=again),)]
    assert found.told == 1


def test_a_ticket_added_late_with_an_older_day_is_told_of() -> None:
    """Defect B5: only what was later than the newest day told of was seen."""
    found = select(closing("1"), closing("2", on=date(2026, 10, 1)), told={closing_key("1", DAY)})

    assert [[ticket.number for ticket in mail.tickets] for mail in found.mails] == [["2"]]


def test_both_ends_of_the_look_back_are_looked_at() -> None:
    days = [date(2026, 11, day) for day in (1, 2, 3, 4, 5)]
    found = select(
        *(closing(str(number), on=day) for number, day in enumerate(days)), since=days[1], until=days[3]
    )

    assert [ticket.closed_on for ticket in found.mails[0].tickets] == days[1:4]
    assert (found.too_old, found.too_new) == (1, 1)


def test_who_has_had_a_mail_this_week_or_wants_none_gets_none() -> None:
    found = select(
        closing("1"),
        closing("2", "bob@example.com"),
        closing("3", "cy@example.com"),
        closing("4", "cy@example.com", on=date(2026, 10, 5)),
        closing("5", "bob@example.com"),
        mailed={"CY@EXAMPLE.COM"},
        opted_out={"bob@example.com"},
    )

    assert [mail.address for mail in found.mails] == ["ann@example.com"]
    assert (found.held, found.opted_out, found.oldest_held) == (2, 2, date(2026, 10, 5))


def test_a_mail_tells_of_the_oldest_closing_first_and_names_whom_the_newest_names() -> None:
    found = select(
        closing("3", on=date(2026, 11, 9), last="Ito-Oh"),
        closing("2", on=date(2026, 11, 2)),
        closing("1", on=date(2026, 11, 2)),
    )

    assert [ticket.number for ticket in found.mails[0].tickets] == ["1", "2", "3"]
    assert found.mails[0].full_name == "Ann ITO-OH"


def test_mails_are_sorted_by_name_and_by_address_where_names_are_the_same() -> None:
    found = select(
        closing("1", "z@example.com"),
        closing("2", "y@example.com", first="Bob"),
        closing("3", "x@example.com"),
    )
    assert [mail.address for mail in found.mails] == ["x@example.com", "z@example.com", "y@example.com"]


@given(
    st.lists(
        st.tuples(
            st.sampled_from(["a@x.org", "b@x.org", "c@x.org"]), st.dates(date(2026, 1, 1), date(2026, 3, 1))
        ),
        max_size=30,
    )
)
def test_every_closing_is_told_once_or_counted(rows: list[tuple[str, date]]) -> None:
    closings = [closing(str(number), address, on=on) for number, (address, on) in enumerate(rows, 1)]

    found = select(*closings, since=date(2026, 1, 10), until=date(2026, 2, 20), mailed={"B@X.ORG"})

    told = [ticket.number for mail in found.mails for ticket in mail.tickets]
    assert len(told) == len(set(told))
    assert len(told) + found.too_old + found.too_new + found.held == len(closings)
    owner = {entry.ticket: entry.address for entry in closings}
    assert all(owner[ticket.number] == mail.address for mail in found.mails for ticket in mail.tickets)


def test_the_webhook_gets_what_its_known_caller_sends() -> None:
    (mail,) = select(closing("1")).mails
    content = element(mail, subject="Ticket status report", body="Ticket no. 1\n", html=None, cc=())

    assert content == {
        "full_name": "Ann ITO",
        "email_address": "ann@example.com",
        "ready_to_send": True,
        "email": {
            "subject": "Ticket status report",
            "to_address": ["ann@example.com"],
            "cc_address": [""],
            "body": "Ticket no. 1\n",
        },
    }
    assert payload([content]).startswith(b'[{"full_name":"Ann ITO"')


def test_a_digest_is_of_all_that_a_customer_sees_and_of_the_tickets() -> None:
    (mail,) = select(closing("1")).mails
    (other,) = select(closing("1", on=date(2026, 11, 3))).mails
    same = element(mail, subject="s", body="b", html=None, cc=())

    assert content_digest(mail, same) == content_digest(mail, dict(same))
    assert content_digest(mail, same) != content_digest(other, same)
    assert content_digest(mail, same) != content_digest(
        mail, element(mail, subject="s", body="c", html=None, cc=())
    )


@pytest.mark.parametrize(
    ("moment", "week"),
    [
        (datetime(2027, 1, 3, 23, 59, tzinfo=UTC), "2026-W53"),
        (datetime(2027, 1, 4, tzinfo=UTC), "2027-W01"),
        (datetime(2026, 11, 27, tzinfo=UTC), "2026-W48"),
    ],
)
def test_a_week_is_the_iso_week(moment: datetime, week: str) -> None:
    assert week_of(moment) == week
    assert week_start(moment).weekday() == 0
    assert week_of(week_start(moment)) == week


@pytest.mark.parametrize(
    ("day", "months", "before"),
    [
        (date(2026, 11, 27), 18, date(2025, 5, 27)),
        (date(2026, 8, 31), 18, date(2025, 2, 28)),
        (date(2026, 1, 31), 1, date(2025, 12, 31)),
        (date(2026, 12, 5), 12, date(2025, 12, 5)),
        (date(2026, 1, 15), 13, date(2024, 12, 15)),
    ],
)
def test_months_back(day: date, months: int, before: date) -> None:
    assert months_before(day, months) == before
