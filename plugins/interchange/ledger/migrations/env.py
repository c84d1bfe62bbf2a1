"""Run by Alembic: applies the migrations on the connection that :mod:`interchange.ledger.upgrade` opened."""

from __future__ import annotations

from alembic import context

from interchange.ledger.schema import VERSION_TABLE, metadata

context.configure(
    connection=context.config.attributes["connection"],
    target_metadata=metadata,
    version_table=VERSION_TABLE,
    # Both databases undo DDL with the transaction; it is opened, locked and committed by the caller.
    transactional_ddl=True,
)
with context.begin_transaction():
    context.run_migrations()
