"""`postmeter plugin new`: writes a plugin that works and whose tests pass, for its author to change."""

from __future__ import annotations

import re
from importlib.metadata import entry_points
from pathlib import Path

import click

from postmeter.config import Plugins
from postmeter.console import json_option, show
from postmeter.errors import UsageError
from postmeter.hooks import GROUP
from postmeter.setting import kinds

TEMPLATE = Path(__file__).parent / "new_plugin"  # a plugin called PLACEHOLDER
PLACEHOLDER = "yourplugin"
_NAME = re.compile(r"[a-z](?:_?[a-z0-9]){1,29}")


def register(group: click.Group) -> None:
    """Add the command."""
    group.add_command(new)


@click.command()
@click.argument("name")
@click.option("--folder", metavar="DIR", type=click.Path(path_type=Path), help="Where to; ./postmeter-NAME.")
@json_option
@click.pass_context
def new(context: click.Context, name: str, folder: Path | None, as_json: bool) -> None:
    """Write a complete plugin NAME (a package with its tests) that works and is to be changed."""
    check_name(context, name)
    target = folder or Path(f"postmeter-{name}".replace("_", "-"))
    write(name, target)
    steps = f"cd {target}\npip install -e . --no-deps\npytest"
    show(as_json, {"name": name, "folder": str(target)}, f"{target} has a plugin {name}. Try it:\n\n{steps}")


def check_name(context: click.Context, name: str) -> None:
    """UsageError unless a plugin can have this name: in settings, tables, the package and a command of its own."""
    if not _NAME.fullmatch(name):
        raise UsageError(f"{name!r} is not a name for a plugin: 2 to 30 letters (a-z), digits and single underscores")
    if name in kinds(Plugins):
        raise UsageError(f"plugins.{name} is a setting of the relay's, so [plugins.{name}] could not be the plugin's")
    relay = context.find_root().command
    if isinstance(relay, click.Group) and name in relay.commands:
        raise UsageError(f"there is a command `postmeter {name}` already, and the plugin has one of its name")
    if name in entry_points(group=GROUP).names:
        raise UsageError(f"a plugin {name!r} is installed already")


def write(name: str, folder: Path) -> None:
    """Copy the template into a new folder under the plugin's name; UsageError when that cannot be."""
    try:
        folder.mkdir()
        for source in sorted(path for path in TEMPLATE.rglob("*") if path.is_file() and path.suffix != ".pyc"):
            target = folder / str(source.relative_to(TEMPLATE)).replace(PLACEHOLDER, name)
            target.parent.mkdir(parents=True, exist_ok=True)
            target.write_text(_named(source.read_text("utf-8"), name), "utf-8")
    except FileExistsError:
        raise UsageError(f"{folder} exists already") from None
    except OSError as error:
        raise UsageError(f"{folder} cannot be written: {error.strerror}") from None


def _named(text: str, name: str) -> str:
    distribution = f"postmeter-{name}".replace("_", "-")
    return text.replace(f"postmeter-{PLACEHOLDER}", distribution).replace(PLACEHOLDER, name)
