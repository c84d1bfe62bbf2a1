"""
The ledger: effects, their events, named claims, rate limits.

Whoever writes to these tables, this package or a person with an SQL client, the database keeps the rules:
CHECK constraints say what a state needs, triggers which state may follow which, and that every change of
state leaves an event which nobody can alter. Triggers of the two databases say the same in their own
languages; the tests run every rule on both.
"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

from interchange.ledger.schema import UtcDateTime

revision = "0001"
down_revision = None
branch_labels = None
depends_on = None

# Frozen with this migration: a later one that changes the rules brings its own.
ALLOWED = (
    ("planned", "begun"),
    ("planned", "quarantined"),
    ("begun", "confirmed"),
    ("begun", "planned"),
    ("begun", "unknown"),
    ("unknown", "confirmed"),
    ("unknown", "planned"),
    ("unknown", "begun"),
    ("quarantined", "planned"),
)
ALLOWED_SQL = ", ".join(f"'{before}>{after}'" for before, after in ALLOWED)


def upgrade() -> None:
    sqlite = op.get_context().dialect.name == "sqlite"
    _create_tables(
        is_json="json_type(receipt) = 'object'" if sqlite else "json_typeof(receipt::json) = 'object'"
    )
    for statement in SQLITE_TRIGGERS if sqlite else POSTGRESQL_TRIGGERS:
        # Neither text() nor the driver may look for parameters among the colons and percent signs.
        op.get_bind().exec_driver_sql(statement, execution_options={"no_parameters": True})


def downgrade() -> None:
    raise RuntimeError("The ledger is not migrated backwards, that would destroy receipts: restore a backup.")


def _create_tables(*, is_json: str) -> None:
    serial = sa.BigInteger().with_variant(sa.Integer, "sqlite")
    op.create_table(
        "effects",
        sa.Column("id", serial, sa.Identity(), primary_key=True),
        sa.Column("workflow", sa.String(128), nullable=False),
        sa.Column("kind", sa.String(128), nullable=False),
        sa.Column("key", sa.String(512), nullable=False),
        sa.Column("state", sa.String(16), nullable=False),
        sa.Column("digest", sa.Text),
        sa.Column("owner", sa.Text),
        sa.Column("claim_expires_at", UtcDateTime),
        sa.Column("attempts", sa.Integer, nullable=False, server_default="0"),
        sa.Column("field", sa.Text),
        sa.Column("reason", sa.Text),
        sa.Column("receipt", sa.Text),
        sa.Column("progress", sa.Text),
        sa.Column("dag_id", sa.Text),
        sa.Column("run_id", sa.Text),
        sa.Column("request", sa.Text),
        sa.Column("changed_by", sa.Text),
        sa.Column("created_at", UtcDateTime, nullable=False),
        sa.Column("updated_at", UtcDateTime, nullable=False),
        sa.UniqueConstraint("workflow", "kind", "key", name="effects_name"),
        sa.CheckConstraint(
            "length(workflow) BETWEEN 1 AND 128 AND length(kind) BETWEEN 1 AND 128"
            " AND length(key) BETWEEN 1 AND 512 AND workflow NOT LIKE '%/%' AND kind NOT LIKE '%/%'",
            name="effects_named",
        ),
        sa.CheckConstraint(
            "state IN ('planned', 'begun', 'confirmed', 'unknown', 'quarantined')", name="effects_states"
        ),
        sa.CheckConstraint(
            "CASE state WHEN 'begun' THEN coalesce(owner, '') <> '' AND claim_expires_at IS NOT NULL"
            " WHEN 'unknown' THEN coalesce(owner, '') <> '' AND claim_expires_at IS NULL"
            " ELSE owner IS NULL AND claim_expires_at IS NULL END",
            name="effects_claimed_while_begun",
        ),
        sa.CheckConstraint(
            f"CASE state WHEN 'confirmed' THEN receipt IS NOT NULL AND {is_json} ELSE receipt IS NULL END",
            name="effects_receipt_when_confirmed",
        ),
        sa.CheckConstraint(
            "CASE state WHEN 'quarantined' THEN coalesce(field, '') <> '' AND coalesce(reason, '') <> ''"
            " WHEN 'unknown' THEN field IS NULL AND coalesce(reason, '') <> '' ELSE field IS NULL END",
            name="effects_reasons",
        ),
        sa.CheckConstraint(
            "attempts >= 0 AND (attempts > 0 OR state IN ('planned', 'quarantined'))", name="effects_attempts"
        ),
        sa.CheckConstraint(
            "progress IS NULL OR state IN ('planned', 'begun', 'unknown')",
            name="effects_progress_until_settled",
        ),
        sqlite_autoincrement=True,
    )
    op.create_index("effects_by_state", "effects", ["state", "updated_at"])
    op.create_index("effects_by_time", "effects", ["updated_at"])
    op.create_table(
        "events",
        sa.Column("id", serial, sa.Identity(), primary_key=True),
        sa.Column("effect_id", serial, sa.ForeignKey("effects.id", name="events_effect")),
        sa.Column("claim", sa.Text),
        sa.Column("at", UtcDateTime, nullable=False),
        sa.Column("from_state", sa.String(16)),
        sa.Column("to_state", sa.String(16), nullable=False),
        sa.Column("by", sa.Text, nullable=False),
        sa.Column("reason", sa.Text),
        sa.CheckConstraint("(effect_id IS NULL) <> (claim IS NULL)", name="events_of_one_thing"),
        sqlite_autoincrement=True,
    )
    op.create_index("events_of_effect", "events", ["effect_id", "id"])
    op.create_table(
        "claims",
        sa.Column("name", sa.String(512), primary_key=True),
        sa.Column("owner", sa.Text, nullable=False),
        sa.Column("holder", sa.Text, nullable=False),
        sa.Column("taken_at", UtcDateTime, nullable=False),
        sa.Column("expires_at", UtcDateTime, nullable=False),
    )
    op.create_table(
        "rate_limits",
        sa.Column("bucket", sa.String(512), primary_key=True),
        sa.Column("next_at", sa.Double, nullable=False),
        sa.Column("blocked_until", sa.Double, nullable=False, server_default="0"),
    )
    op.create_table(
        "pins",
        sa.Column("name", sa.String(128), primary_key=True),
        sa.Column("value", sa.Text, nullable=False),
    )


# RAISE takes only a literal in the SQLite versions that are around, so each rule has a trigger of its own.
_SQLITE_NOW = "strftime('%Y-%m-%d %H:%M:%f', 'now') || '000'"


def _sqlite_rule(name: str, when: str, message: str) -> str:
    return f"CREATE TRIGGER {name} BEFORE {when} BEGIN SELECT RAISE(ABORT, '{message}'); END"


def _sqlite_event(name: str, when: str, from_state: str, reason: str) -> str:
    columns = "effect_id, at, from_state, to_state, by, reason"
    values = f"NEW.id, {_SQLITE_NOW}, {from_state}, NEW.state, coalesce(NEW.changed_by, 'sql'), {reason}"
    return (
        f"CREATE TRIGGER {name} AFTER {when} BEGIN"  # noqa: S608 - every part is written in this file
        f" INSERT INTO events ({columns}) VALUES ({values});"
        " UPDATE effects SET changed_by = NULL WHERE id = NEW.id AND changed_by IS NOT NULL; END"
    )


SQLITE_TRIGGERS = (
    _sqlite_rule(
        "effects_start_planned",
        "INSERT ON effects WHEN NEW.state <> 'planned' OR NEW.attempts <> 0",
        "An effect starts as planned.",
    ),
    # INSERT OR REPLACE would take the old row away.
    _sqlite_rule(
        "effects_not_replaced",
        "INSERT ON effects WHEN EXISTS (SELECT 1 FROM effects WHERE id = NEW.id"
        " OR (workflow = NEW.workflow AND kind = NEW.kind AND key = NEW.key))",
        "This effect is in the ledger already.",
    ),
    _sqlite_rule(
        "effects_transition",
        "UPDATE ON effects WHEN OLD.state <> NEW.state"
        f" AND OLD.state || '>' || NEW.state NOT IN ({ALLOWED_SQL})",
        "This state may not follow that one.",
    ),
    _sqlite_rule(
        "effects_identity",
        "UPDATE ON effects WHEN OLD.id <> NEW.id OR OLD.workflow <> NEW.workflow OR OLD.kind <> NEW.kind"
        " OR OLD.key <> NEW.key OR OLD.created_at <> NEW.created_at",
        "The name of an effect does not change.",
    ),
    _sqlite_rule(
        "effects_attempts",
        "UPDATE ON effects WHEN NEW.attempts <>"
        " OLD.attempts + (NEW.state = 'begun' AND OLD.state <> 'begun')",
        "Beginning counts one attempt, nothing else does.",
    ),
    _sqlite_rule(
        "effects_one_owner",
        "UPDATE ON effects WHEN OLD.state = NEW.state AND OLD.owner IS NOT NEW.owner",
        "A claim does not change hands: it runs out first.",
    ),
    _sqlite_rule("effects_kept", "DELETE ON effects", "Effects are never deleted."),
    _sqlite_event("effects_planned_event", "INSERT ON effects", "NULL", "NEW.reason"),
    _sqlite_event(
        "effects_state_event",
        "UPDATE OF state ON effects WHEN OLD.state <> NEW.state",
        "OLD.state",
        "NEW.reason",
    ),
    _sqlite_event(
        "effects_receipt_event",
        "UPDATE OF receipt ON effects WHEN OLD.state = NEW.state AND OLD.receipt IS NOT NEW.receipt",
        "OLD.state",
        "'receipt altered'",
    ),
    _sqlite_rule("events_kept", "DELETE ON events", "Events are never deleted."),
    _sqlite_rule("events_not_altered", "UPDATE ON events", "Events are never altered."),
    _sqlite_rule(
        "events_not_replaced",
        "INSERT ON events WHEN EXISTS (SELECT 1 FROM events WHERE id = NEW.id)",
        "Events are never altered.",
    ),
)

# A session may look in another schema than the tables are in, hence TG_TABLE_SCHEMA.
POSTGRESQL_TRIGGERS = (
    f"""
