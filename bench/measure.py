"""One run: load through a server into the sink, and what came of it."""

from __future__ import annotations

import json
import os
import subprocess
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import count
from pathlib import Path
from typing import Any

import processes
from peer import Access, Ports, wait_for_port
from processes import Machine
from scenarios import IdleScenario, Scenario

HERE = Path(__file__).parent
IDLE_EXIT = 15  # seconds without a message after which the sink gives up on the missing ones
HOLD = 4  # seconds that idle sessions are held
LARGE = 100_000  # octets from which a trial run is shorter
FEWEST, MOST = 100, 30_000  # messages of a run


@dataclass(frozen=True)
class Result:
    """One run of a scenario; times in ms, CPU in seconds."""

    scenario: str
    peer: str
    messages: int
    accept_rate: float  # 250 answers a second
    delivery_rate: float  # messages a second from the first MAIL to the last arrival
    megabytes: float  # accepted a second
    latency: tuple[float, float, float]  # MAIL to 250: p50, p90, p99
    login: tuple[float, float]  # connect to logged in: p50, p99
    forwarding: tuple[float, float]  # 250 to arrival: p50, p99
    cpu: float  # of the server's processes for 1,000 messages
    machine_cpu: float  # of all processes without load and sink, for 1,000 messages
    stolen: float  # percent of the machine's time that other guests had
    sessions_out: int
    signed: int
    failed: int  # not accepted, or sessions that broke
    lost: int  # accepted, never arrived
    duplicates: int
    bad_hash: int


@dataclass(frozen=True)
class IdleResult:
    """Memory of a server with idle sessions."""

    scenario: str
    peer: str
    sessions: int
    held: str
    pss_before: float  # MiB
    pss_with: float
    processes_before: int
    processes_with: int
    kib_per_session: float


class Tools:
    """The compiled load generator and recipient side, in a temporary folder."""

    def __init__(self, folder: Path, ports: Ports) -> None:
        self.folder = folder
        self.ports = ports
        self.load_log = folder / "load.log"
        self.sink_log = folder / "sink.log"
        self._numbers = count(1)
        for tool in ("load", "sink"):
            sources = [str(HERE / name) for name in (f"{tool}.c", f"{tool}_session.c", "wire.c")]
            command = ["gcc", "-O2", "-o", str(folder / tool), *sources, "-lssl", "-lcrypto"]
            subprocess.run(command, check=True)

    def run_id(self) -> str:
        """A word that tells this run's messages from those that another one left behind."""
        return f"run{os.getpid()}x{next(self._numbers)}"

    def load(self, access: Access, *options: object) -> subprocess.Popen[str]:
        """The load generator, started against that server."""
        login = ["-u", access.user, "-w", access.password] if access.user else ["-A"]
        command = [str(self.folder / "load"), "-p", str(access.port), "-t", access.tls, *login, *map(str, options)]
        return subprocess.Popen(command, stdout=subprocess.PIPE, text=True)

    def sink(self, run: str, *options: object) -> subprocess.Popen[str]:
        """The recipient side, listening."""
        place = ["-p", str(self.ports.sink), "-x", run, "-L", str(self.sink_log)]
        command = [str(self.folder / "sink"), *place, *map(str, options)]
        process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
        wait_for_port(self.ports.sink)
        return process

    def accepted(self) -> dict[int, tuple[int, int]]:
        """Start and 250 (nanoseconds) by message number, of those that the last load saw accepted."""
        rows = (map(int, line.split()) for line in self.load_log.read_text().splitlines())
        return {number: (begun, done) for number, begun, done in rows if done}

    def arrived(self) -> dict[int, int]:
        """First arrival (nanoseconds) by message number at the last sink."""
        rows = (map(int, line.split()) for line in self.sink_log.read_text().splitlines())
        return {number: at for number, at in rows}  # noqa: C416 (typed, unlike dict())


