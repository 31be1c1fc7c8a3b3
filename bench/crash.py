"""Kills a server under load (SIGKILL to all its processes), starts it again and compares what it promised and did.

python bench/crash.py postmeter      lost must be 0; duplicates are at most what was under way at the kill
"""

from __future__ import annotations

import argparse
import json
import signal
import sys
import time

import peer as servers
import peers
from measure import Tools
from peer import Access, Peer, Ports
from scenarios import ENDLESS

ANSWER_DELAY = 5  # ms, so that some deliveries are always between the content and its reply


def load_and_kill(tools: Tools, access: Access, run: str, options: argparse.Namespace) -> None:
    """Load, and the kill in the midst of it; the generator ends by itself when nobody answers any more."""
    shape = ("-c", options.sessions, "-m", ENDLESS, "-n", ENDLESS, "-s", options.size, "-T", options.at + 10)
    load = tools.load(access, *shape, "-x", run, "-L", tools.load_log)
    time.sleep(options.at)
    servers.kill(access)
    load.communicate()


def crash(tools: Tools, server: Peer, options: argparse.Namespace) -> dict[str, object]:
    """One crash and what came of it."""
    run = tools.run_id()
    access = server.start()
    sink = tools.sink(run, "-k", "-d", ANSWER_DELAY)
    try:
        load_and_kill(tools, access, run, options)
        server.restart()
        time.sleep(options.drain)
    finally:
        sink.send_signal(signal.SIGTERM)
        counted = json.loads(sink.communicate()[0])
    accepted, arrived = tools.accepted().keys(), tools.arrived().keys()
    lost = sorted(accepted - arrived)
    return {
        "peer": server.name,
        "accepted": len(accepted),
        "arrived": len(arrived),
        "lost": len(lost),
        "lost_numbers": lost[:10],
        "duplicates": counted["dup"],
        "arrived_unanswered": len(arrived - accepted),
        "bad_hash": counted["badhash"],
    }


def main() -> None:
    """The command line; ends with 1 if a message was lost or damaged."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("peer", choices=peers.NAMES)
    parser.add_argument("-r", dest="rounds", type=int, default=1, help="crashes (%(default)s)")
    parser.add_argument("-c", dest="sessions", type=int, default=10, help="sessions (%(default)s)")
    parser.add_argument("-s", dest="size", type=int, default=2048, help="octets of a body (%(default)s)")
    parser.add_argument("--at", type=float, default=1.5, help="seconds of load before the kill (%(default)s)")
    parser.add_argument("--drain", type=int, default=20, help="seconds to deliver after the restart (%(default)s)")
    peers.add_options(parser)
    options = parser.parse_args()
    damaged = False
    for _ in range(options.rounds):
        damaged |= one(options)
    sys.exit(damaged)


def one(options: argparse.Namespace) -> bool:
    """A crash in a folder of its own; True if a message was lost or damaged."""
    ports = Ports(options.port_base)
    with peers.folder() as folder:
        server = peers.make(options.peer, folder, ports, options.main_cf)
        try:
            outcome = crash(Tools(folder, ports), server, options)
        finally:
            server.stop()
    print(json.dumps(outcome), flush=True)
    return bool(outcome["lost"] or outcome["bad_hash"])


if __name__ == "__main__":
    main()
