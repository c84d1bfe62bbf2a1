"""Recordings: whatever goes wrong, each is stored once, and no original is deleted before its copy is there."""

from __future__ import annotations

import random
import time
from collections.abc import Callable

import pytest

from tests.faults.campaign import make_plan, pairs, seed, try_all
from tests.faults.spinoco_sync import LATER, SCENARIOS
from tests.faults.station import Station
from tests.faults.steps import FREEZE, PAUSE

PAIRS = 40


@pytest.mark.timeout(600)
def test_a_sample_of_what_may_happen_changes_nothing(station: Station, say: Callable[[str], None]) -> None:
    """Another sample with SEED=…; ``make faults`` tries everything."""
    began = time.monotonic()
    drawn = random.Random(seed())
    plans = [make_plan(station, scenario) for scenario in SCENARIOS.values()]
    cases = [case for plan in plans for case in drawn.sample(plan.singles, 1)]
    cases += drawn.sample([case for plan in plans for case in plan.kills], 3)
    try_all(plans, cases, [station], began, say)


@pytest.mark.campaign
@pytest.mark.timeout(4 * 3600)
@pytest.mark.parametrize("storage", SCENARIOS)
def test_every_fault_at_every_call_and_a_kill_at_every_step_change_nothing(
    make_stations: Callable[[int], list[Station]], storage: str, say: Callable[[str], None]
) -> None:
    began = time.monotonic()
    stations = make_stations(2)
    plan = make_plan(stations[0], SCENARIOS[storage])
    cases = [*plan.singles, *plan.kills, *pairs(plan, PAIRS, random.Random(seed()))]
    try_all([plan], cases, stations, began, say)


@pytest.mark.campaign
@pytest.mark.timeout(4 * 3600)
@pytest.mark.parametrize("how", [PAUSE, FREEZE])
def test_two_runs_at_once_store_each_file_once(
    make_stations: Callable[[int], list[Station]], how: str, say: Callable[[str], None]
) -> None:
    """Defect C13: two at once took pages from each other."""
    began = time.monotonic()
    stations = make_stations(2)
    plan = make_plan(stations[0], SCENARIOS["local"])
    try_all([plan], plan.beside(LATER, how), stations, began, say)
