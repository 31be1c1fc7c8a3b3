"""The process behind ``Recipients``: prints its port, keeps each mail as a file, and ends with its standard input."""

from __future__ import annotations

import json
import sys
from dataclasses import asdict
from pathlib import Path
from typing import Any

from twisted.internet import reactor as _reactor
from twisted.internet.protocol import Protocol, connectionDone
from twisted.internet.stdio import StandardIO
from twisted.python.failure import Failure

from postmeter.demo.recipient_side import Received, RecipientSide
from postmeter.smtp.reply import Reply

reactor: Any = _reactor


class Keeping(RecipientSide):
    """A recipient side that writes each mail into a folder, whole or not at all."""

    def __init__(self, folder: Path) -> None:
        super().__init__()
        self._folder = folder

    def take(self, received: Received) -> Reply:
        """Keep a mail; it is there before the answer."""
        facts = {**asdict(received), "content": received.content.decode("latin-1")}
        part = self._folder / "part"
        part.write_text(json.dumps(facts), "ascii")
        part.rename(self._folder / f"{self.count:08}.json")
        return super().take(received)


class Leash(Protocol):
    """Ends this process with the one that has started it."""

    def connectionLost(self, reason: Failure = connectionDone) -> None:
        """Standard input has ended."""
        reactor.stop()


def main(folder: Path) -> None:
    """Run until standard input ends."""
    print(Keeping(folder).listen(reactor).getHost().port, flush=True)
    StandardIO(Leash())  # type: ignore[no-untyped-call]
    reactor.run()


if __name__ == "__main__":
    main(Path(sys.argv[1]))
