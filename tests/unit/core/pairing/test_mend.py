"""A round before it is booked: who left, paused or joined changes no more than must be."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from interchange.core.pairing import (
    Draw,
    Mended,
    PairingRules,
    PastRound,
    Person,
    Round,
    Slot,
    draw_rounds,
    mend_round,
)
from tests.unit.core.pairing.cases import (
    blocked,
    check,
    draw,
    members,
    met,
    resting,
    situations,
    staff,
    strangers,
)


def mend(drawn: Round, people: tuple[Person, ...], *absent: str, **more: Any) -> Mended:
    known = {name: more.pop(name) for name in ("others", "history", "seed") if name in more}
    return mend_round(
        drawn,
        people,
        absent=frozenset(absent),
        rules=PairingRules(**more),
        **({"seed": 1} | known),
    )


def drawn_of(people: tuple[Person, ...], **more: Any) -> Round:
    return draw(people, **more).rounds[0]


def test_nothing_changed_changes_nothing() -> None:
    people = staff(6, 5, 4)
    drawn = drawn_of(people)
    mended = mend(drawn, people)

    assert mended.round == drawn
    assert mended.kept == drawn.groups
    assert mended.changed == mended.dissolved == ()


def test_two_who_lost_their_partners_meet() -> None:
    people = strangers(8)
    drawn = drawn_of(people)
    (one, left), (two, gone) = members(drawn)[:2]
    mended = mend(drawn, people, left, gone)

    assert [group.members for group in mended.changed] == [tuple(sorted((one, two)))]
    assert [group.members for group in mended.kept] == members(drawn)[2:]
    assert mended.dissolved == ((one, left), (two, gone))


def test_two_newcomers_meet_and_disturb_nobody() -> None:
    drawn = drawn_of(strangers(8))
    mended = mend(drawn, strangers(10))

    assert mended.kept == drawn.groups
    assert [group.members for group in mended.changed] == [("p08", "p09")]


def test_a_newcomer_takes_who_rested() -> None:
    drawn = drawn_of(strangers(7), odd="rest")
    mended = mend(drawn, strangers(8), odd="rest")

    assert mended.kept == drawn.groups
    assert [group.members for group in mended.changed] == [(*resting(drawn), "p07")]
    assert resting(mended.round) == []


def test_a_trio_that_loses_one_stays_a_pair() -> None:
    people = strangers(5)
    drawn = drawn_of(people)
    (trio,) = (group for group in members(drawn) if len(group) == 3)
    mended = mend(drawn, people, trio[0])

    assert [group.members for group in mended.changed] == [trio[1:]]
    assert mended.dissolved == (trio,)
    assert len(mended.kept) == 1


def test_a_single_joins_a_pair_only_where_nobody_else_is_free() -> None:
    people = strangers(6)
    drawn = drawn_of(people)
    one, left = members(drawn)[0]
    mended = mend(drawn, people, left)

    (trio,) = mended.changed
    assert one in trio.members
    assert len(trio.members) == 3
    assert len(mended.kept) == 1
    assert resting(mended.round) == []


def test_a_single_takes_one_out_of_a_trio() -> None:
    drawn = drawn_of(strangers(7))
    (trio,) = (group for group in members(drawn) if len(group) == 3)
    mended = mend(drawn, strangers(8))

    assert [len(group) for group in members(mended.round)] == [2, 2, 2, 2]
    assert mended.dissolved == (trio,)
    assert len(mended.kept) == 2


def test_a_single_rests_where_the_settings_say_so() -> None:
    people = strangers(6)
    drawn = drawn_of(people, odd="rest")
    one, left = members(drawn)[0]
    mended = mend(drawn, people, left, odd="rest")

    assert resting(mended.round) == [one]
    assert [group.members for group in mended.kept] == members(drawn)[1:]
    assert mended.round.rests[0].text.startswith("of those matched anew: only one person takes part")


def test_a_pair_that_was_blocked_since_is_parted() -> None:
    people = strangers(6)
    drawn = drawn_of(people)
    apart = blocked(" ".join(members(drawn)[0]), " ".join(members(drawn)[1]))
    mended = mend(drawn, people, blocked=apart)

    assert [group.members for group in mended.kept] == members(drawn)[2:]
    assert len(mended.changed) == 2
    assert not apart & {frozenset(group) for group in members(mended.round)}


def test_the_other_rounds_of_the_draw_and_the_past_are_avoided() -> None:
    people = strangers(8)
    found = draw(people, 6)
    drawn = found.rounds[2]
    (one, left), (two, gone) = members(drawn)[:2]
    newcomers = (*people, Person(key="new", departments=frozenset({"new"})))
    again = {key for held in found.rounds for group in members(held) if one in group for key in group}
    mended = mend(
        drawn,
        newcomers,
        left,
        odd="rest",
        others=found.rounds,
        history=[met(1, f"new {one}")] if two in again else [],
    )

    (group,) = mended.changed
    assert group.members == tuple(sorted((one, "new")))
    assert gone not in group.members
    planned = mend(drawn, people, left, gone, others=found.rounds)
    (link,) = planned.changed[0].links
    assert (link.other_days != ()) is (two in again)


def test_rounds_that_became_history_do_not_count_twice() -> None:
    people = strangers(4)
    first, second, third = draw(people, 3).rounds
    held = met(0, *(" ".join(group) for group in members(first)))
    apart = blocked(*(" ".join(group) for group in members(second) + members(third)))
    mended = mend(second, people, others=(first, second, third), history=[held], blocked=apart)

    assert members(mended.round) == members(first), "nothing else is left"
    for group in mended.changed:
        assert group.links[0].times == 1
        assert group.links[0].other_days == ()


def test_more_pairs_than_the_limit_do_not_come_of_mending() -> None:
    people = strangers(10)
    drawn = drawn_of(people, pairs_per_round=2)
    _, left = members(drawn)[0]
    mended = mend(drawn, people, left, pairs_per_round=2)

    assert len(mended.round.groups) == 2
    assert len(mended.kept) == 1
    assert len(resting(mended.round)) == 5
    assert {rest.text.split(";")[0] for rest in mended.round.rests} == {
        "2 pairs a round take in 4 of 9 people"
    }


def test_a_newcomer_beyond_the_limit_splits_no_trio() -> None:
    drawn = drawn_of(strangers(3), pairs_per_round=1)
    mended = mend(drawn, strangers(4), pairs_per_round=1)

    assert mended.kept == drawn.groups
    assert resting(mended.round) == ["p03"]


def test_who_lost_a_partner_is_matched_before_those_who_would_have_rested() -> None:
    people = strangers(30)
    drawn = drawn_of(people, pairs_per_round=3)
    one, left = members(drawn)[0]
    mended = mend(drawn, people, left, pairs_per_round=3)

    assert one not in resting(mended.round)


def test_who_rests_after_mending_is_told_why() -> None:
    people = staff(sales=4, support=4)
    drawn = drawn_of(people, same_department="never")
    gone = [key for group in members(drawn)[:2] for key in group if key.startswith("support")]
    mended = mend(drawn, people, *gone, same_department="never")

    assert len(mended.round.rests) == 2
    assert {finding.text for finding in mended.findings} == {
        "of those matched anew: all 2 people are in sales: nobody finds a partner from another department"
    }


def test_all_are_gone() -> None:
    people = strangers(4)
    drawn = drawn_of(people)

    assert mend(drawn, ()).round.groups == ()
    assert mend(drawn, people, *(person.key for person in people)).round.rests == ()


@settings(max_examples=60, deadline=None)
@given(situations(weeks=3), st.data())
def test_mending_keeps_the_rules_and_all_groups_it_can(
    situation: tuple[list[Person], list[Slot], list[PastRound], PairingRules], data: st.DataObject
) -> None:
    people, chosen, history, rules = situation
    late = data.draw(st.sets(st.sampled_from([person.key for person in people]), max_size=2))
    early = [person for person in people if person.key not in late]
    found = draw_rounds(early, chosen, history=history, rules=rules, seed=1)
    drawn = found.rounds[0]
    absent = frozenset(data.draw(st.sets(st.sampled_from([person.key for person in people]), max_size=3)))
    mended = mend_round(
        drawn, people, absent=absent, others=found.rounds, history=history, rules=rules, seed=2
    )

    as_draw = Draw(rounds=(mended.round,), findings=(), quality=found.quality)
    check(as_draw, people, [Slot(day=drawn.day, absent=absent)], rules)
    whole = [group.members for group in drawn.groups if not absent & set(group.members)]
    touched = [group for group in whole if group not in members(mended.round)]
    fresh = {person.key for person in people} - absent
    fresh -= {key for group in whole for key in group}
    assert len(touched) <= len(fresh), "each single changes one group at most"
    assert rules.odd == "trio" or not touched


@pytest.mark.parametrize("seed", range(3))
def test_the_same_input_is_mended_the_same(seed: int) -> None:
    people = staff(5, 5, 5)
    drawn = drawn_of(people, seed=seed)

    assert mend(drawn, people, "a0", "b1", "c2", seed=seed) == mend(
        drawn, people[::-1], "c2", "b1", "a0", seed=seed
    )
