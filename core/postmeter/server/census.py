"""Who is here: counts sessions, in all, by address and by connection, and keeps to the limits of the whole machine."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Callable, Iterator
from enum import Enum, auto
from typing import Protocol

from postmeter.config import Smtp
from postmeter.server.auth import Submitter
from postmeter.server.board import Board
from postmeter.server.origin import origin

SOON = 5.0  # seconds in which everybody who wants to log in has done so
LOOKED_AT = 16  # sessions, at most, among which one is sought that makes room
FEW = 100  # sessions that are turned away with a word, whatever the limits are


class Closable(Protocol):
    """A session that can be asked to end."""

    @property
    def under_way(self) -> bool:
        """Whether a message is being received, or an answer is ours to give."""

    def shut_down(self) -> None:
        """End after what is under way."""

    def cut(self) -> None:
        """End now; only an answer that is being made is still given."""

    def make_room(self) -> None:
        """End, because nobody has logged in and others wait."""


class Admission(Enum):
    """What becomes of a new session."""

    WELCOME = auto()
    FULL = auto()  # there are too many in all: it is turned away
    CROWDED = auto()  # there are too many of its address: it is turned away
    DROPPED = auto()  # too many are being turned away already: without a word, and not counted


class Census:
    """The sessions of one worker. Those that are turned away are known until they are gone, but count nowhere.

    The limits are for all workers together: each tells the board how many it has. An address that has as many as it may
    gets a new one instead of an old one that has never logged in: one broken shop cannot keep out all the others of
    its hosting server.
    """

    def __init__(self, limits: Smtp, board: Board, clock: Callable[[], float] = time.monotonic) -> None:
        self._limits = limits
        self._board = board
        self._clock = clock
        self._everybody = board.key("sessions", "")
        self._sessions: dict[Closable, int] = {}  # with their place, that is the board's key of the address
        self._strangers: dict[int, dict[Closable, float]] = {}  # by place: who has not logged in, since when
        self._turned_away: dict[Closable, int] = {}
        self._by_address: Counter[int] = Counter()
        self._away_by_address: Counter[int] = Counter()
        self._by_connection: Counter[int] = Counter()

    def __len__(self) -> int:
        return len(self._sessions)

    def __iter__(self) -> Iterator[Closable]:
        return iter(list(self._sessions))

    def enter(self, session: Closable, address: str) -> Admission:
        """A session begins."""
        place = self._board.key("address", origin(address))
        self._add(session, place)
        if self._board.count(self._everybody, after=0) > self._limits.max_sessions:
            return self._turn_away(session, Admission.FULL)
        if self._board.count(place, after=0) > self._limits.max_sessions_per_ip and not self._make_room(place):
            return self._turn_away(session, Admission.CROWDED)
        self._strangers.setdefault(place, {})[session] = self._clock()
        return Admission.WELCOME

    def log_in(self, session: Closable, submitter: Submitter) -> bool:
        """A session logs in; False when its connection has as many already as it may."""
        connection = self._connection(submitter)
        self._board.put(connection, self._by_connection[connection])  # anew, since a full board forgets
        if self._board.count(connection, after=0) >= self._limits.max_sessions_per_connection:
            return False
        self._by_connection[connection] += 1
        self._board.put(connection, self._by_connection[connection])
        self._is_known(session, self._sessions.get(session, 0))
        return True

    def leave(self, session: Closable, submitter: Submitter | None) -> None:
        """A session is over; one that was dropped is not known."""
        if (place := self._turned_away.pop(session, None)) is not None:
            _lower(self._away_by_address, place)
        elif session in self._sessions:
            self._remove(session)
        if submitter is not None:
            connection = self._connection(submitter)
            self._board.put(connection, _lower(self._by_connection, connection))

    def _add(self, session: Closable, place: int) -> None:
        self._sessions[session] = place
        self._by_address[place] += 1
        self._board.put(self._everybody, len(self._sessions))
        self._board.put(place, self._by_address[place])

    def _remove(self, session: Closable) -> int:
        place = self._sessions.pop(session)
        self._is_known(session, place)
        self._board.put(self._everybody, len(self._sessions))
        self._board.put(place, _lower(self._by_address, place))
        return place

    def _is_known(self, session: Closable, place: int) -> None:
        strangers = self._strangers.get(place)
        if strangers is not None:
            strangers.pop(session, None)
            if not strangers:
                del self._strangers[place]

    def _turn_away(self, session: Closable, admission: Admission) -> Admission:
        place = self._remove(session)
        many, many_of_place = max(FEW, self._limits.max_sessions // 10), max(FEW, self._limits.max_sessions_per_ip)
        if len(self._turned_away) >= many or self._away_by_address[place] >= many_of_place:
            return Admission.DROPPED
        self._turned_away[session] = place
        self._away_by_address[place] += 1
        return admission

    def _make_room(self, place: int) -> bool:
        """End a session of that place which is old enough to have logged in and has not; False when there is none."""
        strangers = self._strangers.get(place, {})
        for session, begun in list(strangers.items())[:LOOKED_AT]:
            if self._clock() - begun < SOON:
                return False
            if not session.under_way:
                self._turned_away[session] = self._remove(session)
                self._away_by_address[place] += 1
                session.make_room()
                return True
        return False

    def _connection(self, submitter: Submitter) -> int:
        return self._board.key("connection", str(submitter.access.connection_id))


def _lower(counter: Counter[int], key: int) -> int:
    """One less; what is left."""
    counter[key] -= 1
    if counter[key] <= 0:
        del counter[key]
    return counter[key]
