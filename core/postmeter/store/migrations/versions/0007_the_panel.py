"""The panel: log-ins, second factors, tickets, requests for access, an audit log; secrets that overlap; new keys."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0007"
down_revision = "0006"

WHOLE = sa.BigInteger().with_variant(sa.Integer(), "sqlite")
ZERO, EMPTY = sa.text("0"), sa.text("''")

# What the audit log holds stays: no row of it is altered or deleted, by whatever program.
KEEP_SQLITE = (
    "CREATE TRIGGER audit_{what} BEFORE {what} ON audit BEGIN SELECT RAISE(ABORT, 'the audit log is append-only'); END"
)
KEEP_POSTGRESQL = (
    "CREATE FUNCTION audit_keeps() RETURNS trigger LANGUAGE plpgsql AS "
    "$$ BEGIN RAISE EXCEPTION 'the audit log is append-only'; END $$",
    "CREATE TRIGGER audit_keeps BEFORE UPDATE OR DELETE OR TRUNCATE ON audit "
    "FOR EACH STATEMENT EXECUTE FUNCTION audit_keeps()",
)


def upgrade() -> None:
    """Take the step."""
    for name, column in _columns():
        op.add_column(name, column)
    op.execute("UPDATE signing_key SET activated_at = created_at")
    _create_people()
    op.create_table(
        "access_request",
        sa.Column("id", WHOLE, nullable=False),
        *(sa.Column(name, sa.Text(), nullable=False) for name in ("name", "email", "website", "text", "language")),
        sa.Column("address", sa.Text(), nullable=False),
        sa.Column("state", sa.Text(), nullable=False),
        sa.Column("created_at", sa.Double(), nullable=False),
        sa.Column("decided_at", sa.Double(), nullable=True),
        sa.Column("decided_by", WHOLE, nullable=True),
        sa.PrimaryKeyConstraint("id", name="pk_access_request"),
    )
    op.create_index("ix_access_request_state", "access_request", ["state"])
    op.create_table(
        "audit",
        sa.Column("id", WHOLE, nullable=False),
        sa.Column("at", sa.Double(), nullable=False),
        sa.Column("user_id", WHOLE, nullable=True),
        sa.Column("actor", sa.Text(), nullable=False),
        sa.Column("address", sa.Text(), nullable=False),
        sa.Column("account_id", WHOLE, nullable=True),
        sa.Column("action", sa.Text(), nullable=False),
        sa.Column("subject", sa.Text(), nullable=False),
        sa.Column("facts", sa.JSON(), nullable=False),
        sa.PrimaryKeyConstraint("id", name="pk_audit"),
    )
    op.create_index("ix_audit_account_id_id", "audit", ["account_id", "id"])
    for statement in _keepers():
        op.execute(statement)


def downgrade() -> None:
    """Take it back."""
    for name in ("audit", "access_request", "ticket", "recovery_code", "login"):
        op.drop_table(name)
    if op.get_bind().dialect.name == "postgresql":
        op.execute("DROP FUNCTION audit_keeps()")
    op.execute("DELETE FROM signing_key WHERE NOT active")  # without the dates a retired one would be taken for new
    for name, column in _columns():
        op.drop_column(name, column.name)


def _create_people() -> None:
    op.create_table(
        "login",
        sa.Column("id", WHOLE, nullable=False),
        sa.Column("user_id", WHOLE, nullable=False),
        sa.Column("token", sa.LargeBinary(), nullable=False),
        sa.Column("created_at", sa.Double(), nullable=False),
        sa.Column("seen_at", sa.Double(), nullable=False),
        sa.Column("address", sa.Text(), nullable=False),
        sa.Column("agent", sa.Text(), nullable=False),
        sa.ForeignKeyConstraint(["user_id"], ["user.id"], name="fk_login_user_id"),
        sa.PrimaryKeyConstraint("id", name="pk_login"),
        sa.UniqueConstraint("token", name="uq_login_token"),
    )
    op.create_index("ix_login_user_id", "login", ["user_id"])
    op.create_index("ix_login_seen_at", "login", ["seen_at"])
    op.create_table(
        "recovery_code",
        sa.Column("user_id", WHOLE, nullable=False),
        sa.Column("digest", sa.LargeBinary(), nullable=False),
        sa.Column("used_at", sa.Double(), nullable=True),
        sa.ForeignKeyConstraint(["user_id"], ["user.id"], name="fk_recovery_code_user_id"),
        sa.PrimaryKeyConstraint("user_id", "digest", name="pk_recovery_code"),
    )
    op.create_table(
        "ticket",
        sa.Column("id", WHOLE, nullable=False),
        sa.Column("digest", sa.LargeBinary(), nullable=False),
        sa.Column("purpose", sa.Text(), nullable=False),
        sa.Column("email", sa.Text(), nullable=False),
        sa.Column("account_id", WHOLE, nullable=True),
        sa.Column("role", sa.Text(), nullable=False),
        sa.Column("invited_by", WHOLE, nullable=True),
        sa.Column("created_at", sa.Double(), nullable=False),
        sa.Column("expires_at", sa.Double(), nullable=False),
        sa.Column("used_at", sa.Double(), nullable=True),
        sa.ForeignKeyConstraint(["account_id"], ["account.id"], name="fk_ticket_account_id"),
        sa.PrimaryKeyConstraint("id", name="pk_ticket"),
        sa.UniqueConstraint("digest", name="uq_ticket_digest"),
    )
    op.create_index("ix_ticket_email", "ticket", ["email"])
    op.create_index("ix_ticket_account_id", "ticket", ["account_id"])


def _keepers() -> list[str]:
    if op.get_bind().dialect.name == "postgresql":
        return list(KEEP_POSTGRESQL)
    return [KEEP_SQLITE.format(what=what) for what in ("UPDATE", "DELETE")]


def _columns() -> list[tuple[str, sa.Column[object]]]:
    """The new columns, with the tables that they are added to."""
    return [
        ("user", sa.Column("totp", sa.LargeBinary(), nullable=True)),
        ("user", sa.Column("totp_step", WHOLE, nullable=False, server_default=ZERO)),
        ("user", sa.Column("language", sa.Text(), nullable=False, server_default=EMPTY)),
        ("user", sa.Column("timezone", sa.Text(), nullable=False, server_default=EMPTY)),
        ("connection", sa.Column("previous_secret", sa.LargeBinary(), nullable=True)),
        ("connection", sa.Column("previous_until", sa.Double(), nullable=True)),
        ("connection", sa.Column("retired_at", sa.Double(), nullable=True)),
        ("signing_key", sa.Column("activated_at", sa.Double(), nullable=True)),
        ("signing_key", sa.Column("retired_at", sa.Double(), nullable=True)),
    ]
