"""Which cases there are, running them side by side, and saying what came of it."""

from __future__ import annotations

import fnmatch
import os
import queue
import random
import threading
import time
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

from include.sandbox.faults import AT_THE_PORT
from tests.faults.cases import Case, Run, Scenario, World, complaints, stops
from tests.faults.kinds import KINDS, Call, Kind
from tests.faults.station import Station
from tests.faults.steps import BEFORE, KILL, LEDGER

SEED_VARIABLE = "SEED"
CASE_VARIABLE = "CASE"
"""Environment variable: only cases whose id fits this pattern, such as ``small/modo.*``."""
DEFAULT_SEED = "1"
AGAIN = 2
"""How often a case is played again whose fault no call met."""


@dataclass(frozen=True, kw_only=True)
class Plan:
    """
    What can be tried with a scenario.

    :param expected: what a run without any fault leaves.
    :param steps: where a run can be stopped.
    """

    scenario: Scenario
    expected: World
    calls: Sequence[Call]
    steps: Sequence[dict[str, str]]

    @property
    def singles(self) -> list[Case]:
        """Each call with each kind of fault that makes sense there."""
        return [
            Case(scenario=self.scenario, faults=((call, kind),))
            for call in self.calls
            for kind in KINDS
            if kind.fits(call)
        ]

    @property
    def kills(self) -> list[Case]:
        """A kill before and after each step."""
        return stops(self.scenario, self.steps, how=KILL)

    def beside(self, run: Run, how: str) -> list[Case]:
        """A second run while the first one stands still at each step."""
        return [
            case
            for case in stops(self.scenario, self.steps, how=how, beside=run)
            # Directly before its commit a process locks the ledger, for as long as it stands.
            if case.stop and (case.stop.where, case.stop.side) != (LEDGER, BEFORE)
        ]


def corrections(mistaken: Plan, right: Scenario) -> list[Case]:
    """A run with mistaken settings killed at each step, then corrected and cleared."""
    return [replace(case, scenario=right, mistaken=mistaken.scenario) for case in mistaken.kills]


@dataclass(frozen=True, kw_only=True)
class Result:
    case: Case
    wrong: list[str]
    seconds: float

    def __str__(self) -> str:
        return f"{self.case.id}\n" + "\n".join(f"    {line}" for line in self.wrong)


def seed() -> str:
    return os.environ.get(SEED_VARIABLE) or DEFAULT_SEED


def make_plan(station: Station, scenario: Scenario) -> Plan:
    """
    Run a scenario without faults and list what could go wrong in it.

    :raises RuntimeError: it fails without any fault.
    """
    outcome = station.play(Case(scenario=scenario))
    if wrong := complaints(outcome.world, Case(scenario=scenario), outcome):
        raise RuntimeError(f"{scenario.name} without any fault: {wrong}")
    calls = [call for call in outcome.calls if scenario.covers(call)]
    return Plan(
        scenario=scenario,
        expected=outcome.world,
        calls=calls,
        steps=outcome.steps,
    )


def pairs(plan: Plan, count: int, drawn: random.Random) -> list[Case]:
    """So many cases in which two calls go wrong."""
    cases: list[Case] = []
    while len(cases) < count:
        (first,), (second,) = (drawn.choice(plan.singles).faults for _ in range(2))
        if first[0] != second[0] and _go_together(first, second):
            cases.append(Case(scenario=plan.scenario, faults=(first, second)))
    return cases


def _go_together(first: tuple[Call, Kind], second: tuple[Call, Kind]) -> bool:
    operations = {first[0].operation, second[0].operation}
    if operations == {"send_message"}:
        # Whoever settles them could not tell two lost messages apart.
        return False
    if len(operations) == 1 and max(first[1].times, second[1].times) > 1:
        # The one would meet the other one's call as well.
        return False
    return not (first[0].vendor == second[0].vendor and {first[1].fault, second[1].fault} & set(AT_THE_PORT))


def chosen(cases: Sequence[Case]) -> list[Case]:
    """Those that ``CASE`` names; all of them without it."""
    pattern = os.environ.get(CASE_VARIABLE)
    return [case for case in cases if not pattern or fnmatch.fnmatchcase(case.id, pattern)]


def carry_out(
    cases: Sequence[Case], plans: dict[str, Plan], stations: Sequence[Station], say: Callable[[str], None]
) -> list[Result]:
    """Play the cases, one at a time in each station, and say at once what is wrong."""
    waiting: queue.SimpleQueue[Case] = queue.SimpleQueue()
    for case in cases:
        waiting.put(case)
    results: list[Result] = []
    errors: list[BaseException] = []

    def work(station: Station) -> None:
        try:
            while not errors:
                case = waiting.get_nowait()
                outcome = station.play(case)
                for _ in range(AGAIN):
                    if not outcome.unmet:
                        break
                    # Calls of several threads come as they like: none may have fallen into a short fault.
                    outcome = station.play(case)
                wrong = complaints(plans[case.scenario.name].expected, case, outcome)
                results.append(Result(case=case, wrong=wrong, seconds=outcome.seconds))
                if wrong:
                    say(f"WRONG {results[-1]}")
                elif len(results) % 50 == 0:
                    say(f"{len(results)} of {len(cases)} cases")
        except queue.Empty:
            return
        except BaseException as exc:  # noqa: BLE001  # raised in the thread that waits for us
            errors.append(exc)

    threads = [threading.Thread(target=work, args=(station,)) for station in stations]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    if errors:
        raise errors[0]
    return results


def report(plans: Sequence[Plan], results: Sequence[Result], began: float) -> str:
    """Numbers for people."""
    wrong = [result for result in results if result.wrong]
    parts = Counter(_part(result.case) for result in results)
    named = ", ".join(f"{count} {name}" for name, count in parts.items())
    calls = sum(len(plan.calls) for plan in plans)
    return (
        f"seed {seed()}: {len(plans)} scenarios, {calls} calls, {len(KINDS)} kinds of faults\n"
        f"{len(results)} cases ({named}) in {time.monotonic() - began:.0f} s; {len(wrong)} wrong"
    ) + "".join(f"\nCASE='{result.case.id}'" for result in wrong)


def try_all(
    plans: Sequence[Plan],
    cases: Sequence[Case],
    stations: Sequence[Station],
    began: float,
    say: Callable[[str], None],
) -> None:
    """Play the cases that are chosen; say how many there were and what is wrong."""
    assert cases
    results = carry_out(chosen(cases), {plan.scenario.name: plan for plan in plans}, stations, say)
    say(report(plans, results, began))
    assert [str(result) for result in results if result.wrong] == []


def _part(case: Case) -> str:
    if case.mistaken:
        return "corrections"
    if case.stop:
        return f"{case.stop.how}s"
    return "pairs of faults" if len(case.faults) > 1 else "single faults"
