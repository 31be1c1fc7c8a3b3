"""An account with very many messages, made by the database itself: for tests of what takes long to look through."""

from __future__ import annotations

from sqlalchemy import text
from sqlalchemy.orm import Session

from postmeter.store.engine import Store
from support.tenants import NOW

ACCOUNT, OTHER = 1, 2
SPAN = 30 * 86_400  # seconds over which the messages are spread, up to NOW

_SERIES = {
    "postgresql": "SELECT g AS i FROM generate_series(0, :n - 1) AS g",
    "sqlite": "WITH RECURSIVE s(i) AS (SELECT 0 UNION ALL SELECT i + 1 FROM s WHERE i + 1 < :n) SELECT i FROM s",
}
_CHARACTERS = " || ".join(
    f"substr('0123456789ABCDEFGHJKMNPQRSTVWXYZ', CAST((ms >> {45 - 5 * n}) & 31 AS integer) + 1, 1)" for n in range(10)
)
# One in 25 has gone to the other account; what is looked for is in the oldest one of all.
_NUMBERED = (
    "SELECT i, ms, {characters} || 'EG' || substr(CAST(100000000000000 + i AS text), 2) AS id, "
    "CASE WHEN i % 25 = 13 THEN 2 ELSE 1 END AS account "
    "FROM (SELECT i, CAST({first} + i * {step} AS bigint) AS ms FROM ({series}) AS numbers) AS timed"
)
_MESSAGES = """
INSERT INTO message (id, account_id, connection_id, accepted_at, domain, reverse_path, body, smtputf8, ret, envid,
    header_from, subject, message_id, size, sha256, reference)
SELECT id, account, CASE WHEN i = 0 THEN 9 ELSE 1 + i % 3 END, ms / 1000.0,
    CASE WHEN i = 0 THEN 'needle.example' ELSE 'shop' || (i % 4) || '.example' END,
    CASE WHEN i = 0 THEN 'needle@needle.example' ELSE 'bounce@shop' || (i % 4) || '.example' END,
    '8BITMIME', {false}, '', '', CASE WHEN i = 0 THEN 'needle.example' ELSE 'shop' || (i % 4) || '.example' END,
    CASE WHEN i = 0 THEN 'The needle' ELSE 'Your order ' || (900000 + i) || ' has been confirmed' END,
    CASE WHEN i = 0 THEN '<needle@needle.example>'
        ELSE '<' || ((CAST(i AS bigint) * 7919) % 1000003) || '.4f8e1c2a9b7d@shop' || (i % 4) || '.example>' END,
    20480, {digest}, CASE WHEN i = 0 THEN 'order:needle' WHEN i % 10 = 0 THEN 'order:' || i ELSE '' END
FROM ({numbered}) AS numbered
"""
_RECIPIENTS = """
INSERT INTO recipient (message_id, account_id, n, connection_id, forward_path, notify, orcpt, state, leaves_at,
    next_attempt_at, attempts, in_doubt, final_at, reply, block_id, charge, provider)
SELECT id, account, 0, CASE WHEN i = 0 THEN 9 ELSE 1 + i % 3 END,
    CASE WHEN i = 0 THEN 'Needle@needle.example' WHEN i % 5 = 0 THEN 'orders@shop.example'
        ELSE 'customer' || ((CAST(i AS bigint) * 7919) % 1000003) || '@mail' || (i % 7) || '.example' END,
    '', '', {state}, ms / 1000.0, ms / 1000.0, 1, 0, ms / 1000.0 + 2,
    CASE WHEN i = 0 THEN '250 needle' WHEN i % 30 = 7 THEN '550 5.1.1 No such user' ELSE '250 2.0.0 Ok' END,
    NULL, 'charged', CASE WHEN i = 0 THEN 'Needle' ELSE 'Provider ' || (i % 7) END
FROM ({numbered}) AS numbered
"""
_STATE = (
    "CASE WHEN i = 0 THEN 'held' WHEN i % 30 = 7 THEN 'bounced' WHEN i % 200 = 3 THEN 'expired' "
    "WHEN i % 200 = 4 THEN 'suppressed' WHEN i % 200 = 5 THEN 'deferred' ELSE 'delivered' END"
)


def fill(store: Store, messages: int) -> None:
    """Write that many messages with one recipient each; the oldest one is the needle in the haystack."""
    dialect = store.engine.dialect.name
    first, step = int((NOW - SPAN) * 1000), f"{SPAN * 1000 / messages:.6f}"
    numbered = _NUMBERED.format(characters=_CHARACTERS, first=first, step=step, series=_SERIES[dialect])
    postgresql = dialect == "postgresql"
    false, digest = ("false", "'\\x00'") if postgresql else ("0", "x'00'")
    with store.write() as session:
        indexes = _take_indexes(session) if postgresql else []
        for statement in (_MESSAGES, _RECIPIENTS):
            query = statement.format(numbered=numbered, false=false, digest=digest, state=_STATE)
            session.execute(text(query), {"n": messages})
        for definition in indexes:
            session.execute(text(definition))
    if postgresql:
        with store.engine.connect().execution_options(isolation_level="AUTOCOMMIT") as connection:
            connection.execute(text("VACUUM ANALYZE message, recipient"))


def _take_indexes(session: Session) -> list[str]:
    """Drop the indexes; what makes them again, in a fraction of the time that they would cost row by row."""
    query = "SELECT indexname, indexdef FROM pg_indexes WHERE tablename IN ('message', 'recipient')"
    found = [(name, made) for name, made in session.execute(text(query)) if name.startswith("ix_")]
    for name, _ in found:
        session.execute(text(f"DROP INDEX {name}"))
    return [made for _, made in found]
