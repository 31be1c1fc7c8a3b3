"""Programs that are not Python's, which some tests need: without them a test is skipped, in CI it fails."""

from __future__ import annotations

import os
import shutil
import subprocess

import pytest


def need(what: str, present: bool) -> None:
    """Skip the test when something is not installed; where CI is "true" everything has to be there."""
    if present:
        return
    if os.environ.get("CI") == "true":
        pytest.fail(f"{what} is not installed")
    pytest.skip(f"{what} is not installed")


def need_program(name: str) -> str:
    """The path of a program, for a test that is skipped without it."""
    path = shutil.which(name) or shutil.which(name, path="/usr/sbin")  # which is not in everybody's PATH
    need(name, path is not None)
    return path or name


def need_mail_dkim() -> None:
    """Perl and its module Mail::DKIM."""
    probe = [need_program("perl"), "-MMail::DKIM", "-e", "1"]
    need("Mail::DKIM", subprocess.run(probe, capture_output=True, check=False).returncode == 0)