CREATE FUNCTION interchange_guard_effect() RETURNS trigger LANGUAGE plpgsql AS $$
DECLARE problem text;
BEGIN
  IF TG_OP IN ('DELETE', 'TRUNCATE') THEN
    problem := 'Effects are never deleted.';
  ELSIF TG_OP = 'INSERT' THEN
    IF NEW.state <> 'planned' OR NEW.attempts <> 0 THEN
      problem := 'An effect starts as planned.';
    END IF;
  ELSIF OLD.state <> NEW.state AND OLD.state || '>' || NEW.state NOT IN ({ALLOWED_SQL}) THEN
    problem := 'State ' || NEW.state || ' may not follow ' || OLD.state || '.';
  ELSIF (OLD.id, OLD.workflow, OLD.kind, OLD.key, OLD.created_at)
      IS DISTINCT FROM (NEW.id, NEW.workflow, NEW.kind, NEW.key, NEW.created_at) THEN
    problem := 'The name of an effect does not change.';
  ELSIF NEW.attempts <> OLD.attempts + (NEW.state = 'begun' AND OLD.state <> 'begun')::int THEN
    problem := 'Beginning counts one attempt, nothing else does.';
  ELSIF OLD.state = NEW.state AND OLD.owner IS DISTINCT FROM NEW.owner THEN
    problem := 'A claim does not change hands: it runs out first.';
  END IF;
  IF problem IS NOT NULL THEN
    RAISE EXCEPTION USING MESSAGE = problem, ERRCODE = 'check_violation';
  END IF;
  RETURN NEW;
