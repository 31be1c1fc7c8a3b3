"""What plugins are told: events that are set aside and told again, wishes for that, and what is wrong at present."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0006"
down_revision = "0005"

WHOLE = sa.BigInteger().with_variant(sa.Integer(), "sqlite")


def upgrade() -> None:
    """Take the step."""
    op.add_column("cursor", sa.Column("turn", WHOLE, server_default="0", nullable=False))
    op.add_column("cursor", sa.Column("error", sa.Text(), server_default="", nullable=False))
    op.add_column("cursor", sa.Column("failed_at", sa.Double(), nullable=True))
    op.create_table(
        "parked",
        sa.Column("plugin", sa.Text(), nullable=False),
        sa.Column("event_id", WHOLE, autoincrement=False, nullable=False),
        sa.Column("tx", WHOLE, nullable=False),
        sa.Column("lane", sa.Text(), nullable=False),
        sa.Column("failures", WHOLE, nullable=False),
        sa.Column("retry_at", sa.Double(), nullable=False),
        sa.PrimaryKeyConstraint("plugin", "event_id", name="pk_parked"),
    )
    op.create_index("ix_parked_plugin_lane", "parked", ["plugin", "lane"])
    op.create_table(
        "replay",
        sa.Column("id", WHOLE, nullable=False),
        sa.Column("plugin", sa.Text(), nullable=False),
        *(sa.Column(name, WHOLE, nullable=False) for name in ("first", "last")),
        *(sa.Column(name, sa.Double(), nullable=False) for name in ("since", "until")),
        *(sa.Column(name, WHOLE, nullable=False) for name in ("tx", "event_id", "end_tx", "end_id")),
        sa.PrimaryKeyConstraint("id", name="pk_replay"),
    )
    op.create_table(
        "plugin_trouble",
        sa.Column("plugin", sa.Text(), nullable=False),
        sa.Column("hook", sa.Text(), nullable=False),
        sa.Column("worker", WHOLE, autoincrement=False, nullable=False),
        sa.Column("error", sa.Text(), nullable=False),
        sa.Column("since", sa.Double(), nullable=False),
        sa.PrimaryKeyConstraint("plugin", "hook", "worker", name="pk_plugin_trouble"),
    )


def downgrade() -> None:
    """Take it back."""
    for name in ("plugin_trouble", "replay", "parked"):
        op.drop_table(name)
    with op.batch_alter_table("cursor") as cursor:
        for name in ("turn", "error", "failed_at"):
            cursor.drop_column(name)
