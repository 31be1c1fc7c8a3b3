"""Recipients that are late are found at once."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0023"
down_revision = "0022"

LATE = sa.text("warn_at IS NOT NULL AND state IN ('queued', 'deferred')")


def upgrade() -> None:
    """Take the step."""
    op.create_index("ix_recipient_warn_at", "recipient", ["warn_at"], sqlite_where=LATE, postgresql_where=LATE)


def downgrade() -> None:
    """Take it back."""
    op.drop_index("ix_recipient_warn_at", "recipient")
