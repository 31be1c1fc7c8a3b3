"""A share of all sessions: where anybody may come, only so many do, and those who log in elsewhere find room."""

from __future__ import annotations

from postmeter.server.board import Board


class Share:
    """Counts the sessions of one kind, of which there may be ``most`` at all workers together."""

    def __init__(self, name: str, most: int, board: Board) -> None:
        self._key = board.key("share", name)
        self._most = most
        self._board = board
        self._present: set[object] = set()

    def enter(self, session: object) -> bool:
        """A session begins; False when there are as many already as there may be."""
        self._tell()  # anew, since a full board forgets
        if self._board.count(self._key, after=0) >= self._most:
            return False
        self._present.add(session)
        self._tell()
        return True

    def leave(self, session: object) -> None:
        """A session is over, one that has entered or not."""
        self._present.discard(session)
        self._tell()

    def _tell(self) -> None:
        self._board.put(self._key, len(self._present))
