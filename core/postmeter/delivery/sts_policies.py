"""The MTA-STS policies of recipients' domains: looked for when mail goes there, and kept as long as they hold."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable
from dataclasses import dataclass

from twisted.internet.defer import Deferred, ensureDeferred
from twisted.python.failure import Failure

from postmeter.delivery.fair_queue import Turn
from postmeter.delivery.mta_sts import MOST_OCTETS, BadPolicy, StsPolicy, record_id
from postmeter.delivery.route import Lookup
from postmeter.delivery.tls_policy import Flaw
from postmeter.delivery.turnstile import Turnstile
from postmeter.delivery.web_threads import MOST
from postmeter.fetch import Fetched, FetchError, UntrustedError
from postmeter.store.tls_memory import KeptPolicy

log = logging.getLogger(__name__)

LOOK_AGAIN = 300.0  # seconds until a domain's record is looked at again, and until a policy that failed is
LOOK_SOON = 30.0  # the same when the DNS gives no answer
REFRESH = 86_400.0  # seconds after which, at most, a policy is fetched again although its id is the same
PATIENCE = 20.0  # seconds for a policy, and as many until it is its turn
MOST_KNOWN = 20_000


def pass_over(domain: str, flaw: Flaw) -> None:
    """Nobody wants to know what trouble there is."""


Ask = Callable[..., Deferred[Fetched]]  # ``WebThreads.ask``


@dataclass(slots=True, eq=False)
class _Domain:
    """What is known of a domain: until when that need not be looked at, its policy, and the fetch that is wanted.

    ``fetching`` fires when that is over; ``wanted`` is the id that the record had, and since when it is.
    """

    name: str
    look_at: float = 0.0
    failed_at: float = -LOOK_AGAIN
    record: str = ""
    policy: StsPolicy | None = None
    fetched_at: float = 0.0
    expires_at: float = 0.0
    fetching: Deferred[None] | None = None
    wanted: tuple[str, float] = ("", 0.0)

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
        self._turnstile: Turnstile[_Domain] = Turnstile(MOST, self._begin, shared=True)
        self._domains: dict[str, _Domain] = {}
        self._without: dict[str, None] = {}  # those of them that have shown no policy yet
        for one in kept:
            self._domains[one.domain] = _read(one)

    async def find(self, domain: str, turn: Turn) -> StsPolicy | None:
        """The policy to go by; None: there is none, or it says so. Never raises.

        It is asked for in this turn.
        """
        known = self._domains.get(domain)
        if known is None or self._clock() >= known.look_at:
            known = known or self._new(domain)
            await self._look(known, turn)
        if known.policy is None or known.policy.mode == "none" or self._clock() >= known.expires_at:
            return None
        return known.policy

    def _new(self, domain: str) -> _Domain:
        if len(self._domains) >= MOST_KNOWN:  # those without a policy first: a flood of names must not undo one
            gone = next(iter(self._without or self._domains))
            del self._domains[gone]
            self._without.pop(gone, None)
        self._without[domain] = None
        known = self._domains[domain] = _Domain(domain)
        return known

    async def _look(self, known: _Domain, turn: Turn) -> None:
        """See whether there is a new policy. One that still holds is used as long as no other can be had."""
        answer = await self._resolver.lookup(f"_mta-sts.{known.name}", "TXT", turn)
        record, now = record_id(answer.texts), self._clock()
        if record is None or (known.fetching is None and now < known.failed_at + LOOK_AGAIN):
            known.rest(now, LOOK_SOON if answer.status == "failure" else LOOK_AGAIN)
        elif known.policy is None or record != known.record or now >= known.expires_at:
            await self._fetched(known, record, turn)
        else:
            known.rest(now, LOOK_AGAIN)
            if now >= known.refresh_at and known.fetching is None:
                self._want(known, record, turn)

    async def _fetched(self, known: _Domain, record: str, turn: Turn) -> None:
        """Once a fetch is over that may be under way already."""
        waiting: Deferred[None] = Deferred()
        self._want(known, record, turn).addCallback(waiting.callback)
        await waiting

    def _want(self, known: _Domain, record: str, turn: Turn) -> Deferred[None]:
        """Have the policy fetched, in this turn or that of another who wants it, whichever is sooner."""
        if (fetching := known.fetching) is None:
            fetching = known.fetching = Deferred()
            known.wanted = record, self._clock()
        self._turnstile.come(turn, known)
        return fetching

    def _begin(self, known: _Domain) -> None:
        record, since = known.wanted
        if self._clock() > since + PATIENCE:  # which says nothing about the domain: the next mail asks again
            log.info("no time was left to fetch the MTA-STS policy of %s: too many other servers are slow", known.name)
            self._over(known)
        else:
            d = ensureDeferred(self._fetch(known.name, known, record)).addErrback(_defect, known.name)
            d.addCallback(lambda _: self._over(known))

    def _over(self, known: _Domain) -> None:
        fetching, known.fetching = known.fetching, None
        self._turnstile.leave(known)
        assert fetching is not None
        fetching.callback(None)

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
            known.rest(self._clock(), LOOK_AGAIN)

    def _failed(self, domain: str, known: _Domain, flaw: Flaw) -> None:
        known.failed_at = self._clock()
        log.info("the MTA-STS policy of %s cannot be had: %s", domain, flaw.text)
        self._trouble(domain, flaw)


def _read(kept: KeptPolicy) -> _Domain:
    return _Domain(
        name=kept.domain,
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
