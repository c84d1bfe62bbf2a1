"""What is known of people, rounds and talk, on both databases."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, date, datetime, timedelta

import pytest
from sqlalchemy import Engine
from sqlalchemy.exc import IntegrityError

from interchange.ledger.database import make_engine
from interchange.roulette.people import People
from interchange.roulette.rounds import Drawn, Group, Rounds, Wanted
from interchange.roulette.talk import AGREED, MOVED, OPEN, REPLACED, Talk
from tests.unit.vendors import FERNET_KEY

NOON = datetime(2027, 3, 4, 12, tzinfo=UTC)
LATER = NOON + timedelta(days=1)
MONDAY = date(2027, 3, 1)


@pytest.fixture
def engine(ledger_url: str, monkeypatch: pytest.MonkeyPatch) -> Iterator[Engine]:
    monkeypatch.setenv("AIRFLOW__CORE__FERNET_KEY", FERNET_KEY)
    made = make_engine(ledger_url)
    yield made
    made.dispose()


@pytest.fixture
def group(engine: Engine) -> Group:
    """Ann and Bob, booked."""
    keys = People(engine).enrol(["ann@example.test", "bob@example.test"])
    rounds = Rounds(engine)
    drawn = Drawn(
        monday=MONDAY, groups=(Wanted(people=tuple(sorted(keys.values())), reason="never met"),), rests={}
    )
    rounds.keep_draw([drawn], draw="d", seed="s", quality={})
    assert rounds.settle(drawn)
    (made,) = rounds.groups("2027-W09")
    rounds.book(made.id, meeting_id="m1", web_link="", starts_at=NOON, minutes=30)
    found = rounds.group(made.id)
    assert found is not None
    return found


def propose(engine: Engine, group: Group, id_: str) -> object:
    return Talk(engine).propose(
        id_, group=group.id, person=group.people[0], starts_at=LATER, instead_of=NOON, expires_at=LATER
    )


def test_enrolling_twice_changes_nothing(engine: Engine) -> None:
    people = People(engine)
    first = people.enrol(["ann@example.test"])
    people.note(first["ann@example.test"], webex_id="w", name="Ann", zone="Europe/Kyiv")
    assert (
        people.enrol(["ann@example.test", "bob@example.test"])["ann@example.test"]
        == first["ann@example.test"]
    )
    assert people.with_webex_id("w") == people.get(first["ann@example.test"])
    assert "ann" not in first["ann@example.test"]


def test_a_forgotten_person_is_gone_everywhere_and_the_round_is_whole(engine: Engine, group: Group) -> None:
    ann = group.people[0]
    propose(engine, group, "p1")
    Talk(engine).issue("c1", kind="move", person=ann, expires_at=LATER, group=group.id)
    stranger = People(engine).forget(ann)
    assert stranger is not None
    after = Rounds(engine).group(group.id)
    assert after is not None
    assert set(after.people) == {stranger, group.people[1]}
    assert Talk(engine).proposal("p1").person == stranger
    assert Talk(engine).card("c1").person == stranger
    assert People(engine).enrol(["ann@example.test", "bob@example.test"]) is not None


def test_one_live_proposal_for_each_meeting(engine: Engine, group: Group) -> None:
    talk = Talk(engine)
    assert propose(engine, group, "p1") == propose(engine, group, "p1")
    propose(engine, group, "p2")
    assert (talk.proposal("p1").state, talk.proposal("p2").state) == (REPLACED, OPEN)
    assert talk.advance("p2", to=AGREED, only_from=[OPEN])
    assert not talk.advance("p2", to=AGREED, only_from=[OPEN])
    assert propose(engine, group, "p3") is None
    assert talk.advance("p2", to=MOVED, only_from=[AGREED])
    assert propose(engine, group, "p3") is not None


def test_the_database_itself_allows_one(engine: Engine, group: Group) -> None:
    propose(engine, group, "p1")
    with pytest.raises(IntegrityError), engine.begin() as connection:
        connection.exec_driver_sql(
            "INSERT INTO roulette_proposals SELECT 'p9', group_id, person, starts_at, instead_of, state, made_at, "
            "expires_at FROM roulette_proposals WHERE id = 'p1'"
        )


def test_the_first_answer_counts(engine: Engine, group: Group) -> None:
    talk = Talk(engine)
    propose(engine, group, "p1")
    assert talk.answer("p1", group.people[1], True)
    assert talk.answer("p1", group.people[1], True)
    assert not talk.answer("p1", group.people[1], False)
    assert talk.proposal("p1").agreed == {group.people[1]}
    talk.advance("p1", to=REPLACED, only_from=[OPEN])
    assert not talk.answer("p1", group.people[0], True)


def test_a_final_round_is_final(engine: Engine, group: Group) -> None:
    rounds = Rounds(engine)
    assert not rounds.settle(Drawn(monday=MONDAY, groups=(), rests={}))
    assert [one.id for one in rounds.groups("2027-W09")] == [group.id]


def test_moving_and_dropping(engine: Engine, group: Group) -> None:
    rounds = Rounds(engine)
    assert rounds.move(group.id, starts_at=LATER)
    assert not rounds.move(group.id, starts_at=LATER)
    assert [one.id for one in rounds.coming(group.people[0], after=NOON)] == [group.id]
    assert rounds.drop(group.id)
    assert not rounds.drop(group.id)
    assert rounds.coming(group.people[0], after=NOON) == []
    assert rounds.history(before=MONDAY + timedelta(days=7)) == []


def test_old_rounds_are_forgotten_with_all_that_hangs_on_them(engine: Engine, group: Group) -> None:
    propose(engine, group, "p1")
    Talk(engine).answer("p1", group.people[1], True)
    Talk(engine).issue("c1", kind="consent", person=group.people[1], expires_at=LATER, proposal="p1")
    assert Rounds(engine).forget_before(MONDAY) == 0
    assert Rounds(engine).forget_before(MONDAY + timedelta(days=7)) == 1
    assert Rounds(engine).all() == []
    assert Talk(engine).card("c1") is None
    assert len(People(engine).everybody()) == 2
