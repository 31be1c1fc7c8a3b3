"""Fuzz target: any octets, in any cutting, are a dialogue that the submission session must stand.

The first octets of an input say what the session is (``Case``), the rest is what the client sends. It is played three
times, which must come to the same: flight by flight, octet by octet, and in the pieces that the input names with every
answer given late. What must hold each time is in ``fuzz.play``.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from fuzz.play import Play
from postmeter.smtp.limits import Limits
from support.dialogue import Credentials, Script, load_scripts, octet_by_octet

TLS, LOGGED_IN, NORMALISE, LONG_LINES, SMALL, STOP = (1 << n for n in range(6))  # bits of an input's first octet
HEAD = 8  # octets of an input before those of the client
FLIGHT = b"\x1e"  # parts what is sent at once from what follows when all was answered
_LOGIN = b"EHLO client.example\r\nAUTH PLAIN AHNob3AAc2VjcmV0\r\n"


@dataclass(frozen=True)
class Case:
    """What an input asks for: bit k of ``refused`` refuses the question with number k (mod 8), ``sizes`` cut."""

    flags: int
    refused: int
    sizes: bytes
    flights: list[bytes]

    @classmethod
    def read(cls, data: bytes) -> Case:
        """The case in an input; one that is too short is filled up with zeros."""
        head = data[:HEAD].ljust(HEAD, b"\0")
        return cls(head[0], head[1], head[2:], data[HEAD:].split(FLIGHT))

    def write(self) -> bytes:
        """The input that says this case."""
        return bytes([self.flags, self.refused]) + self.sizes + FLIGHT.join(self.flights)

    @property
    def limits(self) -> Limits:
        """Those of a small session are soon reached."""
        normalise, long_lines = bool(self.flags & NORMALISE), bool(self.flags & LONG_LINES)
        if not self.flags & SMALL:
            return Limits(normalise_line_endings=normalise, accept_long_lines=long_lines)
        return Limits(200, 3, 2, 4, 6, 2, 90, 120, normalise, long_lines)

    def play(self, *, octets: bool = False, late: bool = False, stop: bool = False) -> Play:
        """The dialogue, played to its end, or until the server stops before the last answers."""
        tls = bool(self.flags & TLS)
        play = Play(self.limits, tls, self.refused, octets=octets, late=late)
        if tls and self.flags & LOGGED_IN:
            play.log_in(_LOGIN)
        *flights, last = self.flights
        for flight in flights:
            play.fly(self._cut(flight, octets, late))
        play.fly(self._cut(last, octets, late), stop=stop)
        return play

    def _cut(self, flight: bytes, octets: bool, late: bool) -> Iterable[bytes]:
        return octet_by_octet(flight) if octets else self.pieces(flight) if late else [flight]

    def pieces(self, flight: bytes) -> Iterable[bytes]:
        """The flight in pieces of the input's sizes, again and again; 0 is as much as 256."""
        place = turn = 0
        while place < len(flight):
            size = self.sizes[turn % len(self.sizes)] or 256
            yield flight[place : place + size]
            place, turn = place + size, turn + 1


def seeds() -> Iterator[bytes]:
    """All dialogue scripts that are not long: as they are, in a session that takes more, and in a small one."""
    for script in load_scripts():
        flights = list(_flights(script))
        if sum(map(len, flights)) < 4000 and FLIGHT not in b"".join(flights):
            tls = TLS if script.secure else 0
            yield Case(tls, 0, bytes([1, 7, 20, 3, 0, 50]), flights).write()
            yield Case(tls | NORMALISE | LONG_LINES, 0, bytes([2, 60, 5, 1, 9, 0]), flights).write()
            yield Case(tls | SMALL | STOP, 0b10010000, bytes([30, 2, 1, 0, 200, 4]), flights).write()


def _flights(script: Script) -> Iterator[bytes]:
    flight = b""
    for step in script.steps:
        if step.kind.startswith("C"):
            flight += step.octets(Credentials())
        elif flight:
            yield flight
            flight = b""


def check(data: bytes) -> None:
    """AssertionError when a session breaks its word, or when the cutting of the octets matters."""
    case = Case.read(data)
    whole, octets, late = case.play(), case.play(octets=True), case.play(late=True)
    if whole.muddled or late.muddled:  # what is sent behind STARTTLS in clear text ends the session, sooner or later
        assert whole.session.closing or late.session.closing
    else:
        assert whole.told == octets.told == late.told
        assert whole.written == octets.written == late.written
        assert whole.session.closing is octets.session.closing is late.session.closing
    for play in (whole, octets, late, *([case.play(late=True, stop=True)] if case.flags & STOP else [])):
        play.end()
