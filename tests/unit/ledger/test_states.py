"""The database itself keeps the rules, whoever writes to it."""

from __future__ import annotations

import itertools
import sqlite3
from collections.abc import Callable
from typing import Any

import pytest
from sqlalchemy.exc import DBAPIError, IntegrityError

from interchange.ledger import TRANSITIONS, EffectRef, Ledger, State

Sql = Callable[..., list[Any]]

FUTURE = "2099-01-01 00:00:00.000000"
# What a row must look like in each state, besides its name.
FITTING = {
    State.PLANNED: "owner = NULL, claim_expires_at = NULL, receipt = NULL, field = NULL, reason = NULL",
    State.BEGUN: f"owner = 'ann', claim_expires_at = '{FUTURE}', receipt = NULL, field = NULL, reason = NULL",
    State.CONFIRMED: "owner = NULL, claim_expires_at = NULL, receipt = '{}', field = NULL, reason = NULL",
    State.UNKNOWN: "owner = 'ann', claim_expires_at = NULL, receipt = NULL, field = NULL, reason = 'r'",
    State.QUARANTINED: "owner = NULL, claim_expires_at = NULL, receipt = NULL, field = 'f', reason = 'r'",
}
LEGAL = [(before, after) for before, all_after in TRANSITIONS.items() for after in sorted(all_after)]
ILLEGAL = [pair for pair in itertools.product(State, State) if pair[0] is not pair[1] and pair not in LEGAL]


def lead_to(ledger: Ledger, ref: EffectRef, state: State) -> None:
    ledger.plan(ref)
    if state is State.QUARANTINED:
        ledger.quarantine(ref, field="f", reason="r")
    elif state is not State.PLANNED:
        ledger.begin(ref, lease_s=60)
        if state is State.UNKNOWN:
            ledger.mark_unknown(ref, "r")
        elif state is State.CONFIRMED:
            ledger.confirm(ref, {})


def by_hand(sql: Sql, before: State, after: State) -> None:
    counted = ", attempts = attempts + 1" if after is State.BEGUN and before is not State.BEGUN else ""
    sql(f"UPDATE effects SET state = '{after}', {FITTING[after]}{counted}")


def test_the_table_of_transitions_is_the_design():
    assert {(str(before), str(after)) for before, after in LEGAL} == {
        ("planned", "begun"),
        ("begun", "confirmed"),
        ("begun", "planned"),
        ("begun", "unknown"),
        ("unknown", "confirmed"),
        ("unknown", "planned"),
        ("unknown", "begun"),
        ("planned", "quarantined"),
        ("quarantined", "planned"),
    }


@pytest.mark.parametrize(("before", "after"), LEGAL, ids=str)
def test_the_database_permits_each_legal_transition_and_notes_it(ledger, ref, sql, before, after):
    lead_to(ledger, ref, before)
    seen = len(ledger.events(ref))

    by_hand(sql, before, after)

    assert ledger.get(ref).state is after
    event = ledger.events(ref)[seen]
    assert (event.from_state, event.to_state) == (before, after)


@pytest.mark.parametrize(("before", "after"), ILLEGAL, ids=str)
def test_the_database_refuses_each_illegal_transition(ledger, ref, sql, before, after):
    lead_to(ledger, ref, before)
    seen = ledger.events(ref)

    with pytest.raises(IntegrityError, match="may not follow"):
        by_hand(sql, before, after)

    assert ledger.get(ref).state is before
    assert ledger.events(ref) == seen


@pytest.mark.parametrize("state", State)
def test_no_effect_starts_in_another_state_than_planned(sql, state):
    columns = (
        "workflow, kind, key, created_at, updated_at, state, owner, claim_expires_at, receipt, field, reason"
    )
    values = ", ".join(part.split(" = ")[1] for part in FITTING[state].split(", "))
    now = "'2027-03-01 00:00:00.000000'"
    statement = f"INSERT INTO effects ({columns}) VALUES ('w', 'k', 'x', {now}, {now}, '{state}', {values})"
    if state is State.PLANNED:
        sql(statement)
        assert sql("SELECT from_state, to_state FROM events") == [(None, "planned")]
    else:
        with pytest.raises(IntegrityError):
            sql(statement)


