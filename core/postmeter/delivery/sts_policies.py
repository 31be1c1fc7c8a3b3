"""The MTA-STS policies of recipients' domains: looked for when mail goes there, and kept as long as they hold."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Protocol

from twisted.internet.defer import Deferred, ensureDeferred
from twisted.python.failure import Failure

from postmeter.delivery.mta_sts import MOST_OCTETS, BadPolicy, StsPolicy, record_id
from postmeter.delivery.resolver import Answer
from postmeter.delivery.tls_policy import Flaw
from postmeter.fetch import Fetched, FetchError, UntrustedError
from postmeter.store.tls_memory import KeptPolicy

log = logging.getLogger(__name__)

LOOK_AGAIN = 300.0  # seconds until a domain's record is looked at again, and until a policy that failed is
LOOK_SOON = 30.0  # the same when the DNS gives no answer
REFRESH = 86_400.0  # seconds after which, at most, a policy is fetched again although its id is the same
PATIENCE = 20.0  # seconds for a policy
MOST_KNOWN = 20_000


class Lookup(Protocol):
    """What is needed of a resolver."""

    async def lookup(self, name: str, type: str) -> Answer:
        """See ``Resolver.lookup``."""


def pass_over(domain: str, flaw: Flaw) -> None:
    """Nobody wants to know what trouble there is."""


Ask = Callable[..., Deferred[Fetched]]  # ``WebThreads.ask``


@dataclass(slots=True)
class _Domain:
    """What is known of a domain: until when that need not be looked at, its policy, and a fetch that is under way."""

    look_at: float = 0.0
    failed_at: float = -LOOK_AGAIN
    record: str = ""
    policy: StsPolicy | None = None
    fetched_at: float = 0.0
    expires_at: float = 0.0
    fetching: Deferred[None] | None = None

    @property
    def refresh_at(self) -> float:
        """Long before the policy ends, so that mail is never without one because it is only then fetched again."""
        return self.fetched_at + min(REFRESH, (self.expires_at - self.fetched_at) / 2)

    def rest(self, now: float, seconds: float) -> None:
        """Look at it no more for so long, but at the end of its policy in any case."""
        ends = self.expires_at if self.expires_at > now else now + seconds
        self.look_at = min(now + seconds, ends)


class StsPolicies:
    """Finds policies; ``clock`` gives seconds since the epoch, ``kept`` are those of before.

    ``keep`` is told of each policy that was fetched, ``trouble`` of each domain whose policy could not be.
    """

    def __init__(
        self,
        resolver: Lookup,
        ask: Ask,
        clock: Callable[[], float],
        kept: Iterable[KeptPolicy] = (),
        keep: Callable[[KeptPolicy], None] = lambda _: None,
        trouble: Callable[[str, Flaw], None] = pass_over,
    ) -> None:
        self._resolver = resolver
        self._ask = ask
        self._clock = clock
        self._keep = keep
        self._trouble = trouble
        self._domains: dict[str, _Domain] = {}
        self._without: dict[str, None] = {}  # those of them that have shown no policy yet
        for one in kept:
            self._domains[one.domain] = _read(one)

    async def find(self, domain: str) -> StsPolicy | None:
        """The policy to go by; None: there is none, or it says so. Never raises."""
        known = self._domains.get(domain)
        if known is None or self._clock() >= known.look_at:
            known = known or self._new(domain)
            await self._look(domain, known)
        if known.policy is None or known.policy.mode == "none" or self._clock() >= known.expires_at:
            return None
        return known.policy

    def _new(self, domain: str) -> _Domain:
        if len(self._domains) >= MOST_KNOWN:  # those without a policy first: a flood of names must not undo one
            gone = next(iter(self._without or self._domains))
            del self._domains[gone]
            self._without.pop(gone, None)
        self._without[domain] = None
        known = self._domains[domain] = _Domain()
        return known

    async def _look(self, domain: str, known: _Domain) -> None:
        """See whether there is a new policy. One that still holds is used as long as no other can be had."""
        answer = await self._resolver.lookup(f"_mta-sts.{domain}", "TXT")
        record, now = record_id(answer.texts), self._clock()
        if record is None or (known.fetching is None and now < known.failed_at + LOOK_AGAIN):
            known.rest(now, LOOK_SOON if answer.status == "failure" else LOOK_AGAIN)
        elif known.policy is None or record != known.record or now >= known.expires_at:
            await self._fetched(domain, known, record)
        else:
            known.rest(now, LOOK_AGAIN)
            if now >= known.refresh_at and known.fetching is None:
                self._begin(domain, known, record)

    async def _fetched(self, domain: str, known: _Domain, record: str) -> None:
        """Once a fetch is over that may be under way already."""
        waiting: Deferred[None] = Deferred()
        fetching = known.fetching or self._begin(domain, known, record)
        if fetching is None:
            return
        fetching.addBoth(lambda _: waiting.callback(None))
        await waiting

    def _begin(self, domain: str, known: _Domain, record: str) -> Deferred[None] | None:
        """Fetch the policy; None when that is over at once."""
        fetching = known.fetching = ensureDeferred(self._fetch(domain, known, record))
        fetching.addErrback(_defect, domain)
        if fetching.called:
            known.fetching = None
        return known.fetching

    async def _fetch(self, domain: str, known: _Domain, record: str) -> None:
        url = f"https://mta-sts.{domain}/.well-known/mta-sts.txt"  # RFC 8461, 3.3
        try:
            text = _policy_text(await self._ask("GET", url, timeout=PATIENCE))
            policy = StsPolicy.parse(text)
        except UntrustedError as error:
            self._failed(domain, known, Flaw("sts-webpki-invalid", str(error)))
        except FetchError as error:
            self._failed(domain, known, Flaw("sts-policy-fetch-error", str(error)))
        except BadPolicy as error:
            self._failed(domain, known, Flaw("sts-policy-invalid", str(error)))
        else:
            now = self._clock()
            self._without.pop(domain, None)
            known.record, known.policy, known.fetched_at = record, policy, now
            known.expires_at = now + max(policy.max_age, LOOK_AGAIN)
            self._keep(KeptPolicy(domain, record, "\n".join(policy.lines), now, known.expires_at))
        finally:
            known.fetching = None
            known.rest(self._clock(), LOOK_AGAIN)

    def _failed(self, domain: str, known: _Domain, flaw: Flaw) -> None:
        known.failed_at = self._clock()
        log.info("the MTA-STS policy of %s cannot be had: %s", domain, flaw.text)
        self._trouble(domain, flaw)


def _read(kept: KeptPolicy) -> _Domain:
    return _Domain(
        record=kept.record,
        policy=StsPolicy.parse(kept.policy),
        fetched_at=kept.fetched_at,
        expires_at=kept.expires_at,
    )


def _policy_text(answer: Fetched) -> str:
    """The text of a policy; FetchError or BadPolicy when the answer is none (RFC 8461, 3.2 and 3.3)."""
    if answer.status != 200:  # a redirect is not followed
        raise FetchError(f"the web server answers {answer.status}")
    kind = answer.headers.get("content-type", "").partition(";")[0].strip().lower()
    if kind != "text/plain":
        raise BadPolicy("it is not sent as text/plain")
    if len(answer.body) > MOST_OCTETS:
        raise BadPolicy(f"it is longer than {MOST_OCTETS} octets")
    try:
        return answer.body.decode("utf-8")
    except UnicodeDecodeError:
        raise BadPolicy("it is not in UTF-8") from None


def _defect(failure: Failure, domain: str) -> None:
    log.error("a defect while the MTA-STS policy of %s was fetched", domain, exc_info=failure.value)
