"""Orders on the queue have an object; connections are guarded by what becomes of their mail."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0026"
down_revision = "0025"


def upgrade() -> None:
    """Take the step."""
    op.add_column("queue_order", sa.Column("object", sa.Text(), nullable=False, server_default=sa.text("''")))


def downgrade() -> None:
    """Take it back."""
    op.drop_column("queue_order", "object")
