"""A message on its way into the store, and what the commit says to it."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field

from postmeter.message.envelope import Envelope
from postmeter.smtp.reply import Reply
from postmeter.store import idempotency
from postmeter.store.caps import Use
from postmeter.store.idempotency import Key


@dataclass(frozen=True, slots=True)
class Submission:
    """A message that has passed all checks and waits for its commit.

    ``content`` gives the octets in blocks (anew at each call); ``worker`` leases the recipients that may leave at once
    to the worker that took the message, None leaves them queued. Of the messages of a connection with the same ``key``
    and recipients the first is stored; empty: it has none. ``reference`` is what the sender calls its
    subject matter. ``capped``: the connection has caps. ``aged``: it was opened by its previous secret. ``priority``,
    ``lifetime`` and ``tls_required`` as the message's table has them. ``suppressions``: there are addresses that must
    not be tried for the account, so that its recipients have to be looked up.
    """

    id: str
    account_id: int
    connection_id: int
    domain: str
    envelope: Envelope
    header_from: str
    subject: str
    message_id: str
    size: int
    content: Callable[[], Iterable[bytes]]
    accepted_at: float
    worker: int | None
    key: bytes = b""
    reference: str = ""
    capped: bool = False
    aged: bool = False
    priority: int = 1
    lifetime: int = 0
    tls_required: bool = False
    suppressions: bool = False

    @property
    def recipients(self) -> int:
        """How many there are."""
        return len(self.envelope.recipients)

    @property
    def use(self) -> Use:
        """What its connection's caps go by."""
        return self.account_id, self.connection_id, self.accepted_at

    @property
    def claim(self) -> Key:
        """What the message is known by."""
        paths = [recipient.forward_path for recipient in self.envelope.recipients]
        return idempotency.key(self.account_id, self.connection_id, self.key, paths)


@dataclass(frozen=True, slots=True)
class Accepted:
    """Committed: the block that pays for each recipient (None: overdraft) that is not ``suppressed``.

    The last of these may have to wait for their slots under the hourly limit: ``waits`` says until when. Nothing is
    paid for the others; it is said to each number why it is not tried.
    """

    block_ids: tuple[int | None, ...]
    waits: tuple[float, ...] = ()
    suppressed: Mapping[int, str] = field(default_factory=dict)

    @property
    def at_once(self) -> int:
        """How many of the first ``paid`` recipients may leave now."""
        return len(self.block_ids) - len(self.waits)

    @property
    def paid(self) -> Sequence[int]:
        """The numbers of the recipients that are to be sent to."""
        if not self.suppressed:
            return range(len(self.block_ids))
        return [n for n in range(len(self.block_ids) + len(self.suppressed)) if n not in self.suppressed]


@dataclass(frozen=True, slots=True)
class Duplicate:
    """Not stored again: the message that came first with the same key is committed."""

    message_id: str


Answer = Accepted | Duplicate | Reply
