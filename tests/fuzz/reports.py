"""Fuzz target: any mail to a return path is some report, in time, and what it says fits into the tables.

The first octet of an input says whether the mail has the null sender, and from ``REPEATED`` on that the rest comes over
and over again, up to a megabyte.
"""

from __future__ import annotations

import re
import time
from collections.abc import Iterator
from pathlib import Path

from postmeter.message.bounce import REPORT, classify
from postmeter.message.feedback import Feedback
from postmeter.message.parts import MAX_SIZE
from postmeter.message.report import read
from postmeter.message.return_path import Returned, ReturnPaths
from postmeter.message.statement import ACTIONS, MAX_DIAGNOSTIC, Kind, Report, Statement

CORPUS = Path(__file__).parent.parent / "message" / "corpus" / "reports"
REPEATED = 250  # first octets of six in 256 inputs
PATIENCE = 1.0  # seconds; 0.05 are meant, but the fuzzer's instruments take their time
_status = re.compile(r"|[245]\.\d{1,3}\.\d{1,3}").fullmatch
_paths = ReturnPaths(b"key", 1e6)


def seeds() -> Iterator[bytes]:
    """The corpus of reports, with both line ends and with both senders."""
    for path in sorted(CORPUS.glob("*.eml")):
        text = path.read_bytes()
        for ends in (b"\n", b"\r\n"):
            for first in (b"\0", b"\1"):
                yield first + text.replace(b"\n", ends)


def check(data: bytes) -> None:
    """AssertionError, or what a reader must not raise."""
    if not data:
        return
    content = data[1:]
    if data[0] >= REPEATED and content:
        content *= MAX_SIZE // len(content)
    begun = time.process_time()
    report = read(content, null_sender=bool(data[0] & 1))
    assert time.process_time() - begun < PATIENCE
    assert (report.kind is Kind.COMPLAINT) == (report.feedback is not None)
    assert (report.kind is Kind.NOTIFICATION) == bool(report.statements)
    _look_at(report)


def _look_at(report: Report) -> None:
    for statement in report.statements:
        _look_at_statement(statement)
    if report.feedback:
        _look_at_feedback(report.feedback)


def _look_at_statement(said: Statement) -> None:
    assert said.action in ACTIONS
    assert said.code == 0 or 400 <= said.code < 600
    assert _status(said.status)
    assert len(said.diagnostic) <= MAX_DIAGNOSTIC
    f"{said.original}{said.final}{said.diagnostic}{said.remote}".encode()  # has no half of a character
    classify(REPORT, said.code, said.status, said.diagnostic)


def _look_at_feedback(said: Feedback) -> None:
    f"{said.type}{said.source_ip}{said.arrival_date}{said.agent}".encode()
    for path in said.return_paths:
        found = _paths.read(path, 0.0)
        assert found is None or isinstance(found, Returned)
