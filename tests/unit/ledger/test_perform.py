"""One outside change, whatever goes wrong in between."""

from __future__ import annotations

import threading
import time

import pytest
from sqlalchemy import create_engine

from interchange.errors import (
    BadRecord,
    Busy,
    NotFound,
    OutcomeUnknown,
    RateLimited,
    Refused,
    SettingsError,
    Unavailable,
)
from interchange.ledger import ClaimLost, EffectRef, Ledger, State
from interchange.ledger.database import make_engine


class Vendor:
    """The other side: keeps what arrived, and can lose its answer or refuse."""

    def __init__(self) -> None:
        self.made: list[int] = []
        self.error: BaseException | None = None
        self.loses_answer = False

    def send(self) -> dict[str, object]:
        if self.error is not None and not self.loses_answer:
            raise self.error
        self.made.append(len(self.made) + 1)
        if self.error is not None:
            raise self.error
        return {"id": self.made[-1]}

    def find(self) -> dict[str, object] | None:
        return {"id": self.made[-1], "found": True} if self.made else None


@pytest.fixture
def vendor() -> Vendor:
    return Vendor()


def test_an_effect_is_made_once_and_its_receipt_returned_ever_after(ledger, other, ref, vendor):
    first = ledger.perform(ref, send=vendor.send, find=None, lease_s=60)
    again = other.perform(ref, send=vendor.send, find=vendor.find, lease_s=60)

    assert first == again == {"id": 1}
    assert vendor.made == [1]
    assert [event.to_state for event in ledger.events(ref)] == ["planned", "begun", "confirmed"]


def test_the_intent_is_committed_before_the_call(ledger, other, ref):
    seen = []
    ledger.perform(ref, send=lambda: seen.append(other.get(ref)) or {}, find=None, lease_s=60)

    assert (seen[0].state, seen[0].owner) == (State.BEGUN, "ann")


def test_the_first_attempt_looks_nothing_up(ledger, ref, vendor):
    vendor.made = [1]

    assert ledger.perform(ref, send=vendor.send, find=vendor.find, lease_s=60) == {"id": 2}


@pytest.mark.parametrize(
    ("error", "state"),
    [
        (Unavailable("vendor.send", "HTTP 503"), State.PLANNED),
        (RateLimited("vendor.send", "HTTP 429", retry_after_s=3), State.PLANNED),
        (Refused("vendor.send", "HTTP 403"), State.PLANNED),
        (NotFound("vendor.send", "HTTP 404"), State.PLANNED),
        (SettingsError("no such connection"), State.PLANNED),
        (BadRecord("amount", "not a number"), State.QUARANTINED),
        (OutcomeUnknown("vendor.send", "time-out"), State.UNKNOWN),
        (RuntimeError("a bug with ann@example.org in it"), State.UNKNOWN),
        (KeyboardInterrupt(), State.UNKNOWN),
        (SystemExit(1), State.UNKNOWN),
    ],
    ids=lambda value: type(value).__name__ if isinstance(value, BaseException) else str(value),
)
def test_what_the_call_raises_says_where_the_effect_stands(ledger, ref, vendor, error, state):
    vendor.error = error

    with pytest.raises(type(error)) as caught:
        ledger.perform(ref, send=vendor.send, find=None, lease_s=60)

    assert caught.value is error
    effect = ledger.get(ref)
    assert effect.state is state
    assert "ann@example.org" not in (effect.reason or "")


def test_a_quarantined_effect_is_not_sent(ledger, ref, vendor):
    ledger.plan(ref)
    ledger.quarantine(ref, field="amount", reason="not a number")

    with pytest.raises(BadRecord, match=r"amount.*not a number"):
        ledger.perform(ref, send=vendor.send, find=vendor.find, lease_s=60)

    assert vendor.made == []


@pytest.mark.parametrize("loses_answer", [True, False], ids=["it happened", "it did not"])
def test_an_unknown_outcome_is_looked_up_first(ledger, other, ref, vendor, loses_answer):
    vendor.error, vendor.loses_answer = OutcomeUnknown("vendor.send", "reset"), loses_answer
    with pytest.raises(OutcomeUnknown):
        ledger.perform(ref, send=vendor.send, find=vendor.find, lease_s=60)
    vendor.error = None

    receipt = other.perform(ref, send=vendor.send, find=vendor.find, lease_s=60)

    assert vendor.made == [1]
    assert receipt == ({"id": 1, "found": True} if loses_answer else {"id": 1})
    assert other.get(ref).receipt == receipt


