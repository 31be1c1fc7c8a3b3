"""Return paths of customers' domains are looked for, and found by the mail that comes to them."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0025"
down_revision = "0024"

GIVEN = sa.text("return_path <> ''")


def upgrade() -> None:
    """Take the step."""
    op.add_column("sending_domain", sa.Column("return_path_failing_since", sa.Double[float]()))
    op.create_index(
        "ix_sending_domain_return_path",
        "sending_domain",
        ["return_path"],
        sqlite_where=GIVEN,
        postgresql_where=GIVEN,
    )


def downgrade() -> None:
    """Take it back."""
    op.drop_index("ix_sending_domain_return_path", "sending_domain")
    op.drop_column("sending_domain", "return_path_failing_since")
