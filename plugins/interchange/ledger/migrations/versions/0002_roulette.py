"""Tokens that are renewed, and the tables of the pairing workflows."""

from __future__ import annotations

from typing import Any

import sqlalchemy as sa
from alembic import op

from interchange.ledger.schema import UtcDateTime

revision = "0002"
down_revision = "0001"
branch_labels = None
depends_on = None

KEY = sa.String(64)
LIVE = sa.text("state IN ('open', 'agreed')")


def upgrade() -> None:
    op.create_table(
        "tokens",
        sa.Column("name", sa.String(256), primary_key=True),
        sa.Column("sealed", sa.Text, nullable=False),
        sa.Column("changed_at", UtcDateTime, nullable=False),
    )
    _create_rounds()
    _create_talk()


def downgrade() -> None:
    raise RuntimeError(
        "The ledger is not migrated backwards, that would destroy who met whom: restore a backup."
    )


def _person(name: str, **more: Any) -> sa.Column[str]:
    reference = sa.ForeignKey("roulette_people.person", name=name, onupdate="CASCADE")
    return sa.Column("person", KEY, reference, **more)


def _group(name: str, **more: Any) -> sa.Column[str]:
    return sa.Column(
        "group_id", KEY, sa.ForeignKey("roulette_groups.id", name=name, ondelete="CASCADE"), **more
    )


def _create_rounds() -> None:
    op.create_table(
        "roulette_people",
        sa.Column("person", KEY, primary_key=True),
        sa.Column("address", sa.Text),
        sa.Column("name", sa.Text),
        sa.Column("webex_id", sa.Text),
        sa.Column("zone", sa.Text),
        sa.Column("paused_until", sa.String(10)),
        sa.Column("skipped_week", sa.String(10)),
        sa.Column("listing", sa.Text),
        sa.Column("changed_at", UtcDateTime, nullable=False),
    )
    op.create_table(
        "roulette_rounds",
        sa.Column("week", sa.String(8), primary_key=True),
        sa.Column("monday", sa.String(10), nullable=False),
        sa.Column("draw", sa.String(64), nullable=False),
        sa.Column("seed", sa.Text, nullable=False),
        sa.Column("quality", sa.Text, nullable=False),
        sa.Column("drawn_at", UtcDateTime, nullable=False),
        sa.Column("settled_at", UtcDateTime),
    )
    op.create_table(
        "roulette_groups",
        sa.Column("id", KEY, primary_key=True),
        sa.Column(
            "week", sa.String(8), sa.ForeignKey("roulette_rounds.week", name="groups_round"), nullable=False
        ),
        sa.Column("reason", sa.Text, nullable=False),
        sa.Column("state", sa.String(16), nullable=False),
        sa.Column("starts_at", UtcDateTime),
        sa.Column("minutes", sa.Integer),
        sa.Column("meeting_id", sa.Text),
        sa.Column("web_link", sa.Text),
        sa.Column("moved", sa.Integer, nullable=False, server_default="0"),
        sa.CheckConstraint("state IN ('planned', 'booked', 'dropped')", name="groups_states"),
        sa.CheckConstraint(
            "state <> 'booked' OR (meeting_id IS NOT NULL AND starts_at IS NOT NULL AND minutes IS NOT NULL)",
            name="groups_booked",
        ),
    )
    op.create_index("roulette_groups_of_week", "roulette_groups", ["week"])
    op.create_table(
        "roulette_members",
        _group("members_group", primary_key=True),
        _person("members_person", primary_key=True),
        sa.Column("left_at", UtcDateTime),
        sa.Column("met", sa.Boolean),
    )
    op.create_index("roulette_members_of_person", "roulette_members", ["person"])
    op.create_table(
        "roulette_rests",
        sa.Column(
            "week",
            sa.String(8),
            sa.ForeignKey("roulette_rounds.week", name="rests_round", ondelete="CASCADE"),
            primary_key=True,
        ),
        _person("rests_person", primary_key=True),
        sa.Column("reason", sa.Text, nullable=False),
    )


def _create_talk() -> None:
    op.create_table(
        "roulette_proposals",
        sa.Column("id", KEY, primary_key=True),
        _group("proposals_group", nullable=False),
        _person("proposals_person", nullable=False),
        sa.Column("starts_at", UtcDateTime, nullable=False),
        sa.Column("instead_of", UtcDateTime, nullable=False),
        sa.Column("state", sa.String(16), nullable=False),
        sa.Column("made_at", UtcDateTime, nullable=False),
        sa.Column("expires_at", UtcDateTime, nullable=False),
        sa.CheckConstraint(
            "state IN ('open', 'agreed', 'moved', 'declined', 'expired', 'replaced', 'void')",
            name="proposals_states",
        ),
    )
    op.create_index(
        "roulette_proposals_live",
        "roulette_proposals",
        ["group_id"],
        unique=True,
        sqlite_where=LIVE,
        postgresql_where=LIVE,
    )
    proposal = "roulette_proposals.id"
    op.create_table(
        "roulette_consents",
        sa.Column(
            "proposal_id",
            KEY,
            sa.ForeignKey(proposal, name="consents_proposal", ondelete="CASCADE"),
            primary_key=True,
        ),
        _person("consents_person", primary_key=True),
        sa.Column("agrees", sa.Boolean, nullable=False),
        sa.Column("at", UtcDateTime, nullable=False),
    )
    op.create_table(
        "roulette_cards",
        sa.Column("id", KEY, primary_key=True),
        sa.Column("kind", sa.String(16), nullable=False),
        _person("cards_person", nullable=False),
        _group("cards_group"),
        sa.Column("proposal_id", KEY, sa.ForeignKey(proposal, name="cards_proposal", ondelete="CASCADE")),
        sa.Column("content", sa.Text),
        sa.Column("made_at", UtcDateTime, nullable=False),
        sa.Column("expires_at", UtcDateTime, nullable=False),
        sa.Column("used_at", UtcDateTime),
        sa.Column("used_by", sa.Text),
        sa.CheckConstraint("kind IN ('move', 'consent', 'met', 'inform', 'send')", name="cards_kinds"),
    )
