"""The first tables."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0001"
down_revision = None

NUMBER = sa.BigInteger().with_variant(sa.Integer(), "sqlite")


def upgrade() -> None:
    """Take the step."""
    _people()
    _domains()
    _connections()
    _messages()
    _recipients()
    _workers()
    _quota()
    _statistics()
    _events()


def downgrade() -> None:
    """Take it back."""
    for name in reversed(TABLES):
        op.drop_table(name)


TABLES = (
    "user",
    "account",
    "membership",
    "sending_domain",
    "signing_key",
    "connection",
    "connection_domain",
    "message",
    "content",
    "recipient",
    "worker",
    "duty",
    "block",
    "ledger",
    "counter",
    "event",
    "cursor",
    "dead_letter",
)


def _people() -> None:
    """Who runs the relay, the customers and the people who may see them."""
    op.create_table(
        "user",
        sa.Column("id", NUMBER, nullable=False),
        sa.Column("email", sa.Text(), nullable=False),
        sa.Column("password", sa.Text(), nullable=False),
        sa.Column("operator", sa.Boolean(), nullable=False),
        sa.Column("epoch", NUMBER, nullable=False),
        sa.Column("created_at", sa.Double(), nullable=False),
        sa.PrimaryKeyConstraint("id", name="pk_user"),
        sa.UniqueConstraint("email", name="uq_user_email"),
    )
    op.create_table(
        "account",
        sa.Column("id", NUMBER, nullable=False),
        sa.Column("name", sa.Text(), nullable=False),
        sa.Column("agreement", sa.Boolean(), nullable=False),
        sa.Column("blocked", sa.Text(), nullable=False),
        sa.Column("threshold", NUMBER, nullable=False),
        sa.Column("overdraft", NUMBER, nullable=False),
        sa.Column("created_at", sa.Double(), nullable=False),
        sa.PrimaryKeyConstraint("id", name="pk_account"),
        sa.UniqueConstraint("name", name="uq_account_name"),
    )
    op.create_table(
        "membership",
        sa.Column("account_id", NUMBER, nullable=False),
        sa.Column("user_id", NUMBER, nullable=False),
        sa.Column("role", sa.Text(), nullable=False),
        sa.ForeignKeyConstraint(["account_id"], ["account.id"], name="fk_membership_account_id"),
        sa.ForeignKeyConstraint(["user_id"], ["user.id"], name="fk_membership_user_id"),
        sa.PrimaryKeyConstraint("account_id", "user_id", name="pk_membership"),
    )


def _domains() -> None:
    """From domains and DKIM keys."""
    op.create_table(
        "sending_domain",
        sa.Column("account_id", NUMBER, nullable=False),
        sa.Column("name", sa.Text(), nullable=False),
        sa.Column("list_help", sa.Text(), nullable=False),
        sa.Column("trusted", sa.Boolean(), nullable=False),
        sa.Column("verified_at", sa.Double(), nullable=True),
        sa.Column("problem", sa.Text(), nullable=False),
        sa.Column("created_at", sa.Double(), nullable=False),
        sa.ForeignKeyConstraint(["account_id"], ["account.id"], name="fk_sending_domain_account_id"),
        sa.PrimaryKeyConstraint("account_id", "name", name="pk_sending_domain"),
    )
    op.create_table(
        "signing_key",
        sa.Column("id", NUMBER, nullable=False),
        sa.Column("account_id", NUMBER, nullable=True),
        sa.Column("domain", sa.Text(), nullable=False),
        sa.Column("selector", sa.Text(), nullable=False),
        sa.Column("algorithm", sa.Text(), nullable=False),
        sa.Column("private_key", sa.LargeBinary(), nullable=False),
        sa.Column("dns_value", sa.Text(), nullable=False),
        sa.Column("active", sa.Boolean(), nullable=False),
        sa.Column("created_at", sa.Double(), nullable=False),
        sa.ForeignKeyConstraint(["account_id"], ["account.id"], name="fk_signing_key_account_id"),
        sa.PrimaryKeyConstraint("id", name="pk_signing_key"),
    )
    op.create_index("ix_signing_key_account_id", "signing_key", ["account_id"])
    op.create_index("uq_signing_key_domain_selector", "signing_key", ["domain", "selector"], unique=True)


def _connections() -> None:
    """The customers' accesses."""
    op.create_table(
        "connection",
        sa.Column("id", NUMBER, nullable=False),
        sa.Column("account_id", NUMBER, nullable=False),
        sa.Column("name", sa.Text(), nullable=False),
        sa.Column("username", sa.Text(), nullable=False),
        sa.Column("secret", sa.LargeBinary(), nullable=False),
        sa.Column("paused", sa.Text(), nullable=False),
        sa.Column("last_used_at", sa.Double(), nullable=True),
        sa.Column("created_at", sa.Double(), nullable=False),
        sa.ForeignKeyConstraint(["account_id"], ["account.id"], name="fk_connection_account_id"),
        sa.PrimaryKeyConstraint("id", name="pk_connection"),
        sa.UniqueConstraint("username", name="uq_connection_username"),
    )
    op.create_index("ix_connection_account_id", "connection", ["account_id"])
    op.create_index("uq_connection_account_id_name", "connection", ["account_id", "name"], unique=True)
    op.create_table(
        "connection_domain",
        sa.Column("account_id", NUMBER, nullable=False),
        sa.Column("connection_id", NUMBER, nullable=False),
        sa.Column("domain", sa.Text(), nullable=False),
        sa.ForeignKeyConstraint(["connection_id"], ["connection.id"], name="fk_connection_domain_connection_id"),
        sa.PrimaryKeyConstraint("account_id", "connection_id", "domain", name="pk_connection_domain"),
    )


