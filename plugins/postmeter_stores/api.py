"""What all kinds of shops have in common."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, Protocol

from postmeter_stores.note import Note

# What comes of an answer that is not as the API's: a list for a table, 1e999 for an id.
STRANGE = (ArithmeticError, AttributeError, LookupError, RecursionError, TypeError, ValueError)


@dataclass(frozen=True)
class Order:
    """An order: ``key`` is what the API calls it, ``number`` what people do, ``facts`` what writing needs of it."""

    key: str
    number: str
    facts: dict[str, Any] = field(default_factory=dict)


class Shop(Protocol):
    """One shop's API. All methods block, and raise ShopError, or one of STRANGE when the answer is no shop's."""

    def check(self) -> None:
        """Log in, and make sure without writing anything that notes may be written."""

    def find(self, number: str) -> Order | None:
        """The order of that number; None when there is none."""

    def newest(self, recipient: str) -> Order | None:
        """The newest order of the customer with that address; None when there is none."""

    def write(self, order: Order, note: Note) -> None:
        """Write the note unless it is there already (it may be: we may have died before we knew)."""
