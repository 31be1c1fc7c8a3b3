"""The files for the side of the shop, each folder of them as one archive."""

from __future__ import annotations

import io
import zipfile
from pathlib import Path

FOLDER = Path(__file__).parent / "shop"  # has a folder for each kind of shop
_MADE = (2026, 1, 1, 0, 0, 0)  # the same files make the same archive


def kinds() -> tuple[str, ...]:
    """The kinds of shops for which there are files."""
    return tuple(sorted(folder.name for folder in FOLDER.iterdir() if folder.is_dir()))


def archive(kind: str) -> bytes:
    """The files of a kind as ZIP, with the paths that they have in the shop."""
    made = io.BytesIO()
    with zipfile.ZipFile(made, "w", zipfile.ZIP_DEFLATED) as archive:
        for path in sorted(path for path in (FOLDER / kind).rglob("*") if path.is_file()):
            archive.writestr(zipfile.ZipInfo(str(path.relative_to(FOLDER / kind)), _MADE), path.read_bytes())
    return made.getvalue()
