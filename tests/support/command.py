"""Runs commands as a person would, and reads what they print."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from click.testing import Result

from postmeter.store.engine import Store

Cli = Callable[..., Result]
HELP = "https://shop.example/help"


def printed(result: Result) -> Any:
    """The JSON that a command printed."""
    assert result.exit_code == 0, result.output
    return json.loads(result.stdout)


@contextmanager
def opened(data: Path) -> Iterator[Store]:
    """The database in the data folder."""
    store = Store.open(f"sqlite:///{data / 'postmeter.db'}")
    try:
        yield store
    finally:
        store.close()


def with_account(cli: Cli, *, domain: bool = False) -> None:
    """Create the account acme, with the domain shop.example if wanted."""
    printed(cli("account", "add", "acme", "--owner", "ann@acme.example", "--json"))
    if domain:
        printed(cli("domain", "add", "acme", "shop.example", "--list-help", HELP, "--trust", "--json"))


def told(result: Result, exit_code: int) -> str:
    """The one line of an error."""
    assert result.exit_code == exit_code, result.output
    assert result.stdout == ""
    assert result.stderr.count("\n") == 1
    assert result.stderr.startswith("postmeter: ")
    return result.stderr.removeprefix("postmeter: ").strip()
