"""CSV files: harmless in a spreadsheet, and the same when they are read again."""

from __future__ import annotations

import csv
import io

import pytest
from hypothesis import given
from hypothesis import strategies as st

from postmeter import csv_file
from postmeter.errors import UsageError

CELLS = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0"))


@given(st.lists(st.lists(CELLS | st.from_regex(r"['=+\-@\t\r]{1,4}\w*"), min_size=1), min_size=1))
def test_what_is_written_is_read_back_and_no_cell_is_a_formula(rows: list[list[str]]) -> None:
    octets = b"".join(csv_file.lines([["head, with a comma"], *rows]))
    assert csv_file.read(octets)[1:] == [row if row != [""] else [""] for row in rows]
    for row in csv.reader(io.StringIO(octets.decode("utf-8-sig"), newline="")):
        assert not any(cell.startswith(("=", "+", "-", "@", "\t", "\r")) for cell in row)


def test_a_file_is_as_rfc_4180_wants_it() -> None:
    rows = [("a", "b"), ('say "hi"', "1,2"), (1, None), (-1.5, "x\r\ny")]
    text = b"".join(csv_file.lines(rows)).decode()
    assert text == '\ufeffa,b\r\n"say ""hi""","1,2"\r\n1,\r\n-1.5,"x\r\ny"\r\n'


def test_semicolons_separate_as_well() -> None:
    assert csv_file.read(b"\xef\xbb\xbfa;b\n1,5;'=2\n") == [["a", "b"], ["1,5", "=2"]]


@pytest.mark.parametrize(("octets", "problem"), [(b"\xff", "not in UTF-8"), (b'"open', "no CSV")])
def test_what_is_no_csv_file_is_refused(octets: bytes, problem: str) -> None:
    with pytest.raises(UsageError, match=problem):
        csv_file.read(octets)
