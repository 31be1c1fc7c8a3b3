"""What all tables have in common: their types, the names of their constraints, and the way past objects."""

from __future__ import annotations

from typing import Any

from sqlalchemy import JSON, BigInteger, Double, Integer, LargeBinary, MetaData, String, Table, Text, text
from sqlalchemy.orm import DeclarativeBase

MESSAGE_ID = String(26)  # UUIDv7 in Crockford base32


class Base(DeclarativeBase):
    """All tables; constraints are named so that migrations can address them."""

    metadata = MetaData(
        naming_convention={
            "ix": "ix_%(table_name)s_%(column_0_N_name)s",
            "uq": "uq_%(table_name)s_%(column_0_N_name)s",
            "fk": "fk_%(table_name)s_%(column_0_name)s",
            "pk": "pk_%(table_name)s",
        }
    )
    type_annotation_map = {  # noqa: RUF012 - SQLAlchemy's own form
        int: BigInteger().with_variant(Integer(), "sqlite"),
        float: Double(),
        bytes: LargeBinary(),
        str: Text(),
        dict[str, Any]: JSON(),
        list[float]: JSON(),
    }


def table(entity: type[Base]) -> Table:
    """The table behind an entity, for statements that need no objects."""
    found = entity.__table__
    assert isinstance(found, Table)
    return found


def only(condition: str, sqlite: str = "") -> dict[str, Any]:
    """The arguments of an Index that has only the rows for which the condition holds, or another one on SQLite."""
    return {"sqlite_where": text(sqlite or condition), "postgresql_where": text(condition)}
