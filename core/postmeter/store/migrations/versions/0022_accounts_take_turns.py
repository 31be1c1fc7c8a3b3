"""What is due is found by whose turn it is: priority, account, provider."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0022"
down_revision = "0021"

_WAITING = sa.text("state IN ('queued', 'deferred')")


def upgrade() -> None:
    """Take the step."""
    columns = ["priority", "account_id", "provider", "next_attempt_at"]
    op.create_index("ix_recipient_turn", "recipient", columns, sqlite_where=_WAITING, postgresql_where=_WAITING)


def downgrade() -> None:
    """Take it back."""
    op.drop_index("ix_recipient_turn", "recipient")
