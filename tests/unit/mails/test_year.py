"""A year of weekly reports, with everything that people and schedulers do to the runs."""

from __future__ import annotations

import random
from collections import Counter
from collections.abc import Callable
from datetime import date, timedelta
from typing import Any

import pytest

from include.sandbox.core import Sandbox
from include.sandbox.faults import Fault, FaultKind
from interchange.core.closings import week_of
from interchange.errors import InterchangeError
from interchange.ledger import Ledger
from tests.unit.mails.conftest import World
from tests.unit.vendors import Connections

CUSTOMERS = 12
WEEKS = 52
FAULTS = (
    FaultKind.RESET, FaultKind.LOSE_ANSWER, FaultKind.STATUS, FaultKind.STATUS_AFTER, FaultKind.TRUNCATE,
)  # fmt: skip


class Desk:
    """The ticket desk: closes, reopens and reports, some of it late. What it knows is what must be told."""

    def __init__(self, drawn: random.Random) -> None:
        self.drawn = drawn
        self.owner: dict[str, int] = {}
        self.closings: list[tuple[str, date]] = []
        self.late: list[tuple[str, date]] = []
        self.reported: list[tuple[str, date]] = []

    def week(self, today: date) -> None:
        # What was kept back arrives with the day it really happened on.
        self.reported += self.late
        self.late = []
        for _ in range(self.drawn.randint(2, 9)):
            if self.closings and self.drawn.random() < 0.15:
                ticket = self.drawn.choice(self.closings)[0]
            else:
                ticket = f"T-{len(self.owner) + 1:04}"
                self.owner[ticket] = self.drawn.randrange(CUSTOMERS)
            closing = (ticket, today - timedelta(days=self.drawn.randint(0, 6)))
            if closing in self.closings:
                continue
            self.closings.append(closing)
            (self.late if self.drawn.random() < 0.2 else self.reported).append(closing)

    def rows(self) -> list[tuple[str, ...]]:
        rows = []
        for ticket, day in self.reported:
            who = f"c{self.owner[ticket]}"
            address = self.drawn.choice([f"{who}@example.com", f" {who.upper()}@Example.com "])
            # All customers bear one name.
            rows.append(
                (
                    "Sam",
                    "Lee",
                    address,
                    ticket,
                    self.drawn.choice(["Closed", "closed "]),
                    day.strftime("%d/%m/%Y"),
                )
            )
        self.drawn.shuffle(rows)
        return rows


@pytest.mark.parametrize("keys", [True, False], ids=["with keys", "without keys"])
@pytest.mark.parametrize(
    "seed", [1, *(pytest.param(seed, marks=pytest.mark.campaign) for seed in range(2, 12))]
)
def test_nobody_is_told_twice_and_no_ticket_is_lost_in_a_year(
    sandbox: Sandbox, airflow: Connections, worker: Callable[..., Ledger], seed: int, keys: bool
) -> None:
    """Defects B1, B2, B3, B4, B5, B7, B11 and B15, over 52 weeks of retries, clears, backfills, repeats and faults."""
    drawn = random.Random(seed)
    world, desk = World(sandbox, worker, airflow), Desk(drawn)
    if not keys:
        airflow.change("ticket_mail_webhook", extra={"idempotency_header": None})
    first = world.now.date()
    world.now -= timedelta(weeks=WEEKS)
    weeks: Counter[tuple[str, str]] = Counter()
    for _ in range(WEEKS):
        desk.week(world.now.date())
        world.rows = desk.rows()  # type: ignore[assignment]  # texts are cells
        before = len(world.webhook.mails)
        _live_through_a_week(world, drawn, keys=keys)
        for mail in world.webhook.mails[before:]:
            weeks[week_of(world.now), mail["to"]] += 1
        world.now += timedelta(weeks=1)
    desk.reported += desk.late
    world.rows = desk.rows()  # type: ignore[assignment]  # as above
    for _ in range(4):
        _settle(world)
        world.run()
        world.now += timedelta(weeks=1)

    assert world.now.date() > first
    assert [entry for entry, number in weeks.items() if number > 1] == []
    told = Counter(_told(world))
    expected = Counter((f"c{desk.owner[ticket]}", ticket, day) for ticket, day in desk.closings)
    assert told == expected


def _live_through_a_week(world: World, drawn: random.Random, *, keys: bool) -> None:
    if drawn.random() < 0.4:
        kind = drawn.choice(FAULTS)
        world.sandbox.arm(
            Fault(
                vendor="mail_webhook", kind=kind, call=drawn.randint(1, 4), operation="send_mails", status=503,
                times=drawn.choice([1, 1, 6]),
            )
        )  # fmt: skip
    plans: list[dict[str, Any]] = []
    for _ in range(drawn.randint(1, 3)):
        # A retry of the same plan, a cleared plan, a second scheduler, or a backfill that ends earlier.
        until = world.now.date() - timedelta(days=drawn.choice([0, 0, 3]))
        settings = {"batch_size": drawn.choice([1, 1, 3])}
        if not plans or drawn.random() < 0.7:
            plans.append(world.plan(until=until, **settings))
        for planned in drawn.sample(plans, len(plans)):
            try:
                world.send(planned, **settings)
            except InterchangeError:
                world.ledger.expire_claims()
    world.sandbox.clear_faults()
    if not keys and drawn.random() < 0.5:
        _settle(world)


def _settle(world: World) -> None:
    """A person looks at the mail system and decides each open mail."""
    from interchange.ledger import State
    from interchange.mails.sending import MAIL

    for effect in world.effects(MAIL, State.UNKNOWN):
        kept = world.ledger.load_progress(effect.ref)
        assert kept is not None
        content = kept["content"]
        was_sent = any(
            mail["to"] == content["email_address"] and mail["body"] == content["email"]["body"]
            for mail in world.webhook.mails
        )
        world.ledger.settle(
            effect.ref, to=State.CONFIRMED if was_sent else State.PLANNED, by="a person", reason="looked"
        )


def _told(world: World) -> list[tuple[str, str, date]]:
    from datetime import datetime

    found = []
    for who, body in world.sent:
        for line in body.splitlines():
            words = line.split()
            found.append((who, words[2], datetime.strptime(words[-1], "%d-%b-%Y").date()))  # noqa: DTZ007  # a day
    return found
