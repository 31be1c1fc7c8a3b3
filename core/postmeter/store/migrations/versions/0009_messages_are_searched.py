"""Indexes by which an account's messages are found: by address, Message-ID and reference, and what went wrong."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0009"
down_revision = "0008"

INDEXES: tuple[
    tuple[str, str, list[str | sa.TextClause], str], ...
] = (  # the condition of each is repeated by the queries that use it
    ("ix_message_account_id_id", "message", ["account_id", "id"], ""),
    ("ix_message_account_id_message_id", "message", ["account_id", "message_id", "id"], "message_id <> ''"),
    ("ix_message_account_id_reference", "message", ["account_id", "reference", "id"], "reference <> ''"),
    (
        "ix_recipient_address",
        "recipient",
        ["account_id", sa.text("lower(forward_path)"), "message_id"],
        "forward_path <> ''",
    ),
    (
        "ix_recipient_trouble",
        "recipient",
        ["account_id", "message_id", "state"],
        "state IN ('deferred', 'held', 'bounced', 'expired', 'suppressed', 'cancelled')",
    ),
)


def upgrade() -> None:
    """Take the step."""
    for name, table, columns, condition in INDEXES:
        only = sa.text(condition) if condition else None
        op.create_index(name, table, columns, sqlite_where=only, postgresql_where=only)
    op.drop_index("ix_message_account_id_accepted_at", "message")  # ids are in the order of time


def downgrade() -> None:
    """Take it back."""
    op.create_index("ix_message_account_id_accepted_at", "message", ["account_id", "accepted_at"])
    for name, table, *_ in INDEXES:
        op.drop_index(name, table)
