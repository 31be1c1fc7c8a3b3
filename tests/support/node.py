"""Nodemailer, for tests with real clients."""

from __future__ import annotations

import os
import shutil
import subprocess
import tempfile
from pathlib import Path


def node_modules() -> Path | None:
    """Where Nodemailer is: in NODE_PATH, else in a cache folder that npm fills; None when it cannot be had."""
    for place in os.environ.get("NODE_PATH", "").split(":"):
        if place and (Path(place) / "nodemailer").is_dir():
            return Path(place)
    cache = Path(tempfile.gettempdir()) / f"postmeter-node-{os.getuid()}"
    if not (cache / "node_modules" / "nodemailer").is_dir() and shutil.which("npm"):
        command = ["npm", "install", "--silent", "--no-audit", "--no-fund", "--prefix", str(cache), "nodemailer"]
        subprocess.run(command, timeout=100, check=False, capture_output=True)
    return cache / "node_modules" if (cache / "node_modules" / "nodemailer").is_dir() else None
