"""Priorities, lifetimes, pools and return paths; recipients know their route, their failure and their complaint."""

from __future__ import annotations

from typing import Any

import sqlalchemy as sa
from alembic import op

revision = "0018"
down_revision = "0017"

_NUMBER = sa.BigInteger().with_variant(sa.Integer(), "sqlite")
_TEXT, _TIME, _TRUTH = sa.Text(), sa.Double[float](), sa.Boolean()
_EMPTY, _ONE, _ZERO, _NO = sa.text("''"), sa.text("1"), sa.text("0"), sa.false()
_COLUMNS: list[tuple[str, str, Any, Any]] = [  # the default of None: it may be null
    ("account", "pool", _TEXT, _EMPTY),
    ("connection", "priority", _NUMBER, _ONE),
    ("connection", "lifetime", _NUMBER, _ZERO),
    ("connection", "tls_required", _TRUTH, _NO),
    ("connection", "pool", _TEXT, _EMPTY),
    ("sending_domain", "return_path", _TEXT, _EMPTY),
    ("sending_domain", "return_path_verified_at", _TIME, None),
    ("message", "priority", _NUMBER, _ONE),
    ("message", "lifetime", _NUMBER, _ZERO),
    ("message", "tls_required", _TRUTH, _NO),
    ("recipient", "priority", _NUMBER, _ONE),
    ("recipient", "warn_at", _TIME, None),
    ("recipient", "route", _TEXT, _EMPTY),
    ("recipient", "failure", _TEXT, _EMPTY),
    ("recipient", "complained_at", _TIME, None),
    ("provider_suspension", "sessions", _NUMBER, None),
    ("provider_suspension", "per_minute", _NUMBER, None),
    ("provider_suspension", "rule", _TEXT, _EMPTY),
]


def upgrade() -> None:
    """Take the step."""
    for table, name, kind, default in _COLUMNS:
        op.add_column(table, sa.Column(name, kind, nullable=default is None, server_default=default))


def downgrade() -> None:
    """Take it back."""
    for table, name, *_ in _COLUMNS:
        op.drop_column(table, name)
