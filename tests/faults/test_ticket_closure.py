"""Mails about closed tickets: whatever goes wrong, each customer gets the one mail of an undisturbed run."""

from __future__ import annotations

import random
import time
from collections.abc import Callable

import pytest

from tests.faults.campaign import make_plan, pairs, seed, try_all
from tests.faults.cases import Scenario
from tests.faults.station import Station
from tests.faults.steps import FREEZE, PAUSE
from tests.faults.ticket_closure import EXCEL, LATER, REFUSED, SHEET

PAIRS = 40


@pytest.mark.timeout(400)
def test_a_sample_of_what_may_happen_changes_nothing(station: Station, say: Callable[[str], None]) -> None:
    """Another sample with SEED=…; ``make faults`` tries everything."""
    began = time.monotonic()
    drawn = random.Random(seed())
    plans = [make_plan(station, scenario) for scenario in (SHEET, EXCEL, REFUSED)]
    cases = [*drawn.sample(plans[0].singles, 3), *drawn.sample(plans[1].singles, 2)]
    cases += drawn.sample([case for plan in plans for case in plan.kills], 3)
    try_all(plans, cases, [station], began, say)


@pytest.mark.campaign
@pytest.mark.timeout(4 * 3600)
@pytest.mark.parametrize("scenario", [SHEET, EXCEL], ids=lambda scenario: scenario.name)
def test_every_fault_at_every_call_and_a_kill_at_every_step_change_nothing(
    make_stations: Callable[[int], list[Station]], scenario: Scenario, say: Callable[[str], None]
) -> None:
    began = time.monotonic()
    stations = make_stations(2)
    plan = make_plan(stations[0], scenario)
    cases = [*plan.singles, *plan.kills, *pairs(plan, PAIRS, random.Random(seed()))]
    try_all([plan], cases, stations, began, say)


@pytest.mark.campaign
@pytest.mark.timeout(4 * 3600)
def test_a_kill_at_every_step_while_a_refused_batch_is_halved(
    make_stations: Callable[[int], list[Station]], say: Callable[[str], None]
) -> None:
    began = time.monotonic()
    stations = make_stations(2)
    plan = make_plan(stations[0], REFUSED)
    try_all([plan], plan.kills, stations, began, say)


@pytest.mark.campaign
@pytest.mark.timeout(4 * 3600)
@pytest.mark.parametrize("how", [PAUSE, FREEZE])
def test_two_runs_at_once_send_each_mail_once(
    make_stations: Callable[[int], list[Station]], how: str, say: Callable[[str], None]
) -> None:
    began = time.monotonic()
    stations = make_stations(2)
    plan = make_plan(stations[0], SHEET)
    try_all([plan], plan.beside(LATER, how), stations, began, say)
