"""What cannot be had is said, with a reason that is so."""

from __future__ import annotations

import pytest

from interchange.core.pairing import Draw, Slot, people_from
from tests.unit.core.pairing.cases import DAY, WEEK, blocked, draw, met, staff, strangers

TIMES = "\N{MULTIPLICATION SIGN}"


def texts(found: Draw) -> list[str]:
    return [finding.text for finding in found.findings]


def test_a_department_too_large_for_the_others() -> None:
    found = draw(staff(sales=7, support=5), 3, same_department="never")

    (finding,) = found.findings
    assert finding.text == "sales has 7 of 12 people: 2 find no partner from another department"
    assert finding.kind == "department"
    assert finding.people == tuple(f"sales{who}" for who in range(7))
    assert len(finding.days) == 3
    assert found.quality.resting.drawn == found.quality.resting.at_least == 6
    assert {count for _, count in found.quality.rests} == {1}, "each of them in turn"
    (text,) = {rest.text for one in found.rounds for rest in one.rests}
    assert text == f"{finding.text}; has not rested before"


def test_two_of_a_department_meet_where_the_settings_say_so() -> None:
    found = draw(staff(sales=7, support=5), 3)

    assert texts(found) == ["sales has 7 of 12 people: 2 find no partner from another department"]
    assert found.quality.resting.drawn == 0
    assert found.quality.same_department.drawn == found.quality.same_department.at_least == 3
    assert found.quality.repeats.drawn == 0
    assert found.quality.cross_department_share == pytest.approx(15 / 18)


def test_the_department_counts_only_those_who_are_there() -> None:
    people = staff(sales=4, support=4)
    away = frozenset({"support0", "support1"})
    chosen = [Slot(day=DAY), Slot(day=DAY + WEEK, absent=away)]
    found = draw(people, chosen, same_department="never")

    (finding,) = found.findings
    assert finding.text == "sales has 4 of 6 people: 2 find no partner from another department"
    assert finding.days == (DAY + WEEK,)


def test_an_odd_number() -> None:
    assert texts(draw(strangers(13), odd="rest")) == ["13 people is an odd number: one of them rests"]
    assert texts(draw(strangers(13))) == ["13 people is an odd number: one group has three"]


def test_so_many_pairs_only() -> None:
    assert texts(draw(strangers(40), pairs_per_round=7)) == ["7 pairs a round take in 14 of 40 people"]


@pytest.mark.parametrize(
    ("people", "rounds", "text"),
    [
        (5, 6, "with 5 people and 6 rounds a pair must meet again from round 6"),
        (4, 5, "with 4 people and 5 rounds a pair must meet again from round 4"),
        (2, 2, "with 2 people and 2 rounds a pair must meet again from round 2"),
    ],
)
def test_too_few_people_for_the_rounds(people: int, rounds: int, text: str) -> None:
    found = draw(strangers(people), rounds, odd="rest")

    together = [finding for finding in found.findings if finding.kind == "together"]
    assert [finding.text for finding in together] == [text]
    assert found.quality.repeats.drawn == found.quality.repeats.at_least > 0
    first = int(text.rsplit(" ", 1)[1])
    assert together[0].days[0] == DAY + (first - 1) * WEEK
    before = [group.members for one in found.rounds[: first - 1] for group in one.groups]
    assert len(set(before)) == len(before)


def test_one_department_too_large_for_the_rounds() -> None:
    found = draw(staff(sales=4, support=2, it=2), 5)

    assert texts(found) == [
        "somebody in sales has only 4 possible partners: with 5 rounds a pair must meet again from round 5"
    ]
    assert found.quality.repeats.drawn == found.quality.repeats.at_least == 4


def test_where_no_pair_may_meet_again_people_rest() -> None:
    found = draw(strangers(4), 5, repeats="never", odd="rest", same_department="never")

    assert texts(found) == ["with 4 people and 5 rounds somebody rests from round 4: no pair may meet again"]
    assert found.quality.repeats.drawn == 0
    assert found.quality.resting.drawn == found.quality.resting.at_least == 8


def test_blocks_that_leave_somebody_alone() -> None:
    found = draw(strangers(4), blocked=blocked("p00 p01", "p00 p02", "p00 p03"), odd="rest")

    (alone, three) = found.findings
    assert alone.text == "1 person may meet none of the 3 others (blocked pairs)"
    assert alone.people == ("p00",)
    assert three.text == "3 people may only meet each other, an odd number: one finds no partner"


