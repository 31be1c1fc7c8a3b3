"""Hosts with broken TLS, MTA-STS policies, sessions to report on, and reports."""

from __future__ import annotations

from typing import Any

import sqlalchemy as sa
from alembic import op

revision = "0019"
down_revision = "0018"

_NUMBER = sa.BigInteger().with_variant(sa.Integer(), "sqlite")
_TEXT, _TIME = sa.Text(), sa.Double[float]()
_TABLES: dict[str, tuple[dict[str, Any], dict[str, Any]]] = {  # the columns of the key, and the others
    "broken_tls": ({"name": _TEXT, "address": _TEXT, "port": _NUMBER}, {"until": _TIME}),
    "mta_sts": ({"domain": _TEXT}, {"record": _TEXT, "policy": _TEXT, "fetched_at": _TIME, "expires_at": _TIME}),
    "tls_session_day": (
        {"day": _NUMBER, **dict.fromkeys(("domain", "policy", "result", "reason", "source", "host", "address"), _TEXT)},
        {"sessions": _NUMBER},
    ),
    "tls_report": ({"day": _NUMBER, "domain": _TEXT}, {"sent_at": _TIME, "sent_to": _TEXT}),
}


def upgrade() -> None:
    """Take the step."""
    for table, (key, others) in _TABLES.items():
        columns = [sa.Column(name, kind, nullable=False, autoincrement=False) for name, kind in (key | others).items()]
        op.create_table(table, *columns, sa.PrimaryKeyConstraint(*key, name=f"pk_{table}"))


def downgrade() -> None:
    """Take it back."""
    for table in _TABLES:
        op.drop_table(table)
