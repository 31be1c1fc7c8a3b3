"""The most memory that a server takes while many large messages come in at the same time.

python bench/memory.py postmeter      200 sessions with one message of 30 MB each; every one must arrive
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import time
from collections.abc import Iterator

import peers
import processes
from measure import Tools
from peer import Access, Peer, Ports
from processes import Memory

SAMPLE = 0.2  # seconds between two looks
LIMIT = 1800  # seconds for all messages to be accepted
IDLE_EXIT = 600  # seconds without an arrival after which the sink gives up


def watch(access: Access, tool: subprocess.Popen[str]) -> Iterator[Memory]:
    """The server's memory, again and again until the tool has ended."""
    while tool.poll() is None:
        yield processes.memory(access.pids)
        time.sleep(SAMPLE)


def upload(tools: Tools, server: Peer, options: argparse.Namespace) -> dict[str, object]:
    """All sessions at once, and what the server needed until the last message has arrived."""
    run = tools.run_id()
    access = server.start()
    sink = tools.sink(run, "-e", options.sessions, "-T", IDLE_EXIT)
    before = processes.memory(access.pids)
    shape = ("-c", options.sessions, "-m", 1, "-n", options.sessions, "-s", options.size, "-T", LIMIT)
    begun = time.monotonic()
    load = tools.load(access, *shape, "-x", run, "-L", tools.load_log)
    receiving = list(watch(access, load))
    seconds = time.monotonic() - begun
    seen = receiving + list(watch(access, sink))
    return {
        "peer": server.name,
        "sessions": options.sessions,
        "size": options.size,
        "seconds": round(seconds, 1),
        "rss_before": before.rss,
        "rss_most": max(memory.rss for memory in seen),
        "rss_most_receiving": max(memory.rss for memory in receiving),
        "pss_most": max(memory.pss for memory in seen),
        "accepted": len(tools.accepted()),
        "arrived": len(tools.arrived()),
        "duplicates": json.loads(sink.communicate()[0])["dup"],
    }


def main() -> None:
    """The command line; ends with 1 if a message was not accepted or did not arrive."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("peer", choices=peers.NAMES)
    parser.add_argument("-c", dest="sessions", type=int, default=200, help="sessions (%(default)s)")
    parser.add_argument("-s", dest="size", type=int, default=30_000_000, help="octets of a body (%(default)s)")
    peers.add_options(parser)
    options = parser.parse_args()
    ports = Ports(options.port_base)
    with peers.folder() as folder:
        server = peers.make(options.peer, folder, ports, options.main_cf)
        try:
            outcome = upload(Tools(folder, ports), server, options)
        finally:
            server.stop()
    print(json.dumps(outcome), flush=True)
    sys.exit(not outcome["accepted"] == outcome["arrived"] == options.sessions)


if __name__ == "__main__":
    main()