def test_blocks_that_leave_two_to_one() -> None:
    found = draw(strangers(4), blocked=blocked("p00 p01", "p00 p03", "p01 p03"))

    (finding,) = found.findings
    assert finding.text == (
        "3 people may meet only the same person and not each other (blocked pairs): 2 find no partner"
    )
    assert finding.people == ("p00", "p01", "p03")
    assert found.quality.resting.drawn == found.quality.resting.at_least == 2


def test_two_reasons_are_two_findings() -> None:
    people = people_from(
        {"sales": ["s0", "s1", "s2"], "a": ["a0"], "b": ["b0"], "c": ["c0"], "d": ["d0"], "e": ["e0"]}
    )
    apart = [f"{one} {two}" for one in ("s0", "s1", "s2") for two in ("b0", "c0", "d0", "e0")]
    apart += ["a0 b0", "a0 c0", "a0 d0", "b0 c0", "b0 d0", "c0 d0"]
    found = draw(people, same_department="never", blocked=blocked(*apart))

    assert sorted(texts(found)) == [
        "3 people may meet only the same person and not each other (blocked pairs): 2 find no partner",
        "3 people of sales may only meet the same person: 2 find no partner",
    ]
    assert found.quality.resting.drawn == found.quality.resting.at_least == 4


def test_all_of_one_department() -> None:
    found = draw(staff(sales=4), same_department="never")

    assert texts(found) == ["all 4 people are in sales: nobody finds a partner from another department"]
    assert found.quality.resting.drawn == found.quality.resting.at_least == 4


def test_everybody_has_met() -> None:
    history = [met(1, "p00 p01", "p02 p03"), met(2, "p00 p02", "p01 p03"), met(3, "p00 p03", "p01 p02")]
    found = draw(strangers(4), history=history)

    assert texts(found) == ["2 pairs have to meet again: too few are left who never met"]
    assert found.quality.past_repeats.drawn == found.quality.past_repeats.at_least == 2
    never = draw(strangers(4), history=history, repeats="never")
    assert texts(never) == ["4 people may meet none of the 3 others (met before)"]


def test_a_pair_is_explained() -> None:
    people = people_from({"sales": ["a", "b"], "support": ["c"], "it": ["d", "b"]})
    history = [met(9, "a c"), met(30, "a c"), met(4, "b d", answer=False)]
    apart = blocked("a b", "a d", "b c")
    (first, second) = draw(people, history=history, blocked=apart).rounds[0].groups

    assert first.text == f"met 2 times, last met 2026-09, 9 weeks ago, sales {TIMES} support"
    assert second.text == "drawn before, but did not meet, both it"
    assert first.links[0].times == 2
    assert first.links[0].last_met == DAY - 9 * WEEK
    assert draw(staff(sales=1, support=1)).rounds[0].groups[0].text == f"never met, sales {TIMES} support"
    assert draw(people[1:3]).rounds[0].groups[0].text == f"never met, it+sales {TIMES} support"


def test_a_pair_twice_in_the_draw_is_explained_on_both_days() -> None:
    found = draw(staff(1, 1), 2)

    first, second = (one.groups[0].links[0] for one in found.rounds)
    assert first.other_days == (DAY + WEEK,)
    assert second.other_days == (DAY,)
    assert "also drawn for 2026-11-12" in first.text


def test_a_rest_is_explained() -> None:
    history = [
        met(8, "p01 p02", rested="p00"),
        met(1, "p00 p01", rested="p02"),
        met(2, "p00 p02", rested="p01"),
    ]
    (rest,) = draw(strangers(3), history=history, odd="rest").rounds[0].rests

    assert rest.text == "3 people is an odd number: one of them rests; last rested 2026-09, 8 weeks ago"


def test_people_in_no_text() -> None:
    """Texts are posted in a room; keys may be addresses."""
    people = people_from({"sales": ["ann@example.com", "bob@example.com"], "it": ["cyd@example.com"]})
    found = draw(people, 4, same_department="never", blocked=blocked("ann@example.com cyd@example.com"))

    seen = [finding.text for finding in found.findings]
    seen += [group.text for one in found.rounds for group in one.groups]
    seen += [rest.text for one in found.rounds for rest in one.rests]
    assert seen
    assert not any("@" in text for text in seen)


def test_what_was_not_found_is_not_called_impossible() -> None:
    """Two rounds of a pair and a trio need eight of ten pairs, yet a second trio finds no three strangers."""
    found = draw(strangers(5), 2)

    assert found.quality.repeats.drawn == 1
    assert not found.quality.proven_best
    assert found.quality.gap_text == "not proven best: fewer pairs twice may be possible"
    assert texts(found)[1:] == ["1 meeting is of a pair that meets twice; that it must be so is not proven"]
