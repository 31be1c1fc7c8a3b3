"""Suppressions as a table, such as a CSV file has it: written for an account, and read with what is wrong in it."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from itertools import islice

from sqlalchemy.orm import Session

from postmeter.errors import UsageError
from postmeter.message.identifier import is_id
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
_YEARS = range(1970, 9999)  # in which a date can be, wherever on earth
_PART = 1_000  # rows read, and written, at a time


@dataclass(frozen=True)
class Problem:
    """What is wrong in a line of a table; the first line is 1."""

    line: int
    text: str


@dataclass(frozen=True)
class Over:
    """A line of a table that asks for nothing any more, as its time is over."""

    line: int


@dataclass(frozen=True)
class Table:
    """What was read: nothing of it is to be used while there are problems. ``over``: how many lines are."""

    made: tuple[Suppression, ...]
    problems: tuple[Problem, ...]
    over: int


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
    over = 0
    for one in judged(rows, account_id, now):
        if isinstance(one, Problem):
            problems.append(one)
        elif isinstance(one, Over):
            over += 1
        else:
            made[one.address] = one
    return Table(tuple(made.values()), tuple(problems), over)


def judged(rows: Iterable[Sequence[str]], account_id: int, now: float) -> Iterator[Suppression | Problem | Over]:
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
    """What a table without problems asks for, in parts that ``take_in`` writes in a moment each.

    Each is to be a transaction of its own: a long list must keep nobody from writing.
    """
    left = iter(made)
    while part := tuple(islice(left, _PART)):
        yield part


def _judged(number: int, cells: Mapping[str, str], account_id: int, now: float) -> Suppression | Problem | Over:
    try:
        made = _suppression(cells, account_id, now)
    except UsageError as error:
        return Problem(number, str(error))
    return Over(number) if made.expires_at is not None and made.expires_at <= now else made


def _suppression(cells: Mapping[str, str], account_id: int, now: float) -> Suppression:
    """A reason that is none of ours is somebody's words; what is no id of ours names no message."""
    reason, detail = cells.get("reason", ""), cells.get("detail", "")
    if reason not in _REASONS:
        reason, detail = MANUAL, detail or reason
    address = clean_address(cells.get("address", ""))
    since, message = _moment(cells.get("since", "")), cells.get("message", "")
    return Suppression(
        account_id,
        address,
        reason,
        clean_detail(detail),
        message if is_id(message) else None,
        now if since is None else min(since, now),  # the clock that wrote it may be ahead
        _moment(cells.get("expires", "")),
    )


def _moment(text: str) -> float | None:
    if not text:
        return None
    try:
        at = datetime.fromisoformat(text)
    except ValueError:
        at = None
    if at is None or at.year not in _YEARS:
        raise UsageError(f"{text[:40]!r} is no date such as 2030-12-31")
    return (at if at.tzinfo else at.replace(tzinfo=UTC)).timestamp()
