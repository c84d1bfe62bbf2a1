"""The ledger's methods, one by one."""

from __future__ import annotations

import dataclasses
from datetime import UTC, date, datetime, timedelta

import pytest
from cryptography.fernet import Fernet, MultiFernet

from interchange.errors import Busy, Conflict, NotFound, SettingsError
from interchange.ledger import ClaimLost, EffectRef, Ledger, RunRef, State
from interchange.ledger.database import database_url


def test_an_effect_is_named_by_workflow_kind_and_key():
    ref = EffectRef.parse("workflow/upload/folder/file.csv")

    assert ref == EffectRef("workflow", "upload", "folder/file.csv")
    assert str(ref) == "workflow/upload/folder/file.csv"


@pytest.mark.parametrize(
    "parts", [("", "k", "x"), ("w", "k", ""), ("w/v", "k", "x"), ("w", "k/l", "x"), ("w", "k", "x" * 513)]
)
def test_a_name_that_could_be_mistaken_is_refused(parts):
    with pytest.raises(ValueError, match="effect's"):
        EffectRef(*parts)


# Planning


def test_planning_twice_keeps_one_effect(ledger, other, ref):
    first = ledger.plan(ref, digest="a", run=RunRef("dag", "run-1", "run-1"))
    second = other.plan(ref)

    assert second == first
    assert (first.state, first.digest, first.dag_id, first.run_id, first.request, first.attempts) == (
        State.PLANNED,
        "a",
        "dag",
        "run-1",
        "run-1",
        0,
    )
    assert len(ledger.events(ref)) == 1


def test_a_new_digest_counts_while_planned_and_not_after(ledger, ref):
    ledger.plan(ref, digest="a")
    assert ledger.plan(ref, digest="b", run=RunRef("dag", "run-2")).digest == "b"
    ledger.begin(ref, lease_s=60)
    ledger.confirm(ref, {})

    assert ledger.plan(ref, digest="c").digest == "b"
    assert ledger.get(ref).run_id == "run-2"


def test_times_are_aware_utc_by_the_databases_clock(ledger, ref):
    effect = ledger.plan(ref)

    assert effect.created_at.tzinfo is UTC
    assert abs(effect.created_at - datetime.now(UTC)) < timedelta(seconds=5)


# Claims


def test_beginning_claims_the_effect_for_a_lease(ledger, ref):
    effect = ledger.begin(ref, lease_s=60)

    assert (effect.state, effect.owner, effect.attempts) == (State.BEGUN, "ann", 1)
    assert timedelta(seconds=59) < effect.claim_expires_at - effect.updated_at < timedelta(seconds=61)
    assert [event.to_state for event in ledger.events(ref)] == ["planned", "begun"]


def test_a_live_claim_keeps_everybody_else_out(ledger, other, ref):
    ledger.begin(ref, lease_s=60)

    for someone in (other, ledger):
        with pytest.raises(Busy, match="being done by ann") as caught:
            someone.begin(ref, lease_s=60)
        assert 40 < caught.value.retry_after_s <= 60


def test_a_claim_that_ran_out_makes_the_outcome_unknown(ledger, other, ref, until):
    ledger.begin(ref, lease_s=0.2)

    def begun_by_other() -> bool:
        try:
            return other.begin(ref, lease_s=60).state is State.UNKNOWN
        except Busy:
            return False

    until(begun_by_other)
    unknown = other.begin(ref, lease_s=60)
    assert (unknown.state, unknown.owner, unknown.attempts) == (State.UNKNOWN, "ann", 1)


def test_what_is_settled_is_returned_as_it_is(ledger, other, ref):
    ledger.begin(ref, lease_s=60)
    confirmed = ledger.confirm(ref, {"id": 7})
    wrong = EffectRef("workflow", "upload", "wrong")
    quarantined = ledger.plan(wrong) and ledger.quarantine(wrong, field="f", reason="r")

    assert other.begin(ref, lease_s=60) == confirmed
    assert other.begin(wrong, lease_s=60) == quarantined


@pytest.mark.parametrize("lease_s", [0, -1, float("nan"), float("inf")])
def test_a_lease_without_length_is_refused(ledger, ref, lease_s):
    with pytest.raises(ValueError, match="lease"):
        ledger.begin(ref, lease_s=lease_s)


