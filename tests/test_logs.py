"""The log: one line a fact, whatever strangers write into it, and Twisted's own records."""

from __future__ import annotations

import logging
import sys

import pytest
from hypothesis import given
from hypothesis import strategies as st
from twisted.logger import LogEvent, Logger, LogLevel
from twisted.python.failure import Failure

from postmeter.logs import OneLine, ToLogging


def formatted(message: str, *arguments: object, error: BaseException | None = None) -> str:
    """A record as it is written."""
    info = (type(error), error, error.__traceback__) if error else None
    record = logging.LogRecord("postmeter.test", logging.INFO, "file", 1, message, arguments, info)
    return OneLine("%(levelname)s %(name)s: %(message)s").format(record)


@given(st.text())
def test_no_text_of_a_stranger_makes_a_second_record(text: str) -> None:
    line = formatted("the client said %s", text)
    assert line.startswith("INFO postmeter.test: the client said ")
    assert line.isprintable()


def test_line_breaks_and_controls_stay_readable() -> None:
    assert formatted("%s", "a\nINFO forged\r\n\x1b[2Jend\u2028") == (
        "INFO postmeter.test: a\\nINFO forged\\r\\n\\x1b[2Jend\\u2028"
    )


def test_a_traceback_follows_indented_even_when_the_error_has_lines() -> None:
    try:
        raise ValueError("first\nINFO postmeter.test: forged\x1b")
    except ValueError as error:
        text = formatted("it failed", error=error)
    first, *rest = text.split("\n")
    assert first == "INFO postmeter.test: it failed"
    assert rest[0] == "    Traceback (most recent call last):"
    assert all(line.startswith("    ") and line.isprintable() for line in rest)
    assert any("forged\\x1b" in line for line in rest)


@pytest.fixture
def twisted_log(caplog: pytest.LogCaptureFixture) -> Logger:
    """Twisted's logger in front of ours."""
    observer = ToLogging()

    class Straight(Logger):
        """Tells our observer only."""

        def emit(self, level: LogLevel, format: str | None = None, **values: object) -> None:
            """One event."""
            event: LogEvent = {"log_level": level, "log_format": format, **values}
            observer(event)

    caplog.set_level(logging.DEBUG)
    return Straight()


def test_twisteds_warnings_and_failures_come_through_and_its_chatter_does_not(
    twisted_log: Logger, caplog: pytest.LogCaptureFixture
) -> None:
    twisted_log.emit(LogLevel.info, "Starting {what}", what="factory")
    twisted_log.emit(LogLevel.warn, "odd {what}", what="thing")
    try:
        raise ValueError("a defect")
    except ValueError:
        twisted_log.emit(LogLevel.critical, "Unhandled Error", log_failure=Failure())
    assert [(r.levelno, r.getMessage()) for r in caplog.records] == [
        (logging.WARNING, "odd thing"),
        (logging.CRITICAL, "Unhandled Error"),
    ]
    assert caplog.records[1].exc_info is not None
    assert "a defect" in caplog.text
    assert sys.exc_info() == (None, None, None)
