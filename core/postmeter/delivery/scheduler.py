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
from postmeter.committing import Submit
from postmeter.delivery import warm_up
from postmeter.delivery.concerns import Concerns
from postmeter.delivery.desk import Desk
from postmeter.delivery.dispatch import Dispatch, Ways
from postmeter.delivery.fair_queue import Turn
from postmeter.delivery.outcome import LOOK_AGAIN, TOO_LATE, Judge, stopped, suspended
from postmeter.delivery.parcel import Parcel
from postmeter.delivery.pool import STOPPING
from postmeter.delivery.settling import Settler
from postmeter.delivery.signing import NoKey, Order, Signed, Signer
from postmeter.delivery.turnstile import Turnstile
from postmeter.delivery.window import Window
from postmeter.hookspecs import MAX_BODY, Message
from postmeter.message.header import split
from postmeter.smtp.mail import Outcome
from postmeter.smtp.reply import Refused, Reply
from postmeter.store.picking import Load, Pick, Picking, Wish
from postmeter.store.queue import Leased, QueuedRecipient
from postmeter.store.settle import Settlement, settle
from postmeter.store.writer import Change

log = logging.getLogger(__name__)

POLL = 1.0  # seconds between looks for recipients that are due
PICK = 100  # recipients leased at a time, in about 10 ms
LARGE = 8 << 20  # octets of content that are worth a pick, as many recipients are
AT_SIGNER = 32  # messages at most; as many keep it at work
TROUBLE = Reply(451, "4.3.0", "Something went wrong in this relay before the mail was sent")


class Scheduler:
    """Delivers for one worker (its number owns the leases); acceptance and the store hand it its work.

    ``draw`` (see ``retry.draw``) says by a number from 0 to 1 how long a message waits within the bounds there are.
    """

    def __init__(
        self,
        *,
        worker: int,
        window: Window,
        reactor: Any,
        clock: Callable[[], float],
        draw: Callable[[str, int], float],
        submit: Submit,
        signer: Signer,
        ways: Ways,
        judge: Judge,
        asking: Asking,
        load: Callable[[int, str], Deferred[bytes]],
        lease_held: Callable[[], bool],
        desk: Desk,
        settling: Change[Settlement, bool] = settle,
    ) -> None:
        self.worker = worker
        self._window = window
        self._reactor = reactor
        self._clock, self._draw = clock, draw
        self._submit = submit
        self._signer = signer
        self._dispatch = Dispatch(self, ways, reactor, clock, lease_held)
        self._judge = judge
        self._asking = asking
        self._load = load
        self._desk = desk
        desk.stop = ways.pool.put_off
        self._concerns = Concerns()
        self._settler = Settler(reactor, submit, settling)
        self._parcels: set[Parcel] = set()
        self._turnstile: Turnstile[Parcel] = Turnstile(AT_SIGNER, self._begin)
        self._polling = LoopingCall(self._poll)
        self._pick = Picking()
        self._picking = self._left = False  # left: something that is due, at the last pick
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

    def take(self, leased: Leased, content: bytes | None, load: Load) -> None:
        """Deliver a message that has the room of this ``load``; ``content`` None: it is read from the store."""
        numbers = {recipient.n for recipient in leased.recipients}
        parcel = Parcel(leased, content, numbers, len(numbers), load)
        self._parcels.add(parcel)
        to_send = (one for one in leased.recipients if not self._ended(parcel, one))
        rest = tuple(one for one in to_send if not self.put_off(parcel, one, *self._dispatch.receivers(one)))
        if not rest:
            return
        if len(rest) < len(leased.recipients):
            parcel.leased = leased = replace(leased, recipients=rest)
        self._turnstile.come(Turn.of(leased.message), parcel)

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
            load = Load.of(leased)
            self._window.admit(load, partial(self.take, leased, None, load))
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
        self._turnstile.leave(parcel)
        if not isinstance(result, Signed):
            self.fail(parcel, result, parcel.leased.recipients)
            return
        try:
            self._dispatch.send(parcel, result)
        except Exception as error:  # nothing has been sent yet
            self.fail(parcel, error, parcel.leased.recipients)

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
        random = self._draw(message.id, recipient.attempts)
        settlement = self._judge.settlement(message, recipient, outcome, now, random, facts)
        self._desk.note(settlement)
        self._concerns.note(settlement)
        self._add(parcel, settlement)

    def _ended(self, parcel: Parcel, recipient: QueuedRecipient) -> bool:
        """Whether its address was suppressed since it was accepted, so that this is its end."""
        if recipient.suppressed:
            self._add(parcel, self._judge.suppressed(parcel.leased.message, recipient, self._clock()))
        return bool(recipient.suppressed)

    def time_left(self, parcel: Parcel, recipients: Sequence[QueuedRecipient]) -> float:
        """Seconds in which an attempt for all of them may begin."""
        message, now = parcel.leased.message, self._clock()
        return min(self._judge.time_left(message, one, now) for one in recipients)

    def put_off(self, parcel: Parcel, recipient: QueuedRecipient, *receivers: str) -> bool:
        """Whether nothing is to be sent to this provider, or of this connection: it waits, or its time is over."""
        message, now, find = parcel.leased.message, self._clock(), self._desk.suspensions.of
        if self._judge.time_left(message, recipient, now) < 0:
            self.settle(parcel, recipient, Outcome(0, TOO_LATE, "route"), {})
            return True
        if (pause := self._desk.stopped.get(message.connection_id)) is not None:
            provider, random = receivers[0] if receivers else "", self._draw(message.id, recipient.attempts)
            self.wait(parcel, recipient, provider, stopped(pause), LOOK_AGAIN * (0.5 + random))
            return True
        suspension = next((found for name in receivers if (found := find(name, now))), None)
        if suspension is None or recipient.n not in parcel.open:
            return suspension is not None
        random = self._draw(message.id, recipient.attempts)
        waits = self._judge.put_off(message, recipient, suspension, now, random, provider=receivers[0])
        self._wait(parcel, recipient, waits, suspended(suspension))
        return True

    def wait(self, parcel: Parcel, recipient: QueuedRecipient, provider: str, reply: Reply, seconds: float) -> None:
        """The provider gets no more now: the recipient comes again after so many seconds, unless its time is over."""
        if recipient.n in parcel.open:
            waits = self._judge.wait(parcel.leased.message, recipient, reply, self._clock(), seconds, provider=provider)
            self._wait(parcel, recipient, waits, reply)

    def _wait(self, parcel: Parcel, recipient: QueuedRecipient, waits: Settlement | None, reply: Reply) -> None:
        if waits is None:
            self.settle(parcel, recipient, Outcome(0, reply, "route"), {})
        else:
            self._add(parcel, waits)

    def wait_for_room(self, parcel: Parcel, recipient: QueuedRecipient, receiver: str) -> bool:
        """Whether the recipient waits a little, since our addresses have sent this provider enough today."""
        message, now = parcel.leased.message, self._clock()
        until = warm_up.waits_until(message, recipient, now, self._draw(message.id, recipient.attempts))
        if until is not None and recipient.n in parcel.open:
            self._add(parcel, warm_up.put_off(self.worker, message, recipient, receiver, until, now))
        return until is not None

    def _add(self, parcel: Parcel, settlement: Settlement) -> None:
        parcel.open.discard(settlement.recipient.n)
        self._settler.add(settlement, partial(self._recorded, parcel))

    def not_begun(self, parcel: Parcel, recipients: list[QueuedRecipient]) -> None:
        """They go back with the worker's leases, as they were."""
        for recipient in recipients:
            if recipient.n in parcel.open:
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
