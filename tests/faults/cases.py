"""
What the fault harness talks about: scenarios, cases, how they went, and what is wrong with that.

A scenario says what runs and what is looked at afterwards; a case is one thing to try with it.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from include.sandbox.core import Sandbox
from include.sandbox.faults import Fault
from interchange.ledger import Effect, Ledger, State
from tests.faults.kinds import Call, Kind
from tests.faults.steps import AFTER, BEFORE, KILL


@dataclass(frozen=True, kw_only=True)
class Run:
    """One DAG run: its data interval and what the trigger form holds."""

    name: str
    start: datetime
    end: datetime
    conf: dict[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, kw_only=True)
class World:
    """
    What is there afterwards.

    :param things: what must be equal whatever went wrong: stored files by path, messages, folders.
    :param counts: what may differ within bounds that the scenario knows.
    """

    things: dict[str, Any]
    counts: dict[str, int]


def _nothing(_ledger: Ledger) -> bool:
    return False


def _every_call(_call: Call) -> bool:
    return True


@dataclass(frozen=True, kw_only=True)
class Scenario:
    """
    :param settings: environment variables that hold the DAG's settings.
    :param prepare: puts into the sandbox what the n-th run needs, counted from 0 over ``earlier`` and ``run``.
    :param observe: what is there afterwards.
    :param judge: more to complain about than differences, given fault-free world and outcome.
    :param settle: decides, as a person would who looked at the vendor, what became of an unknown effect.
    :param earlier: runs that have happened before, without any fault.
    :param covers: the calls that are to go wrong; the others do in another scenario.
    :param holds: what nobody knows fails one run; later ones succeed and leave it to a person.
    :param unfinished: whether a run that succeeded has left something to the schedule's next one.
    """

    name: str
    dag_id: str
    settings: dict[str, str]
    run: Run
    prepare: Callable[[Sandbox, int], None]
    observe: Callable[[Sandbox], World]
    judge: Callable[[World, Outcome], list[str]]
    settle: Callable[[Sandbox, Ledger, Effect], None]
    earlier: tuple[Run, ...] = ()
    covers: Callable[[Call], bool] = field(default=_every_call)
    holds: bool = False
    unfinished: Callable[[Ledger], bool] = field(default=_nothing)


@dataclass(frozen=True, kw_only=True)
class Stop:
    """See :class:`tests.faults.steps.Steps`."""

    where: str
    number: int
    side: str
    how: str = KILL

    def __str__(self) -> str:
        return f"{self.how}-{self.side}-{self.where}-{self.number}"


@dataclass(kw_only=True)
class Outcome:
    """
    How a case went.

    :param states: of each run, whenever it came to an end: ``died`` or Airflow's.
    :param requests: how often the work was asked for: the run itself, and each clearing.
    :param unknown: effects listed as unknown before a person settled them.
    :param unmet: faults that no call met.
    """

    case: Case
    world: World
    states: list[list[str]]
    requests: int
    effects: list[Effect]
    unknown: list[Effect]
    unmet: list[Fault]
    steps: list[dict[str, str]]
    calls: list[Call]
    seconds: float


@dataclass(frozen=True, kw_only=True)
class Case:
    """
    One thing to try: faults at calls, or a run stopped at a step.

    :param beside: a second run that is started when the first one stands still; its ``Stop.how`` is then ``pause`` or
        ``freeze``.
    :param mistaken: a scenario whose settings the run begins with; after its first end, whatever that is, a person
        corrects them and clears the whole run.
    """

    scenario: Scenario
    faults: tuple[tuple[Call, Kind], ...] = ()
    stop: Stop | None = None
    beside: Run | None = None
    mistaken: Scenario | None = None

    @property
    def id(self) -> str:
        what = [f"{call}/{kind.name}" for call, kind in self.faults]
        if self.stop:
            what.append(str(self.stop))
        if self.beside:
            what.append(f"{self.scenario.run.name}-beside-{self.beside.name}")
        if self.mistaken:
            what.append(f"corrected-from-{self.mistaken.name}")
        return f"{self.scenario.name}/" + "+".join(what)


def complaints(expected: World, case: Case, outcome: Outcome) -> list[str]:
    """What is wrong with an outcome; nothing if all is well."""
    found = [f"the fault was met by no call: {fault.as_json()}" for fault in outcome.unmet]
    if any(states[-1] != "success" for states in outcome.states):
        found.append(f"the run does not succeed, whatever people do: {outcome.states}")
    if case.stop and case.stop.how == KILL and outcome.states[0][0] != "died":
        found.append(f"the process was not killed: {outcome.states}")
    for name in expected.things.keys() | outcome.world.things.keys():
        want, have = expected.things.get(name), outcome.world.things.get(name)
        if want != have:
            found.append(f"{name}: {have!r} instead of {want!r}")
    unfinished = [effect for effect in outcome.effects if effect.state in (State.BEGUN, State.UNKNOWN)]
    found += [f"{effect.ref} is left {effect.state}" for effect in unfinished]
    return found + case.scenario.judge(expected, outcome)


def calls_of(sandbox: Sandbox) -> list[Call]:
    """The calls that the request journal holds."""
    of_operation: Counter[tuple[str, str]] = Counter()
    of_vendor: Counter[str] = Counter()
    calls = []
    for entry in sandbox.requests.entries():
        vendor, operation = entry["vendor"], entry["operation"]
        of_operation[vendor, operation] += 1
        of_vendor[vendor] += 1
        calls.append(
            Call(
                vendor=vendor,
                operation=operation,
                number=of_operation[vendor, operation],
                of_vendor=of_vendor[vendor],
            )
        )
    return calls


def stops(
    scenario: Scenario,
    steps: Sequence[dict[str, str]],
    *,
    how: str,
    sides: Sequence[str] = (BEFORE, AFTER),
    beside: Run | None = None,
) -> list[Case]:
    """A stop at each step."""
    numbers: Counter[str] = Counter()
    cases = []
    for step in steps:
        numbers[step["where"]] += 1
        cases += [
            Case(
                scenario=scenario,
                stop=Stop(where=step["where"], number=numbers[step["where"]], side=side, how=how),
                beside=beside,
            )
            for side in sides
        ]
    return cases
