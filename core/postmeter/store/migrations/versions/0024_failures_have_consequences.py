"""Addresses that fail again and again are counted, and which refusals of a domain an account was told of is noted."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0024"
down_revision = "0023"

_NUMBER = sa.BigInteger().with_variant(sa.Integer(), "sqlite")
_TEXT = sa.Text()


def upgrade() -> None:
    """Take the step."""
    op.create_table(
        "strike",
        sa.Column("account_id", _NUMBER, nullable=False, autoincrement=False),
        sa.Column("address", _TEXT, nullable=False),
        sa.Column("message_id", sa.String(26), nullable=False),
        sa.Column("at", sa.Double(), nullable=False),
        sa.PrimaryKeyConstraint("account_id", "address", "message_id", name=op.f("pk_strike")),
        sqlite_with_rowid=False,
    )
    op.create_index(op.f("ix_strike_at"), "strike", ["at"])
    op.create_table(
        "domain_refusal",
        sa.Column("account_id", _NUMBER, nullable=False, autoincrement=False),
        sa.Column("domain", _TEXT, nullable=False),
        sa.Column("provider", _TEXT, nullable=False),
        sa.Column("day", _NUMBER, nullable=False, autoincrement=False),
        sa.PrimaryKeyConstraint("account_id", "domain", "provider", "day", name=op.f("pk_domain_refusal")),
        sqlite_with_rowid=False,
    )
    op.create_index(op.f("ix_domain_refusal_day"), "domain_refusal", ["day"])


def downgrade() -> None:
    """Take it back."""
    op.drop_table("domain_refusal")
    op.drop_table("strike")