@pytest.mark.parametrize(
    ("state", "change"),
    [
        (State.BEGUN, "owner = NULL"),
        (State.BEGUN, "owner = ''"),
        (State.BEGUN, "claim_expires_at = NULL"),
        (State.BEGUN, "owner = 'bob'"),
        (State.BEGUN, "receipt = '{}'"),
        (State.BEGUN, "attempts = attempts + 1"),
        (State.BEGUN, "attempts = 0"),
        (State.PLANNED, "owner = 'ann'"),
        (State.PLANNED, "field = 'f'"),
        (State.PLANNED, "attempts = 1"),
        (State.PLANNED, "claim_expires_at = '2099-01-01 00:00:00.000000'"),
        (State.CONFIRMED, "receipt = NULL"),
        (State.CONFIRMED, "receipt = 'no JSON'"),
        (State.CONFIRMED, "receipt = '[]'"),
        (State.CONFIRMED, "progress = 'p'"),
        (State.CONFIRMED, "owner = 'ann'"),
        (State.UNKNOWN, "reason = NULL"),
        (State.UNKNOWN, "reason = ''"),
        (State.UNKNOWN, "claim_expires_at = '2099-01-01 00:00:00.000000'"),
        (State.QUARANTINED, "field = NULL"),
        (State.QUARANTINED, "field = ''"),
        (State.QUARANTINED, "reason = NULL"),
        (State.QUARANTINED, "progress = 'p'"),
        (State.PLANNED, "state = 'finished'"),
        (State.PLANNED, "workflow = 'other'"),
        (State.PLANNED, "kind = 'other'"),
        (State.PLANNED, "key = 'other'"),
        (State.PLANNED, "id = 4711"),
        (State.PLANNED, "created_at = '2001-01-01 00:00:00.000000'"),
    ],
)
def test_the_database_refuses_a_row_that_does_not_fit_its_state(ledger, ref, sql, state, change):
    lead_to(ledger, ref, state)
    before = ledger.get(ref)

    with pytest.raises(DBAPIError):
        sql(f"UPDATE effects SET {change}")

    assert ledger.get(ref) == before


@pytest.mark.parametrize(
    "statement",
    [
        "DELETE FROM effects",
        "DELETE FROM events",
        "UPDATE events SET by = 'nobody'",
        "UPDATE events SET reason = 'other', at = '2001-01-01 00:00:00.000000'",
    ],
)
def test_what_happened_cannot_be_undone_by_hand(ledger, ref, sql, statement):
    lead_to(ledger, ref, State.CONFIRMED)
    before = ledger.get(ref), ledger.events(ref)

    with pytest.raises(IntegrityError, match=r"never (altered|deleted)"):
        sql(statement)

    assert (ledger.get(ref), ledger.events(ref)) == before


def test_what_happened_cannot_be_swept_away_in_the_databases_own_ways(ledger, ref, sql, database):
    if database == "sqlite":
        # As its own client opens it, without any of our settings: there REPLACE deletes rows untold.
        sql = sqlite3.connect(ledger.engine.url.database, isolation_level=None).execute
    lead_to(ledger, ref, State.CONFIRMED)
    before = ledger.get(ref), ledger.events(ref)
    columns = "workflow, kind, key, state, created_at, updated_at"
    again = f"SELECT {columns.replace('state', chr(39) + 'planned' + chr(39))} FROM effects"
    ways = {
        "postgresql": ["TRUNCATE effects CASCADE", "TRUNCATE events"],
        "sqlite": [
            f"INSERT OR REPLACE INTO effects ({columns}) {again}",
            f"INSERT OR REPLACE INTO effects (id, {columns}) SELECT id, {again.removeprefix('SELECT ')}",
            "INSERT OR REPLACE INTO events SELECT * FROM events",
            "UPDATE OR REPLACE events SET id = 1 WHERE id = 2",
        ],
    }

    for statement in ways[database]:
        with pytest.raises((IntegrityError, sqlite3.IntegrityError)):
            sql(statement)

    assert (ledger.get(ref), ledger.events(ref)) == before


def test_a_change_by_hand_leaves_an_event_under_its_own_name(ledger, ref, sql):
    ledger.plan(ref)

    by_hand(sql, State.PLANNED, State.QUARANTINED)
    sql("UPDATE effects SET state = 'planned', field = NULL, reason = 'typo', changed_by = 'carla'")
    ledger.begin(ref, lease_s=60)
    ledger.confirm(ref, {"id": 1})
    sql("""UPDATE effects SET receipt = '{"id": 2}'""")

    story = [
        (event.from_state, event.to_state, event.by.split(":")[0], event.reason)
        for event in ledger.events(ref)
    ]
    assert story == [
        (None, "planned", "ann", None),
        ("planned", "quarantined", "sql", "r"),
        ("quarantined", "planned", "carla", "typo"),
        ("planned", "begun", "ann", None),
        ("begun", "confirmed", "ann", None),
        ("confirmed", "confirmed", "sql", "receipt altered"),
    ]


def test_a_transition_that_is_rolled_back_leaves_no_event(ledger, ref, engine):
    ledger.plan(ref)

    with engine.connect() as connection:
        connection.exec_driver_sql(f"UPDATE effects SET state = 'quarantined', {FITTING[State.QUARANTINED]}")
        connection.rollback()

    assert [event.to_state for event in ledger.events(ref)] == ["planned"]


def test_an_event_belongs_to_an_effect_or_to_a_claim(sql):
    with pytest.raises(IntegrityError):
        sql("INSERT INTO events (at, to_state, by) VALUES ('2027-03-01 00:00:00.000000', 'x', 'me')")
    with pytest.raises(IntegrityError):
        sql(f"INSERT INTO events (effect_id, at, to_state, by) VALUES (4711, '{FUTURE}', 'x', 'me')")