def run(tools: Tools, access: Access, scenario: Scenario, messages: int, limit: int = 120) -> Result:
    """Send that many messages and wait for all of them to arrive."""
    name = tools.run_id()
    sink = tools.sink(name, "-e", messages, "-T", IDLE_EXIT, *scenario.sink_options)
    cpu, machine = processes.cpu_seconds(access.pids), Machine.now()
    shape = ("-c", scenario.sessions, "-m", scenario.per_session, "-n", messages, "-s", scenario.size)
    load = tools.load(access, *shape, "-x", name, "-L", tools.load_log, "-T", limit, *scenario.load_options)
    told = json.loads(load.communicate()[0])
    counted = json.loads(sink.communicate(timeout=limit)[0])
    cpu = processes.cpu_seconds(access.pids) - cpu
    return _result(access.name, scenario, messages, tools, told, counted, cpu, (machine, Machine.now()))


def _result(
    peer: str,
    scenario: Scenario,
    messages: int,
    tools: Tools,
    told: Mapping[str, Any],
    counted: Mapping[str, Any],
    cpu: float,
    machine: tuple[Machine, Machine],
) -> Result:
    accepted, arrived = tools.accepted(), tools.arrived()
    forwarding = sorted((arrived[number] - accepted[number][1]) / 1e6 for number in accepted if number in arrived)
    thousands = max(1, len(accepted)) / 1000
    before, after = machine
    others = after.busy - before.busy - told["cpu"] - counted["cpu"]
    return Result(
        scenario=scenario.name,
        peer=peer,
        messages=messages,
        accept_rate=told["msgs_s"],
        delivery_rate=_delivery_rate(accepted, arrived),
        megabytes=round(told["accepted"] * scenario.size / 1e6 / told["secs"], 1),
        latency=(told["lat_p50"], told["lat_p90"], told["lat_p99"]),
        login=(told["conn_p50"], told["conn_p99"]),
        forwarding=(_part(forwarding, 0.5), _part(forwarding, 0.99)),
        cpu=round(cpu / thousands, 2),
        machine_cpu=round(others / thousands, 2),
        stolen=round(100 * (after.stolen - before.stolen) / max(0.01, after.total - before.total), 1),
        sessions_out=counted["connections"] - 1,  # without our own look at the port
        signed=counted["dkim"],
        failed=max(messages - len(accepted), told["connfail"]),
        lost=len(accepted.keys() - arrived.keys()),
        duplicates=counted["dup"],
        bad_hash=counted["badhash"],
    )


def _delivery_rate(accepted: Mapping[int, tuple[int, int]], arrived: Mapping[int, int]) -> float:
    if not (accepted and arrived):
        return 0.0
    seconds = (max(arrived.values()) - min(begun for begun, _ in accepted.values())) / 1e9
    return round(len(arrived) / seconds, 1)


def _part(ordered: Sequence[float], part: float) -> float:
    return round(ordered[int(part * (len(ordered) - 1))], 2) if ordered else 0.0


def fitting(tools: Tools, access: Access, scenario: Scenario, seconds: float) -> int:
    """How many messages make a run of about that time: the scenario's own number, or by a short trial run."""
    if scenario.messages:
        return scenario.messages
    trial = run(tools, access, scenario, 40 if scenario.size > LARGE else 100)
    if not trial.delivery_rate:
        raise RuntimeError(f"{access.name} brought no message to port {tools.ports.sink}: {trial}")
    return int(min(MOST, max(FEWEST, trial.accept_rate * seconds)))


def hold(tools: Tools, access: Access, scenario: IdleScenario) -> IdleResult:
    """Memory before and while the sessions are there."""
    before = processes.memory(access.pids)
    load = tools.load(access, "-c", scenario.sessions, "-I", HOLD, "-T", 180)
    assert load.stdout is not None
    held = load.stdout.readline().strip()
    time.sleep(1)
    with_them = processes.memory(access.pids)
    load.communicate()
    return IdleResult(
        scenario=scenario.name,
        peer=access.name,
        sessions=scenario.sessions,
        held=held,
        pss_before=before.pss,
        pss_with=with_them.pss,
        processes_before=before.processes,
        processes_with=with_them.processes,
        kib_per_session=round((with_them.pss - before.pss) * 1024 / scenario.sessions, 1),
    )
