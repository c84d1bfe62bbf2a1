"""The round of a week: drawn once, put right when people change, the same whoever asks."""

from __future__ import annotations

from datetime import date, timedelta
from itertools import combinations

from interchange.core.slots import week_of
from interchange.ledger import EffectRef, RunRef
from interchange.roulette.drawing import Plan, keep_plan, seed_of
from interchange.roulette.people import FOR_EVER
from interchange.roulette.previews import PREVIEW, keep_preview, read_preview
from tests.unit.roulette.rounds.conftest import World

WEEK = timedelta(days=7)


def pairs(world: World, plan: Plan) -> set[frozenset[str]]:
    return {frozenset(world.names(group.people)) for group in plan.this.groups}


def key_of(world: World, name: str) -> str:
    return world.people.enrol([f"{name}@example.test"])[f"{name}@example.test"]


def test_a_draw_has_a_round_for_each_week_and_no_pair_twice(world: World) -> None:
    """Defect E1: a slip made all pairs possible, those of one department too."""
    plan = world.draw()
    assert [one.monday for one in plan.new] == [world.monday + n * WEEK for n in range(3)]
    met = [
        frozenset(pair) for one in plan.new for group in one.groups for pair in combinations(group.people, 2)
    ]
    assert len(met) == len(set(met)) == 9
    assert plan.quality["repeats"] == 0
    assert plan.quality["cross_department_percent"] == 100


def test_a_dry_run_keeps_nothing_and_the_next_real_run_does_exactly_that(world: World) -> None:
    shown = world.plan()
    assert world.rounds.all() == []
    again = world.draw()
    assert again.digest == shown.digest
    assert {tuple(group.people) for group in world.rounds.groups(world.week)} == {
        group.people for group in shown.this.groups
    }


def test_a_preview_can_be_read_again_and_holds_no_address(world: World) -> None:
    plan = world.plan()
    keep_preview(world.ledger, plan, run=RunRef(), lease_s=30)
    keep_preview(world.ledger, plan, run=RunRef(), lease_s=30)
    effect = world.ledger.get(EffectRef("webex_roulette", PREVIEW, plan.digest))
    assert "@" not in str(effect.receipt)
    assert read_preview(effect.receipt) == plan.new


def test_later_weeks_use_the_same_draw(world: World) -> None:
    first = world.draw()
    second = world.draw(world.monday + WEEK)
    assert not second.new
    assert {group.people for group in second.this.groups} == {group.people for group in first.new[1].groups}


def test_the_seed_is_the_settings_or_the_month(world: World) -> None:
    assert seed_of(world.loaded, date(2027, 3, 29)) == "2027-03"
    world.settings["seed"] = 7
    assert seed_of(world.loaded, date(2027, 3, 29)) == "7"


def test_the_next_draw_avoids_those_who_met(world: World) -> None:
    """Defect E5: history of one month."""
    world.settings["weeks"] = 1
    met: list[frozenset[str]] = []
    for number in range(3):
        plan = world.draw(world.monday + number * WEEK)
        met += pairs(world, plan)
    assert len(set(met)) == 9
    fourth = world.draw(world.monday + 3 * WEEK)
    assert fourth.quality["past_repeats"] == 3
    assert all("last met" in group.reason for group in fourth.this.groups)


def test_a_round_that_was_drawn_and_never_held_does_not_count(world: World) -> None:
    plan = world.plan()
    world.rounds.keep_draw(plan.new, draw=plan.draw, seed=plan.seed, quality=plan.quality)
    later = world.plan(world.monday + 3 * WEEK)
    assert later.quality["past_repeats"] == 0
    assert all("never met" in group.reason for group in later.this.groups)


def test_whoever_pauses_is_left_out_and_the_other_groups_stay(world: World) -> None:
    first = world.plan()
    world.rounds.keep_draw(first.new, draw=first.draw, seed=first.seed, quality=first.quality)
    gone = min(first.this.groups[0].people)
    world.people.pause(gone, world.slot.local.date() + timedelta(days=1))
    plan = world.draw()
    kept = {group.people for group in first.this.groups[1:]}
    there = [group.people for group in world.rounds.groups(world.week)]
    assert not any(gone in people for people in there)
    # Five people: one of the others joins a pair.
    assert sorted(len(people) for people in there) == [2, 3]
    assert len(kept & set(there)) == 1
    assert plan.mended == 1