def _messages() -> None:
    """What was accepted."""
    op.create_table(
        "message",
        sa.Column("id", sa.String(length=26), nullable=False),
        sa.Column("account_id", NUMBER, autoincrement=False, nullable=False),
        sa.Column("connection_id", NUMBER, nullable=False),
        sa.Column("accepted_at", sa.Double(), nullable=False),
        sa.Column("domain", sa.Text(), nullable=False),
        sa.Column("reverse_path", sa.Text(), nullable=False),
        sa.Column("body", sa.Text(), nullable=False),
        sa.Column("smtputf8", sa.Boolean(), nullable=False),
        sa.Column("ret", sa.Text(), nullable=False),
        sa.Column("envid", sa.Text(), nullable=False),
        sa.Column("header_from", sa.Text(), nullable=False),
        sa.Column("subject", sa.Text(), nullable=False),
        sa.Column("message_id", sa.Text(), nullable=False),
        sa.Column("size", NUMBER, nullable=False),
        sa.Column("sha256", sa.LargeBinary(), nullable=False),
        sa.PrimaryKeyConstraint("id", "account_id", name="pk_message"),
        sqlite_with_rowid=False,
    )
    op.create_index("ix_message_account_id_accepted_at", "message", ["account_id", "accepted_at"])
    op.create_table(
        "content",
        sa.Column("message_id", sa.String(length=26), nullable=False),
        sa.Column("account_id", NUMBER, autoincrement=False, nullable=False),
        sa.Column("n", NUMBER, autoincrement=False, nullable=False),
        sa.Column("data", sa.LargeBinary(), nullable=False),
        sa.PrimaryKeyConstraint("message_id", "account_id", "n", name="pk_content"),
    )


def _recipients() -> None:
    """The queue."""
    op.create_table(
        "recipient",
        sa.Column("message_id", sa.String(length=26), nullable=False),
        sa.Column("account_id", NUMBER, autoincrement=False, nullable=False),
        sa.Column("n", NUMBER, autoincrement=False, nullable=False),
        sa.Column("connection_id", NUMBER, nullable=False),
        sa.Column("forward_path", sa.Text(), nullable=False),
        sa.Column("notify", sa.Text(), nullable=False),
        sa.Column("orcpt", sa.Text(), nullable=False),
        sa.Column("state", sa.Text(), nullable=False),
        sa.Column("accepted_at", sa.Double(), nullable=False),
        sa.Column("next_attempt_at", sa.Double(), nullable=False),
        sa.Column("lease_owner", NUMBER, nullable=True),
        sa.Column("attempts", NUMBER, nullable=False),
        sa.Column("in_doubt", NUMBER, nullable=False),
        sa.Column("final_at", sa.Double(), nullable=True),
        sa.Column("reply", sa.Text(), nullable=False),
        sa.Column("block_id", NUMBER, nullable=True),
        sa.Column("charge", sa.Text(), nullable=False),
        sa.Column("unknown_since", sa.Double(), nullable=True),
        sa.PrimaryKeyConstraint("message_id", "account_id", "n", name="pk_recipient"),
        sqlite_with_rowid=False,
    )
    op.create_index(
        "ix_recipient_due",
        "recipient",
        ["next_attempt_at"],
        sqlite_where=sa.text("state IN ('queued', 'deferred')"),
        postgresql_where=sa.text("state IN ('queued', 'deferred')"),
    )
    op.create_index(
        "ix_recipient_lease_owner",
        "recipient",
        ["lease_owner"],
        sqlite_where=sa.text("lease_owner IS NOT NULL"),
        postgresql_where=sa.text("lease_owner IS NOT NULL"),
    )


