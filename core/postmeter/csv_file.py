"""CSV files for spreadsheets (RFC 4180): written so that no cell is taken for a formula, and read back as they were."""

from __future__ import annotations

import csv
import io
import re
from collections.abc import Iterable, Iterator, Sequence
from itertools import chain
from typing import BinaryIO

from postmeter.errors import UsageError

BOM = "\N{ZERO WIDTH NO-BREAK SPACE}"  # by which spreadsheets know UTF-8
_FORMULA = re.compile(r"'*[=+\-@\t\r]")  # what a spreadsheet would carry out, and what was kept from that before
Cell = str | int | float | None


def lines(rows: Iterable[Sequence[Cell]]) -> Iterator[bytes]:
    """A file in pieces of one row each; the first row is usually the heads."""
    start = BOM
    for row in rows:
        written = io.StringIO()
        csv.writer(written).writerow([harmless(cell) for cell in row])
        yield (start + written.getvalue()).encode()
        start = ""


def read(octets: bytes) -> list[list[str]]:
    """The rows of a file in UTF-8, separated by commas or semicolons; UsageError when it is none."""
    return list(rows(io.BytesIO(octets)))


def rows(file: BinaryIO) -> Iterator[list[str]]:
    """The same of a file of any size, from its beginning, a row at a time."""
    file.seek(0)
    text = io.TextIOWrapper(file, "utf-8-sig", newline="")
    try:
        head = next(text, "")
        delimiter = ";" if head.count(";") > head.count(",") else ","
        for row in csv.reader(chain([head] if head else [], text), delimiter=delimiter, strict=True):
            yield [_as_it_was(cell) for cell in row]
    except UnicodeDecodeError:
        raise UsageError("the file is not in UTF-8") from None
    except csv.Error as error:
        raise UsageError(f"the file is no CSV: {error}") from None
    finally:
        text.detach()


def harmless(cell: Cell) -> Cell:
    """A cell as it is written: text that a spreadsheet would take for a formula gets an apostrophe in front."""
    return f"'{cell}" if isinstance(cell, str) and _FORMULA.match(cell) else cell


def _as_it_was(cell: str) -> str:
    return cell[1:] if cell.startswith("'") and _FORMULA.match(cell) else cell
