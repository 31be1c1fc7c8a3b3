"""Who is here: counts sessions, in all, by address and by connection, and keeps to the limits of the whole machine."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from typing import Protocol

from postmeter.config import Smtp
from postmeter.server.auth import Submitter
from postmeter.server.board import Board
from postmeter.server.origin import origin


class Closable(Protocol):
    """A session that can be asked to end."""

    @property
    def under_way(self) -> bool:
        """Whether a message is being received, or an answer is ours to give."""

    def shut_down(self) -> None:
        """End after what is under way."""

    def cut(self) -> None:
        """End now; only an answer that is being made is still given."""


class Census:
    """The sessions of one worker; those over a limit are counted until they are gone, but not let in.

    The limits are for all workers together: each tells the board how many it has.
    """

    def __init__(self, limits: Smtp, board: Board) -> None:
        self._limits = limits
        self._board = board
        self._everybody = board.key("sessions", "")
        self._sessions: set[Closable] = set()
        self._by_address: Counter[int] = Counter()  # by the board's keys
        self._by_connection: Counter[int] = Counter()

    def __len__(self) -> int:
        return len(self._sessions)

    def __iter__(self) -> Iterator[Closable]:
        return iter(list(self._sessions))

    def enter(self, session: Closable, address: str) -> bool:
        """A session begins; False when it is one too many in all or from its address."""
        place = self._place(address)
        self._sessions.add(session)
        self._by_address[place] += 1
        in_all = self._number(self._everybody, len(self._sessions))
        from_there = self._number(place, self._by_address[place])
        return in_all <= self._limits.max_sessions and from_there <= self._limits.max_sessions_per_ip

    def log_in(self, submitter: Submitter) -> bool:
        """A session logs in; False when its connection has as many already as it may."""
        connection = self._connection(submitter)
        if self._number(connection, self._by_connection[connection]) >= self._limits.max_sessions_per_connection:
            return False
        self._by_connection[connection] += 1
        self._board.put(connection, self._by_connection[connection])
        return True

    def leave(self, session: Closable, address: str, submitter: Submitter | None) -> None:
        """A session is over."""
        self._sessions.discard(session)
        self._board.put(self._everybody, len(self._sessions))
        self._lower(self._by_address, self._place(address))
        if submitter is not None:
            self._lower(self._by_connection, self._connection(submitter))

    def _place(self, address: str) -> int:
        return self._board.key("address", origin(address))

    def _connection(self, submitter: Submitter) -> int:
        return self._board.key("connection", str(submitter.access.connection_id))

    def _number(self, key: int, own: int) -> int:
        """How many sessions all workers have; the own ones are told anew, since a full board forgets."""
        self._board.put(key, own)
        return self._board.count(key, after=0)

    def _lower(self, own: Counter[int], key: int) -> None:
        own[key] -= 1
        if own[key] <= 0:
            del own[key]
        self._board.put(key, own[key])
