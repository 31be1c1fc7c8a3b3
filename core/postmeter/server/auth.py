"""Who may submit: user name and secret against the store, through a twisted.cred portal."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from twisted.cred.checkers import ICredentialsChecker
from twisted.cred.credentials import ICredentials
from twisted.cred.error import UnauthorizedLogin
from twisted.cred.portal import IRealm, Portal
from twisted.internet.defer import Deferred, maybeDeferred, succeed
from twisted.python.failure import Failure
from zope.interface import Attribute, Interface, implementer

from postmeter.store.connections import Access

REMEMBERED = 1.0  # seconds for which an access is taken from memory: then changes hold, at the next log-in or MAIL
MOST_REMEMBERED = 10_000  # user names, also of those that do not exist
LONGEST = 255  # characters of a user name that somebody may have


class ITokenCredentials(ICredentials):
    """A user name and the secret token that belongs to it."""

    username: str = Attribute("the connection's user name")
    token: str = Attribute("the generated secret")


class ISubmitter(Interface):
    """Somebody who has logged in to submit mail."""

    access: Access = Attribute("what the connection may do")
    secret: bytes = Attribute("the keyed hash of the token that opened it")


@implementer(ITokenCredentials)
@dataclass(frozen=True, slots=True)
class TokenCredentials:
    """What AUTH brought (RFC 4954); never shown."""

    username: str
    token: str

    def __repr__(self) -> str:
        return f"TokenCredentials({self.username!r})"


@implementer(ISubmitter)
@dataclass(frozen=True, slots=True)
class Submitter:
    """The avatar of a session: its connection, and by which secret it was opened."""

    access: Access
    secret: bytes = field(repr=False)


class InactiveConnection(UnauthorizedLogin):
    """The credentials are right, but the connection is off; the text says why."""


class Directory:
    """The accesses of this moment: looked up in the store, off the reactor, and remembered for a second.

    Who asks while a look-up is under way waits for that one. That there is none is remembered as well, so that the
    time of an answer does not tell which user names exist.
    """

    def __init__(self, look_up: Callable[[str], Deferred[Access | None]], clock: Callable[[], float]) -> None:
        self._look_up = look_up
        self._clock = clock
        self._known: dict[str, tuple[float, Access | None]] = {}
        self._waiting: dict[str, list[Deferred[Access | None]]] = {}

    def at_hand(self, username: str) -> Access | None:
        """The access of this user name if it is remembered; None says nothing."""
        known = self._known.get(username)
        return known[1] if known is not None and known[0] > self._clock() else None

    def get(self, username: str) -> Deferred[Access | None]:
        """The access of this user name; None when there is none."""
        if len(username) > LONGEST:
            return succeed(None)
        known = self._known.get(username)
        if known is not None and known[0] > self._clock():
            return succeed(known[1])
        answer: Deferred[Access | None] = Deferred()
        waiting = self._waiting.setdefault(username, [])
        waiting.append(answer)
        if len(waiting) == 1:
            maybeDeferred(self._look_up, username).addBoth(self._looked_up, username)
        return answer

    def _looked_up(self, found: Access | Failure | None, username: str) -> None:
        if not isinstance(found, Failure):
            if len(self._known) >= MOST_REMEMBERED:
                self._known.clear()
            self._known[username] = (self._clock() + REMEMBERED, found)
        for answer in self._waiting.pop(username):
            answer.callback(found)


@implementer(ICredentialsChecker)
class TokenChecker:
    """Compares keyed hashes in constant time; an unknown user name takes the same way with an access of nobody's."""

    credentialInterfaces = (ITokenCredentials,)

    def __init__(self, directory: Directory, hash_token: Callable[[str], bytes]) -> None:
        self._directory = directory
        self._hash = hash_token
        self._nobody = Access(0, 0, "", hash_token(""), "", ())

    def requestAvatarId(self, credentials: TokenCredentials) -> Any:
        """Who has this secret; fails with UnauthorizedLogin, or InactiveConnection when it is off."""
        return self._directory.get(credentials.username).addCallback(self._check, credentials)

    def _check(self, access: Access | None, credentials: TokenCredentials) -> Submitter:
        secret = self._hash(credentials.token)
        opened = (access or self._nobody).opened_by(secret)
        if access is None or opened is None:
            raise UnauthorizedLogin
        if opened.reason:
            raise InactiveConnection(opened.reason)
        return Submitter(opened, secret)


@implementer(IRealm)
class SubmissionRealm:
    """Gives everybody who was let in his avatar; it holds nothing that must be given back."""

    def requestAvatar(self, avatarId: Any, mind: object, *interfaces: Any) -> Any:
        """The triple that IRealm asks for."""
        if ISubmitter not in interfaces:
            raise NotImplementedError("only ISubmitter is offered here")
        return ISubmitter, avatarId, lambda: None


def portal(directory: Directory, hash_token: Callable[[str], bytes]) -> Portal:
    """The door through which every AUTH goes."""
    return Portal(SubmissionRealm(), [TokenChecker(directory, hash_token)])
