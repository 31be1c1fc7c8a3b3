"""plugins/README.md, the manual for authors, says what is true: every hook, every name, and an example that works."""

from __future__ import annotations

import inspect
import re
import shutil
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
from sqlalchemy import select

import postmeter
from postmeter import Core, Refused, hookspecs, testing
from postmeter.config import Plugins as Section
from postmeter.config import Server, Settings
from postmeter.hooks import Plugins, new_manager
from postmeter.plugin_settings import plugin_settings
from postmeter.store.tables import Event
from postmeter.telling import HOOKS as KINDS
from postmeter.testing import Bench, Clock

MANUAL = (Path(__file__).parent.parent / "plugins" / "README.md").read_text("utf-8")
HOOKS = {name: value for name, value in vars(hookspecs).items() if hasattr(value, "postmeter_spec")}
PANEL = Path(__file__).parent.parent / "web" / "postmeter_web"
CODE = re.findall(r"```python\n(.*?)```", MANUAL, re.DOTALL)


def words(text: str) -> str:
    """The text in one line, with code marked as Markdown does."""
    return " ".join(text.replace("``", "`").split())


def arguments(function: Any) -> str:
    return ", ".join(name for name in inspect.signature(function).parameters if name != "self")


def said_of_pages(begin: str, end: str) -> str:
    """What the section on pages says between two places."""
    return MANUAL.partition("\n## Pages\n")[2].partition(begin)[2].partition(end)[0]


def under(title: str) -> str:
    """What stands below a heading of the third level."""
    return re.split(r"^##", MANUAL.partition(f"\n### {title}\n")[2], maxsplit=1, flags=re.MULTILINE)[0]


@pytest.mark.parametrize("name", HOOKS)
def test_every_hook_has_a_section_that_begins_as_its_docstring_does(name: str) -> None:
    first = words(HOOKS[name].__doc__).partition(". ")[0].rstrip(".")
    assert first in words(under(f"{name}({arguments(HOOKS[name])})"))


@pytest.mark.parametrize("name", HOOKS)
def test_every_hook_says_when_in_which_thread_what_the_answer_means_and_what_an_exception_does(name: str) -> None:
    said = words(HOOKS[name].__doc__)
    assert said.startswith(("Asked", "Told", "Called"))
    assert re.search(r"\b(before|after|at start|when|once)\b", said)
    assert re.search(r"\bthread\b", said)
    assert re.search(r"\b(answer|return)\b", said)
    assert re.search(r"\bexception\b", said, re.IGNORECASE)


@pytest.mark.parametrize("name", postmeter.__all__)
def test_every_name_is_explained(name: str) -> None:
    assert f"`{name}`" in MANUAL.partition("\n## All names\n")[2]


@pytest.mark.parametrize("kind", KINDS)
def test_every_kind_of_event_is_named_with_its_facts(kind: str) -> None:
    rows = [line for line in MANUAL.splitlines() if line.startswith("| `") and f"`{kind}`" in line]
    assert len(rows) == 1


@pytest.mark.parametrize("name", [name for name in vars(Core) if name in Core.__dict__ and not name.startswith("_")])
def test_everything_that_the_core_offers_is_named(name: str) -> None:
    offered = getattr(Core, name, None)
    assert (f"`{name}({arguments(offered)})`" if callable(offered) else f"`core.{name}`") in MANUAL


@pytest.mark.parametrize("name", [n for n, f in vars(Bench).items() if inspect.isfunction(f) and not n.startswith("_")])
def test_everything_that_the_bench_does_is_named(name: str) -> None:
    assert name == "close" or f"`{name}(" in MANUAL


def test_every_fixture_is_named() -> None:
    fixtures = {name for name, value in vars(testing).items() if type(value).__name__ == "FixtureFunctionDefinition"}
    assert {"bench", "relay"} <= fixtures
    for name in fixtures - {"plugin_name", "installed_plugin", "migrated_database"}:
        assert f"`{name}`" in MANUAL


@pytest.mark.parametrize(
    ("macro", "taken"), re.findall(r"`(\w+)\(([\w, ]+)\)`", said_of_pages("These macros", "So\ndo"))
)
def test_a_macro_for_pages_is_there_with_its_arguments(macro: str, taken: str) -> None:
    given = dict(re.findall(r"macro (\w+)\(([^)]*)\)", (PANEL / "templates" / "_parts.html").read_text("utf-8")))
    assert given[macro].startswith(taken)


@pytest.mark.parametrize("name", re.findall(r"`(\w+)", said_of_pages("these filters", "Forms")))
def test_a_filter_for_pages_is_there(name: str) -> None:
    assert f"def {name}(" in (PANEL / "show.py").read_text("utf-8")


@pytest.mark.parametrize("name", re.findall(r"`(\w+)`", said_of_pages("fill these blocks", "which is")))
def test_a_block_that_pages_fill_is_there(name: str) -> None:
    frame = "".join((PANEL / "templates" / f"{file}.html").read_text("utf-8") for file in ("base", "frame"))
    assert f"{{% block {name} %}}" in frame


@pytest.mark.parametrize("code", CODE)
def test_every_piece_of_code_can_be_run(code: str) -> None:
    exec(compile(code, "manual", "exec"), ModuleType("piece").__dict__)


@pytest.fixture
def keeper(tmp_path: Path, sqlite_template: Path) -> Iterator[Bench]:
    """The example, with a domain for which it takes no mail."""
    shutil.copy(sqlite_template, tmp_path / "postmeter.db")
    module = ModuleType("keeper")
    exec(CODE[-1], module.__dict__)
    plugin = module.Plugin()
    manager = new_manager()
    manager.register(plugin, "keeper")
    manager.check_pending()
    section = Section(enabled=("keeper",), tables={"keeper": {"domains": ["nowhere.example"]}})
    own = plugin_settings(section, {"keeper": plugin.settings_schema()})
    settings = Settings(server=Server(hostname="mail.test", data=str(tmp_path)), plugins=section)
    made = Bench(settings, Plugins(manager, own=own), "keeper", Clock())
    yield made
    made.close()


def test_the_example_takes_no_mail_for_some_domains(keeper: Bench) -> None:
    with pytest.raises(Refused, match=r"550 5\.7\.1 No mail is taken for nowhere\.example"):
        keeper.accept(keeper.message("joe@nowhere.example"))
    keeper.accept(keeper.message("joe@somewhere.example"))


def test_the_example_tells_the_admins_about_bounces(keeper: Bench) -> None:
    message = keeper.accept(keeper.message("a@kunde.example", "b@kunde.example"))
    keeper.bounce(message)
    keeper.tell()
    with keeper.core.read() as session:
        (facts,) = session.scalars(select(Event.facts).where(Event.kind == "notice"))
    assert facts["texts"]["en"] == ["Mail came back", "2 of your mails could not be delivered."]
