"""Whatever goes wrong at any call, and wherever the process dies: the effects of an undisturbed run."""

from __future__ import annotations

import random
import time
from collections.abc import Callable

import pytest

from tests.faults.campaign import corrections, make_plan, pairs, seed, try_all
from tests.faults.qualtrics_to_onedrive import (
    DEFERRED,
    LARGE,
    MORNING,
    OVERTAKEN,
    SCENARIOS,
    SMALL,
    WRONG_LARGE_SURVEY,
    WRONG_SURVEY,
)
from tests.faults.station import Station
from tests.faults.steps import PAUSE

SAMPLE = {"faults": 9, "kills": 3, "besides": 2, "corrections": 2}
PAIRS_PER_SCENARIO = 25


@pytest.mark.timeout(400)
def test_a_sample_of_what_may_happen_changes_nothing(station: Station, say: Callable[[str], None]) -> None:
    """Another sample with SEED=…; ``make faults`` tries everything."""
    began = time.monotonic()
    drawn = random.Random(seed())
    plans = [make_plan(station, scenario) for scenario in (SMALL, LARGE, OVERTAKEN)]
    mistaken = make_plan(station, WRONG_LARGE_SURVEY)
    cases = [
        *drawn.sample([case for plan in plans for case in plan.singles], SAMPLE["faults"]),
        *drawn.sample([case for plan in plans for case in plan.kills], SAMPLE["kills"]),
        *drawn.sample([case for plan in plans for case in plan.beside(MORNING, PAUSE)], SAMPLE["besides"]),
        *drawn.sample(corrections(mistaken, SMALL), SAMPLE["corrections"]),
    ]
    try_all(plans, cases, [station], began, say)


@pytest.mark.campaign
@pytest.mark.timeout(4 * 3600)
def test_every_fault_and_every_kill_changes_nothing(
    make_stations: Callable[[int], list[Station]], say: Callable[[str], None]
) -> None:
    """Each call with each kind of fault, a kill at each step, and pairs of faults drawn by SEED; CASE=… chooses."""
    began = time.monotonic()
    stations = make_stations(2)
    drawn = random.Random(seed())
    plans = [make_plan(stations[0], scenario) for scenario in SCENARIOS]
    cases = [
        case
        for plan in plans
        for case in (*plan.singles, *plan.kills, *pairs(plan, PAIRS_PER_SCENARIO, drawn))
    ]
    deferred = make_plan(stations[0], DEFERRED)
    corrected = [
        case
        for scenario in (WRONG_SURVEY, WRONG_LARGE_SURVEY)
        for case in corrections(make_plan(stations[0], scenario), SMALL)
    ]
    try_all([*plans, deferred], [*cases, *deferred.singles, *corrected], stations, began, say)
