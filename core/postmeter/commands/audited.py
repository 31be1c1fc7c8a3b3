"""What commands change, for the audit log: the first write transaction of a command tells of it, in the same commit."""

from __future__ import annotations

import getpass
import os
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import click
from sqlalchemy.orm import Session

from postmeter.errors import UsageError
from postmeter.store import audit
from postmeter.store.accounts import account_by_name
from postmeter.store.audit import COMMAND_LINE, Actor
from postmeter.store.engine import Store

_SAY_NOTHING = {"as_json", "yes"}  # options that change nothing but the way of asking and telling


class AuditedStore(Store):
    """The database as the relay's own commands use it; it tells of them once ``audited`` is set."""

    audited = False

    @contextmanager
    def write(self) -> Iterator[Session]:
        """As ``Store.write``."""
        with super().write() as session:
            yield session
            context = click.get_current_context(silent=True)
            tells = self.audited and context is not None
            if tells and context is not None:
                _note(session, context)
        if tells:
            self.audited = False


def _note(session: Session, context: click.Context) -> None:
    arguments = [one for one in context.command.params if isinstance(one, click.Argument) and one.name]
    given = {name: _plain(value) for name, value in context.params.items() if value and name not in _SAY_NOTHING}
    named = [given.pop(one.name, "") for one in arguments[:1] if one.name]
    subject = " ".join(named[0]) if named and isinstance(named[0], list) else str(*named)
    action = ".".join(context.command_path.split()[1:])
    account = _account(session, subject) if arguments and _names_account(arguments[0], action) else None
    facts = {**given, "user": _user()}
    audit.record(session, Actor(None, COMMAND_LINE, ""), action, subject, time.time(), account_id=account, facts=facts)


def _names_account(argument: click.Argument, action: str) -> bool:
    return argument.metavar == "ACCOUNT" or argument.name == "account" or action.startswith("account.")


def _account(session: Session, name: str) -> int | None:
    try:
        return account_by_name(session, name).id
    except UsageError:
        return None


def _plain(value: Any) -> Any:
    if isinstance(value, (list, tuple)):
        return [_plain(one) for one in value]
    return value if isinstance(value, (bool, int, float, str)) else str(value)


def _user() -> str:
    """Who is at the shell."""
    try:
        return os.environ.get("SUDO_USER") or getpass.getuser()
    except (KeyError, OSError):
        return str(os.getuid())
