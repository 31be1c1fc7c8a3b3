"""Quota that ends and is renewed, a ledger with signs, the hourly limit, and caps of connections."""

from __future__ import annotations

import time

import sqlalchemy as sa
from alembic import op

revision = "0004"
down_revision = "0003"

NUMBER = sa.BigInteger().with_variant(sa.Integer(), "sqlite")
OPEN = sa.text("due_at IS NOT NULL")
ZERO, NO, YES, EMPTY = sa.text("0"), sa.false(), sa.true(), sa.text("''")

# Blocks that have ended already are not renewed: nobody was told that they would be; nor is it told now that they have.
BRING_OVER = (
    "INSERT INTO ledger (account_id, block_id, kind, units, at) "
    "SELECT account_id, id, 'expire', -block.left, expires_at FROM block "
    "WHERE expires_at <= :now AND block.left > 0 ORDER BY expires_at, id",
    """UPDATE block SET "left" = 0 WHERE expires_at <= :now""",
    "UPDATE block SET renews = (kind = 'paid'), due_at = expires_at WHERE expires_at > :now",
    "UPDATE block SET due_at = expires_at - 259200 WHERE NOT renews AND due_at - 259200 > booked_at",
    "UPDATE account SET invoiced = ("
    "SELECT COALESCE(SUM(units), 0) FROM ledger WHERE ledger.account_id = account.id AND kind = 'invoice')",
    "UPDATE account SET overdraft_armed = (overdraft <= invoiced), paid_since = ("
    "SELECT MIN(booked_at) FROM block WHERE block.account_id = account.id AND kind = 'paid')",
    "UPDATE account SET low_armed = true, empty_armed = true",
    "UPDATE account SET low_armed = false WHERE threshold > ("
    "SELECT COALESCE(SUM(block.left), 0) FROM block WHERE block.account_id = account.id AND expires_at > :now)",
    "UPDATE account SET empty_armed = false WHERE NOT EXISTS ("
    "SELECT 1 FROM block WHERE block.account_id = account.id AND expires_at > :now AND block.left > 0)",
    "UPDATE ledger SET units = -units WHERE kind = 'reserve'",
    "UPDATE ledger SET kind = 'overdraft' WHERE kind IN ('reserve', 'release') AND block_id IS NULL",
)
# What has expired or was invoiced is nothing that older versions know, but they leave it alone, and it counts again
# when the step is taken anew.
TAKE_BACK = (
    "UPDATE ledger SET kind = CASE WHEN units < 0 THEN 'reserve' ELSE 'release' END WHERE kind = 'overdraft'",
    "UPDATE ledger SET units = -units WHERE kind = 'reserve'",
    "UPDATE ledger SET kind = 'book' WHERE kind = 'renew'",
)


def upgrade() -> None:
    """Take the step."""
    for name, column in _columns():
        op.add_column(name, column)
    op.execute("ALTER TABLE recipient RENAME COLUMN accepted_at TO leaves_at")
    op.create_table(
        "throttle",
        sa.Column("account_id", NUMBER, nullable=False),
        sa.Column("slots", sa.JSON(), nullable=False),
        sa.ForeignKeyConstraint(["account_id"], ["account.id"], name="fk_throttle_account_id"),
        sa.PrimaryKeyConstraint("account_id", name="pk_throttle"),
    )
    now = time.time()
    for statement in BRING_OVER:
        text = sa.text(statement)
        op.get_bind().execute(text, {"now": now} if ":now" in statement else {})
    op.create_index("ix_block_open", "block", ["account_id"], sqlite_where=OPEN, postgresql_where=OPEN)
    op.create_index("ix_block_due_at", "block", ["due_at"], sqlite_where=OPEN, postgresql_where=OPEN)
    op.create_index("uq_block_account_id_request", "block", ["account_id", "request"], unique=True)


def downgrade() -> None:
    """Take it back."""
    for name in ("uq_block_account_id_request", "ix_block_due_at", "ix_block_open"):
        op.drop_index(name, "block")
    for statement in TAKE_BACK:
        op.execute(statement)
    op.drop_table("throttle")
    op.execute("ALTER TABLE recipient RENAME COLUMN leaves_at TO accepted_at")
    for name, column in _columns():
        op.drop_column(name, column.name)


def _columns() -> list[tuple[str, sa.Column[object]]]:
    """The new columns, with the tables that they are added to."""
    return [
        ("account", sa.Column("invoiced", NUMBER, nullable=False, server_default=ZERO)),
        ("account", sa.Column("overdraft_policy", sa.Text(), nullable=False, server_default=EMPTY)),
        ("account", sa.Column("overdraft_cap", NUMBER, nullable=True)),
        ("account", sa.Column("paid_since", sa.Double(), nullable=True)),
        ("account", sa.Column("low_armed", sa.Boolean(), nullable=False, server_default=NO)),
        ("account", sa.Column("empty_armed", sa.Boolean(), nullable=False, server_default=NO)),
        ("account", sa.Column("overdraft_armed", sa.Boolean(), nullable=False, server_default=YES)),
        ("connection", sa.Column("per_hour", NUMBER, nullable=False, server_default=ZERO)),
        ("connection", sa.Column("per_day", NUMBER, nullable=False, server_default=ZERO)),
        ("connection", sa.Column("per_month", NUMBER, nullable=False, server_default=ZERO)),
        ("block", sa.Column("renews", sa.Boolean(), nullable=False, server_default=NO)),
        ("block", sa.Column("due_at", sa.Double(), nullable=True)),
        ("block", sa.Column("request", sa.Text(), nullable=True)),
    ]