def test_an_unknown_outcome_that_cannot_be_looked_up_waits_for_a_person(ledger, ref, vendor):
    vendor.error, vendor.loses_answer = OutcomeUnknown("vendor.send", "reset"), True
    for _ in range(3):
        with pytest.raises(OutcomeUnknown):
            ledger.perform(ref, send=vendor.send, find=None, lease_s=60)

    assert vendor.made == [1]
    assert ledger.get(ref).state is State.UNKNOWN

    ledger.settle(ref, to=State.PLANNED, by="carla", reason="not in the portal")
    vendor.error = None
    assert ledger.perform(ref, send=vendor.send, find=None, lease_s=60) == {"id": 2}


def test_an_unknown_outcome_is_sent_again_where_that_is_chosen(ledger, ref, vendor):
    vendor.error, vendor.loses_answer = OutcomeUnknown("vendor.send", "reset"), True
    with pytest.raises(OutcomeUnknown):
        ledger.perform(ref, send=vendor.send, find=None, lease_s=60, resend=True)
    vendor.error = None

    ledger.perform(ref, send=vendor.send, find=None, lease_s=60, resend=True)

    assert vendor.made == [1, 2]
    assert ledger.get(ref).state is State.CONFIRMED


@pytest.mark.parametrize(
    "error", [OutcomeUnknown("vendor.find", "too early"), Unavailable("vendor.find", "503")]
)
def test_a_look_up_that_cannot_tell_leaves_everything_as_it_was(ledger, ref, vendor, error):
    vendor.error = OutcomeUnknown("vendor.send", "reset")
    with pytest.raises(OutcomeUnknown):
        ledger.perform(ref, send=vendor.send, find=vendor.find, lease_s=60)
    before = ledger.get(ref)

    def find() -> None:
        raise error

    with pytest.raises(type(error)):
        ledger.perform(ref, send=vendor.send, find=find, lease_s=60, resend=True)

    assert ledger.get(ref) == before


def test_of_two_that_looked_up_the_same_attempt_one_sends(ledger, other, ref, vendor):
    vendor.error = OutcomeUnknown("vendor.send", "reset")
    with pytest.raises(OutcomeUnknown):
        ledger.perform(ref, send=vendor.send, find=vendor.find, lease_s=60)
    vendor.loses_answer = True

    def find_slowly() -> dict[str, object] | None:
        nothing_yet = vendor.find()
        # Meanwhile another process looks it up too, sends it, and loses the answer.
        with pytest.raises(OutcomeUnknown):
            other.perform(ref, send=vendor.send, find=vendor.find, lease_s=60)
        return nothing_yet

    with pytest.raises(Busy, match="has changed while it was looked up"):
        ledger.perform(ref, send=vendor.send, find=find_slowly, lease_s=60)

    assert vendor.made == [1]


def test_what_another_has_found_meanwhile_is_done(ledger, other, ref, vendor):
    """Two runs look the same lost answer up; the second one has nothing to complain about."""
    vendor.error, vendor.loses_answer = OutcomeUnknown("vendor.send", "reset"), True
    with pytest.raises(OutcomeUnknown):
        ledger.perform(ref, send=vendor.send, find=vendor.find, lease_s=60)

    def find_slowly() -> dict[str, object] | None:
        other.perform(ref, send=vendor.send, find=vendor.find, lease_s=60)
        return vendor.find()

    assert ledger.perform(ref, send=vendor.send, find=find_slowly, lease_s=60) == {"id": 1, "found": True}
    assert vendor.made == [1]


def test_a_call_longer_than_its_lease_keeps_the_claim(ledger, other, ref):
    pause = threading.Event()

    def send() -> dict[str, object]:
        deadline = time.monotonic() + 2.5
        while time.monotonic() < deadline:
            with pytest.raises(Busy):
                other.begin(ref, lease_s=60)
            # SQLite is not fair: asking without a pause could keep the renewal out.
            pause.wait(0.02)
        return {"id": 1}

    assert ledger.perform(ref, send=send, find=None, lease_s=2) == {"id": 1}
    assert ledger.get(ref).attempts == 1


