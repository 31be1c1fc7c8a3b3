"""What bounces and complaints tell of a connection: when its admins are warned of it, and when it is paused."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Literal, Protocol

# Classes of failures that are the sender's doing: no such address, and mail that nobody wants. The others are about
# this relay, the network, or a mailbox that is full today. What was never classified is held against it as well.
NO_ADDRESS = ("hard.recipient", "hard.domain", "")
UNWANTED = ("content", "policy.refused", "unclassified.permanent")
AGAINST = (*NO_ADDRESS, *UNWANTED)

Cause = Literal["bounces", "complaints"]


class Limits(Protocol):
    """What is too much; 0: nothing is. ``recipients`` must have been sent to before anything is said."""

    @property
    def bounce_percent(self) -> int: ...
    @property
    def complaint_permille(self) -> int: ...
    @property
    def warn_bounce_percent(self) -> int: ...
    @property
    def warn_complaint_permille(self) -> int: ...
    @property
    def recipients(self) -> int: ...


@dataclass(frozen=True, slots=True)
class Figures:
    """Recipients whose fate is known: ``delivered``, ``bounced`` at all, ``against`` the sender, ``unknown`` there.

    ``complained`` are those of the delivered that did not want it.
    """

    delivered: int = 0
    bounced: int = 0
    against: int = 0
    unknown: int = 0
    complained: int = 0

    @property
    def recipients(self) -> int:
        """All of them."""
        return self.delivered + self.bounced

    def __add__(self, other: Figures) -> Figures:
        return Figures(
            self.delivered + other.delivered,
            self.bounced + other.bounced,
            self.against + other.against,
            self.unknown + other.unknown,
            self.complained + other.complained,
        )


@dataclass(frozen=True, slots=True)
class Verdict:
    """Too many of the ``recipients`` bounced or complained: ``count``, more than ``permille``.

    ``provider``: only those at this one were looked at. ``pauses``: it is so much that no more mail is taken.
    """

    cause: Cause
    count: int
    recipients: int
    permille: int
    provider: str = ""
    pauses: bool = False

    @property
    def about(self) -> str:
        """What is warned of: one thing once a day."""
        return f"{self.cause} {self.provider}".strip()

    def sentence(self, days: int) -> str:
        """The same in words; ``days`` were looked at."""
        did = "bounced" if self.cause == "bounces" else "complained"
        where = f" at {self.provider}" if self.provider else ""
        return (
            f"{self.count:,} of {self.recipients:,} recipients{where} within {days} days {did}, "
            f"more than {self.permille / 10:g} %"
        )


def judge(by_provider: Mapping[str, Figures], limits: Limits) -> list[Verdict]:
    """What there is to say about a connection: the one thing that pauses it, or else what to warn of."""
    total = sum(by_provider.values(), Figures())
    return [] if total.recipients < limits.recipients else _said(by_provider, total, limits, limits.recipients)


def awaits_more(by_provider: Mapping[str, Figures], limits: Limits) -> bool:
    """Whether there would be something to say about a connection if it had sent to enough recipients."""
    total = sum(by_provider.values(), Figures())
    return total.recipients < limits.recipients and bool(_said(by_provider, total, limits, 1))


def _said(by_provider: Mapping[str, Figures], total: Figures, limits: Limits, least: int) -> list[Verdict]:
    pausing = [*_bounces(total, limits), *_complaints(total, limits.complaint_permille, pauses=True)]
    if pausing:
        return pausing[:1]
    warnings = [*_complaints(total, limits.warn_complaint_permille, pauses=False)]
    for provider, figures in sorted(by_provider.items()):
        if provider and figures.recipients >= least:
            warnings += _unknown(provider, figures, limits)
    return warnings


def _bounces(total: Figures, limits: Limits) -> Iterator[Verdict]:
    permille = 10 * limits.bounce_percent
    if _exceeds(total.against, total.recipients, permille):
        yield Verdict("bounces", total.against, total.recipients, permille, pauses=True)


def _complaints(total: Figures, permille: int, *, pauses: bool) -> Iterator[Verdict]:
    if _exceeds(total.complained, total.recipients, permille):
        yield Verdict("complaints", total.complained, total.recipients, permille, pauses=pauses)


def _unknown(provider: str, figures: Figures, limits: Limits) -> Iterator[Verdict]:
    permille = 10 * limits.warn_bounce_percent
    if _exceeds(figures.unknown, figures.recipients, permille):
        yield Verdict("bounces", figures.unknown, figures.recipients, permille, provider)


def _exceeds(part: int, whole: int, permille: int) -> bool:
    return bool(permille) and part * 1_000 > whole * permille
