"""
The ledger's tables and its clock, for SQLite and PostgreSQL.

The tables here are what queries are written against; ``migrations/`` creates them, with the triggers. A test
compares the two.
"""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

from sqlalchemy import (
    BigInteger,
    Column,
    DateTime,
    Dialect,
    Double,
    ForeignKey,
    Identity,
    Index,
    Integer,
    MetaData,
    String,
    Table,
    Text,
    TypeDecorator,
    UniqueConstraint,
)
from sqlalchemy.ext.compiler import compiles
from sqlalchemy.sql.compiler import SQLCompiler
from sqlalchemy.sql.functions import FunctionElement
from sqlalchemy.types import TypeEngine

REVISION = "0002"
"""The newest migration: a ledger at this revision is used without loading Alembic."""
VERSION_TABLE = "interchange_alembic_version"

_SQLITE_TIME = "%Y-%m-%d %H:%M:%S.%f"
# Milliseconds are all SQLite's clock has; the zeros make its text as long as that of a bound value, so that
# comparing text compares times.
_SQLITE_NOW = "strftime('%Y-%m-%d %H:%M:%f', 'now'{modifier}) || '000'"


class UtcDateTime(TypeDecorator[datetime]):
    """An aware UTC time: ``timestamptz`` on PostgreSQL, sortable text on SQLite."""

    impl = DateTime
    cache_ok = True

    def load_dialect_impl(self, dialect: Dialect) -> TypeEngine[Any]:
        if dialect.name == "sqlite":
            return dialect.type_descriptor(String(26))
        return dialect.type_descriptor(DateTime(timezone=True))

    def process_bind_param(self, value: datetime | None, dialect: Dialect) -> Any:
        if value is None:
            return None
        if value.tzinfo is None:
            raise ValueError("A time without a zone has no meaning here; pass an aware one.")
        value = value.astimezone(UTC)
        return value.strftime(_SQLITE_TIME) if dialect.name == "sqlite" else value

    def process_result_value(self, value: Any, dialect: Dialect) -> datetime | None:
        if value is None:
            return None
        if isinstance(value, str):
            return datetime.fromisoformat(value).replace(tzinfo=UTC)
        stored: datetime = value
        return stored.astimezone(UTC)


class now(FunctionElement[datetime]):  # noqa: N801 - reads as the SQL function it is
    """The database's clock: the only one that decides whether a claim has run out."""

    type = UtcDateTime()
    inherit_cache = True


class later(FunctionElement[datetime]):  # noqa: N801
    """The database's clock plus so many seconds: ``later(literal(seconds, Double))``."""

    type = UtcDateTime()
    inherit_cache = True


class epoch(FunctionElement[float]):  # noqa: N801
    """The database's clock in seconds since 1970, for arithmetic."""

    type = Double()
    inherit_cache = True


@compiles(now, "sqlite")
def _now_sqlite(element: now, compiler: SQLCompiler, **kw: Any) -> str:
    return f"({_SQLITE_NOW.format(modifier='')})"


@compiles(now, "postgresql")
def _now_postgresql(element: now, compiler: SQLCompiler, **kw: Any) -> str:
    return "clock_timestamp()"


@compiles(later, "sqlite")
def _later_sqlite(element: later, compiler: SQLCompiler, **kw: Any) -> str:
    seconds = compiler.process(element.clauses, **kw)
    return f"({_SQLITE_NOW.format(modifier=f', printf({chr(39)}%+.3f seconds{chr(39)}, {seconds})')})"


@compiles(later, "postgresql")
def _later_postgresql(element: later, compiler: SQLCompiler, **kw: Any) -> str:
    return f"(clock_timestamp() + make_interval(secs => {compiler.process(element.clauses, **kw)}))"


@compiles(epoch, "sqlite")
def _epoch_sqlite(element: epoch, compiler: SQLCompiler, **kw: Any) -> str:
    return "((julianday('now') - 2440587.5) * 86400.0)"


@compiles(epoch, "postgresql")
def _epoch_postgresql(element: epoch, compiler: SQLCompiler, **kw: Any) -> str:
    return "CAST(extract(epoch FROM clock_timestamp()) AS double precision)"


metadata = MetaData()
# SQLite counts rows by itself only in a column of exactly this type.
_id = BigInteger().with_variant(Integer, "sqlite")

effects = Table(
    "effects",
    metadata,
    Column("id", _id, Identity(), primary_key=True),
    Column("workflow", String(128), nullable=False),
    Column("kind", String(128), nullable=False),
    Column("key", String(512), nullable=False),
    Column("state", String(16), nullable=False),
    Column("digest", Text),
    Column("owner", Text),
    Column("claim_expires_at", UtcDateTime),
    Column("attempts", Integer, nullable=False, server_default="0"),
    Column("field", Text),
    Column("reason", Text),
    Column("receipt", Text),
    Column("progress", Text),
    Column("dag_id", Text),
    Column("run_id", Text),
    Column("request", Text),
    # Who makes this change: set with it, moved into the event by the trigger, and so always NULL at rest.
    Column("changed_by", Text),
    Column("created_at", UtcDateTime, nullable=False),
    Column("updated_at", UtcDateTime, nullable=False),
    UniqueConstraint("workflow", "kind", "key", name="effects_name"),
    Index("effects_by_state", "state", "updated_at"),
    Index("effects_by_time", "updated_at"),
)

events = Table(
    "events",
    metadata,
    Column("id", _id, Identity(), primary_key=True),
    Column("effect_id", _id, ForeignKey("effects.id", name="events_effect")),
    Column("claim", Text),
    Column("at", UtcDateTime, nullable=False),
    Column("from_state", String(16)),
    Column("to_state", String(16), nullable=False),
    Column("by", Text, nullable=False),
    Column("reason", Text),
    Index("events_of_effect", "effect_id", "id"),
)

claims = Table(
    "claims",
    metadata,
    Column("name", String(512), primary_key=True),
    Column("owner", Text, nullable=False),
    Column("holder", Text, nullable=False),
    Column("taken_at", UtcDateTime, nullable=False),
    Column("expires_at", UtcDateTime, nullable=False),
)

rate_limits = Table(
    "rate_limits",
    metadata,
    Column("bucket", String(512), primary_key=True),
    # Seconds since 1970 by the database's clock.
    Column("next_at", Double, nullable=False),
    Column("blocked_until", Double, nullable=False, server_default="0"),
)

pins = Table(
    "pins",
    metadata,
    Column("name", String(128), primary_key=True),
    Column("value", Text, nullable=False),
)

tokens = Table(
    "tokens",
    metadata,
    Column("name", String(256), primary_key=True),
    # Encrypted with Airflow's Fernet key.
    Column("sealed", Text, nullable=False),
    Column("changed_at", UtcDateTime, nullable=False),
)