def test_a_receipt_that_cannot_be_kept_does_not_pass_for_done(ledger, ref):
    with pytest.raises(TypeError):
        ledger.perform(ref, send=lambda: {"id": object()}, find=None, lease_s=60)

    assert ledger.get(ref).state is State.UNKNOWN


def test_a_receipt_in_hand_waits_for_a_database_that_does_not_answer(ledger_url, ref, database):
    ledger = Ledger(make_engine(ledger_url, busy_timeout_s=0.1), owner="ann")
    blocker = create_engine(ledger.engine.url)
    locked, done = threading.Event(), threading.Event()
    lock = {"sqlite": "BEGIN IMMEDIATE", "postgresql": "LOCK TABLE effects IN EXCLUSIVE MODE"}[database]

    def block() -> None:
        with blocker.connect() as connection:
            connection.exec_driver_sql(lock)
            locked.set()
            done.wait(0.7)
            connection.rollback()

    thread = threading.Thread(target=block)

    def send() -> dict[str, object]:
        thread.start()
        assert locked.wait(5)
        return {"id": 1}

    assert ledger.perform(ref, send=send, find=None, lease_s=60) == {"id": 1}
    thread.join()
    assert ledger.get(ref).receipt == {"id": 1}
    blocker.dispose()
    ledger.engine.dispose()


def test_many_effects_are_kept_apart(ledger):
    receipts = [
        ledger.perform(
            EffectRef("w", "k", str(number)), send=lambda number=number: {"n": number}, find=None, lease_s=60
        )
        for number in range(20)
    ]

    assert [receipt["n"] for receipt in receipts] == list(range(20))


class TestStoodStill:
    """A process that slept in the middle of its call for longer than its claim, and wakes up."""

    @pytest.fixture
    def undone(self):
        return []

    def perform(self, ledger, ref, vendor, undone, meanwhile):
        def send():
            made = vendor.send()
            meanwhile()
            return made

        return ledger.perform(
            ref, send=send, find=vendor.find, lease_s=60, undo=lambda *receipts: undone.append(receipts)
        )

    def test_takes_back_what_another_has_done_as_well(self, ledger, other, ref, vendor, expire, undone):
        def meanwhile():
            expire()
            other.perform(ref, send=vendor.send, find=lambda: None, lease_s=60)

        assert self.perform(ledger, ref, vendor, undone, meanwhile) == {"id": 2}
        assert undone == [({"id": 1}, {"id": 2})]
        assert ledger.get(ref).receipt == {"id": 2}

    def test_asks_whoever_knows_whether_it_is_the_same_thing(
        self, ledger, other, ref, vendor, expire, undone
    ):
        def meanwhile():
            expire()
            other.perform(ref, send=vendor.send, find=vendor.find, lease_s=60)

        assert self.perform(ledger, ref, vendor, undone, meanwhile) == {"id": 1, "found": True}
        assert undone == [({"id": 1}, {"id": 1, "found": True})]

    def test_leaves_the_doing_to_whoever_is_at_it(self, ledger, other, ref, vendor, expire, undone):
        def meanwhile():
            expire()
            other.begin(ref, lease_s=60)
            other.resume(ref, lease_s=60, reason="looked up", attempt=1)

        with pytest.raises(Busy):
            self.perform(ledger, ref, vendor, undone, meanwhile)
        assert undone == [({"id": 1}, None)]

    def test_leaves_it_to_be_found_if_nobody_is(self, ledger, other, ref, vendor, expire, undone):
        def meanwhile():
            expire()
            other.begin(ref, lease_s=60)
            other.resume(ref, lease_s=60, reason="looked up", attempt=1)
            other.mark_unknown(ref, "its answer was lost")

        with pytest.raises(ClaimLost):
            self.perform(ledger, ref, vendor, undone, meanwhile)
        assert undone == []
        assert ledger.perform(ref, send=vendor.send, find=vendor.find, lease_s=60) == {"id": 1, "found": True}
        assert vendor.made == [1]
