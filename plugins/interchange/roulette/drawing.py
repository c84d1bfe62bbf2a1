"""Which rounds there are, and who meets whom in the round of a week."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import date, timedelta
from typing import Any

from interchange.core.pairing import (
    Finding,
    Group,
    PairingRules,
    PastGroup,
    PastRound,
    Person,
    Quality,
    Rest,
    Round,
    Slot,
    draw_rounds,
    mend_round,
)
from interchange.core.slots import Slot as Appointment
from interchange.core.slots import parse_clock, slot_of_week, week_of
from interchange.roulette import rounds as kept
from interchange.roulette.people import Participant, People
from interchange.roulette.rounds import Drawn, Rounds, Wanted
from interchange.settings.webex_roulette import Settings

WEEK = timedelta(days=7)


@dataclass(frozen=True, kw_only=True)
class Plan:
    """
    What the run of a week is going to do. Nothing was kept yet.

    :param slot: when the round meets. :param this: the round itself. :param new: the rounds that were drawn for this
        plan, this one included; none where they were drawn before.
    :param mended: how many of its groups differ from those that were drawn before.
    :param findings: wishes that could not be had, and why.
    :param settled: the round's groups are final; nothing is changed.
    """

    week: str
    monday: date
    slot: Appointment
    this: Drawn
    new: tuple[Drawn, ...]
    draw: str
    seed: str
    quality: Mapping[str, Any]
    mended: int
    findings: tuple[str, ...]
    settled: bool

    @property
    def digest(self) -> str:
        """Names what is going to happen; the same for the same plan."""
        entries = [
            [self.week, self.slot.starts_at.isoformat()],
            _facts(self.this),
            *(_facts(one) for one in self.new),
        ]
        return hashlib.sha256(json.dumps(entries, sort_keys=True).encode()).hexdigest()[:32]


def slot_for(settings: Settings, monday: date) -> Appointment:
    """When the round of a week meets."""
    start = parse_clock(settings.slot.start)
    if start is None:
        raise ValueError("The settings have checked it.")
    return slot_of_week(
        monday,
        weekday=settings.slot.weekday,
        start=start,
        minutes=settings.slot.minutes,
        zone=settings.time_zone,
        holidays=frozenset(date.fromisoformat(day) for day in settings.holidays),
    )


def plan_round(settings: Settings, *, monday: date, people: People, rounds: Rounds) -> Plan:
    """
    Work out the round of a week. Changes nothing but that everybody is known.

    The first time, it is drawn together with the rounds of the weeks after it. Later only what people changed
    meanwhile is put right: groups that are not concerned stay as they are.

    :param monday: of the week.
    """
    keys = people.enrol(settings.people)
    known = people.everybody()
    persons = [Person(key=keys[address], departments=names) for address, names in settings.people.items()]
    rules = _rules(settings, keys)
    week = week_of(monday)
    before = rounds.get(week)
    seed = before.seed if before is not None else seed_of(settings, monday)
    history = _history(rounds, before=monday)
    slot = slot_for(settings, monday)
    if before is not None and before.settled:
        return Plan(
            week=week,
            monday=monday,
            slot=slot,
            this=_stored(rounds, week, monday),
            new=(),
            draw=before.draw,
            seed=seed,
            quality=before.quality,
            mended=0,
            findings=(),
            settled=True,
        )
    if before is None:
        mondays = _weeks_to_draw(settings, monday, rounds)
        slots = [Slot(day=one, absent=_absent(settings, known, one)) for one in mondays]
        drawn = draw_rounds(persons, slots, history=history, rules=rules, seed=seed)
        new = tuple(_drawn(one) for one in drawn.rounds)
        return Plan(
            week=week,
            monday=monday,
            slot=slot,
            this=new[0],
            new=new,
            draw=f"{week}/{seed}",
            seed=seed,
            quality=quality_facts(drawn.quality),
            mended=0,
            findings=_told(drawn.findings),
            settled=False,
        )
    same_draw = [one for one in rounds.all() if one.draw == before.draw and one.week != week]
    mended = mend_round(
        _as_round(_stored(rounds, week, monday)),
        persons,
        absent=_absent(settings, known, monday),
        others=[_as_round(_stored(rounds, one.week, one.monday)) for one in same_draw],
        history=history,
        rules=rules,
        seed=seed,
    )
    return Plan(
        week=week,
        monday=monday,
        slot=slot,
        this=_drawn(mended.round),
        new=(),
        draw=before.draw,
        seed=seed,
        quality=before.quality,
        mended=len(mended.changed),
        findings=_told(mended.findings),
        settled=False,
    )


def keep_plan(plan: Plan, rounds: Rounds) -> None:
    """Keep the rounds that were drawn, and make the groups of this week's final."""
    if plan.new:
        rounds.keep_draw(plan.new, draw=plan.draw, seed=plan.seed, quality=plan.quality)
    rounds.settle(plan.this)


