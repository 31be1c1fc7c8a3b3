"""Statements of the hot path: compiled once for each dialect, then run past SQLAlchemy's work for every call.

SQLAlchemy needs about 50 µs for a statement however few rows it has; a commit of one message has ten statements.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from sqlalchemy import ClauseElement
from sqlalchemy.dialects import sqlite
from sqlalchemy.engine import Dialect
from sqlalchemy.orm import Session

Row = Mapping[str, Any]
Processors = dict[str, Callable[[Any], Any]]
Compiled = tuple[str, Processors, Row]  # the text, what must be done to values, and the statement's own values


class Statement:
    """A statement with named parameters; ``name`` of each is the key of its value in the rows."""

    def __init__(self, clause: ClauseElement, columns: Sequence[str] | None = None) -> None:
        """``columns``: those that an INSERT is given (all, when None)."""
        self._clause = clause
        self._columns = columns
        self._compiled: dict[str, Compiled] = {}

    def run(self, session: Session, rows: Sequence[Row]) -> int:
        """Execute for each row; how many rows of the table were touched."""
        cursor, sql, rows = self._prepare(session, rows)
        try:
            if len(rows) == 1:
                cursor.execute(sql, rows[0])
            else:
                cursor.executemany(sql, rows)
            count: int = cursor.rowcount
            return count
        finally:
            cursor.close()

    def fetch(self, session: Session, row: Row) -> list[tuple[Any, ...]]:
        """Execute once; the result's rows, values as the driver gives them."""
        cursor, sql, rows = self._prepare(session, [row])
        try:
            cursor.execute(sql, rows[0])
            found: list[tuple[Any, ...]] = cursor.fetchall()
            return found
        finally:
            cursor.close()

    def _prepare(self, session: Session, rows: Sequence[Row]) -> tuple[Any, str, Sequence[Row]]:
        connection = session.connection()
        name = connection.dialect.name
        if name not in self._compiled:
            self._compiled[name] = _compile(self._clause, connection.dialect, self._columns)
        sql, processors, constants = self._compiled[name]
        if processors or constants:
            rows = [
                {**constants, **row, **{key: process(row[key]) for key, process in processors.items()}} for row in rows
            ]
        return connection.connection.cursor(), sql, rows


def _compile(clause: ClauseElement, dialect: Dialect, columns: Sequence[str] | None) -> Compiled:
    if dialect.name == "sqlite":
        dialect = sqlite.dialect(paramstyle="named")
    compiled: Any = clause.compile(dialect=dialect, column_keys=columns)
    processors = {key: one for key, one in compiled._bind_processors.items() if _matters(one)}
    given = {bind.key for bind in compiled.binds.values() if bind.required}
    constants = {key: value for key, value in compiled.params.items() if key not in given}
    return str(compiled), processors, constants


def _matters(processor: Callable[[Any], Any]) -> bool:
    """Octets, numbers and truth values are taken by the drivers as they are; JSON is not."""
    return "JSON" in getattr(processor, "__qualname__", "")
