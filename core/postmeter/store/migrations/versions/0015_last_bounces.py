"""The last bounces of an account are found at once."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0015"
down_revision = "0014"

FAILED = sa.text("state IN ('bounced', 'expired')")


def upgrade() -> None:
    """Take the step."""
    op.create_index(
        "ix_recipient_failed",
        "recipient",
        ["account_id", "final_at"],
        sqlite_where=FAILED,
        postgresql_where=FAILED,
    )


def downgrade() -> None:
    """Take it back."""
    op.drop_index("ix_recipient_failed", "recipient")
