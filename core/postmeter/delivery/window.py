"""How much a worker holds in memory: recipients and octets of content, both bounded; the rest waits in the store."""

from __future__ import annotations

MAX_OCTETS = 64 << 20  # of content under way in one worker


class Window:
    """Counts what is under way. One message is always let in, however large it is."""

    def __init__(self, recipients: int, octets: int = MAX_OCTETS) -> None:
        self._max_recipients = recipients
        self._max_octets = octets
        self.recipients = 0
        self.octets = 0

    @property
    def room(self) -> int:
        """How many more recipients may come in."""
        return max(0, self._max_recipients - self.recipients)

    def fits(self, recipients: int, octets: int) -> bool:
        """Whether this message may come in now."""
        if self.recipients == 0:
            return True
        return recipients <= self.room and self.octets + octets <= self._max_octets

    def enter(self, recipients: int, octets: int) -> None:
        """A message comes in."""
        self.recipients += recipients
        self.octets += octets

    def leave(self, recipients: int, octets: int) -> None:
        """A message, or what was kept free for it, goes."""
        self.recipients -= recipients
        self.octets -= octets
