"""What plugins need: a message's reference, which connections they follow, how far their own tables have come."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0003"
down_revision = "0002"


def upgrade() -> None:
    """Take the step."""
    op.add_column("message", sa.Column("reference", sa.Text(), server_default="", nullable=False))
    op.create_table(
        "plugin_step",
        sa.Column("plugin", sa.Text(), nullable=False),
        sa.Column("taken", sa.BigInteger().with_variant(sa.Integer(), "sqlite"), nullable=False),
        sa.PrimaryKeyConstraint("plugin", name="pk_plugin_step"),
    )
    op.create_table(
        "followed",
        sa.Column(
            "connection_id", sa.BigInteger().with_variant(sa.Integer(), "sqlite"), autoincrement=False, nullable=False
        ),
        sa.Column("plugin", sa.Text(), nullable=False),
        sa.PrimaryKeyConstraint("connection_id", "plugin", name="pk_followed"),
    )


def downgrade() -> None:
    """Take it back."""
    op.drop_table("followed")
    op.drop_table("plugin_step")
    with op.batch_alter_table("message") as message:
        message.drop_column("reference")
