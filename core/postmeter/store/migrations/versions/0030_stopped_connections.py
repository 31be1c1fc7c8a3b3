"""What waits of a connection that the guard has paused does not leave."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0030"
down_revision = "0029"

STOPPED = sa.text("stopped")


def upgrade() -> None:
    """Take the step."""
    op.add_column("connection", sa.Column("stopped", sa.Boolean(), nullable=False, server_default=sa.false()))
    op.create_index("ix_connection_stopped", "connection", ["id"], sqlite_where=STOPPED, postgresql_where=STOPPED)


def downgrade() -> None:
    """Take it back."""
    op.drop_index("ix_connection_stopped", "connection")
    op.drop_column("connection", "stopped")