def test_back_on_the_day_itself_one_takes_part(world: World) -> None:
    ana = key_of(world, "ana")
    world.people.pause(ana, world.slot.local.date())
    assert any(ana in group.people for group in world.plan().this.groups)
    world.people.pause(ana, FOR_EVER)
    assert not any(ana in group.people for group in world.plan().this.groups)


def test_a_skipped_week_is_that_week_only(world: World) -> None:
    ana = key_of(world, "ana")
    world.people.skip(ana, world.monday)
    plan = world.plan()
    there = [any(ana in group.people for group in one.groups) for one in plan.new]
    assert there == [False, True, True]


def test_who_left_and_who_joined_are_put_right(world: World) -> None:
    first = world.plan()
    world.rounds.keep_draw(first.new, draw=first.draw, seed=first.seed, quality=first.quality)
    world.settings["departments"]["sales"].remove("ana@example.test")
    world.settings["departments"]["sales"].append("new@example.test")
    plan = world.draw()
    names = [world.names(group.people) for group in plan.this.groups]
    assert not any("ana" in group for group in names)
    assert sum("new" in group for group in names) == 1
    assert sorted(len(group) for group in names) == [2, 2, 2]


def test_once_settled_a_round_changes_no_more(world: World) -> None:
    first = world.draw()
    world.people.pause(first.this.groups[0].people[0], FOR_EVER)
    second = world.plan()
    assert second.settled
    keep_plan(second, world.rounds)
    assert {group.people for group in world.rounds.groups(world.week)} == {
        group.people for group in first.this.groups
    }


def test_blocked_pairs_never_meet(world: World) -> None:
    world.settings |= {"weeks": 5, "blocked_pairs": [["ana@example.test", "emil@example.test"]]}
    plan = world.plan()
    for one in plan.new:
        assert not any({"ana", "emil"} <= world.names(group.people) for group in one.groups)


def test_somebody_in_two_departments_is_one_person(world: World) -> None:
    """Defect E6: the pair (a, a)."""
    world.settings["departments"]["support"].append("ana@example.test")
    plan = world.plan()
    assert all(len(set(group.people)) == len(group.people) for one in plan.new for group in one.groups)
    assert sum(len(group.people) for group in plan.this.groups) + len(plan.this.rests) == 6


def test_a_week_that_has_a_round_already_keeps_it(world: World) -> None:
    ahead = world.draw(world.monday + 2 * WEEK)
    plan = world.draw()
    assert [one.monday for one in plan.new] == [world.monday, world.monday + WEEK]
    there = {group.people for group in world.rounds.groups(week_of(world.monday + 2 * WEEK))}
    assert there == {group.people for group in ahead.this.groups}


def test_a_forgotten_person_leaves_the_rounds_whole(world: World) -> None:
    plan = world.draw()
    ana = key_of(world, "ana")
    stranger = world.people.forget(ana)
    assert stranger is not None
    groups = world.rounds.groups(world.week)
    assert len(groups) == len(plan.this.groups)
    assert sum(stranger in group.people for group in groups) == 1
    assert world.people.get(ana) is None
    assert world.people.get(stranger).address is None
    assert stranger not in world.people.everybody()
    assert world.people.forget(ana) is None


def test_an_answer_no_makes_the_pair_free_again(world: World) -> None:
    world.settings |= {"weeks": 1, "repeats": "never", "same_department": "never"}
    first = world.draw()
    group = world.rounds.groups(world.week)[0]
    assert world.rounds.answer(group.id, group.people[0], False)
    assert not world.rounds.answer(group.id, "nobody", False)
    for number in (1, 2):
        world.draw(world.monday + number * WEEK)
    fourth = world.draw(world.monday + 3 * WEEK)
    assert [one.people for one in fourth.this.groups] == [group.people]
    assert len(fourth.this.rests) == 4
    assert first.this.rests == {}
