"""What is known of people, rounds, cards and proposals, on both databases: compare-and-set, and who is forgotten."""

from __future__ import annotations

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, date, datetime, timedelta
from types import SimpleNamespace
from typing import Any

import pytest

from interchange.ledger import EffectRef, Ledger
from interchange.ledger.database import make_engine
from interchange.ledger.receipts import forget_personal_data_of
from interchange.roulette.people import People
from interchange.roulette.rounds import Drawn, Rounds, Wanted, group_id
from interchange.roulette.talk import DECLINED, OPEN, REPLACED, VOID, Talk
from tests.unit.vendors import FERNET_KEY

NOW = datetime(2031, 3, 3, 10, tzinfo=UTC)
THURSDAY = datetime(2031, 3, 6, 13, 10, tzinfo=UTC)
LATER = THURSDAY + timedelta(days=1)


@pytest.fixture
def known(ledger_url: str, monkeypatch: pytest.MonkeyPatch) -> Iterator[SimpleNamespace]:
    """Three people with one meeting."""
    monkeypatch.setenv("AIRFLOW__CORE__FERNET_KEY", FERNET_KEY)
    engine = make_engine(ledger_url)
    ledger = Ledger(engine, owner="test")
    people, rounds, talk = People(engine), Rounds(engine), Talk(engine)
    keys = sorted(people.enrol(f"{name}@example.test" for name in ("ana", "bo", "cleo")).values())
    wanted = (Wanted(people=tuple(keys), reason="new"),)
    rounds.keep_draw(
        [Drawn(monday=date(2031, 3, 3), groups=wanted, rests={})], draw="d", seed="1", quality={}
    )
    group = group_id("2031-W10", keys)
    rounds.book(group, meeting_id="m", web_link="", starts_at=THURSDAY, minutes=30)
    yield SimpleNamespace(ledger=ledger, people=people, rounds=rounds, talk=talk, keys=keys, group=group)
    engine.dispose()


def propose(known: SimpleNamespace, id_: str = "p1", person: int = 0) -> Any:
    return known.talk.propose(
        id_,
        group=known.group,
        person=known.keys[person],
        starts_at=LATER,
        instead_of=THURSDAY,
        expires_at=THURSDAY,
    )


def issue(known: SimpleNamespace, id_: str, person: int = 0, **about: Any) -> Any:
    about = {"kind": "move", "expires_at": THURSDAY, **about}
    return known.talk.issue(id_, person=known.keys[person], **about)


class TestCards:
    def test_one_event_uses_a_card_as_often_as_it_is_tried_another_never(
        self, known: SimpleNamespace
    ) -> None:
        issue(known, "c")
        assert [known.talk.use("c", by=event) for event in ("e1", "e1", "e2", "e1")] == [
            True,
            True,
            False,
            True,
        ]
        assert not known.talk.use("none", by="e1")

    def test_of_many_at_once_one_uses_it(self, known: SimpleNamespace) -> None:
        issue(known, "c")
        with ThreadPoolExecutor(8) as pool:
            used = list(pool.map(lambda n: known.talk.use("c", by=f"e{n}"), range(16)))
        assert used.count(True) == 1

    def test_one_that_is_known_stays_as_it_is(self, known: SimpleNamespace) -> None:
        issue(known, "c", content="sealed")
        again = issue(known, "c", person=1, content="other")
        assert (again.person, again.content) == (known.keys[0], "sealed")

    def test_old_ones_are_forgotten(self, known: SimpleNamespace) -> None:
        issue(known, "old", expires_at=NOW)
        issue(known, "new", expires_at=LATER)
        assert known.talk.forget_before(THURSDAY) == 1
        assert known.talk.card("old") is None
        assert known.talk.card("new") is not None