def test_renewing_extends_our_claim_only(ledger, other, ref):
    first = ledger.begin(ref, lease_s=5)

    assert ledger.renew(ref, lease_s=60).claim_expires_at > first.claim_expires_at + timedelta(seconds=50)
    with pytest.raises(ClaimLost, match="claimed by ann"):
        other.renew(ref, lease_s=60)
    with pytest.raises(NotFound):
        ledger.renew(EffectRef("workflow", "upload", "none"), lease_s=60)


def test_a_claim_that_ran_out_can_be_renewed_until_somebody_acts_on_it(ledger, other, ref, expire):
    ledger.begin(ref, lease_s=60)
    expire()
    ledger.renew(ref, lease_s=60)
    with pytest.raises(Busy):
        other.begin(ref, lease_s=60)

    expire()
    other.begin(ref, lease_s=60)
    with pytest.raises(ClaimLost):
        ledger.renew(ref, lease_s=60)


@pytest.mark.parametrize("action", ["confirm", "release", "mark_unknown", "save_progress"])
def test_only_the_claims_owner_ends_an_attempt(ledger, engine, ref, action):
    ledger.begin(ref, lease_s=60)
    other = Ledger(engine, owner="bob", cipher=Fernet(Fernet.generate_key()))
    argument = {} if action in ("confirm", "save_progress") else "reason"

    with pytest.raises(ClaimLost):
        getattr(other, action)(ref, argument)

    assert ledger.get(ref).state is State.BEGUN


# Outcomes


def test_a_receipt_comes_back_as_it_was_stored(ledger, ref):
    ledger.begin(ref, lease_s=60)
    ledger.confirm(
        ref, {"id": "é\0", "at": datetime(2027, 3, 1, tzinfo=UTC), "day": date(2027, 3, 1), "n": [1, None]}
    )

    assert ledger.get(ref).receipt == {
        "id": "é\0",
        "at": "2027-03-01T00:00:00+00:00",
        "day": "2027-03-01",
        "n": [1, None],
    }


@pytest.mark.parametrize("value", [{1, 2}, float("nan"), b"bytes", object()])
def test_a_receipt_that_is_not_json_is_refused(ledger, ref, value):
    ledger.begin(ref, lease_s=60)

    with pytest.raises((TypeError, ValueError)):
        ledger.confirm(ref, {"value": value})

    assert ledger.get(ref).state is State.BEGUN


def test_confirming_again_with_the_same_receipt_changes_nothing(ledger, ref):
    ledger.begin(ref, lease_s=60)
    first = ledger.confirm(ref, {"id": 1})

    assert ledger.confirm(ref, {"id": 1}) == first
    with pytest.raises(ClaimLost):
        ledger.confirm(ref, {"id": 2})


def test_a_late_receipt_is_better_than_an_unknown_outcome(ledger, other, ref, expire):
    ledger.begin(ref, lease_s=60)
    expire()
    assert other.begin(ref, lease_s=60).state is State.UNKNOWN

    assert ledger.confirm(ref, {"id": 1}).state is State.CONFIRMED


def test_a_late_receipt_does_not_end_somebody_elses_attempt(ledger, other, ref, expire):
    ledger.begin(ref, lease_s=60)
    expire()
    other.begin(ref, lease_s=60)
    other.resume(ref, lease_s=60, reason="not found")

    with pytest.raises(ClaimLost, match="claimed by bob"):
        ledger.confirm(ref, {"id": 1})


def test_what_was_certainly_not_done_may_begin_again(ledger, other, ref):
    ledger.begin(ref, lease_s=60)
    released = ledger.release(ref, "HTTP 503")

    assert (released.state, released.owner, released.reason) == (State.PLANNED, None, "HTTP 503")
    assert other.begin(ref, lease_s=60).attempts == 2


def test_an_unknown_outcome_is_resumed_by_one_only(ledger, other, ref):
    ledger.begin(ref, lease_s=60)
    looked_up = ledger.mark_unknown(ref, "time-out")
    assert other.resume(ref, lease_s=60, reason="not found", attempt=looked_up.attempts).attempts == 2

    with pytest.raises(Busy):
        ledger.resume(ref, lease_s=60, reason="not found", attempt=looked_up.attempts)
    other.mark_unknown(ref, "time-out again")
    # What was looked up was the first attempt; the second may have done it.
    with pytest.raises(Conflict):
        ledger.resume(ref, lease_s=60, reason="not found", attempt=looked_up.attempts)


