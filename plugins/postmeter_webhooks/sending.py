"""Calls endpoints: each by a thread of its own, one request at a time, and the slow ones never in others' way."""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from itertools import takewhile
from random import random as any_random

from postmeter import Core, Fetched, FetchError, fetch
from postmeter_webhooks import deliveries, endpoints
from postmeter_webhooks.deliveries import MAX_ANSWER, Delivery
from postmeter_webhooks.endpoints import Endpoint
from postmeter_webhooks.schedule import MAX_RETRY_AFTER, WAITING, Answer, Verdict, rest, verdict
from postmeter_webhooks.settings import own
from postmeter_webhooks.signing import signed_fields
from postmeter_webhooks.texts import switched_off

log = logging.getLogger(__name__)

THREADS = 8
PER_ACCOUNT = 2  # of them, so that no account keeps the others waiting
BATCH = 20  # deliveries whose outcomes are committed together
BATCH_TIME, TURN = 1.0, 5.0  # seconds after which what was sent is committed, and the thread is another endpoint's
MAX_BODY = 4096  # octets of an answer's body that are read
GONE = "answered 410 Gone"
LOST = "took nothing for more than a day"

Fetch = Callable[..., Fetched]
Outcome = tuple[Delivery, Answer, Verdict]


@dataclass(frozen=True, slots=True)
class Pace:
    """How one endpoint is called: failures in a row, left alone until then, and when it was called last."""

    failures: int = 0
    until: float = 0.0
    called_at: float = 0.0

    def after(self, answer: Answer, now: float) -> Pace:
        """The pace after an answer."""
        if answer.ok:
            return Pace(called_at=now)
        failures = self.failures + 1
        return Pace(failures, now + max(rest(failures), answer.retry_after), now)


def in_thread(work: Callable[[], None]) -> None:
    """Do it in a daemon thread: a call that hangs does not keep the process from ending."""
    threading.Thread(target=work, name="webhook", daemon=True).start()


class Sender:
    """Sends what is due. ``random`` is between 0 and 1; ``start`` has work done elsewhere and returns at once."""

    def __init__(
        self,
        core: Core,
        fetch: Fetch = fetch,
        random: Callable[[], float] = any_random,
        start: Callable[[Callable[[], None]], None] = in_thread,
    ) -> None:
        self._core = core
        self._own = own(core)
        self._fetch = fetch
        self._random = random
        self._start = start
        self._lock = threading.Lock()
        self._busy: dict[int, int] = {}  # the account of each endpoint that is being called
        self._paces: dict[int, Pace] = {}

    def dispatch(self, now: float) -> None:
        """Begin to call the endpoints for which something is due, as far as there are threads. Does not wait."""
        with self._core.read() as session:
            found = deliveries.endpoints_due(session, now)
        for number, account in sorted(found, key=lambda one: self._pace(one[0]).called_at):
            if self._pace(number).until <= now and self._take(number, account):
                self._begin(number)

    def post(self, endpoint: Endpoint, webhook_id: str, body: bytes) -> Answer:
        """Make one attempt, signed with its time."""
        now = self._core.clock()
        secrets = [self._core.unseal(sealed) for sealed in endpoint.sealed]
        fields = {"content-type": "application/json", **signed_fields(secrets, webhook_id, int(now), body)}
        try:
            got = self._fetch(
                "POST",
                endpoint.url,
                headers=fields,
                body=body,
                timeout=float(self._own.timeout),
                allow_private=self._own.allow_private,
                max_body=MAX_BODY,
            )
        except FetchError as error:
            return Answer(None, str(error)[:MAX_ANSWER])
        return Answer(got.status, _text(got), got.retry_after(now, MAX_RETRY_AFTER))

    def _pace(self, number: int) -> Pace:
        return self._paces.get(number, Pace())

    def _take(self, number: int, account: int) -> bool:
        with self._lock:
            here = list(self._busy.values())
            free = number not in self._busy and len(here) < THREADS and here.count(account) < PER_ACCOUNT
            if free:
                self._busy[number] = account
            return free

    def _begin(self, number: int) -> None:
        try:
            self._start(partial(self._work, number))
        except BaseException:  # no more threads can be had
            self._release(number)
            raise

    def _release(self, number: int) -> None:
        with self._lock:
            self._busy.pop(number, None)

    def _work(self, number: int) -> None:
        """One endpoint's turn."""
        try:
            until = self._core.clock() + TURN
            while self._core.clock() < until and self._send_some(number):
                pass
        except Exception:
            log.exception("endpoint %d could not be called now", number)
        finally:
            self._release(number)

    def _send_some(self, number: int) -> bool:
        """Send a batch and commit what came of it; whether to go on at once."""
        now = self._core.clock()
        with self._core.read() as session:
            batch = deliveries.due(session, number, now, BATCH)
            endpoint = endpoints.find(session, self._core, number) if batch else None
        if endpoint is None or endpoint.off:
            return False
        outcomes = self._attempts(endpoint, batch, now + BATCH_TIME)
        self._commit(endpoint, outcomes, now)
        return not outcomes[-1][1].gone and self._pace(number).until <= self._core.clock()

    def _attempts(self, endpoint: Endpoint, batch: list[Delivery], until: float) -> list[Outcome]:
        """Send what may be sent now: of a message nothing behind what has failed, and all only as long as it goes."""
        outcomes: list[Outcome] = []
        stuck: set[str] = set()
        for delivery in batch:
            if delivery.about in stuck:
                continue
            _, answer, judged = self._attempt(endpoint, delivery)
            outcomes.append((delivery, answer, judged))
            if judged.state == WAITING:
                stuck.add(delivery.about)
            now = self._core.clock()
            if answer.gone or self._pace(endpoint.id).until > now or now >= until:
                break
        return outcomes

    def _attempt(self, endpoint: Endpoint, delivery: Delivery) -> Outcome:
        answer = self.post(endpoint, delivery.webhook_id, delivery.body)
        now = self._core.clock()
        self._paces[endpoint.id] = self._pace(endpoint.id).after(answer, now)
        return delivery, answer, verdict(answer, delivery.attempts, now, self._random())

    def _commit(self, endpoint: Endpoint, outcomes: list[Outcome], begun: float) -> None:
        now, last = self._core.clock(), outcomes[-1][1]
        failures = len(list(takewhile(lambda outcome: not outcome[1].ok, reversed(outcomes))))
        with self._core.write() as session:
            deliveries.record(session, outcomes, now)
            if failures < len(outcomes):
                endpoints.is_alive(session, endpoint.id, now)
            lost = failures > 0 and endpoints.has_failed(session, endpoint.id, failures, begun, now)
            if (last.gone or lost) and endpoints.switch_off(session, endpoint.id, GONE if last.gone else LOST, now):
                self._core.notice(session, endpoint.account_id, switched_off(endpoint, last.text, last.gone, now))
                log.warning("endpoint %d is switched off: %s", endpoint.id, last.text)


def _text(got: Fetched) -> str:
    """An answer as people read it: the status and how the body begins."""
    body = " ".join(got.body.decode("utf-8", "replace").split())
    shown = "".join([c if c.isprintable() else "?" for c in body])
    return f"{got.status} {shown}".strip()[:MAX_ANSWER]
