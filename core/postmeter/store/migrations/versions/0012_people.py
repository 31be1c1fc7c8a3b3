"""People: since when they belong to an account, and when they last used the panel."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0012"
down_revision = "0008"


def upgrade() -> None:
    """Take the step."""
    op.add_column("user", sa.Column("seen_at", sa.Double(), nullable=True))
    op.add_column("membership", sa.Column("created_at", sa.Double(), nullable=True))


def downgrade() -> None:
    """Take it back."""
    op.drop_column("user", "seen_at")
    op.drop_column("membership", "created_at")