def test_a_bad_record_is_set_aside_with_field_and_reason_and_replayed(ledger, other, ref):
    ledger.plan(ref)
    aside = other.quarantine(ref, field="amount", reason="not a number")
    assert (aside.state, aside.field, aside.reason) == (State.QUARANTINED, "amount", "not a number")

    back = ledger.replay(ref, by="carla", reason="corrected")

    assert (back.state, back.field) == (State.PLANNED, None)
    assert [(event.by, event.reason) for event in ledger.events(ref)][-1] == ("carla", "corrected")
    with pytest.raises(Conflict, match="is planned, not quarantined"):
        ledger.replay(ref, by="carla", reason="again")


def test_our_own_attempt_can_be_set_aside_but_nobody_elses(ledger, other, ref):
    ledger.begin(ref, lease_s=60)
    with pytest.raises(Busy):
        other.quarantine(ref, field="amount", reason="not a number")

    ledger.quarantine(ref, field="amount", reason="not a number")

    assert [event.to_state for event in ledger.events(ref)] == ["planned", "begun", "planned", "quarantined"]


@pytest.mark.parametrize("to", [State.CONFIRMED, State.PLANNED])
def test_a_person_settles_an_unknown_outcome(ledger, ref, to, expire):
    ledger.begin(ref, lease_s=60)
    expire()

    settled = ledger.settle(ref, to=to, by="carla", reason="saw it in the vendor's portal")

    assert settled.state is to
    assert settled.receipt == (
        {"settled_by": "carla", "reason": "saw it in the vendor's portal"} if to is State.CONFIRMED else None
    )
    last = ledger.events(ref)[-1]
    assert (last.from_state, last.by, last.reason) == ("unknown", "carla", "saw it in the vendor's portal")


def test_only_an_unknown_outcome_can_be_settled(ledger, ref):
    with pytest.raises(NotFound):
        ledger.settle(ref, to=State.PLANNED, by="carla", reason="r")
    ledger.begin(ref, lease_s=60)
    with pytest.raises(Busy):
        ledger.settle(ref, to=State.PLANNED, by="carla", reason="r")
    ledger.confirm(ref, {})
    with pytest.raises(Conflict, match="is confirmed, not of unknown outcome"):
        ledger.settle(ref, to=State.PLANNED, by="carla", reason="r")
    with pytest.raises(ValueError, match="confirmed or planned"):
        ledger.settle(ref, to=State.BEGUN, by="carla", reason="r")


def test_a_reason_is_cut_so_that_no_body_ends_up_in_it(ledger, ref):
    ledger.begin(ref, lease_s=60)

    assert len(ledger.mark_unknown(ref, "x" * 100_000).reason) == 2000


# Progress


def test_progress_is_kept_encrypted_until_the_effect_is_confirmed(engine, other, ref, sql):
    cipher = Fernet(Fernet.generate_key())
    ledger = Ledger(engine, owner="ann", cipher=cipher)
    ledger.begin(ref, lease_s=60)
    assert ledger.load_progress(ref) is None

    assert ledger.save_progress(ref, {"url": "https://upload.example/secret"})

    [(stored,)] = sql("SELECT progress FROM effects")
    assert "secret" not in stored
    assert "upload" not in stored
    ledger.mark_unknown(ref, "time-out")
    successor = Ledger(engine, owner="bob", cipher=cipher)
    successor.resume(ref, lease_s=60, reason="go on")
    assert successor.load_progress(ref) == {"url": "https://upload.example/secret"}
    successor.confirm(ref, {})
    assert sql("SELECT progress FROM effects") == [(None,)]


def test_progress_is_rather_lost_than_kept_in_clear(ledger, ref, sql):
    ledger.begin(ref, lease_s=60)

    assert ledger.save_progress(ref, {"url": "https://upload.example/secret"}) is False

    assert sql("SELECT progress FROM effects") == [(None,)]
    assert ledger.load_progress(ref) is None


def test_progress_survives_a_key_rotation_and_a_lost_key_only_starts_it_anew(engine, ref, caplog):
    old, new = Fernet(Fernet.generate_key()), Fernet(Fernet.generate_key())
    ledger = Ledger(engine, owner="ann", cipher=old)
    ledger.begin(ref, lease_s=60)
    ledger.save_progress(ref, {"page": 3})

    assert Ledger(engine, owner="ann", cipher=MultiFernet([new, old])).load_progress(ref) == {"page": 3}
    assert Ledger(engine, owner="ann", cipher=new).load_progress(ref) is None
    assert "another Fernet key" in caplog.text


