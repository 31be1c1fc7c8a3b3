"""Results as Markdown: the medians of each peer, and the ratios of the first peer to the others."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from statistics import median

from measure import IdleResult, Result

RATIOS: tuple[tuple[str, Callable[[Result], float]], ...] = (
    ("accept/s", lambda result: result.accept_rate),
    ("end to end/s", lambda result: result.delivery_rate),
    ("CPU", lambda result: result.cpu),
    ("latency p50", lambda result: result.latency[0]),
)

HEAD = (
    "scenario",
    "peer",
    "runs",
    "accept/s (min-max)",
    "end to end/s",
    "MB/s",
    "latency p50/p90/p99 ms",
    "login p50/p99 ms",
    "250 to arrival p50/p99 ms",
    "CPU s/1,000 peer / machine",
    "sessions out",
    "signed",
    "lost/dup/failed",
)
IDLE_HEAD = ("scenario", "peer", "held", "PSS MiB before / with", "processes before / with", "KiB a session")


def markdown(results: Sequence[Result | IdleResult]) -> str:
    """All tables that the results fill."""
    runs = [result for result in results if isinstance(result, Result)]
    idle = [result for result in results if isinstance(result, IdleResult)]
    peers = list(dict.fromkeys(result.peer for result in runs))
    tables = [_table(HEAD, map(_row, _groups(runs)))] if runs else []
    tables += [_ratio_table(runs, peers[0], other) for other in peers[1:]]
    tables += [_table(IDLE_HEAD, map(_idle_row, idle))] if idle else []
    return "\n\n".join(tables)


def _table(head: Sequence[str], rows: Iterable[Sequence[object]]) -> str:
    lines = [head, ["---"] * len(head), *rows]
    return "\n".join(f"| {' | '.join(map(str, line))} |" for line in lines)


def _groups(runs: Sequence[Result]) -> Iterator[list[Result]]:
    """The runs of each peer in each scenario, neighbours by scenario."""
    for scenario in dict.fromkeys(result.scenario for result in runs):
        for peer in dict.fromkeys(result.peer for result in runs):
            if group := _group(runs, scenario, peer):
                yield group


def _group(runs: Sequence[Result], scenario: str, peer: str) -> list[Result]:
    return [result for result in runs if result.scenario == scenario and result.peer == peer]


def _row(group: Sequence[Result]) -> Sequence[object]:
    def middle(value: Callable[[Result], float], places: int = 1) -> str:
        return f"{median(map(value, group)):.{places}f}"

    rates = [result.accept_rate for result in group]
    return (
        group[0].scenario,
        group[0].peer,
        len(group),
        f"{median(rates):.0f} ({min(rates):.0f}-{max(rates):.0f})",
        middle(lambda r: r.delivery_rate, 0),
        middle(lambda r: r.megabytes),
        _middles([r.latency for r in group]),
        _middles([r.login for r in group]),
        _middles([r.forwarding for r in group]),
        f"{middle(lambda r: r.cpu, 2)} / {middle(lambda r: r.machine_cpu, 2)}",
        middle(lambda r: r.sessions_out, 0),
        "all" if all(r.signed >= r.messages - r.failed for r in group) else sum(r.signed for r in group),
        _troubles(group),
    )


def _troubles(group: Sequence[Result]) -> str:
    """Lost, duplicate and failed messages of all runs together."""
    return "/".join(
        str(sum(numbers)) for numbers in zip(*((r.lost, r.duplicates, r.failed) for r in group), strict=True)
    )


def _middles(runs: Sequence[Sequence[float]]) -> str:
    """The medians of several percentiles."""
    return "/".join(f"{median(percentile):.1f}" for percentile in zip(*runs, strict=True))


def _ratio_table(runs: Sequence[Result], peer: str, other: str) -> str:
    """The median of the rounds' ratios: the two runs of a round were neighbours in time."""
    head = ("scenario", "rounds", *(f"{name}: {peer} / {other}" for name, _ in RATIOS), "lost/dup/failed")
    rows: list[Sequence[object]] = []
    for scenario in dict.fromkeys(result.scenario for result in runs):
        ours, theirs = _group(runs, scenario, peer), _group(runs, scenario, other)
        if rounds := list(zip(ours, theirs, strict=False)):
            ratios = [_ratio([(value(one), value(two)) for one, two in rounds]) for _, value in RATIOS]
            rows.append((scenario, len(rounds), *ratios, f"{_troubles(ours)} against {_troubles(theirs)}"))
    return _table(head, rows)


def _ratio(pairs: Sequence[tuple[float, float]]) -> str:
    ratios = [one / two for one, two in pairs if two]
    return f"{median(ratios):.2f}" if ratios else "-"


def _idle_row(result: IdleResult) -> Sequence[object]:
    return (
        result.scenario,
        result.peer,
        result.held,
        f"{result.pss_before} / {result.pss_with}",
        f"{result.processes_before} / {result.processes_with}",
        result.kib_per_session,
    )
