"""The contents of messages in rows of a bounded size, written with about one of them in memory at a time."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass

from sqlalchemy import insert
from sqlalchemy.orm import Session

from postmeter.store.base import table
from postmeter.store.statement import Statement
from postmeter.store.tables import Content

CHUNK = 1 << 20  # octets of content in one row

_CONTENT = Statement(insert(table(Content)))


@dataclass(frozen=True, slots=True)
class Writing:
    """A content that is to be written, as ``blocks`` gives it; ``kept`` False: nobody will need it."""

    message_id: str
    account_id: int
    blocks: Callable[[], Iterable[bytes]]
    kept: bool = True


def insert_contents(session: Session, contents: Iterable[Writing]) -> list[bytes]:
    """Write those that are kept; the SHA-256 of each."""
    digests, rows, octets = [], [], 0
    for one in contents:
        digest = hashlib.sha256()
        for n, chunk in enumerate(chunks(one.blocks())):
            digest.update(chunk)
            if not one.kept:
                continue
            rows.append({"message_id": one.message_id, "account_id": one.account_id, "n": n, "data": chunk})
            octets += len(chunk)
            if octets >= CHUNK:
                _CONTENT.run(session, rows)
                rows, octets = [], 0
        digests.append(digest.digest())
    if rows:
        _CONTENT.run(session, rows)
    return digests


def chunks(blocks: Iterable[bytes]) -> Iterator[bytes]:
    """The octets of all blocks in pieces of CHUNK; a content that is one small block passes as it is."""
    waiting: list[bytes] = []
    size = 0
    for block in blocks:
        while size + len(block) > CHUNK:
            waiting.append(block[: CHUNK - size])
            yield b"".join(waiting)
            block, waiting, size = block[CHUNK - size :], [], 0
        waiting.append(block)
        size += len(block)
    yield waiting[0] if len(waiting) == 1 else b"".join(waiting)
