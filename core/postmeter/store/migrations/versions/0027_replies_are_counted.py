"""Replies that a rule takes several of are counted for all workers together."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0027"
down_revision = "0026"


def upgrade() -> None:
    """Take the step."""
    op.create_table(
        "provider_replies",
        sa.Column("provider", sa.Text(), nullable=False),
        sa.Column("rule", sa.Text(), nullable=False),
        sa.Column("times", sa.JSON(), nullable=False),
        sa.Column("last_at", sa.Double[float](), nullable=False),
        sa.PrimaryKeyConstraint("provider", "rule", name="pk_provider_replies"),
        sqlite_with_rowid=False,
    )


def downgrade() -> None:
    """Take it back."""
    op.drop_table("provider_replies")
