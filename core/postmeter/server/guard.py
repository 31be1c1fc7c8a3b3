"""Who may begin and who may log in: brute force meets closed doors, at all workers of the machine together."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable
from dataclasses import dataclass

from postmeter.config import Smtp
from postmeter.server.board import Board
from postmeter.server.origin import network, origin

log = logging.getLogger(__name__)

SECOND = 1_000  # milliseconds
DAY = 86_400 * SECOND  # for so long an address is known by a log-in,
MONTH = 30 * DAY  # and for so long a user name from a network: some shops send a mail a week
SHOWN = 64  # characters of a user name in the log

# A user name is the client's own text: it comes last, where it cannot pass for another part of the line.
USER_CLOSED = (
    "log-ins with one user name are refused for %(seconds)d s: %(count)d failures, the last from %(network)s, %(who)s"
)
NETWORK_CLOSED = "log-ins from %(network)s are refused for %(seconds)d s: %(count)d failures, the last with %(who)s"
PAIR_CLOSED = "log-ins with one user name from %(network)s are refused for %(seconds)d s: %(count)d failures, %(who)s"


@dataclass(frozen=True, slots=True)
class _Keys:
    """The names of what is known of one log-in; of the user name nothing else is kept."""

    user: int  # failures with the user name
    network: int  # failures from the network
    pair: int  # failures of both together
    known: int  # the last log-in of both together


class Guard:
    """Counts new sessions and failed log-ins; knows who has logged in within a day, and is patient with them."""

    def __init__(self, limits: Smtp, board: Board, clock: Callable[[], float] = time.monotonic) -> None:
        self._limits = limits
        self._board = board
        self._clock = clock
        self._window = limits.login_failure_window * SECOND

    def may_begin(self, address: str) -> bool:
        """A session begins; False when it is a surplus one in this second, of an address that never logs in."""
        if self.trusted(address):
            return True
        now, key = self._now(), self._board.key("session", origin(address))
        self._board.add(key, now, now - now % SECOND + SECOND)
        return self._board.count(key, now) <= self._limits.max_new_sessions_per_second

    def trusted(self, address: str) -> bool:
        """Whether a session of this address has logged in within a day."""
        return self._board.end(self._board.key("address-known", origin(address))) > self._now()

    def may_log_in(self, username: str, address: str) -> bool:
        """Whether to look at a log-in; False after too many failures with the user name, or from the network.

        Who has logged in so within a month answers for the own failures only: nobody else can lock them out.
        """
        limits, now, keys = self._limits, self._now(), self._keys(username, address)
        count, logged_in = self._board.count, self._board.end(keys.known)
        if logged_in > now:
            return count(keys.pair, self._after(logged_in, now)) < limits.max_login_failures_per_user
        few_of_user = count(keys.user, now) < limits.max_login_failures_per_user
        return few_of_user and count(keys.network, now) < limits.max_login_failures_per_network

    def failed(self, username: str, address: str, exists: bool = False) -> None:
        """A log-in has failed; for one that ``may_log_in`` refused this is not called.

        From the network a user name counts once in a window: who tries one again and again has it in his settings,
        and is stopped by the window of the user name. Only one that ``exists`` is told to the log: what else people
        enter as user name may be their password.
        """
        now, keys, limits = self._now(), self._keys(username, address), self._limits
        per_user, per_network = limits.max_login_failures_per_user, limits.max_login_failures_per_network
        logged_in = self._board.end(keys.known)
        again = self._board.count(keys.pair, now) > 0
        for key, after, most, closed in (
            (keys.user, now, per_user, USER_CLOSED),
            (keys.network, now, per_network, NETWORK_CLOSED),
            (keys.pair, self._after(logged_in, now), per_user, PAIR_CLOSED if logged_in > now else ""),
        ):
            if key == keys.network and again:
                continue
            if self._fills(key, after, now, most) and closed:
                seconds = -(-(self._board.end(key) - now) // SECOND)
                who = f"user name {_shown(username)}" if exists else "a user name that does not exist"
                log.warning(closed, {"network": network(address), "seconds": seconds, "count": most, "who": who})

    def succeeded(self, username: str, address: str) -> None:
        """A log-in was right: what failed before with this user name from this network is forgiven."""
        keys, now = self._keys(username, address), self._now()
        self._board.put(keys.pair, 0)
        self._board.put(keys.known, 1, now + MONTH)
        self._board.put(self._board.key("address-known", origin(address)), 1, now + DAY)

    def _fills(self, key: int, after: int, now: int, most: int) -> bool:
        """Count one more; True when it, or one at another worker in the same moment, closes the window."""
        before = self._board.count(key, after)
        self._board.add(key, after, now + self._window)
        return before < most <= self._board.count(key, after)

    def _after(self, logged_in: int, now: int) -> int:
        """When a window of both together must end to count: after now, and it must not have begun before the log-in.

        So a log-in forgives what other workers have counted, too, where it cannot write.
        """
        return max(now, logged_in - MONTH + self._window - 1)

    def _keys(self, username: str, address: str) -> _Keys:
        key, place = self._board.key, network(address)
        user = key("user", username)
        pair = f"{place} {user}"
        return _Keys(user, key("network", place), key("pair", pair), key("pair-known", pair))

    def _now(self) -> int:
        return round(self._clock() * SECOND)


def _shown(username: str) -> str:
    """ASCII without control characters, in quotes, not too long."""
    return ascii(username[:SHOWN]) + "..." * (len(username) > SHOWN)
