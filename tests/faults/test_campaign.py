"""Whatever goes wrong at any call, wherever the process dies or stands still: the effects of an undisturbed run."""

from __future__ import annotations

import random
import sys
import time
from collections.abc import Callable

import pytest

from tests.faults.campaign import Plan, carry_out, chosen, make_plan, pairs, report, seed
from tests.faults.harness import Case, Station
from tests.faults.qualtrics_to_onedrive import (
    EARLY_IN_PLACE,
    IN_PLACE,
    LARGE,
    LATE_IN_PLACE,
    MORNING,
    NOON,
    SCENARIOS,
    SMALL,
)
from tests.faults.steps import FREEZE, PAUSE

SAMPLE = {"faults": 9, "kills": 3, "besides": 2}
PAIRS_PER_SCENARIO = 25

Say = Callable[[str], None]


@pytest.fixture
def say(capsys: pytest.CaptureFixture[str]) -> Say:
    """Print past pytest, while it goes on."""

    def past_pytest(text: str) -> None:
        with capsys.disabled():
            sys.stdout.write(f"{text}\n")
            sys.stdout.flush()

    past_pytest("")
    return past_pytest


@pytest.mark.timeout(400)
def test_a_sample_of_what_may_happen_changes_nothing(station: Station, say: Say) -> None:
    """Another sample with SEED=…; ``make faults`` tries everything."""
    began = time.monotonic()
    drawn = random.Random(seed())
    plans = [make_plan(station, scenario) for scenario in (SMALL, LARGE)]
    cases = [
        *drawn.sample([case for plan in plans for case in plan.singles], SAMPLE["faults"]),
        *drawn.sample([case for plan in plans for case in plan.kills], SAMPLE["kills"]),
        *drawn.sample([case for plan in plans for case in plan.beside(MORNING, PAUSE)], SAMPLE["besides"]),
    ]
    _try(plans, cases, [station], began, say)


@pytest.mark.campaign
@pytest.mark.timeout(4 * 3600)
def test_every_fault_and_every_kill_changes_nothing(
    make_stations: Callable[[int, int], list[Station]], say: Say
) -> None:
    """Each call with each kind of fault, a kill at each step, and pairs of faults drawn by SEED; CASE=… chooses."""
    began = time.monotonic()
    stations = make_stations(2, 2)
    drawn = random.Random(seed())
    plans = [make_plan(stations[0], scenario) for scenario in SCENARIOS]
    cases = [
        case
        for plan in plans
        for case in (*plan.singles, *plan.kills, *pairs(plan, PAIRS_PER_SCENARIO, drawn))
    ]
    _try(plans, cases, stations, began, say)


@pytest.mark.campaign
@pytest.mark.timeout(4 * 3600)
@pytest.mark.parametrize("how", [PAUSE, FREEZE])
def test_two_runs_over_one_window_make_one_file_and_each_message_once(
    make_stations: Callable[[int, int], list[Station]], how: str, say: Say
) -> None:
    """The first run stands still at each of its steps while a second one asks for the same."""
    began = time.monotonic()
    stations = make_stations(2, 2)
    plans = [make_plan(stations[0], scenario) for scenario in (SMALL, LARGE)]
    _try(
        plans, [case for plan in plans for case in plan.beside(plan.scenario.run, how)], stations, began, say
    )


@pytest.mark.campaign
@pytest.mark.timeout(4 * 3600)
def test_an_older_window_never_replaces_a_newer_one_nor_mixes_with_it(
    make_stations: Callable[[int, int], list[Station]], say: Say
) -> None:
    """Two windows, one file: whichever run stands still, at whatever step, the newer window is what remains."""
    began = time.monotonic()
    stations = make_stations(2, 2)
    plan = make_plan(stations[0], IN_PLACE)
    late, early = make_plan(stations[0], LATE_IN_PLACE), make_plan(stations[0], EARLY_IN_PLACE)
    _try([plan], [*late.beside(NOON, PAUSE), *early.beside(MORNING, PAUSE)], stations, began, say)


def _try(plans: list[Plan], cases: list[Case], stations: list[Station], began: float, say: Say) -> None:
    results = carry_out(chosen(cases), {plan.scenario.name: plan for plan in plans}, stations, say)
    say(report(plans, results, began))
    assert results, "no case fits CASE"
    assert [str(result) for result in results if result.wrong] == []
