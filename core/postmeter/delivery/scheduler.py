"""Mail under way in one worker: takes leases within the window, has each message signed and sent, and settles it."""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence
from dataclasses import replace
from functools import partial
from typing import Any

from twisted.internet.defer import Deferred, ensureDeferred
from twisted.internet.task import LoopingCall
from twisted.python.failure import Failure

from postmeter.asking import Asking
from postmeter.delivery.desk import Desk
from postmeter.delivery.dispatch import Dispatch
from postmeter.delivery.fair_queue import Turn
from postmeter.delivery.outcome import Judge, suspended
from postmeter.delivery.parcel import Parcel
from postmeter.delivery.pool import STOPPING, Pool
from postmeter.delivery.route import Router
from postmeter.delivery.settling import Settler, Submit
from postmeter.delivery.signing import NoKey, Order, Signed, Signer
from postmeter.delivery.turnstile import Turnstile
from postmeter.delivery.window import Window
from postmeter.hookspecs import MAX_BODY, Message
from postmeter.message.header import split
from postmeter.smtp.mail import Outcome
from postmeter.smtp.reply import Refused, Reply
from postmeter.store.picking import Load, Pick, Picking, Wish
from postmeter.store.queue import Leased, QueuedRecipient
from postmeter.store.settle import Settlement

log = logging.getLogger(__name__)

POLL = 1.0  # seconds between looks for recipients that are due
PICK = 100  # recipients leased at a time, in about 10 ms
LARGE = 8 << 20  # octets of content that are worth a pick, as many recipients are
AT_SIGNER = 32  # messages at most; as many keep it at work
TROUBLE = Reply(451, "4.3.0", "Something went wrong in this relay before the mail was sent")


