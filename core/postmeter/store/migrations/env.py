"""Runs the migration steps inside the transaction that ``store.schema`` opened."""

from __future__ import annotations

from alembic import context

from postmeter.store import (  # noqa: F401 - their tables are among all
    conduct_tables,
    operator_tables,
    panel_tables,
    plugin_tables,
    quota_tables,
    recipient_tables,
    tls_tables,
    worker_tables,
)
from postmeter.store.tables import Message

context.configure(
    connection=context.config.attributes["connection"],
    target_metadata=Message.metadata,
    render_as_batch=True,  # SQLite alters a table by making a new one
)
with context.begin_transaction():
    context.run_migrations()
