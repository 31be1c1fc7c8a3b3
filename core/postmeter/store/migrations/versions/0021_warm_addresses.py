"""Addresses that an operator declares warm; what a provider deferred because it was too much."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0021"
down_revision = "0019"

_NUMBER = sa.BigInteger().with_variant(sa.Integer(), "sqlite")


def upgrade() -> None:
    """Take the step."""
    op.add_column("source_day", sa.Column("limited", _NUMBER, nullable=False, server_default=sa.text("0")))
    op.create_table(
        "source_warm",
        sa.Column("address", sa.Text(), nullable=False),
        sa.Column("since", sa.Double(), nullable=False),
        sa.Column("by", sa.Text(), nullable=False),
        sa.PrimaryKeyConstraint("address", name="pk_source_warm"),
    )


def downgrade() -> None:
    """Take it back."""
    op.drop_table("source_warm")
    op.drop_column("source_day", "limited")
