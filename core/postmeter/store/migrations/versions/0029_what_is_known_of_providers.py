"""Replies that a rule takes several of are counted for all workers; these tell their sessions, and begin again."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0029"
down_revision = "0028"

_NUMBER = sa.BigInteger().with_variant(sa.Integer(), "sqlite")


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
    op.create_table(
        "provider_sessions",
        sa.Column("worker", _NUMBER, nullable=False, autoincrement=False),
        sa.Column("provider", sa.Text(), nullable=False),
        sa.Column("open", _NUMBER, nullable=False),
        sa.Column("allowed", sa.Double[float](), nullable=False),
        sa.PrimaryKeyConstraint("worker", "provider", name="pk_provider_sessions"),
        sqlite_with_rowid=False,
    )
    op.create_table(
        "provider_resumption",
        sa.Column("provider", sa.Text(), nullable=False),
        sa.Column("at", sa.Double[float](), nullable=False),
        sa.PrimaryKeyConstraint("provider", name="pk_provider_resumption"),
        sqlite_with_rowid=False,
    )


def downgrade() -> None:
    """Take it back."""
    op.drop_table("provider_resumption")
    op.drop_table("provider_sessions")
    op.drop_table("provider_replies")
