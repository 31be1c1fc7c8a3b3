"""Suppressions as a table, such as a CSV file has it: written for an account, and read with what is wrong in it."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from itertools import islice

from sqlalchemy.orm import Session

from postmeter.errors import UsageError
from postmeter.store.quota import iso
from postmeter.store.suppressions import (
    BOUNCE,
    COMPLAINT,
    MANUAL,
    Suppression,
    clean_address,
    clean_detail,
    following,
)

HEADS = ("address", "reason", "detail", "since", "expires", "message")
_WITHOUT_HEADS = ("address", "detail", "expires")
_ALSO = {"expiry": "expires"}  # heads that people write
_REASONS = (BOUNCE, COMPLAINT, MANUAL)
_PART = 1_000  # rows read, and written, at a time


@dataclass(frozen=True)
class Problem:
    """What is wrong in a line of a table; the first line is 1."""

    line: int
    text: str


@dataclass(frozen=True)
class Table:
    """What was read: nothing of it is to be used while there are problems."""

    made: tuple[Suppression, ...]
    problems: tuple[Problem, ...]


def written(session: Session, account_id: int, now: float) -> Iterator[tuple[str, ...]]:
    """The heads and all suppressions of an account that are in force, by address."""
    yield HEADS
    behind = ""
    while part := following(session, account_id, now, behind, _PART):
        for one in part:
            until = iso(one.expires_at) if one.expires_at is not None else ""
            yield one.address, one.reason, one.detail, iso(one.created_at), until, one.message_id or ""
        behind = part[-1].address


def read(rows: Iterable[Sequence[str]], account_id: int, now: float) -> Table:
    """What a table asks for; without a line of heads its columns are address, reason in words and expiry.

    UsageError when there is no line in it.
    """
    made: dict[str, Suppression] = {}
    problems: list[Problem] = []
    for one in judged(rows, account_id, now):
        if isinstance(one, Problem):
            problems.append(one)
        else:
            made[one.address] = one
    return Table(tuple(made.values()), tuple(problems))


def judged(rows: Iterable[Sequence[str]], account_id: int, now: float) -> Iterator[Suppression | Problem]:
    """What each line of a table asks for, or what is wrong in it; UsageError at its end when there was no line."""
    heads: Sequence[str] = _WITHOUT_HEADS
    found = False
    for number, row in enumerate(rows, 1):
        first = [cell.strip().lower() for cell in row] if number == 1 else []
        if "address" in first:
            heads = [_ALSO.get(head, head) for head in first]
        elif any(cell.strip() for cell in row):
            found = True
            yield _judged(number, dict(zip(heads, map(str.strip, row), strict=False)), account_id, now)
    if not found:
        raise UsageError("the file has no line with an address")


def parts(made: Iterable[Suppression]) -> Iterator[tuple[Suppression, ...]]:
    """What a table without problems asks for, in parts that ``suppress_all`` writes in a moment each.

    Each is to be a transaction of its own: a long list must keep nobody from writing.
    """
    left = iter(made)
    while part := tuple(islice(left, _PART)):
        yield part


def _judged(number: int, cells: Mapping[str, str], account_id: int, now: float) -> Suppression | Problem:
    try:
        return _suppression(cells, account_id, now)
    except UsageError as error:
        return Problem(number, str(error))


def _suppression(cells: Mapping[str, str], account_id: int, now: float) -> Suppression:
    """A reason that is none of ours is somebody's words."""
    reason, detail = cells.get("reason", ""), cells.get("detail", "")
    if reason not in _REASONS:
        reason, detail = MANUAL, detail or reason
    address = clean_address(cells.get("address", ""))
    return Suppression(account_id, address, reason, clean_detail(detail), None, now, _expiry(cells, now))


def _expiry(cells: Mapping[str, str], now: float) -> float | None:
    text = cells.get("expires", "")
    if not text:
        return None
    try:
        at = datetime.fromisoformat(text)
    except ValueError:
        raise UsageError(f"{text[:40]!r} is no date such as 2030-12-31") from None
    seconds = (at if at.tzinfo else at.replace(tzinfo=UTC)).timestamp()
    if seconds <= now:
        raise UsageError(f"{text[:40]!r} is over already")
    return seconds
