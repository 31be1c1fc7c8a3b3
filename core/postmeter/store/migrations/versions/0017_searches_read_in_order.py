"""SQLite finds Message-IDs and addresses in indexes that are written at their ends only."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0017"
down_revision = "0016"

NEVER = sa.text("message_id IS NULL")
IN_ORDER: tuple[tuple[str, str, list[str]], ...] = (  # empty on PostgreSQL
    ("ix_message_in_order", "message", ["account_id", "id", "message_id"]),
    ("ix_recipient_in_order", "recipient", ["account_id", "message_id", "forward_path"]),
)
OTHERS: tuple[tuple[str, str, list[str | sa.TextClause], str], ...] = (  # from now on empty on SQLite
    ("ix_message_account_id_id", "message", ["account_id", "id"], ""),
    ("ix_message_account_id_message_id", "message", ["account_id", "message_id", "id"], "message_id <> ''"),
    (
        "ix_recipient_address",
        "recipient",
        ["account_id", sa.text("lower(forward_path)"), "message_id"],
        "forward_path <> ''",
    ),
)


def upgrade() -> None:
    """Take the step."""
    for name, table, columns in IN_ORDER:
        op.create_index(name, table, columns, postgresql_where=NEVER)
    if op.get_bind().dialect.name == "sqlite":
        for name, table, columns_, _ in OTHERS:
            op.drop_index(name, table)
            op.create_index(name, table, columns_, sqlite_where=NEVER)


def downgrade() -> None:
    """Take it back."""
    for name, table, _ in IN_ORDER:
        op.drop_index(name, table)
    if op.get_bind().dialect.name == "sqlite":
        for name, table, columns, condition in OTHERS:
            op.drop_index(name, table)
            op.create_index(name, table, columns, sqlite_where=sa.text(condition) if condition else None)
