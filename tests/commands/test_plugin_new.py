"""`postmeter plugin new` writes a plugin that passes its own tests and checks at once, whatever its name."""

from __future__ import annotations

import os
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

from support.command import Cli, printed, told

NAME = "my_witness"
NAMES = ("s3", "my_witness", "a" * 30)  # lines get longer with the name
BIN = Path(sys.executable).parent


def run(folder: Path, *command: str) -> str:
    """What a command prints in the folder of the plugin, which is on the path as if installed."""
    environment = {name: value for name, value in os.environ.items() if name not in ("CI", "PYTEST_CURRENT_TEST")}
    environment["PYTHONPATH"] = str(folder)
    done = subprocess.run(command, cwd=folder, env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The plugin, written and installed as an installer would: the package and its metadata on the path."""
    folder = tmp_path_factory.mktemp("author") / "my-plugin"
    subprocess.run([sys.executable, "-m", "postmeter", "plugin", "new", NAME, "--folder", str(folder)], check=True)
    project = tomllib.loads((folder / "pyproject.toml").read_text())["project"]
    metadata = folder / f"{project['name'].replace('-', '_')}-{project['version']}.dist-info"
    metadata.mkdir()
    (metadata / "METADATA").write_text(
        f"Metadata-Version: 2.1\nName: {project['name']}\nVersion: {project['version']}\n"
    )
    entries = "".join(f"{name} = {target}\n" for name, target in project["entry-points"]["postmeter"].items())
    (metadata / "entry_points.txt").write_text(f"[postmeter]\n{entries}")
    return folder


def test_its_tests_pass_at_once(made: Path) -> None:
    assert "7 passed" in run(made, sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider")


def test_its_types_are_right(made: Path) -> None:
    run(made, str(BIN / "mypy"), "--strict")


def test_it_adds_its_command(made: Path) -> None:
    (made / "postmeter.toml").write_text(f'[plugins]\nenabled = ["{NAME}"]\n')
    assert "Domain  Delivered  Bounced" in run(made, sys.executable, "-m", "postmeter", NAME)


@pytest.mark.parametrize("name", NAMES)
def test_it_is_in_good_order_whatever_its_name(cli: Cli, data: Path, name: str) -> None:
    said = printed(cli("plugin", "new", name, "--json"))
    folder = data.parent / said["folder"]
    assert said == {"name": name, "folder": f"postmeter-{name.replace('_', '-')}"}
    files = {str(path.relative_to(folder)) for path in folder.rglob("*") if path.is_file()}
    package = f"postmeter_{name}"
    assert files == {
        "README.md",
        "pyproject.toml",
        "tests/conftest.py",
        f"tests/test_{name}.py",
        f"{package}/__init__.py",
        f"{package}/py.typed",
    }
    assert not any("yourplugin" in path.read_text() for path in folder.rglob("*") if path.is_file())
    run(folder, str(BIN / "ruff"), "check", "--no-cache")
    run(folder, str(BIN / "ruff"), "format", "--check", "--no-cache")


@pytest.mark.parametrize("name", ["", "x", "Witness", "my-x", "1st", "_a", "a_", "a__b", "a" * 31, "../evil", "é1"])
def test_a_name_that_cannot_be_is_refused(cli: Cli, data: Path, name: str) -> None:
    assert "is not a name for a plugin" in told(cli("plugin", "new", name), 2)
    assert list(data.parent.iterdir()) == []


def test_a_name_that_is_taken_is_refused(cli: Cli) -> None:
    assert "there is a command `postmeter queue` already" in told(cli("plugin", "new", "queue"), 2)
    assert "a plugin 'web' is installed already" in told(cli("plugin", "new", "web"), 2)
    assert "[plugins.enabled] could not be the plugin's" in told(cli("plugin", "new", "enabled"), 2)


def test_nothing_is_written_over(cli: Cli, data: Path) -> None:
    folder = data.parent / "here"
    folder.mkdir()
    assert told(cli("plugin", "new", "mine", "--folder", str(folder)), 2) == f"{folder} exists already"
    assert list(folder.iterdir()) == []


def test_a_folder_that_cannot_be_made_is_told(cli: Cli, data: Path) -> None:
    folder = data.parent / "nowhere" / "here"
    said = told(cli("plugin", "new", "mine", "--folder", str(folder)), 2)
    assert said == f"{folder} cannot be written: No such file or directory"
