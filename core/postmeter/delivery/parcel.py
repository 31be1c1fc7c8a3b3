"""What is under way: some recipients of a message, and which of them have an outcome."""

from __future__ import annotations

from dataclasses import dataclass

from postmeter.store.picking import Load
from postmeter.store.queue import Leased


@dataclass(slots=True, eq=False)
class Parcel:
    """Some leased recipients of a message under way, others of it may be in another parcel.

    ``open`` are the recipients without an outcome, ``unrecorded`` counts those whose outcome is not committed.
    """

    leased: Leased
    content: bytes | None
    open: set[int]
    unrecorded: int
    load: Load  # what it takes up in the window
