"""A shop's API on the loopback: strict about what it is asked, and in trouble when a test wants it to be."""

from __future__ import annotations

import base64
import json
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any, TypeVar
from urllib.parse import parse_qsl

import pytest_twisted  # type: ignore[import-untyped]
from twisted.internet import reactor as _reactor
from twisted.internet.defer import Deferred
from twisted.internet.threads import deferToThread
from twisted.web.resource import Resource
from twisted.web.server import Request, Site

reactor: Any = _reactor
T = TypeVar("T")


class Wrong(Exception):
    """A request that no correct client sends; the test fails."""


@dataclass(frozen=True)
class Asked:
    """A request."""

    method: str
    path: str
    query: list[tuple[str, str]]
    headers: dict[str, str]
    body: bytes
    uri: str

    @property
    def fields(self) -> dict[str, str]:
        """The query by name; no name may come twice."""
        found = dict(self.query)
        expect(len(found) == len(self.query), f"a name twice in {self.query}")
        return found

    @property
    def json(self) -> Any:
        """The body, which has to be JSON and to say so."""
        expect(self.headers.get("content-type") == "application/json", f"not JSON: {self.headers}")
        return json.loads(self.body)

    @property
    def basic(self) -> tuple[str, str] | None:
        """User name and password (RFC 7617), None without."""
        scheme, _, rest = self.headers.get("authorization", "").partition(" ")
        if scheme != "Basic":
            return None
        user, _, password = base64.b64decode(rest, validate=True).decode().partition(":")
        return user, password


@dataclass(frozen=True)
class Answer:
    """What is said; ``data`` is sent as JSON, a text as it is, None not at all."""

    status: int
    data: Any = None
    headers: dict[str, str] = field(default_factory=dict)

    @property
    def octets(self) -> bytes:
        """The body."""
        return (
            (self.data or "").encode()
            if self.data is None or isinstance(self.data, str)
            else json.dumps(self.data).encode()
        )


def expect(good: bool, what: str) -> None:
    """Wrong unless it is good."""
    if not good:
        raise Wrong(what)


class FakeShop(Resource):
    """``trouble`` are answers that come before the right ones (None: the right one); ``base`` is its address.

    ``before`` is called with each request, before it is answered.
    """

    isLeaf = True

    def __init__(self) -> None:
        super().__init__()
        self.base = ""
        self.asked: list[Asked] = []
        self.wrong: list[str] = []
        self.trouble: list[Answer | None] = []
        self.before: Callable[[Asked], object] = lambda asked: None

    def render(self, request: Request) -> bytes:
        """See Resource."""
        names = request.requestHeaders.getAllRawHeaders()
        headers = {name.decode().lower(): values[-1].decode("utf-8") for name, values in names}
        method, uri = request.method.decode("ascii"), request.uri.decode("ascii")
        answer = self.respond(method, uri, headers, request.content.read())
        request.setResponseCode(answer.status)
        for name, value in answer.headers.items():
            request.setHeader(name, value)
        return answer.octets

    def respond(self, method: str, uri: str, headers: dict[str, str], body: bytes) -> Answer:
        """The answer to a request; ``headers`` by lower-case name."""
        path, _, query = uri.partition("?")
        pairs = parse_qsl(query, keep_blank_values=True, strict_parsing=True) if query else []
        asked = Asked(method, path, pairs, headers, body, uri)
        self.asked.append(asked)
        self.before(asked)
        return (self.trouble.pop(0) if self.trouble else None) or self._answer(asked)

    def calls(self, method: str = "POST") -> list[str]:
        """The paths that were asked with this method."""
        return [asked.path for asked in self.asked if asked.method == method]

    def answer(self, asked: Asked) -> Answer:
        """The right answer; Wrong when there can be none."""
        raise NotImplementedError

    def _answer(self, asked: Asked) -> Answer:
        try:
            return self.answer(asked)
        except (Wrong, LookupError, TypeError, ValueError) as error:
            self.wrong.append(f"{asked.method} {asked.uri}: {error!r}")
            return Answer(400, {"message": "wrong"})


S = TypeVar("S", bound=FakeShop)


@contextmanager
def serving(shop: S) -> Iterator[S]:
    """Have the shop answer on the loopback; AssertionError at the end when it was asked anything wrong."""
    site = Site(shop)
    port = reactor.listenTCP(0, site, interface="127.0.0.1")
    shop.base = f"http://127.0.0.1:{port.getHost().port}"
    try:
        yield shop
    finally:
        pytest_twisted.blockon(port.stopListening())
    assert shop.wrong == []


def away(function: Callable[..., T], *args: Any) -> Deferred[T]:
    """Call what blocks in a thread, while the reactor serves it; what it gives or raises."""
    return deferToThread(function, *args)
