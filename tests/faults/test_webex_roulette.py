"""A round: whatever goes wrong, each group has one live meeting, and everybody is told once."""

from __future__ import annotations

import random
import time
from collections.abc import Callable

import pytest

from tests.faults.campaign import Plan, make_plan, pairs, seed, try_all
from tests.faults.cases import Case
from tests.faults.station import Station
from tests.faults.steps import BEFORE, CALL, FREEZE, PAUSE
from tests.faults.webex_roulette import LATER, SCENARIOS

PAIRS = 40


def frozen_before(plan: Plan, path: str) -> list[Case]:
    """A second run while the first one stands still, its claims running out, directly before it makes something."""
    calls = [step["label"] for step in plan.steps if step["where"] == CALL]
    numbers = {n for n, label in enumerate(calls, 1) if label.startswith("POST") and label.endswith(path)}
    return [
        case
        for case in plan.beside(LATER, FREEZE)
        if case.stop and (case.stop.where, case.stop.side) == (CALL, BEFORE) and case.stop.number in numbers
    ]


@pytest.mark.timeout(600)
def test_a_sample_of_what_may_happen_changes_nothing(station: Station, say: Callable[[str], None]) -> None:
    """Another sample with SEED=…; ``make faults`` tries everything."""
    began = time.monotonic()
    drawn = random.Random(seed())
    plans = [make_plan(station, scenario) for scenario in SCENARIOS.values()]
    cases = [case for plan in plans for case in drawn.sample(plan.singles, 4)]
    cases += drawn.sample([case for plan in plans for case in plan.kills], 3)
    cases += [
        drawn.choice(frozen_before(plan, path)) for plan in plans for path in ("/v1/meetings", "/v1/messages")
    ]
    try_all(plans, cases, [station], began, say)


@pytest.mark.campaign
@pytest.mark.timeout(4 * 3600)
@pytest.mark.parametrize("name", SCENARIOS)
def test_every_fault_at_every_call_and_a_kill_at_every_step_change_nothing(
    make_stations: Callable[[int], list[Station]], name: str, say: Callable[[str], None]
) -> None:
    began = time.monotonic()
    stations = make_stations(2)
    plan = make_plan(stations[0], SCENARIOS[name])
    cases = [*plan.singles, *plan.kills, *pairs(plan, PAIRS, random.Random(seed()))]
    try_all([plan], cases, stations, began, say)


@pytest.mark.campaign
@pytest.mark.timeout(4 * 3600)
@pytest.mark.parametrize("how", [PAUSE, FREEZE])
def test_two_runs_at_once_book_each_meeting_once(
    make_stations: Callable[[int], list[Station]], how: str, say: Callable[[str], None]
) -> None:
    began = time.monotonic()
    stations = make_stations(2)
    plan = make_plan(stations[0], SCENARIOS["round"])
    try_all([plan], plan.beside(LATER, how), stations, began, say)
