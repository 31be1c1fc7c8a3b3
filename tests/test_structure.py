"""The shape of the code: who imports whom, how long files and functions are; all is typed and explained."""

from __future__ import annotations

import ast
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

import postmeter

ROOT = Path(__file__).parent.parent
MAX_FILE, MAX_FUNCTION = 350, 40  # lines
GENERATED = "migrations/versions"  # steps written once and never changed
NEW_PLUGIN = "core/postmeter/commands/new_plugin/postmeter_yourplugin"  # what authors begin with
Function = ast.FunctionDef | ast.AsyncFunctionDef


def sources(*folders: str) -> list[Path]:
    return sorted(
        path
        for folder in folders
        for path in (ROOT / folder).rglob("*.py")
        if GENERATED not in str(path) and "node_modules" not in path.parts
    )


PRODUCT = sources("core", "web", "plugins")
PACKAGES = [path.parent for folder in ("core", "web", "plugins") for path in (ROOT / folder).glob("*/__init__.py")]
EVERYTHING = [*PRODUCT, *sources("tests", "bench")]


def functions(path: Path) -> Iterator[Function]:
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, Function):
            yield node


def place(path: Path, node: Function) -> str:
    return f"{path.relative_to(ROOT)}:{node.lineno} {node.name}"


def test_nobody_imports_what_is_not_theirs() -> None:
    command = [str(Path(sys.executable).parent / "lint-imports"), "--no-logo", "--no-cache"]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr


def test_no_file_is_too_long() -> None:
    lengths = {str(path.relative_to(ROOT)): len(path.read_text().splitlines()) for path in EVERYTHING}
    assert {name: length for name, length in lengths.items() if length > MAX_FILE} == {}


def test_no_function_is_too_long() -> None:
    lengths = {
        place(path, node): node.end_lineno - node.lineno + 1
        for path in PRODUCT
        for node in functions(path)
        if node.end_lineno is not None
    }
    assert {name: length for name, length in lengths.items() if length > MAX_FUNCTION} == {}


def test_every_function_says_what_it_takes_and_gives() -> None:
    untyped = []
    for path in PRODUCT:
        for node in functions(path):
            taken = [*node.args.posonlyargs, *node.args.args, *node.args.kwonlyargs]
            missing = [a.arg for a in taken if a.annotation is None and a.arg not in ("self", "cls")]
            if node.returns is None or missing:
                untyped.append(place(path, node))
    assert untyped == []


def test_every_module_says_what_it_is_for() -> None:
    assert [str(path) for path in EVERYTHING if not ast.get_docstring(ast.parse(path.read_text()))] == []


def foreign(source: str) -> list[str]:
    """What is imported from the relay, but is not among the names that plugins may use."""
    found = []
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Import):
            found += [alias.name for alias in node.names if alias.name.partition(".")[0] == "postmeter"]
        elif isinstance(node, ast.ImportFrom) and node.module == "postmeter":
            found += [f"postmeter.{alias.name}" for alias in node.names if alias.name not in postmeter.__all__]
        elif isinstance(node, ast.ImportFrom) and (node.module or "").startswith("postmeter."):
            found.append(str(node.module))
    return found


@pytest.mark.parametrize("path", sources("plugins", NEW_PLUGIN), ids=str)
def test_a_plugin_uses_only_what_every_plugin_may(path: Path) -> None:
    assert foreign(path.read_text()) == []


@pytest.mark.parametrize(
    ("source", "names"),
    [
        ("from postmeter import Core, hookimpl", []),
        ("import postmeter_billing.prices\nfrom postmeter_billing import prices", []),
        ("from postmeter import Core, store", ["postmeter.store"]),
        ("from postmeter import *", ["postmeter.*"]),
        ("from postmeter.store import tables", ["postmeter.store"]),
        ("def f():\n    import postmeter.config, os", ["postmeter.config"]),
        ("import postmeter", ["postmeter"]),
    ],
)
def test_what_a_plugin_may_not_import_is_found(source: str, names: list[str]) -> None:
    assert foreign(source) == names


@pytest.mark.parametrize(
    "package", [*ROOT.glob("*/postmeter*/__init__.py"), ROOT / NEW_PLUGIN / "__init__.py"], ids=str
)
def test_every_package_tells_type_checkers_that_it_is_typed(package: Path) -> None:
    assert (package.parent / "py.typed").exists()


def called(path: Path, name: str) -> bool:
    """Whether a method or function of that name is called in a file."""
    calls = (node.func for node in ast.walk(ast.parse(path.read_text())) if isinstance(node, ast.Call))
    return any(getattr(one, "attr", getattr(one, "id", "")) == name for one in calls)


def test_the_panel_has_no_query_of_its_own() -> None:
    asks = [path for path in sources("web") for name in ("select", "text", "execute", "scalar") if called(path, name)]
    imports = [
        path
        for path in sources("web")
        if re.search(r"postmeter\.store(\.\w*tables| import .*tables)", path.read_text())
    ]
    assert (asks, imports) == ([], [])


def test_whatever_the_panel_writes_is_in_the_audit_log() -> None:
    writes = [path.name for path in sources("web") if called(path, "write") and path.name != "serve.py"]
    assert writes == ["context.py"]