END $$
""",
    """
CREATE FUNCTION interchange_note_event() RETURNS trigger LANGUAGE plpgsql AS $$
DECLARE
  before_state text;
  why text := NEW.reason;
BEGIN
  IF TG_OP = 'UPDATE' THEN
    IF OLD.state = NEW.state AND OLD.receipt IS NOT DISTINCT FROM NEW.receipt THEN
      RETURN NULL;
    END IF;
    before_state := OLD.state;
    IF OLD.state = NEW.state THEN
      why := 'receipt altered';
    END IF;
  END IF;
  EXECUTE format('INSERT INTO %I.events (effect_id, at, from_state, to_state, by, reason)'
    ' VALUES ($1, clock_timestamp(), $2, $3, $4, $5)', TG_TABLE_SCHEMA)
    USING NEW.id, before_state, NEW.state, coalesce(NEW.changed_by, 'sql:' || session_user), why;
  EXECUTE format('UPDATE %I.effects SET changed_by = NULL WHERE id = $1 AND changed_by IS NOT NULL',
    TG_TABLE_SCHEMA) USING NEW.id;
  RETURN NULL;
END $$
""",
    """
CREATE FUNCTION interchange_keep_events() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
  RAISE EXCEPTION USING MESSAGE = 'Events are never altered or deleted.', ERRCODE = 'check_violation';
END $$
""",
    (
        "CREATE TRIGGER effects_guard BEFORE INSERT OR UPDATE OR DELETE ON effects"
        " FOR EACH ROW EXECUTE FUNCTION interchange_guard_effect()"
    ),
    (
        "CREATE TRIGGER effects_not_truncated BEFORE TRUNCATE ON effects"
        " FOR EACH STATEMENT EXECUTE FUNCTION interchange_guard_effect()"
    ),
    (
        "CREATE TRIGGER effects_event AFTER INSERT OR UPDATE OF state, receipt ON effects"
        " FOR EACH ROW EXECUTE FUNCTION interchange_note_event()"
    ),
    (
        "CREATE TRIGGER events_kept BEFORE UPDATE OR DELETE ON events"
        " FOR EACH ROW EXECUTE FUNCTION interchange_keep_events()"
    ),
    (
        "CREATE TRIGGER events_not_truncated BEFORE TRUNCATE ON events"
        " FOR EACH STATEMENT EXECUTE FUNCTION interchange_keep_events()"
    ),
)
