"""The ledger of an account is read page by page, and by kind."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0013"
down_revision = "0008"

RARE = sa.text("kind NOT IN ('reserve', 'charge')")


def upgrade() -> None:
    """Take the step."""
    op.create_index("ix_ledger_account_id_id", "ledger", ["account_id", "id"])
    op.create_index("ix_ledger_rare", "ledger", ["account_id", "id"], sqlite_where=RARE, postgresql_where=RARE)
    op.drop_index("ix_ledger_account_id", "ledger")


def downgrade() -> None:
    """Take it back."""
    op.create_index("ix_ledger_account_id", "ledger", ["account_id"])
    for name in ("ix_ledger_rare", "ix_ledger_account_id_id"):
        op.drop_index(name, "ledger")
