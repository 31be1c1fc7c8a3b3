"""Orders on the queue have an object; connections are guarded by what becomes of their mail."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0026"
down_revision = "0025"

_NUMBER = sa.BigInteger().with_variant(sa.Integer(), "sqlite")


def upgrade() -> None:
    """Take the step."""
    op.add_column("queue_order", sa.Column("object", sa.Text(), nullable=False, server_default=sa.text("''")))
    op.add_column("connection", sa.Column("guarded_since", sa.Double[float](), nullable=True))
    op.create_table(
        "connection_warning",
        sa.Column("account_id", _NUMBER, nullable=False),
        sa.Column("connection_id", _NUMBER, nullable=False),
        sa.Column("about", sa.Text(), nullable=False),
        sa.Column("at", sa.Double[float](), nullable=False),
        sa.PrimaryKeyConstraint("account_id", "connection_id", "about", name="pk_connection_warning"),
        sqlite_with_rowid=False,
    )


def downgrade() -> None:
    """Take it back."""
    op.drop_table("connection_warning")
    op.drop_column("connection", "guarded_since")
    op.drop_column("queue_order", "object")
