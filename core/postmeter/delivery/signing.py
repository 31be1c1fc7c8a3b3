"""Signs what is to be sent, in a thread of its own: keys from the store, content from memory or from the store."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable
from dataclasses import dataclass

from postmeter.delivery.source import PoolNames
from postmeter.message.header import HeaderSection, split
from postmeter.message.return_path import ReturnDomain
from postmeter.message.signature import SigningKey, sign
from postmeter.smtp.reply import Refused
from postmeter.store import queue
from postmeter.store.domains import keys_for
from postmeter.store.engine import Store
from postmeter.store.own_mail import OPERATOR
from postmeter.store.queue import QueuedMessage
from postmeter.store.returning import ReturnDomains
from postmeter.store.secrets import Secrets
from postmeter.threads import BatchThread

log = logging.getLogger(__name__)

KEYS_REMEMBERED = 5.0  # seconds


@dataclass(frozen=True, slots=True)
class Signed:
    """A content ready for the wire: the signatures and what they cover; ``eight_bit`` and ``utf8_header`` as found.

    ``pool``: what it leaves from, if there are pools of source addresses. ``returns``: where its bounces come back to;
    None: to the sender's own reverse path.
    """

    chunks: tuple[bytes, ...]
    eight_bit: bool
    utf8_header: bool
    pool: str = ""
    returns: ReturnDomain | None = None


@dataclass(frozen=True, slots=True)
class Order:
    """One message to sign; ``added`` are header fields that plugins want in front."""

    message: QueuedMessage
    content: bytes | None
    added: bytes
    done: Callable[[Signed | Exception], None]


class NoKey(Exception):
    """A domain has no signing key; the text says which."""


@dataclass(frozen=True, slots=True)
class Sender:
    """What mail of a sending domain leaves with: the customer's keys, then the operator's, and where bounces go."""

    keys: tuple[SigningKey, ...]
    returns: ReturnDomain | None = None


class KeyRing:
    """Senders by account and sending domain, read from the store and remembered for a few seconds.

    ``domains`` says which return path is the domain's; None: bounces come to nobody here.
    """

    def __init__(self, store: Store, secrets: Secrets, domains: ReturnDomains | None = None) -> None:
        self._store = store
        self._secrets = secrets
        self._domains = domains
        self._known: dict[tuple[int, str], tuple[float, Sender]] = {}

    def sender(self, account_id: int, domain: str) -> Sender:
        """The sender of such mail; NoKey when the customer's domain has no key. Blocks.

        Mail of the relay's own is signed with what keys the operator has.
        """
        known = self._known.get((account_id, domain))
        if known is not None and known[0] > time.monotonic():
            return known[1]
        until = time.monotonic() + KEYS_REMEMBERED  # from before the look: what changes meanwhile is seen in time
        with self._store.read() as session:
            keys = keys_for(session, self._secrets, account_id, domain)
            returns = self._domains.of(session, account_id, domain) if self._domains else None
        if account_id != OPERATOR and all(key.domain != domain for key in keys):
            # the operator's alone would not speak for the From field
            raise NoKey(f"There is no signing key for {domain}")
        sender = Sender(keys, returns)
        self._known[account_id, domain] = (until, sender)
        return sender


class Signer:
    """Signs in the order of asking; ``post`` brings a batch of results home (to the reactor) at once."""

    def __init__(
        self,
        store: Store,
        ring: KeyRing,
        post: Callable[[Callable[[], None]], None],
        pools: PoolNames | None = None,
    ) -> None:
        self._store = store
        self._ring = ring
        self._pools = pools
        self._post = post
        self._thread: BatchThread[Order] = BatchThread("signer", self._work, limit=16)

    def start(self) -> None:
        """Begin to work."""
        self._thread.start()

    def stop(self) -> None:
        """Sign what was asked for, then end."""
        self._thread.stop()

    def sign(self, order: Order) -> None:
        """Have a message signed; ``order.done`` gets the result on the reactor."""
        self._thread.put(order)

    def _work(self, orders: list[Order]) -> None:
        results = [(order.done, self._attempt(order)) for order in orders]

        def bring_home() -> None:
            for done, result in results:
                try:
                    done(result)
                except Exception as error:  # one message's defect must not keep the others
                    log.error("a signed message met a defect", exc_info=error)

        self._post(bring_home)

    def _attempt(self, order: Order) -> Signed | Exception:
        try:
            return self._sign(order)
        except Refused as refused:  # of a message that was taken only a plugin may say so
            return ValueError(f"it cannot be read any more: {refused}")
        except Exception as error:
            return error

    def _sign(self, order: Order) -> Signed:
        message = order.message
        content = order.content
        if content is None:
            with self._store.read() as session:
                content = queue.content(session, message.account_id, message.id)
        head, body = split(content)
        head = order.added + head
        sender = self._ring.sender(message.account_id, message.domain)
        # The time of acceptance, so that every attempt sends the same bytes (what plugins add may differ each time).
        fields = sign(HeaderSection.read(head), body, sender.keys, int(message.accepted_at))
        pool = self._pools.of(message.account_id, message.connection_id) if self._pools is not None else ""
        chunks = (fields, order.added, content)
        return Signed(chunks, not content.isascii(), not head.isascii(), pool, sender.returns)
