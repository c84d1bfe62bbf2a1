"""A schedule as people read it: each group and rest explained, and the draw in numbers."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from datetime import date
from itertools import combinations

from interchange.core.pairing.costs import UNEVEN_REST, Schedule
from interchange.core.pairing.model import Amount, Group, Link, Quality, Rest, Round
from interchange.core.pairing.problem import Problem, meetings_before


def explain_round(schedule: Schedule, number: int, why_resting: Mapping[int, str]) -> Round:
    """
    :param why_resting: the reason for each person who rests.
    """
    problem = schedule.problem
    groups = []
    for members in schedule.groups[number]:
        links = tuple(_link(schedule, number, one, other) for one, other in combinations(members, 2))
        groups.append(Group(members=tuple(problem.keys[person] for person in members), links=links))
    rests = tuple(
        Rest(person=problem.keys[person], text=_rest_text(schedule, number, person, why_resting[person]))
        for person in sorted(schedule.resting[number])
    )
    return Round(day=date.fromordinal(problem.days[number]), groups=tuple(groups), rests=rests)


def _link(schedule: Schedule, number: int, one: int, other: int) -> Link:
    problem = schedule.problem
    day = problem.days[number]
    code = problem.code(one, other)
    times, last = meetings_before(problem, code, day)
    others = tuple(
        date.fromordinal(problem.days[held])
        for held in sorted(schedule.meetings.get(code, ()))
        if held != number
    )
    kinds = problem.kinds[one], problem.kinds[other]
    shared = problem.shared[kinds[0]][kinds[1]]
    if last is not None:
        history = f"last met {last:%Y-%m}, {_ago(day - last.toordinal())}"
        if times > 1:
            history = f"met {times} times, {history}"
    elif problem.met.get(code):
        history = "drawn before, but did not meet"
    else:
        history = "never met"
    if others:
        history += ", also drawn for " + " and ".join(f"{other_day}" for other_day in others)
    return Link(
        first=problem.keys[one],
        second=problem.keys[other],
        times=times,
        last_met=last,
        other_days=others,
        same_department=shared,
        text=f"{history}, {_departments(problem, kinds[0], kinds[1])}",
    )


def _departments(problem: Problem, one: int, other: int) -> str:
    names = problem.kind_names[one], problem.kind_names[other]
    if names[0] & names[1]:
        return "both " + "+".join(sorted(names[0] & names[1]))
    return " \N{MULTIPLICATION SIGN} ".join("+".join(sorted(side)) for side in names)


def _ago(days: int) -> str:
    weeks = days // 7
    if weeks:
        return f"{weeks} weeks ago" if weeks > 1 else "1 week ago"
    return f"{days} days ago" if days != 1 else "1 day ago"


def _rest_text(schedule: Schedule, number: int, person: int, why: str) -> str:
    problem = schedule.problem
    last = problem.last_rest.get(person)
    if last is None:
        return f"{why}; has not rested before"
    return f"{why}; last rested {date.fromordinal(last):%Y-%m}, {_ago(problem.days[number] - last)}"


def _meetings_again(schedule: Schedule) -> tuple[int, int]:
    """Meetings of a pair with an earlier one in the draw; meetings of a pair that met before the draw."""
    again = past = 0
    for code, rounds in schedule.meetings.items():
        if rounds:
            again += len(rounds) - 1
            past += len(rounds) * bool(schedule.problem.times_met(code))
    return again, past


def measure(schedule: Schedule, *, minima: Mapping[str, int], lower_bound: int) -> Quality:
    """
    :param minima: proven least amounts, by the names of the fields.
    """
    problem = schedule.problem
    groups = [group for held in schedule.groups for group in held]
    pairs = [pair for group in groups for pair in combinations(group, 2)]
    shared = sum(problem.shared[problem.kinds[one]][problem.kinds[other]] for one, other in pairs)
    rests = Counter(person for held in schedule.resting for person in held)
    trios = Counter(person for group in groups if len(group) > 2 for person in group)
    again, past = _meetings_again(schedule)
    drawn = {"resting": rests.total(), "same_department": shared, "repeats": again, "past_repeats": past}
    amounts = {name: Amount(drawn=count, at_least=minima.get(name, 0)) for name, count in drawn.items()}
    cost = schedule.total()
    return Quality(
        people=len({person for present in problem.present for person in present}),
        groups=len(groups),
        trios=sum(len(group) > 2 for group in groups),
        cross_department_share=(len(pairs) - shared) / len(pairs) if pairs else 1.0,
        rests=tuple((problem.keys[person], rests[person]) for person in sorted(rests)),
        rests_twice_running=_twice_running(schedule),
        in_trios=tuple((problem.keys[person], trios[person]) for person in sorted(trios)),
        cost=cost,
        lower_bound=lower_bound,
        gap_text=_gap_text(cost - lower_bound, amounts),
        **amounts,
    )


def _gap_text(gap: int, amounts: Mapping[str, Amount]) -> str:
    if not gap:
        return "proven best: no draw is better"
    names = {
        "resting": "fewer rests",
        "same_department": "fewer pairs of one department",
        "repeats": "fewer pairs twice",
        "past_repeats": "fewer pairs who met before",
    }
    better = [text for name, text in names.items() if amounts[name].drawn > amounts[name].at_least]
    if better:
        return f"not proven best: {', '.join(better)} may be possible"
    if gap >= UNEVEN_REST:
        return "proven best in pairs and rests, not in who rests or how often somebody is in a trio"
    return "proven best but for how long ago pairs met, trios in turn, or distances"


def _twice_running(schedule: Schedule) -> int:
    resting = set(schedule.problem.rested_last)
    twice = 0
    for number, present in enumerate(schedule.problem.present):
        here = schedule.resting[number]
        twice += len(here & resting)
        resting = (resting - set(present)) | here
    return twice