class TestProposals:
    def test_one_lives_for_each_meeting(self, known: SimpleNamespace) -> None:
        assert propose(known).state == OPEN
        assert propose(known, "p2", person=1).state == OPEN
        assert [one.state for one in known.talk.of_groups([known.group])] == [REPLACED, OPEN]
        assert propose(known).state == REPLACED, "made again, it is what it has become"
        assert known.talk.live_of(known.group).id == "p2"

    def test_what_all_agreed_to_is_not_replaced(self, known: SimpleNamespace) -> None:
        propose(known)
        known.talk.advance("p1", to="agreed", only_from=[OPEN])
        assert propose(known, "p2", person=1) is None
        assert [one.id for one in known.talk.live()] == ["p1"]

    def test_the_first_answer_counts_and_only_while_it_is_open(self, known: SimpleNamespace) -> None:
        propose(known)
        _, bo, cleo = known.keys
        assert [known.talk.answer("p1", bo, yes) for yes in (True, True, False)] == [True, True, False]
        assert known.talk.advance("p1", to=DECLINED, only_from=[OPEN])
        assert not known.talk.advance("p1", to=VOID, only_from=[OPEN])
        assert not known.talk.answer("p1", cleo, True)
        assert known.talk.proposal("p1").agreed == {bo}

    def test_lately_is_told_by_when_it_ended_at_the_latest(self, known: SimpleNamespace) -> None:
        propose(known)
        assert [one.id for one in known.talk.lately(NOW)] == ["p1"]
        assert known.talk.lately(LATER) == []


class TestForgetting:
    def test_a_persons_cards_and_proposals_go_and_the_others_stay(self, known: SimpleNamespace) -> None:
        ana, bo, _ = known.keys
        propose(known)
        issue(known, "mine")
        issue(known, "asked", person=1, kind="consent", group=known.group, proposal="p1")
        known.talk.answer("p1", bo, True)
        known.talk.forget(ana)
        # A question about what is not proposed any more goes too.
        assert [known.talk.card(card) for card in ("mine", "asked")] == [None, None]
        assert known.talk.proposal("p1") is None

        propose(known, "p2", person=1)
        known.talk.answer("p2", ana, True)
        stranger = known.people.forget(ana)
        assert known.talk.proposal("p2").agreed == {stranger}
        group = known.rounds.group(known.group)
        assert stranger in group.people
        assert ana not in group.people
        assert known.people.forget(ana) is None

    def test_personal_keys_of_one_persons_receipts_go(self, known: SimpleNamespace) -> None:
        ana, bo, _ = known.keys
        refs = {key: EffectRef("webex_bot", "message", f"event/messages/x/{key}") for key in (ana, bo)}
        receipt = {"message": "m", "personal": ["message"]}
        known.ledger.record(dict.fromkeys(refs.values(), receipt), lease_s=10)
        assert forget_personal_data_of(known.ledger.engine, "webex_bot", ana, by="test") == 1
        assert known.ledger.get(refs[ana]).receipt == {"forgotten": ["message"]}
        assert known.ledger.get(refs[bo]).receipt == receipt
        assert forget_personal_data_of(known.ledger.engine, "webex_bot", "%", by="test") == 0

    def test_a_round_goes_with_all_that_was_said_about_it(self, known: SimpleNamespace) -> None:
        propose(known)
        issue(known, "c", group=known.group, proposal="p1")
        assert known.rounds.forget_before(date(2031, 3, 4)) == 1
        assert known.talk.card("c") is None
        assert known.talk.proposal("p1") is None
        assert known.rounds.of(known.keys[0]) == []


class TestRounds:
    def test_who_has_left_is_still_known_to_have_been_there(self, known: SimpleNamespace) -> None:
        ana, *others = known.keys
        known.rounds.leave(known.group, ana)
        [group] = known.rounds.of(ana)
        assert group.people == tuple(others)
        assert known.rounds.coming(ana, after=NOW) == []
        assert len(known.rounds.coming(others[0], after=NOW)) == 1

    def test_what_began_in_a_time_cancelled_or_not(self, known: SimpleNamespace) -> None:
        assert [one.id for one in known.rounds.started(after=None, before=THURSDAY)] == [known.group]
        assert known.rounds.started(after=THURSDAY, before=LATER) == []
        known.rounds.drop(known.group)
        assert len(known.rounds.started(after=NOW, before=LATER)) == 1
        assert known.rounds.ended(after=NOW, before=LATER) == []
