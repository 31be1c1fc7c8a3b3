"""What the operator decides: orders on the queue, suspended providers; and what left from which address."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0014"
down_revision = "0013"

WHOLE = sa.BigInteger().with_variant(sa.Integer(), "sqlite")
HELD, OPEN = sa.text("state = 'held'"), sa.text("finished_at IS NULL")
FIGURES = ("attempts", "delivered", "refused", "deferred", "encrypted")


def upgrade() -> None:
    """Take the step."""
    op.create_table(
        "queue_order",
        sa.Column("id", WHOLE, nullable=False),
        sa.Column("verb", sa.Text(), nullable=False),
        sa.Column("filter", sa.Text(), nullable=False),
        sa.Column("upto", sa.String(26), nullable=False),
        sa.Column("matched", WHOLE, nullable=False),
        sa.Column("done", WHOLE, nullable=False),
        sa.Column("left_out", WHOLE, nullable=False),
        sa.Column("placed_at", sa.Double(), nullable=False),
        sa.Column("placed_by", sa.Text(), nullable=False),
        sa.Column("last_due", sa.Double(), nullable=False),
        sa.Column("last_message", sa.String(26), nullable=False),
        sa.Column("last_n", WHOLE, nullable=False),
        sa.Column("finished_at", sa.Double(), nullable=True),
        sa.PrimaryKeyConstraint("id", name="pk_queue_order"),
    )
    op.create_index("ix_queue_order_open", "queue_order", ["id"], sqlite_where=OPEN, postgresql_where=OPEN)
    op.create_index("ix_recipient_held", "recipient", ["next_attempt_at"], sqlite_where=HELD, postgresql_where=HELD)
    op.create_table(
        "provider_suspension",
        sa.Column("provider", sa.Text(), nullable=False),
        sa.Column("reason", sa.Text(), nullable=False),
        sa.Column("since", sa.Double(), nullable=False),
        sa.Column("until", sa.Double(), nullable=True),
        sa.Column("by", sa.Text(), nullable=False),
        sa.PrimaryKeyConstraint("provider", name="pk_provider_suspension"),
    )
    op.create_table(
        "source_day",
        sa.Column("address", sa.Text(), nullable=False),
        sa.Column("day", WHOLE, autoincrement=False, nullable=False),
        sa.Column("provider", sa.Text(), nullable=False),
        *(sa.Column(name, WHOLE, nullable=False) for name in FIGURES),
        sa.Column("last_at", sa.Double(), nullable=False),
        sa.PrimaryKeyConstraint("address", "day", "provider", name="pk_source_day"),
    )


def downgrade() -> None:
    """Take it back."""
    op.drop_table("source_day")
    op.drop_table("provider_suspension")
    op.drop_index("ix_recipient_held", "recipient")
    op.drop_table("queue_order")
