"""`postmeter suppression`: addresses that are not to be tried."""

from __future__ import annotations

import shutil
import tempfile
import time
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from typing import BinaryIO

import click
from sqlalchemy.orm import Session

from postmeter import csv_file
from postmeter.commands.common import Relay, pass_relay
from postmeter.console import json_option, pairs, plain, show, table
from postmeter.errors import UsageError
from postmeter.store import suppression_list
from postmeter.store.accounts import account_by_name
from postmeter.store.quota import iso
from postmeter.store.suppression_list import Over, Problem
from postmeter.store.suppressions import (
    EVERY_ACCOUNT,
    MANUAL,
    Suppression,
    clean_address,
    lift,
    suppress,
    suppressions_of,
    take_in,
)

DAY = 86_400.0
FEW = 10  # lines of a file that are named when something is wrong in them
ALL = "*"  # in place of an account: every account


def register(group: click.Group) -> None:
    """Add the commands."""
    group.add_command(suppression)


@click.group()
def suppression() -> None:
    """Addresses that are not to be tried; '*' (in quotes) as ACCOUNT means every account."""


@suppression.command()
@click.argument("account")
@click.argument("address")
@click.option("--reason", metavar="TEXT", default="", help="Why; the sender is told.")
@click.option(
    "--days", metavar="N", type=click.IntRange(1, 36_500), help="For how long; until it is removed if not given."
)
@json_option
@pass_relay
def add(relay: Relay, account: str, address: str, reason: str, days: int | None, as_json: bool) -> None:
    """Refuse an account's mail to an address."""
    now = time.time()
    with relay.store.write() as session:
        made = suppress(
            session,
            _number(session, account),
            address,
            MANUAL,
            now,
            detail=reason,
            expires_at=now + days * DAY if days else None,
        )
    show(as_json, plain(made), pairs([("Address", made.address), ("Until", _until(made))]))


@suppression.command()
@click.argument("account")
@click.argument("address")
@json_option
@pass_relay
def remove(relay: Relay, account: str, address: str, as_json: bool) -> None:
    """Take an account's mail to an address again."""
    address = clean_address(address)
    with relay.store.write() as session:
        if not lift(session, _number(session, account), address):
            raise UsageError(f"{address} is not suppressed for {account}")
    show(as_json, {"address": address}, f"{address} may be tried again.")


@suppression.command(name="list")
@click.argument("account")
@json_option
@pass_relay
def show_suppressions(relay: Relay, account: str, as_json: bool) -> None:
    """Print the addresses that an account's mail is refused to."""
    with relay.store.read() as session:
        found = suppressions_of(session, _number(session, account), time.time())
    rows = [(one.address, one.reason, one.detail, iso(one.created_at), _until(one)) for one in found]
    told = table(("Address", "Reason", "Detail", "Since", "Until"), rows) if found else "No address is suppressed."
    show(as_json, plain(found), told)


@suppression.command(name="import")
@click.argument("account")
@click.argument("file", type=click.File("rb"))
@json_option
@pass_relay
def import_file(relay: Relay, account: str, file: BinaryIO, as_json: bool) -> None:
    """Refuse an account's mail to all addresses of a CSV file (address, reason, expiry); all of them or none.

    Lines whose expiry has passed are passed over. FILE may be - for standard input.
    """
    now, number = time.time(), 0
    with relay.store.read() as session:
        customer = _number(session, account)
    with _kept(file) as kept:
        over = _without_mistakes(suppression_list.judged(csv_file.rows(kept), customer, now))
        asked = suppression_list.judged(csv_file.rows(kept), customer, now)
        for part in suppression_list.parts(one for one in asked if isinstance(one, Suppression)):
            number += len(part)
            with relay.store.write() as session:
                take_in(session, part, now)
    passed_over = f" Lines passed over, as their time is over: {over:,}." if over else ""
    show(as_json, {"imported": number, "over": over}, f"{number:,} addresses are suppressed.{passed_over}")


@contextmanager
def _kept(file: BinaryIO) -> Iterator[BinaryIO]:
    """The file, so that it can be read twice: a list of any size is never in memory as a whole."""
    if file.seekable():
        yield file
        return
    with tempfile.TemporaryFile() as kept:
        shutil.copyfileobj(file, kept)
        yield kept


def _without_mistakes(judged: Iterable[Suppression | Problem | Over]) -> int:
    """How many lines are over; UsageError when some are wrong."""
    first: list[Problem] = []
    more = over = 0
    for one in judged:
        if isinstance(one, Over):
            over += 1
        elif isinstance(one, Problem) and len(first) < FEW:
            first.append(one)
        elif isinstance(one, Problem):
            more += 1
    if first:
        wrong = "; ".join(f"line {one.line}: {one.text}" for one in first)
        raise UsageError(f"nothing was imported: {wrong}{f'; and {more} more' if more else ''}")
    return over


@suppression.command()
@click.argument("account")
@pass_relay
def export(relay: Relay, account: str) -> None:
    """Print the addresses that an account's mail is refused to as a CSV file, which `import` reads."""
    with relay.store.read() as session:
        for line in csv_file.lines(suppression_list.written(session, _number(session, account), time.time())):
            click.echo(line, nl=False)


def _number(session: Session, account: str) -> int:
    return EVERY_ACCOUNT if account == ALL else account_by_name(session, account).id


def _until(one: Suppression) -> str:
    return "it is removed" if one.expires_at is None else iso(one.expires_at)
