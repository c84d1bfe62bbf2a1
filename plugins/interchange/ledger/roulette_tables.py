"""
Tables of the pairing workflows: who takes part, who met whom, and what is being talked about.

They are in the ledger's database, because a claim in the ledger and a change here must see the same truth. People are
named by a key of ours everywhere; their address stands in one row only, so that a person can be forgotten there.
"""

from __future__ import annotations

from sqlalchemy import Boolean, CheckConstraint, Column, ForeignKey, Index, Integer, String, Table, Text, text

from interchange.ledger.schema import UtcDateTime, metadata

_KEY = String(64)

people = Table(
    "roulette_people",
    metadata,
    # Of the address; a random one after the person was forgotten, and with it in all the other tables.
    Column("person", _KEY, primary_key=True),
    Column("address", Text),
    Column("name", Text),
    Column("webex_id", Text),
    Column("zone", Text),
    # ISO days. Paused until the day before; absent from the round of the week that begins then.
    Column("paused_until", String(10)),
    Column("skipped_week", String(10)),
    # The meetings last listed to them, in that order: what the numbers they answer with mean. JSON.
    Column("listing", Text),
    Column("changed_at", UtcDateTime, nullable=False),
)

rounds = Table(
    "roulette_rounds",
    metadata,
    Column("week", String(8), primary_key=True),
    Column("monday", String(10), nullable=False),
    # Rounds drawn together bear the same one.
    Column("draw", String(64), nullable=False),
    Column("seed", Text, nullable=False),
    # Of the draw: JSON.
    Column("quality", Text, nullable=False),
    Column("drawn_at", UtcDateTime, nullable=False),
    # When the groups were settled, and their meetings could be booked.
    Column("settled_at", UtcDateTime),
)

groups = Table(
    "roulette_groups",
    metadata,
    Column("id", _KEY, primary_key=True),
    Column("week", String(8), ForeignKey("roulette_rounds.week", name="groups_round"), nullable=False),
    Column("reason", Text, nullable=False),
    Column("state", String(16), nullable=False),
    Column("starts_at", UtcDateTime),
    Column("minutes", Integer),
    Column("meeting_id", Text),
    Column("web_link", Text),
    Column("moved", Integer, nullable=False, server_default="0"),
    CheckConstraint("state IN ('planned', 'booked', 'dropped')", name="groups_states"),
    CheckConstraint(
        "state <> 'booked' OR (meeting_id IS NOT NULL AND starts_at IS NOT NULL AND minutes IS NOT NULL)",
        name="groups_booked",
    ),
    Index("roulette_groups_of_week", "week"),
)

members = Table(
    "roulette_members",
    metadata,
    Column("group_id", _KEY, ForeignKey("roulette_groups.id", name="members_group", ondelete="CASCADE"),
           primary_key=True),
    Column("person", _KEY, ForeignKey("roulette_people.person", name="members_person", onupdate="CASCADE"),
           primary_key=True),
    # Left the group after it was booked.
    Column("left_at", UtcDateTime),
    # Whether they met, as this person says.
    Column("met", Boolean),
    Index("roulette_members_of_person", "person"),
)  # fmt: skip

rests = Table(
    "roulette_rests",
    metadata,
    Column("week", String(8), ForeignKey("roulette_rounds.week", name="rests_round", ondelete="CASCADE"),
           primary_key=True),
    Column("person", _KEY, ForeignKey("roulette_people.person", name="rests_person", onupdate="CASCADE"),
           primary_key=True),
    Column("reason", Text, nullable=False),
)  # fmt: skip

proposals = Table(
    "roulette_proposals",
    metadata,
    Column("id", _KEY, primary_key=True),
    Column("group_id", _KEY, ForeignKey("roulette_groups.id", name="proposals_group", ondelete="CASCADE"),
           nullable=False),
    Column("person", _KEY, ForeignKey("roulette_people.person", name="proposals_person", onupdate="CASCADE"),
           nullable=False),
    Column("starts_at", UtcDateTime, nullable=False),
    # What it would move the meeting away from: another move makes it void.
    Column("instead_of", UtcDateTime, nullable=False),
    Column("state", String(16), nullable=False),
    Column("made_at", UtcDateTime, nullable=False),
    Column("expires_at", UtcDateTime, nullable=False),
    CheckConstraint(
        "state IN ('open', 'agreed', 'moved', 'declined', 'expired', 'replaced', 'void')", name="proposals_states"
    ),
    # One live proposal for each meeting.
    Index("roulette_proposals_live", "group_id", unique=True,
          sqlite_where=text("state IN ('open', 'agreed')"), postgresql_where=text("state IN ('open', 'agreed')")),
)  # fmt: skip

consents = Table(
    "roulette_consents",
    metadata,
    Column("proposal_id", _KEY, ForeignKey("roulette_proposals.id", name="consents_proposal", ondelete="CASCADE"),
           primary_key=True),
    Column("person", _KEY, ForeignKey("roulette_people.person", name="consents_person", onupdate="CASCADE"),
           primary_key=True),
    Column("agrees", Boolean, nullable=False),
    Column("at", UtcDateTime, nullable=False),
)  # fmt: skip

cards = Table(
    "roulette_cards",
    metadata,
    # All that a card holds of us: what it is about stands here, where nobody outside can change it.
    Column("id", _KEY, primary_key=True),
    Column("kind", String(16), nullable=False),
    Column("person", _KEY, ForeignKey("roulette_people.person", name="cards_person", onupdate="CASCADE"),
           nullable=False),
    Column("group_id", _KEY, ForeignKey("roulette_groups.id", name="cards_group", ondelete="CASCADE")),
    Column("proposal_id", _KEY, ForeignKey("roulette_proposals.id", name="cards_proposal", ondelete="CASCADE")),
    # Encrypted text, such as an announcement that waits for its sending.
    Column("content", Text),
    Column("made_at", UtcDateTime, nullable=False),
    Column("expires_at", UtcDateTime, nullable=False),
    Column("used_at", UtcDateTime),
    # The id of the event that used it: it may come again, another one may not.
    Column("used_by", Text),
    CheckConstraint("kind IN ('move', 'consent', 'met', 'inform', 'send')", name="cards_kinds"),
)  # fmt: skip
