"""Activities on their way to the bus: whatever goes wrong, the messages and statuses of an undisturbed run."""

from __future__ import annotations

import random
import time
from collections.abc import Callable

import pytest

from tests.faults.campaign import make_plan, pairs, seed, try_all
from tests.faults.knack_to_esb import FEW, LATER, MANY
from tests.faults.station import Station
from tests.faults.steps import FREEZE, PAUSE

SAMPLE = {"few": 5, "many": 1, "kills": 3, "besides": 1}
PAIRS = 60


@pytest.mark.timeout(400)
def test_a_sample_of_what_may_happen_changes_nothing(station: Station, say: Callable[[str], None]) -> None:
    """
    Defect A7: whatever came between sending and marking, the message was sent again.

    Another sample with SEED=…; ``make faults`` tries everything.
    """
    began = time.monotonic()
    drawn = random.Random(seed())
    few, many = (make_plan(station, scenario) for scenario in (FEW, MANY))
    cases = [
        *drawn.sample(few.singles, SAMPLE["few"]),
        *drawn.sample(many.singles, SAMPLE["many"]),
        *drawn.sample(few.kills, SAMPLE["kills"]),
        *drawn.sample(few.beside(LATER, PAUSE), SAMPLE["besides"]),
    ]
    try_all([few, many], cases, [station], began, say)


@pytest.mark.campaign
@pytest.mark.timeout(4 * 3600)
def test_every_fault_at_every_call_of_forty_five_activities_changes_nothing(
    make_stations: Callable[[int], list[Station]], say: Callable[[str], None]
) -> None:
    """45 activities in 15 service requests, four at once: each call with each kind of fault."""
    began = time.monotonic()
    stations = make_stations(2)
    plan = make_plan(stations[0], MANY)
    try_all([plan], plan.singles, stations, began, say)


@pytest.mark.campaign
@pytest.mark.timeout(4 * 3600)
def test_a_kill_at_every_step_and_two_faults_change_nothing(
    make_stations: Callable[[int], list[Station]], say: Callable[[str], None]
) -> None:
    began = time.monotonic()
    stations = make_stations(2)
    plan = make_plan(stations[0], FEW)
    cases = [*plan.singles, *plan.kills, *pairs(plan, PAIRS, random.Random(seed()))]
    try_all([plan], cases, stations, began, say)


@pytest.mark.campaign
@pytest.mark.timeout(4 * 3600)
@pytest.mark.parametrize("how", [PAUSE, FREEZE])
def test_two_runs_at_once_send_each_message_once(
    make_stations: Callable[[int], list[Station]], how: str, say: Callable[[str], None]
) -> None:
    began = time.monotonic()
    stations = make_stations(2)
    plan = make_plan(stations[0], FEW)
    try_all([plan], plan.beside(LATER, how), stations, began, say)
