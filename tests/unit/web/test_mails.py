"""The page with a plan's mails, and who may see it."""

from __future__ import annotations

from collections.abc import Callable
from datetime import date
from typing import Any

import pytest

from interchange.core.closings import Mail, Told, element
from interchange.ledger import Ledger, RunRef
from interchange.mails.plans import PART, PlannedMail, keep_plan
from tests.unit.web.conftest import Visitor

PAGE = "/interchange/mails"


def planned(number: int) -> PlannedMail:
    mail = Mail(
        customer=f"c{number}",
        address=f"c{number}@example.com",
        full_name="Ann <ITO>",
        tickets=(Told(number=f"T-{number}", closed_on=date(2026, 11, 20)),),
    )
    content: dict[str, Any] = element(
        mail,
        subject="Ticket status report",
        body=f"Ticket no. T-{number}.",
        html="<b>x</b>",
        cc=["cc@example.com"],
    )
    return PlannedMail.of(mail, content)


@pytest.fixture
def plan(ledger: Ledger) -> Callable[[int], str]:
    """Keep a plan of so many mails: its digest."""

    def keep(number: int) -> str:
        run = RunRef("ticket_closure", "run")
        return keep_plan(ledger, [planned(n) for n in range(number)], run=run, lease_s=60)

    return keep


def test_shows_the_mails_as_they_would_go(operator: Visitor, plan: Callable[[int], str]) -> None:
    shown = operator.open(PAGE, plan=plan(2))

    assert shown.status == 200
    for text in ("c0@example.com", "Ann <ITO>", "Ticket no. T-1.", "<b>x</b>", "cc@example.com"):
        assert text in shown.text


def test_who_may_only_look_is_not_shown_them(viewer: Visitor, plan: Callable[[int], str]) -> None:
    shown = viewer.open(PAGE, plan=plan(1))

    assert shown.status == 403
    assert "example.com" not in shown.text


def test_nobody_else_is_shown_them(visit: Callable[..., Visitor], plan: Callable[[int], str]) -> None:
    digest = plan(1)
    assert "example.com" not in visit(None).open(PAGE, plan=digest).text


def test_a_long_plan_has_pages(operator: Visitor, plan: Callable[[int], str]) -> None:
    digest = plan(PART + 1)
    first = operator.open(PAGE, plan=digest)
    second = operator.open(PAGE, plan=digest, part="1")

    assert "from mail 1 on" in first.text
    assert first.link("More") is not None
    assert f"c{PART}@example.com" in second.text
    assert second.link("Earlier") is not None
    assert second.link("More") is None


@pytest.mark.parametrize(
    ("query", "status"),
    [
        ({"plan": "0" * 32}, 404),
        ({"plan": ""}, 404),
        ({"plan": "x/y"}, 404),
        ({"plan": "0", "part": "-1"}, 400),
    ],
)
def test_what_is_not_there(operator: Visitor, ledger: Ledger, query: dict[str, str], status: int) -> None:
    assert operator.open(PAGE, **query).status == status
