"""Counters by sending domain and receiving provider, and who receives a recipient's mail."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0008"
down_revision = "0007"

NUMBER = sa.BigInteger().with_variant(sa.Integer(), "sqlite")
NAMES = ("arrived", "delivered", "bounced", "deferred", "suppressed", "cancelled", "complained")
NOBODY = sa.text("provider = ''")


def upgrade() -> None:
    """Take the step."""
    op.add_column("recipient", sa.Column("provider", sa.Text(), nullable=False, server_default=sa.text("''")))
    _put_aside()
    op.create_table(
        "counter",
        sa.Column("account_id", NUMBER, autoincrement=False, nullable=False),
        sa.Column("bucket", NUMBER, autoincrement=False, nullable=False),
        sa.Column("connection_id", NUMBER, autoincrement=False, nullable=False),
        sa.Column("domain", sa.Text(), nullable=False),
        sa.Column("provider", sa.Text(), nullable=False),
        *(sa.Column(name, NUMBER, nullable=False) for name in NAMES),
        sa.PrimaryKeyConstraint("account_id", "bucket", "connection_id", "domain", "provider", name="pk_counter"),
        sqlite_with_rowid=False,
    )
    names = ", ".join(NAMES)
    op.execute(
        f"INSERT INTO counter (account_id, bucket, connection_id, domain, provider, {names}) "  # noqa: S608 - own names
        f"SELECT account_id, bucket, connection_id, '', '', {names} FROM counted"
    )
    op.execute("DROP TABLE counted")
    op.create_index("ix_counter_bucket", "counter", ["bucket"])
    op.create_index(
        "ix_counter_arrived",
        "counter",
        ["account_id", "connection_id", "bucket"],
        sqlite_where=NOBODY,
        postgresql_where=NOBODY,
    )


def downgrade() -> None:
    """Take it back."""
    _put_aside()
    op.create_table(
        "counter",
        sa.Column("account_id", NUMBER, autoincrement=False, nullable=False),
        sa.Column("connection_id", NUMBER, autoincrement=False, nullable=False),
        sa.Column("bucket", NUMBER, autoincrement=False, nullable=False),
        *(sa.Column(name, NUMBER, nullable=False) for name in NAMES),
        sa.PrimaryKeyConstraint("account_id", "connection_id", "bucket", name="pk_counter"),
    )
    op.execute(
        f"INSERT INTO counter (account_id, connection_id, bucket, {', '.join(NAMES)}) "  # noqa: S608 - own names
        f"SELECT account_id, connection_id, bucket, {', '.join(f'SUM({name})' for name in NAMES)} FROM counted "
        "GROUP BY account_id, connection_id, bucket"
    )
    op.execute("DROP TABLE counted")
    op.drop_column("recipient", "provider")


def _put_aside() -> None:
    """A primary key is not changed in place: the rows wait in another table."""
    op.execute("CREATE TEMPORARY TABLE counted AS SELECT * FROM counter")
    op.drop_table("counter")
