"""Reports as other mail servers write them: the corpus, any cutting and breaking of it, and what they cost."""

from __future__ import annotations

import random
import time
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from postmeter.message.bounce import REPORT, classify
from postmeter.message.report import read
from postmeter.message.statement import Kind, Report, Statement

CORPUS = sorted((Path(__file__).parent / "corpus" / "reports").glob("*.eml"))
BUDGET = 0.05  # seconds for any report
ENOUGH = 0.98


def labelled(path: Path) -> tuple[list[str], bytes, bool]:
    """What is expected of a report of the corpus, its octets without that, and whether it has the null sender."""
    expected, kept = [], []
    for line in path.read_text("utf-8").splitlines():
        if line.startswith("X-Expect: "):
            expected.append(line.removeprefix("X-Expect: "))
        else:
            kept.append(line)
    return expected, "\r\n".join([*kept, ""]).encode(), "Return-Path: <>" in kept


def told(report: Report) -> list[str]:
    """A report in the words of the corpus."""
    if report.kind is Kind.NOTIFICATION:
        return [one_of(statement) for statement in report.statements]
    if report.feedback:
        said = report.feedback
        return [f"complaint {said.type} {(*said.recipients, '-')[0]} {(*said.return_paths, '-')[0]}"]
    return [report.kind.value]


def one_of(statement: Statement) -> str:
    address = statement.original or statement.final or "-"
    return f"{statement.action} {address} {statement.code} {statement.status or '-'}"


def right(path: Path) -> bool:
    expected, content, null_sender = labelled(path)
    wanted = [" ".join(line.split()[:4]) for line in expected]
    return told(read(content, null_sender=null_sender)) == wanted


def classes(path: Path) -> list[tuple[str, str]]:
    """The class that each statement of a report should have, and the one that it has."""
    expected, content, null_sender = labelled(path)
    said = read(content, null_sender=null_sender).statements
    labels = [line.split()[4] if len(line.split()) > 4 else "" for line in expected]
    return [
        (label, classify(REPORT, one.code, one.status, one.diagnostic).name)
        for label, one in zip(labels, said, strict=False)
        if label
    ]


def test_the_corpus_is_understood() -> None:
    wrong = [path.stem for path in CORPUS if not right(path)]
    assert len(CORPUS) >= 60
    assert len(wrong) <= (1 - ENOUGH) * len(CORPUS), wrong


def test_what_failed_has_the_right_class() -> None:
    pairs = [(path.stem, *pair) for path in CORPUS if right(path) for pair in classes(path)]
    wrong = [one for one in pairs if one[1] != one[2]]
    assert len(pairs) >= 35
    assert len(wrong) <= (1 - ENOUGH) * len(pairs), wrong


@pytest.mark.parametrize("path", CORPUS, ids=lambda path: path.stem)
def test_line_ends_do_not_matter(path: Path) -> None:
    _, content, null_sender = labelled(path)
    assert told(read(content.replace(b"\r\n", b"\n"), null_sender=null_sender)) == told(
        read(content, null_sender=null_sender)
    )


@given(st.sampled_from(CORPUS), st.randoms(use_true_random=False))
def test_whatever_is_broken_is_still_some_report(path: Path, chance: random.Random) -> None:
    _, content, null_sender = labelled(path)
    for _ in range(chance.randint(1, 8)):
        start = chance.randint(0, len(content))
        end = start + chance.randint(0, 40)
        content = content[:start] + chance.choice((b"", b"\r\n\r\n", b"--", bytes(range(256)))) + content[end:]
    assert read(content, null_sender=null_sender).kind in Kind


@given(st.binary(max_size=2000), st.booleans())
def test_any_octets_are_some_report(content: bytes, null_sender: bool) -> None:
    assert read(content, null_sender=null_sender).kind in Kind


MEGABYTE = 1_048_576
STATUS = b"Content-Type: multipart/report; boundary=b\r\n\r\n--b\r\nContent-Type: message/delivery-status\r\n\r\n"
DAEMON = b"From: MAILER-DAEMON\r\nSubject: undeliverable\r\n\r\n"


def nested(depth: int) -> bytes:
    """Multiparts inside of each other."""
    return b"".join(b"Content-Type: multipart/mixed; boundary=%d\r\n\r\n--%d\r\n" % (n, n) for n in range(depth))


@pytest.mark.parametrize(
    "piece",
    [
        b"a:b\n",
        b"x",
        b"\n",
        b" \n",
        b"\r\n\r\n",
        b"Received: from a by b;\r\n",
        b"Final-Recipient: rfc822;a@b\nAction: failed\n\n",
        b"a@b ",
        b"@",
        b"550 ",
        b"5.1.1 ",
        b"\\x{FC}",
        b"<",
        b"\n--b",
        b"\n--b\n",
        b"\n--b\nContent-Type: text/html\n\n<<<",
        b"=?utf-8?q?=C3?= ",
        b'Content-Type: a; x="\\"',
        b"\xc3\x9f",
        b"\x00",
    ],
    ids=repr,
)
@pytest.mark.parametrize(
    "head", [b"", STATUS, DAEMON, nested(3), nested(2000)], ids=["", "status", "daemon", "3", "2000"]
)
def test_nothing_takes_long(head: bytes, piece: bytes) -> None:
    content = (head + piece * (MEGABYTE // len(piece)))[:MEGABYTE]
    took = []
    for _ in range(3):
        begun = time.thread_time()
        read(content, null_sender=True)
        took.append(time.thread_time() - begun)
        if took[-1] < BUDGET:
            return
    raise AssertionError(f"it took {min(took):.3f} s")


def test_of_a_report_with_many_parts_no_more_than_a_hundred_statements_are_read() -> None:
    part = (
        b"--x\r\nContent-Type: message/delivery-status\r\n\r\n" + b"Final-Recipient: a@b\r\nAction: failed\r\n\r\n" * 99
    )
    made = read(b"Content-Type: multipart/report; boundary=x\r\n\r\n" + part * 50, null_sender=True)
    assert len(made.statements) == 100
