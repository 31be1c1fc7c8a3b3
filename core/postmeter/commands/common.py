"""What the commands share: the opened relay, plain output, and errors as one line."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Callable, Sequence
from functools import cached_property
from pathlib import Path
from typing import Any, NoReturn, TypeVar

import click
from sqlalchemy.exc import DBAPIError

from postmeter.config import Settings, load
from postmeter.errors import PostmeterError, UnreachableError
from postmeter.store import schema
from postmeter.store.engine import Store
from postmeter.store.quota import iso
from postmeter.store.secrets import Secrets

DEFAULT_CONFIG = Path("postmeter.toml")

Function = TypeVar("Function", bound=Callable[..., Any])


class Relay:
    """The configured relay as a command sees it; data folder, key and tables are made when first needed."""

    def __init__(self) -> None:
        self.config = DEFAULT_CONFIG if DEFAULT_CONFIG.exists() else None

    @cached_property
    def settings(self) -> Settings:
        """What file and environment say, read when first needed: ``--config`` may stand behind the command."""
        return load(self.config)

    @cached_property
    def secrets(self) -> Secrets:
        """The data folder's key."""
        return Secrets.open(self.settings.data)

    @cached_property
    def store(self) -> Store:
        """The database with its tables."""
        if not self.settings.store.url:
            _ = self.secrets  # makes the data folder, in which SQLite's file is
        store = Store.open(self.settings.store_url)
        try:
            schema.ensure(store)
        except BaseException:
            store.close()
            raise
        return store

    def close(self) -> None:
        """Close the database if it was opened."""
        if "store" in self.__dict__:
            self.store.close()


class Commands(click.Group):
    """A group whose errors are sentences, not tracebacks."""

    def invoke(self, ctx: click.Context) -> Any:
        """Run the command; what is wrong becomes one line on stderr and the error's exit code."""
        try:
            return super().invoke(ctx)
        except PostmeterError as error:
            _tell(ctx, error)
        except DBAPIError as error:
            _tell(ctx, UnreachableError(f"the database cannot be used: {str(error.orig).splitlines()[0]}"))


def _tell(ctx: click.Context, error: PostmeterError) -> NoReturn:
    click.echo(f"postmeter: {' '.join(str(error).split())}", err=True)
    ctx.exit(error.exit_code)


def _choose(context: click.Context, _option: click.Parameter, path: Path | None) -> None:
    if path is not None:
        context.ensure_object(Relay).config = path


CONFIG = click.Option(
    ["--config"],
    type=click.Path(path_type=Path),
    metavar="FILE",
    expose_value=False,
    callback=_choose,
    help="The configuration file; ./postmeter.toml if it exists.",
)


def accept_config(command: click.Command) -> None:
    """Let the command and all below it take ``--config FILE``; the one that stands last counts."""
    command.params.append(CONFIG)
    if isinstance(command, click.Group):
        for below in command.commands.values():
            accept_config(below)


pass_relay = click.make_pass_decorator(Relay)


def json_option(function: Function) -> Function:
    """Add ``--json``, which is given to the command as ``as_json``."""
    return click.option("--json", "as_json", is_flag=True, help="Print JSON.")(function)


def show(as_json: bool, data: Any, text: str) -> None:
    """Print ``data`` as JSON or ``text`` for people."""
    click.echo(json.dumps(data, indent=2, ensure_ascii=False) if as_json else text)


def plain(facts: Any) -> Any:
    """A dataclass as JSON data; points in time (fields whose names end in ``at``) in ISO 8601, UTC."""
    if dataclasses.is_dataclass(facts):
        return {field.name: _timed(field.name, getattr(facts, field.name)) for field in dataclasses.fields(facts)}
    if isinstance(facts, (list, tuple)):
        return [plain(item) for item in facts]
    return facts


def _timed(name: str, value: Any) -> Any:
    if isinstance(value, float) and (name == "at" or name.endswith("_at")):
        return iso(value)
    return plain(value)


def table(heads: Sequence[str], rows: Sequence[Sequence[object]]) -> str:
    """Columns under their heads; columns of numbers are aligned to the right."""
    texts = [[_cell(value) for value in row] for row in rows]
    widths = [max([len(head), *(len(row[i]) for row in texts)]) for i, head in enumerate(heads)]
    right = [bool(rows) and all(isinstance(row[i], int) for row in rows) for i in range(len(heads))]
    lines = [
        "  ".join(
            text.rjust(width) if r else text.ljust(width) for text, width, r in zip(row, widths, right, strict=True)
        )
        for row in [list(heads), *texts]
    ]
    return "\n".join(line.rstrip() for line in lines)


def pairs(values: Sequence[tuple[str, object]]) -> str:
    """Names and values, one per line, aligned."""
    width = max(len(name) for name, _ in values)
    return "\n".join(f"{name.ljust(width)}  {_cell(value)}".rstrip() for name, value in values)


def _cell(value: object) -> str:
    return f"{value:,}" if isinstance(value, int) and not isinstance(value, bool) else str(value)
