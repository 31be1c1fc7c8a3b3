"""One attempt to deliver: where it was made, what was said, what became of it, and what the timeline tells of that."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from postmeter.delivery.client_tls import TlsFacts
from postmeter.delivery.outcome import HANDED_OVER
from postmeter.delivery.route import Host, NoRoute
from postmeter.delivery.tls_policy import HostPolicy
from postmeter.smtp.mail import Outcome
from postmeter.smtp.transcript import Exchange, Line, dialogue

TOO_MANY = ("", "4.5.3")  # what 452 says besides about too many recipients
_NO_POLICY = HostPolicy()


@dataclass(frozen=True, slots=True)
class Facts:
    """The server an attempt was made at: name and address, the name it gave itself, and TLS (None: in clear).

    ``in_clear`` says why it was in clear. ``local`` is the address of this relay there, ``ehlo`` the name it gave.
    ``policy`` is what TLS there must have, and ``flaw`` says why it has not. ``dsn``: it was told what notifications
    the sender wishes (RFC 3461).
    """

    name: str
    address: str
    port: int
    hello: str = ""
    tls: TlsFacts | None = None
    in_clear: str = ""
    local: str = ""
    ehlo: str = ""
    policy: HostPolicy = _NO_POLICY
    flaw: str = ""
    dsn: bool = False

    @classmethod
    def of(cls, host: Host, policy: HostPolicy = _NO_POLICY) -> Facts:
        """What is known before the server has spoken."""
        return cls(host.name, host.address, host.port, policy=policy)

    @property
    def authenticated(self) -> bool:
        """Whether the server is the one that the domain means, as far as a policy of the domain lets us tell."""
        return self.tls is not None and self.policy.authenticates and not self.flaw


@dataclass(frozen=True, slots=True)
class Talk:
    """An attempt by the reactor's clock, and what was said in it.

    ``session`` counts the mails of its session up to this one (0: there was no session); ``opening`` has what came
    before the first. ``exchange`` is None when no transaction was begun.
    """

    began: float
    ended: float
    session: int = 0
    opening: tuple[Line, ...] = ()
    exchange: Exchange | None = None

    def lines(self, outcome: Outcome) -> list[Line]:
        """The dialogue up to the answer of one recipient; what decided, if it was not the server's word, comes last."""
        lines = list(self.opening)
        if self.exchange is not None:
            lines += self.exchange.lines(outcome.recipient, outcome.stage)
        if self.session and not (lines and lines[-1].what is outcome.reply):
            lines.append(Line(self.ended, "C", f"({outcome.reply.text})"))
        return lines


@dataclass(frozen=True, slots=True)
class Delivery:
    """The end of one attempt: an outcome for every recipient, and the server it was made at.

    ``put_off``: there was none, since nothing more may be sent there now; seconds after which it should come again.
    """

    outcomes: tuple[Outcome, ...]
    facts: Facts
    talk: Talk
    put_off: float | None = None


def left_over(outcomes: Sequence[Outcome]) -> list[Outcome]:
    """Those that the server had no room for next to others (RFC 5321, 4.5.3.1.10): another transaction, at once.

    There are fewer each time: without others that got their answer, nothing is left over.
    """
    left = [one for one in outcomes if one.stage == "rcpt" and one.reply.code == 452 and one.reply.status in TOO_MANY]
    if not left or len(left) == len(outcomes):
        return []
    return left if all(one.stage in HANDED_OVER for one in outcomes) else []


def told(
    delivery: Delivery, outcome: Outcome, now: float, provider: str, notify: str = "", *, passed_on: bool = True
) -> dict[str, Any]:
    """What the timeline tells of an attempt at a provider that ends ``now``, for one recipient with that NOTIFY.

    ``passed_on``: it was, to a server that knows it.
    """
    remote, talk = delivery.facts, delivery.talk
    seconds = talk.ended - talk.began
    facts: dict[str, Any] = {
        "remote": remote.name,
        "address": remote.address,
        "port": remote.port,
        "provider": provider,
        "started_at": round(now - seconds, 3),
        "seconds": round(seconds, 3),
        "dialogue": dialogue(talk.lines(outcome), talk.began),
    }
    if "SUCCESS" in notify:
        facts["dsn"] = remote.dsn and passed_on
    if talk.session:
        facts["session"] = talk.session
    if remote.local:
        facts["local_address"], facts["ehlo"] = remote.local, remote.ehlo
    if remote.tls is not None:
        tls = remote.tls
        facts["tls"], facts["cipher"], facts["certificate"] = tls.version, tls.cipher, tls.problem or "verified"
        facts["authenticated"] = remote.authenticated
    elif remote.in_clear:
        facts["tls"], facts["in_clear"] = None, remote.in_clear
    facts["tls_policy"] = remote.policy.level
    if remote.flaw:
        facts["tls_flaw"] = remote.flaw
    return facts


def unrouted(domain: str, route: NoRoute, began: float, now: float) -> dict[str, Any]:
    """The same when no mail server was found; both times in seconds since the epoch."""
    asked = Line(began, "C", f"(which mail servers does {domain} have?)")
    lines = [asked, *(Line(now, "S", f"({step})") for step in route.steps)]
    return {"started_at": round(began, 3), "seconds": round(now - began, 3), "dialogue": dialogue(lines, began)}