def _workers() -> None:
    """Who works on the queue."""
    op.create_table(
        "worker",
        sa.Column("id", NUMBER, nullable=False),
        sa.Column("node", sa.Text(), nullable=False),
        sa.Column("pid", NUMBER, nullable=False),
        sa.Column("started_at", sa.Double(), nullable=False),
        sa.Column("lease_until", sa.Double(), nullable=False),
        sa.PrimaryKeyConstraint("id", name="pk_worker"),
        sqlite_autoincrement=True,
    )
    op.create_table(
        "duty",
        sa.Column("name", sa.Text(), nullable=False),
        sa.Column("owner", NUMBER, nullable=False),
        sa.Column("until", sa.Double(), nullable=False),
        sa.PrimaryKeyConstraint("name", name="pk_duty"),
    )


def _quota() -> None:
    """Booked mails and how they were used."""
    op.create_table(
        "block",
        sa.Column("id", NUMBER, nullable=False),
        sa.Column("account_id", NUMBER, nullable=False),
        sa.Column("kind", sa.Text(), nullable=False),
        sa.Column("size", NUMBER, nullable=False),
        sa.Column("left", NUMBER, nullable=False),
        sa.Column("reserved", NUMBER, nullable=False),
        sa.Column("charged", NUMBER, nullable=False),
        sa.Column("booked_at", sa.Double(), nullable=False),
        sa.Column("expires_at", sa.Double(), nullable=False),
        sa.ForeignKeyConstraint(["account_id"], ["account.id"], name="fk_block_account_id"),
        sa.PrimaryKeyConstraint("id", name="pk_block"),
    )
    op.create_index("ix_block_account_id_expires_at", "block", ["account_id", "expires_at"])
    op.create_table(
        "ledger",
        sa.Column("id", NUMBER, nullable=False),
        sa.Column("account_id", NUMBER, nullable=False),
        sa.Column("block_id", NUMBER, nullable=True),
        sa.Column("kind", sa.Text(), nullable=False),
        sa.Column("units", NUMBER, nullable=False),
        sa.Column("at", sa.Double(), nullable=False),
        sa.PrimaryKeyConstraint("id", name="pk_ledger"),
    )
    op.create_index("ix_ledger_account_id", "ledger", ["account_id"])


def _statistics() -> None:
    """Counters."""
    op.create_table(
        "counter",
        sa.Column("account_id", NUMBER, autoincrement=False, nullable=False),
        sa.Column("connection_id", NUMBER, autoincrement=False, nullable=False),
        sa.Column("bucket", NUMBER, autoincrement=False, nullable=False),
        sa.Column("arrived", NUMBER, nullable=False),
        sa.Column("delivered", NUMBER, nullable=False),
        sa.Column("bounced", NUMBER, nullable=False),
        sa.Column("deferred", NUMBER, nullable=False),
        sa.Column("suppressed", NUMBER, nullable=False),
        sa.Column("cancelled", NUMBER, nullable=False),
        sa.Column("complained", NUMBER, nullable=False),
        sa.PrimaryKeyConstraint("account_id", "connection_id", "bucket", name="pk_counter"),
    )


def _events() -> None:
    """Facts, and how far the plugins were told."""
    op.create_table(
        "event",
        sa.Column("id", NUMBER, nullable=False),
        sa.Column("account_id", NUMBER, nullable=False),
        sa.Column("kind", sa.Text(), nullable=False),
        sa.Column("message_id", sa.String(length=26), nullable=True),
        sa.Column("recipient", NUMBER, nullable=True),
        sa.Column("at", sa.Double(), nullable=False),
        sa.Column("facts", sa.JSON(), nullable=False),
        sa.Column("tx", NUMBER, nullable=True),
        sa.PrimaryKeyConstraint("id", name="pk_event"),
    )
    op.create_index("ix_event_message_id", "event", ["message_id"])
    op.create_index("ix_event_tx_id", "event", ["tx", "id"], sqlite_where=sa.text("tx IS NOT NULL"))
    op.create_table(
        "cursor",
        sa.Column("plugin", sa.Text(), nullable=False),
        sa.Column("tx", NUMBER, nullable=False),
        sa.Column("event_id", NUMBER, nullable=False),
        sa.Column("failures", NUMBER, nullable=False),
        sa.Column("retry_at", sa.Double(), nullable=False),
        sa.PrimaryKeyConstraint("plugin", name="pk_cursor"),
    )
    op.create_table(
        "dead_letter",
        sa.Column("plugin", sa.Text(), nullable=False),
        sa.Column("event_id", NUMBER, autoincrement=False, nullable=False),
        sa.Column("error", sa.Text(), nullable=False),
        sa.Column("at", sa.Double(), nullable=False),
        sa.PrimaryKeyConstraint("plugin", "event_id", name="pk_dead_letter"),
    )
