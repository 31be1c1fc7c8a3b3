"""Logging of a process: one line a fact on standard error, Twisted's own records included."""

from __future__ import annotations

import logging
import sys
from typing import Any

from twisted.logger import ILogObserver, LogEvent, LogLevel, formatEvent, globalLogBeginner
from twisted.python.failure import Failure
from zope.interface import implementer

log = logging.getLogger(__name__)

_LEVELS = {LogLevel.warn: logging.WARNING, LogLevel.error: logging.ERROR, LogLevel.critical: logging.CRITICAL}


class OneLine(logging.Formatter):
    """Escapes line breaks and control characters, so that nobody can write a record of their own."""

    def formatMessage(self, record: logging.LogRecord) -> str:
        """The record as one line."""
        return _printable(super().formatMessage(record))

    def formatException(self, ei: Any) -> str:
        """The traceback, indented."""
        return "\n".join(f"    {_printable(line)}" for line in super().formatException(ei).split("\n"))


def _printable(line: str) -> str:
    return line if line.isprintable() else "".join(c if c.isprintable() else repr(c)[1:-1] for c in line)


def set_up(name: str, level: int = logging.INFO) -> None:
    """Log to standard error; ``name`` says which process it is."""
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(OneLine(f"%(asctime)s {name} %(levelname)s %(name)s: %(message)s"))
    logging.basicConfig(level=level, handlers=[handler], force=True)
    logging.getLogger("alembic").setLevel(logging.WARNING)
    sys.unraisablehook = _unraisable
    globalLogBeginner.beginLoggingTo([ToLogging()], redirectStandardIO=False, discardBuffer=True)


def _unraisable(unraisable: Any) -> None:
    """What could be raised nowhere. A client's own octets (a server name that is none, RFC 6066) are no news."""
    level = logging.DEBUG if isinstance(unraisable.object, bytes) else logging.ERROR
    about = (unraisable.exc_type, unraisable.exc_value, unraisable.exc_traceback)
    log.log(level, "%s: %r", unraisable.err_msg or "exception ignored", unraisable.object, exc_info=about)


@implementer(ILogObserver)
class ToLogging:
    """Passes on what Twisted reports, from warnings upwards."""

    def __call__(self, event: LogEvent) -> None:
        """One record."""
        level = _LEVELS.get(event.get("log_level", LogLevel.info))
        if level is not None:
            failure: Failure | None = event.get("log_failure")
            about = failure.value if failure is not None else None
            logging.getLogger("twisted").log(level, "%s", formatEvent(event), exc_info=about)
