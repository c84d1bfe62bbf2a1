"""Two runs at the same time, as a schedule, a backfill and a person may start them."""

from __future__ import annotations

import time
from collections.abc import Callable

import pytest

from tests.faults.campaign import make_plan, try_all
from tests.faults.cases import Case, Stop, complaints
from tests.faults.qualtrics_to_onedrive import (
    EARLY_IN_PLACE,
    IN_PLACE,
    LARGE,
    LATE_IN_PLACE,
    MORNING,
    NOON,
    SMALL,
)
from tests.faults.station import Station
from tests.faults.steps import AFTER, CALL, FREEZE, PAUSE


@pytest.mark.timeout(300)
def test_a_newer_window_that_came_meanwhile_is_not_replaced(station: Station) -> None:
    """The run of the older window has its job, and stands still until the newer window's file is there."""
    expected = make_plan(station, IN_PLACE).expected
    case = Case(scenario=LATE_IN_PLACE, stop=Stop(where=CALL, number=3, side=AFTER, how=PAUSE), beside=NOON)

    outcome = station.play(case)

    assert complaints(expected, case, outcome) == []


@pytest.mark.campaign
@pytest.mark.timeout(4 * 3600)
@pytest.mark.parametrize("how", [PAUSE, FREEZE])
def test_two_runs_over_one_window_make_one_file_and_each_message_once(
    make_stations: Callable[[int], list[Station]], how: str, say: Callable[[str], None]
) -> None:
    """The first run stands still at each of its steps while a second one asks for the same."""
    began = time.monotonic()
    stations = make_stations(2)
    plans = [make_plan(stations[0], scenario) for scenario in (SMALL, LARGE)]
    cases = [case for plan in plans for case in plan.beside(plan.scenario.run, how)]
    try_all(plans, cases, stations, began, say)


@pytest.mark.campaign
@pytest.mark.timeout(4 * 3600)
def test_an_older_window_never_replaces_a_newer_one_nor_mixes_with_it(
    make_stations: Callable[[int], list[Station]], say: Callable[[str], None]
) -> None:
    """Two windows, one file: whichever run stands still, at whatever step, the newer window is what remains."""
    began = time.monotonic()
    stations = make_stations(2)
    plan = make_plan(stations[0], IN_PLACE)
    late, early = make_plan(stations[0], LATE_IN_PLACE), make_plan(stations[0], EARLY_IN_PLACE)
    cases = [*late.beside(NOON, PAUSE), *early.beside(MORNING, PAUSE)]
    try_all([plan], cases, stations, began, say)
