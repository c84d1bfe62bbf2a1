"""Which mails a report calls for: one for each customer, about the closed tickets nobody has told them of yet."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Collection, Iterable
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from operator import attrgetter
from typing import Any, NamedTuple

from interchange.core.report import Closing


class Told(NamedTuple):
    """
    One ticket as a mail tells of it.

    :param closed_on: with the number, the identity of a closing: a ticket that was opened again and closed on another
        day is another one.
    """

    number: str
    closed_on: date

    @property
    def key(self) -> str:
        return closing_key(self.number, self.closed_on)


class Mail(NamedTuple):
    """
    One customer's mail.

    :param customer: stands for the address where that must not be seen.
    """

    customer: str
    address: str
    full_name: str
    tickets: tuple[Told, ...]


@dataclass(frozen=True, kw_only=True)
class Selection:
    """
    :param told: closings that were told of before, or may have been.
    :param too_old: closed before the look-back began.
    :param too_new: closed after the time the run is for.
    :param held: closings of customers who have had their mail of this week.
    :param opted_out: closings of customers who want no mail.
    :param oldest_held: the day of the oldest closing that is held.
    """

    mails: tuple[Mail, ...]
    told: int
    too_old: int
    too_new: int
    held: int
    opted_out: int
    oldest_held: date | None


def closing_key(number: str, closed_on: date) -> str:
    """A closing's key in the ledger; the day first, so that keys sort by it."""
    return f"{closed_on.isoformat()}/{number}"


def select_mails(
    closings: Iterable[Closing],
    *,
    since: date,
    until: date,
    told: Collection[str],
    mailed: Collection[str],
    opted_out: Collection[str],
    customer_of: Callable[[str], str],
) -> Selection:
    """
    Group by address what is still to be told, in one pass.

    :param since: the first day that is looked at.
    :param until: the last one.
    :param told: keys of closings that were told of, or may have been.
    :param mailed: customers who have had their mail of this week.
    :param opted_out: addresses, normalised as the closings' are.
    :param customer_of: what stands for an address.
    """
    counts = dict.fromkeys(("told", "too_old", "too_new", "held", "opted_out"), 0)
    by_address: dict[str, list[Closing]] = {}
    for closing in closings:
        if closing.closed_on < since:
            counts["too_old"] += 1
        elif closing.closed_on > until:
            counts["too_new"] += 1
        elif closing_key(closing.ticket, closing.closed_on) in told:
            counts["told"] += 1
        else:
            by_address.setdefault(closing.address, []).append(closing)
    mails: list[Mail] = []
    oldest_held: date | None = None
    for address, found in by_address.items():
        if address in opted_out:
            counts["opted_out"] += len(found)
        elif (customer := customer_of(address)) in mailed:
            counts["held"] += len(found)
            oldest = min(closing.closed_on for closing in found)
            oldest_held = min(oldest_held or oldest, oldest)
        else:
            mails.append(_mail(customer, address, found))
    # By name, as the predecessor did; the address only decides between two of one name. Sorting is stable, and twice by
    # one text is quicker than once by two.
    mails.sort(key=attrgetter("address"))
    mails.sort(key=attrgetter("full_name"))
    return Selection(mails=tuple(mails), oldest_held=oldest_held, **counts)


def _mail(customer: str, address: str, closings: list[Closing]) -> Mail:
    if len(closings) > 1:
        closings.sort(key=attrgetter("closed_on", "row"))
    newest = closings[-1]
    full_name = f"{newest.first_name} {newest.last_name.upper()}".strip()
    return Mail(customer, address, full_name, tuple([Told(told.ticket, told.closed_on) for told in closings]))


def element(mail: Mail, *, subject: str, body: str, html: str | None, cc: Collection[str]) -> dict[str, Any]:
    """What the webhook gets for one customer, in the form its one known caller uses."""
    email: dict[str, Any] = {
        "subject": subject,
        "to_address": [mail.address],
        # The known caller sends one empty text for nobody.
        "cc_address": list(cc) or [""],
        "body": body,
    }
    if html is not None:
        email["html"] = html
    return {
        "full_name": mail.full_name,
        "email_address": mail.address,
        "ready_to_send": True,
        "email": email,
    }


def payload(elements: Iterable[dict[str, Any]]) -> bytes:
    """One POST's body; the same elements give the same bytes."""
    return json.dumps(list(elements), ensure_ascii=True, separators=(",", ":")).encode("ascii")


def content_digest(mail: Mail, content: dict[str, Any]) -> str:
    """Of everything a customer would see, and of the tickets it tells of."""
    told = [ticket._asdict() for ticket in mail.tickets]
    text = json.dumps([mail.customer, told, content], sort_keys=True, default=date.isoformat)
    return hashlib.sha256(text.encode()).hexdigest()


def week_of(moment: datetime) -> str:
    """The ISO week of a moment in its own zone, like ``2026-W48``."""
    year, week, _ = moment.isocalendar()
    return f"{year}-W{week:02}"


def week_start(moment: datetime) -> datetime:
    """Monday, midnight, of a moment's week in its own zone."""
    midnight = moment.replace(hour=0, minute=0, second=0, microsecond=0)
    return midnight - timedelta(days=midnight.weekday())


def months_before(day: date, months: int) -> date:
    """The same day so many months earlier, or the last one of a shorter month."""
    year, month = divmod(day.year * 12 + day.month - 1 - months, 12)
    first_of_next = date(year + (month == 11), (month + 1) % 12 + 1, 1)
    last = (first_of_next - timedelta(days=1)).day
    return date(year, month + 1, min(day.day, last))