def seed_of(settings: Settings, monday: date) -> str:
    """Decides among equally good draws: the settings' own, or the month in which the draw begins."""
    return str(settings.seed) if settings.seed is not None else f"{monday:%Y-%m}"


def quality_facts(quality: Quality) -> dict[str, Any]:
    """A draw's quality in numbers, without any person."""
    return {
        "people": quality.people,
        "groups": quality.groups,
        "trios": quality.trios,
        "resting": quality.resting.drawn,
        "same_department": quality.same_department.drawn,
        "repeats": quality.repeats.drawn,
        "past_repeats": quality.past_repeats.drawn,
        "cross_department_percent": round(100 * quality.cross_department_share, 1),
        "rests_most": max((number for _, number in quality.rests), default=0),
        "gap": quality.gap_text,
    }


def _weeks_to_draw(settings: Settings, monday: date, rounds: Rounds) -> list[date]:
    """This week and the following ones, up to one that has a round already."""
    taken = {one.monday for one in rounds.all()}
    weeks = [monday]
    while len(weeks) < settings.weeks and weeks[-1] + WEEK not in taken:
        weeks.append(weeks[-1] + WEEK)
    return weeks


def _rules(settings: Settings, keys: Mapping[str, str]) -> PairingRules:
    return PairingRules(
        odd=settings.odd,
        pairs_per_round=settings.pairs_per_round,
        same_department=settings.same_department,
        repeats=settings.repeats,
        blocked=frozenset(frozenset(keys[address] for address in pair) for pair in settings.blocked_pairs),
    )


def _absent(settings: Settings, known: Mapping[str, Participant], monday: date) -> frozenset[str]:
    day = slot_for(settings, monday).local.date()
    return frozenset(key for key, person in known.items() if person.absent(monday=monday, day=day))


def _history(rounds: Rounds, *, before: date) -> list[PastRound]:
    """Rounds that were held. One that was drawn and never booked, while Airflow stood still, was not."""
    held = [one for one in rounds.all() if one.settled and one.monday < before]
    groups: dict[str, list[PastGroup]] = {}
    for group in rounds.history(before=before):
        if len(group.people) > 1:
            groups.setdefault(group.week, []).append(
                PastGroup(members=frozenset(group.people), met=_met(group))
            )
    rested: dict[str, set[str]] = {}
    for person, weeks in rounds.rested(before=before).items():
        for week in weeks:
            rested.setdefault(week, set()).add(person)
    past = []
    for one in held:
        there = groups.get(one.week, [])
        # Whoever met anyway, after a change, did not rest.
        resting = rested.get(one.week, set()).difference(*(group.members for group in there))
        past.append(PastRound(day=one.monday, groups=tuple(there), rested=frozenset(resting)))
    return past


def _met(group: kept.Group) -> bool | None:
    """One yes is enough: who was there knows."""
    answers = set(group.met.values())
    return True if True in answers else False if answers else None


def _stored(rounds: Rounds, week: str, monday: date) -> Drawn:
    groups = tuple(
        Wanted(people=group.people, reason=group.reason)
        for group in rounds.groups(week)
        if group.state != kept.DROPPED and len(group.people) > 1
    )
    return Drawn(monday=monday, groups=groups, rests=rounds.rests(week))


def _drawn(one: Round) -> Drawn:
    return Drawn(
        monday=one.day,
        groups=tuple(Wanted(people=group.members, reason=group.text) for group in one.groups),
        rests={rest.person: rest.text for rest in one.rests},
    )


def _as_round(one: Drawn) -> Round:
    return Round(
        day=one.monday,
        groups=tuple(sorted((Group(members=group.people, links=()) for group in one.groups), key=_members)),
        rests=tuple(Rest(person=person, text=text) for person, text in sorted(one.rests.items())),
    )


def _members(group: Group) -> tuple[str, ...]:
    return group.members


def _told(findings: Iterable[Finding]) -> tuple[str, ...]:
    return tuple(finding.text for finding in findings)


def _facts(one: Drawn) -> list[Any]:
    groups: Sequence[tuple[str, ...]] = sorted(group.people for group in one.groups)
    return [one.monday.isoformat(), groups, sorted(one.rests)]
