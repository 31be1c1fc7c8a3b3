"""What processes cost, read from /proc: CPU seconds and memory of a server with all its children."""

from __future__ import annotations

import os
import re
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

TICKS = os.sysconf("SC_CLK_TCK")


@dataclass(frozen=True)
class Memory:
    """MiB of a process tree; pss counts shared pages once, by share."""

    rss: float
    pss: float
    processes: int


@dataclass(frozen=True)
class Machine:
    """CPU time of the whole machine since it started, in seconds; stolen is what the host gave to other guests."""

    busy: float
    stolen: float
    total: float

    @classmethod
    def now(cls) -> Machine:
        """What /proc/stat says."""
        fields = [int(field) / TICKS for field in Path("/proc/stat").read_text().split("\n")[0].split()[1:9]]
        idle, waiting, stolen = fields[3], fields[4], fields[7]
        return cls(sum(fields) - idle - waiting - stolen, stolen, sum(fields))


def _all() -> dict[int, tuple[int, float]]:
    """Parent and CPU seconds (with those of its ended children) of every process."""
    found = {}
    for entry in os.listdir("/proc"):
        if not entry.isdigit():
            continue
        try:
            text = Path(f"/proc/{entry}/stat").read_text()
        except OSError:  # ended meanwhile
            continue
        fields = text[text.rindex(")") + 2 :].split()  # the name before it may contain anything
        found[int(entry)] = int(fields[1]), sum(map(int, fields[11:15])) / TICKS
    return found


def tree(roots: Iterable[int]) -> dict[int, float]:
    """CPU seconds of the living processes below and including the roots, by process id."""
    processes = _all()
    children: dict[int, list[int]] = {}
    for pid, (parent, _) in processes.items():
        children.setdefault(parent, []).append(pid)
    found: dict[int, float] = {}
    todo = list(roots)
    while todo:
        pid = todo.pop()
        if pid in processes and pid not in found:
            found[pid] = processes[pid][1]
            todo += children.get(pid, [])
    return found


def cpu_seconds(roots: Iterable[int]) -> float:
    """CPU seconds that the trees have used."""
    return sum(tree(roots).values())


def largest(roots: Iterable[int]) -> float:
    """MiB (RSS) of the largest process in the trees."""
    return max(_sizes(pid).get("Rss", 0) / 1024 for pid in tree(roots))


def memory(roots: Iterable[int]) -> Memory:
    """Memory of the trees now; other users' processes can be read by root only."""
    rss = pss = 0.0
    pids = tree(roots)
    for pid in pids:
        sizes = _sizes(pid)
        rss += sizes.get("Rss", 0) / 1024
        pss += sizes.get("Pss", 0) / 1024
    return Memory(round(rss, 1), round(pss, 1), len(pids))


def _sizes(pid: int) -> dict[str, int]:
    """KiB of one process; nothing when it has ended."""
    try:
        text = Path(f"/proc/{pid}/smaps_rollup").read_text()
    except OSError:
        return {}
    return {name: int(size) for name, size in re.findall(r"^(Rss|Pss):\s+(\d+)", text, re.MULTILINE)}
