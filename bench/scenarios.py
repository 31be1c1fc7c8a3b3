"""The scenarios: how large the messages are, how many sessions bring them, and what is special."""

from __future__ import annotations

from dataclasses import dataclass

ENDLESS = 1_000_000  # messages a session: it stays open


@dataclass(frozen=True)
class Scenario:
    """One kind of load; the extra options are those of load.c and sink.c."""

    name: str
    size: int  # octets of the body
    sessions: int
    per_session: int = ENDLESS
    messages: int = 0  # 0: as many as fit into the time of a run
    load_options: tuple[str, ...] = ()
    sink_options: tuple[str, ...] = ()


@dataclass(frozen=True)
class IdleScenario:
    """Sessions with TLS that are logged in and say nothing."""

    name: str
    sessions: int


def _all() -> list[Scenario]:
    sizes = (("2k", 2048), ("20k", 20480), ("200k", 204800))
    many = [Scenario(f"many-{word}-c{c}", size, c) for word, size in sizes for c in (1, 10, 50)]
    one = [Scenario(f"one-2k-c{c}", 2048, c, per_session=1) for c in (1, 10, 50)]
    slow = [Scenario(f"slow50-2k-c{c}", 2048, c, sink_options=("-d", "50")) for c in (10, 50)]
    ten_a_second = ("-R", "10")
    return [
        *many,
        *one,
        Scenario("pipe-2k-c10", 2048, 10, load_options=("-P",)),
        Scenario("big-25m-c2", 25_000_000, 2, messages=8),
        Scenario("low-2k-10s", 2048, 4, messages=100, load_options=ten_a_second),
        Scenario("low1-2k-10s", 2048, 8, per_session=1, messages=100, load_options=ten_a_second),
        *slow,
        Scenario("verify-20k-c10", 20480, 10, per_session=20, messages=1000, sink_options=("-k",)),
    ]


SCENARIOS: dict[str, Scenario | IdleScenario] = {
    **{scenario.name: scenario for scenario in _all()},
    **{f"idle-{n}": IdleScenario(f"idle-{n}", n) for n in (1000, 5000)},
}

# Idle sessions are asked for by name: Postfix must be configured for them.
USUAL = [name for name, scenario in SCENARIOS.items() if isinstance(scenario, Scenario)]
