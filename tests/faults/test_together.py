"""Two runs at the same time, as a schedule, a backfill and a person may start them."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor

import pytest

from interchange.ledger import Ledger, State
from tests.faults.campaign import make_plan
from tests.faults.harness import Run, Scenario, Station
from tests.faults.qualtrics_to_onedrive import LARGE, MORNING, NOON, SMALL, both_windows

StationMaker = Callable[[int, int], list[Station]]


@pytest.fixture
def station_for_two(make_stations: StationMaker) -> Station:
    """One sandbox and one ledger, two processes."""
    return make_stations(1, 2)[0]


def _run_both(station: Station, scenario: Scenario, runs: tuple[Run, Run], delays: tuple[float, float]) -> list[str]:
    """Start two runs; the states they end in."""
    ledger = station.begin(scenario)
    for number, run in enumerate(runs):
        station.send(scenario, ledger, run, f"together-{ledger.stem}-{number}", runner=number, delay_s=delays[number])
    with ThreadPoolExecutor(2) as pool:
        results = list(pool.map(lambda number: station.result(ledger, runner=number), (0, 1)))
    reader = Ledger(f"sqlite:///{ledger}", owner="a test")
    open_effects = [e for e in reader.list(limit=None) if e.state in (State.BEGUN, State.UNKNOWN)]
    reader.engine.dispose()
    assert open_effects == []
    return [result.get("state", "died") for result in results]


@pytest.mark.timeout(400)
@pytest.mark.parametrize("scenario", [SMALL, LARGE], ids=lambda scenario: scenario.name)
def test_two_runs_over_one_window_make_one_file_and_each_message_once(
    station_for_two: Station, scenario: Scenario
) -> None:
    expected = make_plan(station_for_two, scenario).expected

    states = _run_both(station_for_two, scenario, (scenario.run, scenario.run), (0, 0))

    world = scenario.observe(station_for_two.sandbox)
    assert states == ["success", "success"]
    assert world.things == expected.things
    assert world.counts["open sessions"] == 0
    assert world.counts["versions"] <= 2
