"""A recipient has the time at which it first failed for what is borne for a time only, such as a full mailbox."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0027"
down_revision = "0026"


def upgrade() -> None:
    """Take the step."""
    op.add_column("recipient", sa.Column("failing_since", sa.Double[float](), nullable=True))


def downgrade() -> None:
    """Take it back."""
    op.drop_column("recipient", "failing_since")
