"""Whatever goes wrong at any call, and wherever the process dies: the same effects as if nothing had happened."""

from __future__ import annotations

import random
import time
from collections.abc import Callable

import pytest

from tests.faults.campaign import Plan, carry_out, chosen, make_plan, pairs, report, seed
from tests.faults.harness import Case, Station
from tests.faults.qualtrics_to_onedrive import LARGE, SCENARIOS, SMALL

SAMPLED_FAULTS = 10
SAMPLED_KILLS = 3
PAIRS_PER_SCENARIO = 25


@pytest.mark.timeout(400)
def test_a_sample_of_faults_and_kills_changes_nothing(station: Station, capsys: pytest.CaptureFixture[str]) -> None:
    """Another sample with SEED=…; ``make faults`` tries everything."""
    began = time.monotonic()
    drawn = random.Random(seed())
    plans = [make_plan(station, scenario) for scenario in (SMALL, LARGE)]
    singles = [case for plan in plans for case in plan.singles]
    deaths = [case for plan in plans for case in plan.kills]
    cases = drawn.sample(singles, SAMPLED_FAULTS) + drawn.sample(deaths, SAMPLED_KILLS)
    _run(plans, cases, [station], began, capsys)


@pytest.mark.campaign
@pytest.mark.timeout(4 * 3600)
def test_every_fault_and_every_kill_changes_nothing(
    make_stations: Callable[[int, int], list[Station]], capsys: pytest.CaptureFixture[str]
) -> None:
    """Each call with each kind of fault, a kill at each step, and pairs of faults drawn by SEED; CASE=… chooses."""
    began = time.monotonic()
    stations = make_stations(2, 1)
    drawn = random.Random(seed())
    plans = [make_plan(stations[0], scenario) for scenario in SCENARIOS]
    cases = [
        case
        for plan in plans
        for case in (*plan.singles, *plan.kills, *pairs(plan, PAIRS_PER_SCENARIO, drawn))
    ]
    _run(plans, cases, stations, began, capsys)


def _run(
    plans: list[Plan], cases: list[Case], stations: list[Station], began: float, capsys: pytest.CaptureFixture[str]
) -> None:
    def say(text: str) -> None:
        with capsys.disabled():
            print(text, flush=True)

    say("")
    by_name = {plan.scenario.name: plan for plan in plans}
    results = carry_out(chosen(cases), by_name, stations, say)
    say(report(plans, results, began))
    assert results, "no case fits CASE"
    assert [str(result) for result in results if result.wrong] == []
