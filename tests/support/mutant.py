"""Proves that a guard is what a test holds on to: runs the test with a copy of the package that lacks the guard."""

from __future__ import annotations

import importlib.util
import inspect
import os
import shutil
import subprocess
import sys
import tempfile
import traceback
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import postmeter

TESTS = Path(__file__).parent.parent
PACKAGE = Path(postmeter.__file__).parent
FAILED = 10  # what the process of a test that failed by its assertion ends with
PATIENCE = 60.0  # seconds


@dataclass(frozen=True)
class Guard:
    """The guard against a hazard: ``source``, which is in ``file`` of the package exactly once.

    ``without`` stands there when it is taken out; ``test`` takes no argument but a folder and must fail then.
    """

    hazard: str
    test: Callable[..., None]
    file: str
    source: str
    without: str


def fails_without(guard: Guard, folder: Path) -> bool:
    """Whether the test fails by its assertion once the guard is out; RuntimeError when it ends in another way."""
    _copy_without(guard, folder)
    environment = {**os.environ, "PYTHONPATH": f"{folder}{os.pathsep}{TESTS}", "PYTHONDONTWRITEBYTECODE": "1"}
    done = subprocess.run(
        [sys.executable, "-m", "support.mutant", inspect.getfile(guard.test), guard.test.__name__, str(folder)],
        env=environment, cwd=folder, capture_output=True, text=True, timeout=PATIENCE, check=False,
    )  # fmt: skip
    if done.returncode not in (0, FAILED):
        raise RuntimeError(done.stderr)
    return done.returncode == FAILED


def _copy_without(guard: Guard, folder: Path) -> None:
    """A package of links, so that only the one file is compiled anew."""
    copy = folder / PACKAGE.name
    shutil.copytree(PACKAGE, copy, copy_function=os.symlink)
    file = copy / guard.file
    text = file.read_text()
    count = text.count(guard.source)
    assert count == 1, f"the guard against {guard.hazard} is {count} times in {guard.file}: {guard.source!r}"
    file.unlink()
    file.write_text(text.replace(guard.source, guard.without))


def main(path: str, name: str, folder: str) -> None:
    """Runs one test function of the file ``path`` with the package in ``folder``."""
    assert Path(postmeter.__file__).is_relative_to(folder), postmeter.__file__
    spec = importlib.util.spec_from_file_location("hazards", path)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules["hazards"] = module
    spec.loader.exec_module(module)
    test: Callable[..., Any] = getattr(module, name)
    with tempfile.TemporaryDirectory() as scratch:
        try:
            test(*[Path(scratch)] * len(inspect.signature(test).parameters))
        except AssertionError:
            traceback.print_exc()
            sys.exit(FAILED)


if __name__ == "__main__":
    main(*sys.argv[1:])
