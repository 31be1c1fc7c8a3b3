"""A share of all sessions, which the workers of a machine have together."""

from __future__ import annotations

import os

from postmeter.server.board import Board
from postmeter.server.share import Share


def test_all_workers_together_have_so_many() -> None:
    descriptor = Board.create(2)
    one, other = (Share("reports", 2, Board(descriptor, page)) for page in range(2))
    assert [one.enter("a"), other.enter("b"), one.enter("c"), other.enter("d")] == [True, True, False, False]
    other.leave("d")
    assert not one.enter("c")
    other.leave("b")
    assert one.enter("c")
    os.close(descriptor)
