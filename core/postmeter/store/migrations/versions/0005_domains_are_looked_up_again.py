"""Domains are looked up again and again: when, and since when their records are gone."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0005"
down_revision = "0004"

WATCHED = sa.text("next_check_at IS NOT NULL")


def upgrade() -> None:
    """Take the step."""
    for name in ("checked_at", "next_check_at", "failing_since", "warned_at"):
        op.add_column("sending_domain", sa.Column(name, sa.Double(), nullable=True))
    failures = sa.Column(
        "failures", sa.BigInteger().with_variant(sa.Integer(), "sqlite"), server_default="0", nullable=False
    )
    op.add_column("sending_domain", failures)
    op.create_index(
        "ix_sending_domain_next_check_at",
        "sending_domain",
        ["next_check_at"],
        sqlite_where=WATCHED,
        postgresql_where=WATCHED,
    )
    op.execute("UPDATE sending_domain SET next_check_at = verified_at WHERE NOT trusted")


def downgrade() -> None:
    """Take it back."""
    op.drop_index("ix_sending_domain_next_check_at", "sending_domain")
    with op.batch_alter_table("sending_domain") as domain:
        for name in ("failures", "warned_at", "failing_since", "next_check_at", "checked_at"):
            domain.drop_column(name)