class Scheduler:
    """Delivers for one worker (its number owns the leases); acceptance and the store hand it its work."""

    def __init__(
        self,
        *,
        worker: int,
        window: Window,
        reactor: Any,
        clock: Callable[[], float],
        random: Callable[[], float],
        submit: Submit,
        signer: Signer,
        router: Router,
        pool: Pool,
        judge: Judge,
        asking: Asking,
        load: Callable[[int, str], Deferred[bytes]],
        lease_held: Callable[[], bool],
        desk: Desk,
    ) -> None:
        self.worker = worker
        self._window = window
        self._reactor = reactor
        self._clock = clock
        self._random = random
        self._submit = submit
        self._signer = signer
        self._dispatch = Dispatch(self, router=router, pool=pool, clock=clock, lease_held=lease_held)
        self._judge = judge
        self._asking = asking
        self._load = load
        self._desk = desk
        self._settler = Settler(reactor, submit)
        self._parcels: set[Parcel] = set()
        self._turnstile: Turnstile[Parcel] = Turnstile(AT_SIGNER, self._begin)
        self._polling = LoopingCall(self._poll)
        self._pick = Picking()
        self._picking = False
        self._left = False  # something that is due, at the last pick
        self._freed = 0.0  # of the window since then; 1: worth a pick
        self._stopping = False
        self._idle: Deferred[None] | None = None

    # What acceptance sees

    def reserve(self, load: Load) -> bool:
        """Keep room for a message that is about to be committed; False: it stays in the store for now."""
        return not self._stopping and self._window.reserve(load)

    def give_up(self, load: Load) -> None:
        """The message was not committed after all, or some of it does not leave yet."""
        self._window.leave(load)

    def take(self, leased: Leased, content: bytes | None) -> None:
        """Deliver a message for which room was reserved; ``content`` None: it is read from the store."""
        numbers = {recipient.n for recipient in leased.recipients}
        parcel = Parcel(leased, content, numbers, len(numbers), Load.of(leased))
        self._parcels.add(parcel)
        rest = tuple(one for one in leased.recipients if not self.put_off(parcel, one, one.provider))
        if not rest:
            return
        if len(rest) < len(leased.recipients):
            parcel.leased = leased = replace(leased, recipients=rest)
        self._turnstile.come(Turn(leased.message.account_id, leased.message.priority), parcel)

    # Start and end

    def start(self) -> None:
        """Begin to look for recipients that are due."""
        self._polling.clock = self._reactor
        self._polling.start(POLL)

    def stop(self) -> Deferred[None]:
        """Take nothing new; fires when all that is under way has an outcome that is recorded."""
        self._stopping = True
        if self._polling.running:
            self._polling.stop()
        self._window.forget_waiting()  # leased, not begun: goes back with the worker's other leases
        for parcel in self._turnstile.turn_away():
            self.not_begun(parcel, list(parcel.leased.recipients))
        self.resume()
        self._settler.flush()
        self._idle = Deferred()
        self._check_idle()
        return self._idle

    def abandon(self) -> None:
        """The time to stop is over and the pool is cut: what no server was given goes back as it was."""
        for parcel in list(self._parcels):
            for recipient in parcel.leased.recipients:
                self.settle(parcel, recipient, Outcome(0, STOPPING, "connect"), {})

    def resume(self) -> None:
        """The leases were renewed: what waited for that is sent, or given back at the end."""
        self._dispatch.resume(giving_up=self._stopping)

    def _check_idle(self) -> None:
        if self._idle is not None and not self._idle.called and not self._parcels:
            self._idle.callback(None)

    # Leases

    def _poll(self) -> None:
        limit = min(PICK - self._window.waiting, self._window.room)
        if limit <= 0 or self._picking or self._stopping:
            return
        self._picking, self._freed = True, 0.0
        self._submit(self._pick, Wish(self.worker, self._clock(), limit, self._window.copy()), self._picked)

    def _picked(self, result: Pick | Exception) -> None:
        self._picking = False
        if isinstance(result, Exception) or self._stopping:
            return
        for leased in result.leases:
            self._window.admit(Load.of(leased), partial(self.take, leased, None))
        self._left = result.left
        if result.more:
            self._poll()

    # The way of one message

    def _begin(self, parcel: Parcel) -> None:
        if self._asking.has("on_sign"):
            ensureDeferred(self._ask(parcel)).addErrback(self._not_signed, parcel)
        else:
            self._sign(parcel, b"")

    async def _ask(self, parcel: Parcel) -> None:
        message = parcel.leased.message
        if parcel.content is None:
            parcel.content = await self._load(message.account_id, message.id)
        head, body = split(parcel.content)
        asked = Message(
            message.id,
            message.account_id,
            message.connection_id,
            message.envelope.reverse_path,
            tuple(recipient.path for recipient in parcel.leased.recipients),
            head,
            message.size,
            body[:MAX_BODY],
            message.reference,
        )
        self._sign(parcel, (await self._asking.ask("on_sign", asked)).fields)

    def _not_signed(self, failure: Failure, parcel: Parcel) -> None:
        self._signed(parcel, failure.value)

    def _sign(self, parcel: Parcel, added: bytes) -> None:
        order = Order(parcel.leased.message, parcel.content, added, lambda result: self._signed(parcel, result))
        parcel.content = None
        self._signer.sign(order)

    def _signed(self, parcel: Parcel, result: Signed | BaseException | None) -> None:
        self._turnstile.leave()
        if isinstance(result, Signed):
            self._dispatch.send(parcel, result)
        else:
            self.fail(parcel, result, parcel.leased.recipients)

    # Outcomes

    def fail(self, parcel: Parcel, error: BaseException | None, recipients: Sequence[QueuedRecipient]) -> None:
        """Something on our side: the recipients are tried again later, unless a plugin refused them for good."""
        reply = TROUBLE
        if isinstance(error, Refused):
            reply = error.reply
        elif isinstance(error, NoKey):
            reply = Reply(451, "4.7.5", str(error))
            log.error("message %s could not be signed: %s", parcel.leased.message.id, error)
        else:
            log.error("message %s could not be sent", parcel.leased.message.id, exc_info=error)
        for recipient in recipients:
            self.settle(parcel, recipient, Outcome(0, reply, "sign"), {})

    def settle(self, parcel: Parcel, recipient: QueuedRecipient, outcome: Outcome, facts: dict[str, Any]) -> None:
        """An attempt has ended; what this recipient's outcome comes to is recorded."""
        if recipient.n not in parcel.open:
            return  # a defect after its outcome was known does not change the outcome
        if outcome.reply is STOPPING:
            self.not_begun(parcel, [recipient])
            return
        message, now = parcel.leased.message, self._clock()
        settlement = self._judge.settlement(message, recipient, outcome, now, self._random(), facts)
        self._desk.note(settlement)
        self._add(parcel, settlement)

    def put_off(self, parcel: Parcel, recipient: QueuedRecipient, receiver: str) -> bool:
        """Whether nothing is to be sent to this provider, so that the recipient waits, or its time is over."""
        now = self._clock()
        suspension = self._desk.suspensions.of(receiver, now)
        if suspension is None or recipient.n not in parcel.open:
            return suspension is not None
        waits = self._judge.put_off(parcel.leased.message, recipient, suspension, now, self._random())
        if waits is None:
            self.settle(parcel, recipient, Outcome(0, suspended(suspension), "route"), {})
        else:
            self._add(parcel, waits)
        return True

    def _add(self, parcel: Parcel, settlement: Settlement) -> None:
        parcel.open.discard(settlement.recipient.n)
        self._settler.add(settlement, partial(self._recorded, parcel))

    def not_begun(self, parcel: Parcel, recipients: list[QueuedRecipient]) -> None:
        """They go back with the worker's leases, as they were."""
        for recipient in recipients:
            parcel.open.discard(recipient.n)
            self._recorded(parcel)

    def _recorded(self, parcel: Parcel) -> None:
        parcel.unrecorded -= 1
        if parcel.unrecorded == 0:
            self._parcels.discard(parcel)
            self._window.leave(parcel.load)
            self._freed += parcel.load.recipients / PICK + parcel.load.octets / LARGE
            if self._left and self._freed >= 1:
                self._poll()
            self._check_idle()
