"""Connections that are being set up, secrets whose last use is known, and names that are free again."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0010"
down_revision = "0009"

INDEX, KEY = "uq_connection_account_id_name", ["account_id", "name"]
USED = sa.text("retired_at IS NULL")


def upgrade() -> None:
    """Take the step."""
    for column in _columns():
        op.add_column("connection", column)
    op.execute("UPDATE connection SET revealed_at = created_at")  # until now it was shown at once
    op.drop_index(INDEX, "connection")
    op.create_index(INDEX, "connection", KEY, unique=True, sqlite_where=USED, postgresql_where=USED)


def downgrade() -> None:
    """Take it back; a retired connection leaves its name to the one that has it now."""
    op.execute("UPDATE connection SET name = name || ' (' || id || ')' WHERE retired_at IS NOT NULL")
    op.drop_index(INDEX, "connection")
    op.create_index(INDEX, "connection", KEY, unique=True)
    for column in _columns():
        op.drop_column("connection", column.name)


def _columns() -> list[sa.Column[object]]:
    return [
        sa.Column("previous_used_at", sa.Double(), nullable=True),
        sa.Column("revealed_at", sa.Double(), nullable=True),
        sa.Column("system", sa.Text(), nullable=False, server_default=sa.text("''")),
    ]