# Lists and personal data


def test_effects_are_found_by_all_their_marks(ledger, sql):
    refs = [EffectRef("w", kind, key) for kind in ("a", "b") for key in ("K1", "k1", "k%2")]
    for ref in refs:
        ledger.plan(ref)
    ledger.begin(refs[0], lease_s=60)

    assert [effect.ref for effect in ledger.list(newest_first=False)] == [*refs[1:], refs[0]]
    assert [effect.ref for effect in ledger.list()] == [refs[0], *reversed(refs[1:])]
    assert [effect.ref for effect in ledger.list(kind="a", key_prefix="k", newest_first=False)] == refs[1:3]
    assert [effect.ref for effect in ledger.list(key_prefix="k%")] == [refs[5], refs[2]]
    assert [effect.ref for effect in ledger.list(state=State.BEGUN)] == [refs[0]]
    assert len(ledger.list(limit=2)) == 2
    assert ledger.list(workflow="v") == []
    assert ledger.list(since=datetime.now(UTC) + timedelta(hours=1)) == []
    assert len(ledger.list(since=datetime.now(UTC) - timedelta(hours=1))) == 6
    assert ledger.count()[State.PLANNED] == 5
    assert ledger.count(workflow="v")[State.PLANNED] == 0


def test_a_time_without_zone_is_refused(ledger):
    with pytest.raises(Exception, match="without a zone"):
        ledger.list(since=datetime(2027, 3, 1))  # noqa: DTZ001 - the point of the test


def test_claims_that_ran_out_are_found_all_at_once(ledger, expire):
    refs = [EffectRef("w", "k", str(number)) for number in range(3)]
    for ref in refs:
        ledger.begin(ref, lease_s=60)
    assert ledger.expire_claims() == []

    expire()

    assert {effect.ref for effect in ledger.expire_claims()} == set(refs)
    assert ledger.count()[State.UNKNOWN] == 3


def test_personal_data_leaves_receipts_and_says_so(ledger):
    ref, plain = EffectRef("w", "mail", "1"), EffectRef("w", "mail", "2")
    for each, receipt in (
        (ref, {"id": 1, "to": "a@b.edu", "name": "Ann", "personal": ["to", "name"]}),
        (plain, {"id": 2}),
    ):
        ledger.begin(each, lease_s=60)
        ledger.confirm(each, receipt)

    assert ledger.forget_personal_data(datetime.now(UTC) - timedelta(days=1)) == 0
    assert ledger.forget_personal_data(datetime.now(UTC) + timedelta(days=1)) == 1
    assert ledger.forget_personal_data(datetime.now(UTC) + timedelta(days=1)) == 0

    assert ledger.get(ref).receipt == {"id": 1, "forgotten": ["name", "to"]}
    assert ledger.get(plain).receipt == {"id": 2}
    assert (ledger.events(ref)[-1].to_state, ledger.events(ref)[-1].by) == ("confirmed", "ann")


def test_what_is_pinned_stays(ledger, other):
    assert ledger.pin("fact", "a")
    assert other.pin("fact", "a")
    assert not other.pin("fact", "b")


# Databases


@pytest.mark.parametrize("url", ["mysql://host/db", "sqlite://", "sqlite:///:memory:"])
def test_a_ledger_lives_in_a_file_or_in_postgresql(url):
    with pytest.raises(SettingsError):
        database_url(url)


@pytest.mark.parametrize("scheme", ["postgres", "postgresql", "postgresql+psycopg2", "postgresql+psycopg"])
def test_every_spelling_of_postgresql_is_understood(scheme):
    url = database_url(f"{scheme}://ann:p%40ss@db.example:5433/ledger?sslmode=require")

    assert url.get_backend_name() == "postgresql"
    assert url.get_driver_name() == ("psycopg" if scheme.endswith("psycopg") else "psycopg2")
    assert (url.password, url.query["sslmode"]) == ("p@ss", "require")
    assert "p%40ss" not in str(url)
    assert "p@ss" not in str(url)


def test_effects_do_not_change_under_their_reader(ledger, ref):
    effect = ledger.plan(ref)

    with pytest.raises(dataclasses.FrozenInstanceError):
        effect.state = State.CONFIRMED
