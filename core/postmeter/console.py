"""What commands print, for people or as JSON; for the relay's own commands and those of plugins."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Callable, Sequence
from functools import cached_property, wraps
from typing import Any, Concatenate, ParamSpec, TypeVar

import click

from postmeter.core import Core
from postmeter.store.quota import iso

Function = TypeVar("Function", bound=Callable[..., Any])

Given = ParamSpec("Given")
Result = TypeVar("Result")


class Opener:
    """What a plugin's command has in its context: the way to its Core, which nobody has gone before it runs.

    So what is only asked for its help, or called wrongly, makes no data folder and needs no database.
    """

    def __init__(self, open_core: Callable[[], Core]) -> None:
        self._open = open_core

    @cached_property
    def core(self) -> Core:
        """The plugin's Core, opened when it is first asked for."""
        return self._open()


_pass_opener = click.make_pass_decorator(Opener)


def pass_core(function: Callable[Concatenate[Core, Given], Result]) -> Callable[Given, Result]:
    """Give a plugin's command its Core, in front of its other arguments."""

    @_pass_opener
    @wraps(function)
    def with_core(opener: Opener, /, *arguments: Given.args, **options: Given.kwargs) -> Result:
        return function(opener.core, *arguments, **options)

    return with_core


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
