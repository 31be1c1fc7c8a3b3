"""What `postmeter up` says when mail is taken: where, and, once, how the first operator gets into the panel."""

from __future__ import annotations

import time
from collections.abc import Sequence

from postmeter.config import Settings
from postmeter.errors import UsageError
from postmeter.hookspecs import Service
from postmeter.store.accounts import add_operator, clean_email
from postmeter.store.engine import Store


def first_operator(store: Store, hostname: str) -> tuple[str, str] | None:
    """Create the first operator, if there is none: address and password, which nobody can see again."""
    email = _operators_address(hostname)
    with store.write() as session:
        password = add_operator(session, email, time.time())
    return (email, password) if password else None


def _operators_address(hostname: str) -> str:
    """The log-in of the first operator; a machine without a name in the DNS has one as well."""
    try:
        return clean_email(f"operator@{hostname}")
    except UsageError:
        return "operator@localhost.localdomain"


def announce(
    settings: Settings, services: Sequence[Service], missing: Sequence[str], operator: tuple[str, str] | None
) -> str:
    """The line that says where mail is taken, and the first operator's password once.

    ``services`` are what plugins run, ``missing`` the plugins that are enabled but not installed.
    """
    places = [f"submission {a} (STARTTLS)" for a in settings.smtp.submission]
    places += [f"submissions {a} (TLS)" for a in settings.smtp.submissions]
    places += [f"reports {a}" for a in settings.smtp.reports]
    if any(service.name == "panel" for service in services):
        places.append(f"panel http://{settings.web.listen}/")
    lines = [f"ready: {', '.join(places)}"]
    if operator:
        email, password = operator
        lines.insert(0, f"first operator of the panel: {email} with password {password} (shown only now)")
    if missing:
        lines.append(f"not installed, though enabled: plugins {', '.join(missing)}")
    return "\n".join(lines)
