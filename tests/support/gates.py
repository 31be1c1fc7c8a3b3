"""A gate between fakes: destinations that count what they are told, a room that always has some, a clock."""

from __future__ import annotations

from pathlib import Path
from typing import Any, cast

from twisted.internet.task import Clock

from postmeter.delivery.destination import Destination, Room
from postmeter.delivery.fair_queue import FairQueue, Turn
from postmeter.delivery.gate import Gate, Terms
from postmeter.delivery.job import Job
from postmeter.delivery.provider import Shape
from postmeter.delivery.reply_rule import Rule
from postmeter.delivery.slots import Slots, key
from postmeter.smtp.reply import Reply
from postmeter.store.providers import Suspension

SHAPE = Shape(5, 50, 100.0, 100.0, 60.0, "opportunistic")


class FakeRoom:
    """Has room for ``left`` sessions."""

    def __init__(self) -> None:
        self.left = 1_000
        self.crowded = False
        self.ends = False
        self.learned: list[int] = []
        self.inside: set[object] = set()

    def enter(self, destination: Destination) -> None:
        self.inside.add(destination)

    def leave(self, destination: Destination) -> None:
        self.inside.discard(destination)

    def take(self, destination: Destination, turn: Turn) -> bool:
        self.left -= self.left > 0
        return self.left > 0

    def give_back(self, destination: Destination) -> None:
        self.left += 1

    def goes(self, destination: Destination) -> bool:
        return True

    def over(self) -> bool:
        return self.ends

    def pause(self, waiting: FairQueue[Job], turn: Turn) -> float:
        return 0.0

    def learn(self, said: Any, step: int) -> None:
        self.learned.append(step)


class FakeDestination:
    """Wants as many sessions as it can get, up to ``wants``; ``idle`` of them have no mail."""

    def __init__(self, gate: Gate, wants: int = 100) -> None:
        self.gate = gate
        self.wants = wants
        self.open = self.idle = self.grown = 0
        self.off: list[float] = []
        self.allowed = 100
        gate.enter(cast(Destination, self))

    def grow(self) -> None:
        self.grown += 1
        while self.open < self.wants and self.gate.take(cast(Destination, self), Turn(1)):
            self.open += 1

    def begin_again(self) -> None:
        self.allowed = 100
        self.grow()

    def drop_idle(self) -> bool:
        if self.idle:
            self.idle -= 1
            self.close()
            return True
        return False

    def put_off(self, seconds: float) -> None:
        self.off.append(seconds)
        self.wants = 0

    def close(self) -> None:
        """One session ends."""
        self.open -= 1
        self.gate.give_back(cast(Destination, self))

    def goes(self) -> bool:
        return self.gate.goes(cast(Destination, self))

    def end(self) -> None:
        """Close everything."""
        self.wants = 0
        while self.open:
            self.close()
        self.gate.leave(cast(Destination, self))


class Machine:
    """What gates of ``workers`` workers share: a clock, a file of slots, restrictions by name; ``fired`` rules."""

    def __init__(self, folder: Path, workers: int = 1) -> None:
        self.clock = Clock()
        self.rooms = [FakeRoom() for _ in range(workers)]
        self.slots = [Slots(folder / "sessions") for _ in range(workers)]
        self.restrictions: dict[str, Suspension] = {}
        self.fired: list[tuple[str, Rule, Reply]] = []

    def gate(self, shape: Shape = SHAPE, worker: int = 0, first: int = 100, names: tuple[str, ...] = ("P",)) -> Gate:
        """The gate of one of the workers."""
        return Gate(self.terms(worker), names, key(names[0]), shape, cast(Room, self.rooms[worker]), first)

    def terms(self, worker: int = 0) -> Terms:
        """What its gates have in common."""
        return Terms(self.clock, self.slots[worker], len(self.slots), self.restriction, self._apply)

    def restriction(self, names: tuple[str, ...]) -> Suspension | None:
        return next((self.restrictions[name] for name in names if name in self.restrictions), None)

    def restrict(self, sessions: int | None = None, per_minute: int | None = None, name: str = "P") -> None:
        """Slow a provider down, or suspend it."""
        self.restrictions[name] = Suspension(name, "why", 0.0, None, "reply rule", sessions, per_minute, "rule")

    def _apply(self, name: str, rule: Rule, reply: Reply) -> None:
        self.fired.append((name, rule, reply))

    def close(self) -> None:
        assert self.clock.getDelayedCalls() == []
        for one in self.slots:
            one.close()
