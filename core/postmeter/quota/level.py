"""Low-quota notices: one for each time an account falls below a level, until a refill has lifted it above again."""

from __future__ import annotations

from dataclasses import dataclass, replace

LOW, EXHAUSTED, OVERDRAFT = "quota_low", "quota_exhausted", "quota_overdraft"  # kinds of events


@dataclass(frozen=True, slots=True)
class Armed:
    """Which notices would be given: each is disarmed when it is given.

    ``low`` and ``empty`` are armed by a refill that lifts the account to its threshold, or above 0; ``overdraft`` by
    an invoice. What is released arms nothing.
    """

    low: bool
    empty: bool
    overdraft: bool

    def fallen(self, left: int, threshold: int, overdrawn: bool) -> tuple[Armed, tuple[str, ...]]:
        """After units were taken or have expired: what is armed now, and the notices to give."""
        met = {
            LOW: self.low and left < threshold,
            EXHAUSTED: self.empty and left <= 0,
            OVERDRAFT: self.overdraft and overdrawn,
        }
        armed = Armed(self.low and not met[LOW], self.empty and not met[EXHAUSTED], self.overdraft and not overdrawn)
        return armed, tuple(kind for kind, given in met.items() if given)

    def refilled(self, left: int, threshold: int) -> Armed:
        """After a booking or a renewal, which left ``left`` mails."""
        return replace(self, low=self.low or left >= threshold, empty=self.empty or left > 0)
