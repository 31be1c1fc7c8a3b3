"""The servers that can be measured, by name; run by itself it starts one in the foreground and says how to reach it.

python bench/peers.py postfix-dkim > postfix.json      until Ctrl-C; run.py takes that file as a peer
"""

from __future__ import annotations

import argparse
import json
import signal
import sys
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import asdict
from pathlib import Path

from peer import Access, Peer, Ports
from peer_postfix import Postfix, SigningPostfix
from peer_postmeter import Postmeter

NAMES = (Postmeter.name, Postfix.name, SigningPostfix.name)


def make(name: str, folder: Path, ports: Ports, main_cf: Sequence[str] = ()) -> Peer:
    """The peer of that name (one of NAMES), not yet started."""
    if name == Postmeter.name:
        return Postmeter(folder, ports)
    if name == Postfix.name:
        return Postfix(folder, ports, main_cf)
    return SigningPostfix(folder, ports, main_cf)


@contextmanager
def folder() -> Iterator[Path]:
    """A temporary folder that the users of the servers may enter; gone afterwards."""
    with tempfile.TemporaryDirectory(prefix="postmeter-bench-") as name:
        path = Path(name)
        path.chmod(0o755)
        yield path


@contextmanager
def running(peer: Peer) -> Iterator[Access]:
    """The started peer; stopped at the end, whatever happens."""
    try:
        yield peer.start()
    finally:
        peer.stop()


def access_from(file: Path) -> Access:
    """What a JSON file says of a server that runs already: the fields of Access."""
    fields = json.loads(file.read_text())
    return Access(**fields | {"pids": tuple(fields["pids"])})


@contextmanager
def all_running(names: Sequence[str], folder: Path, ports: Ports, main_cf: Sequence[str]) -> Iterator[list[Access]]:
    """The named peers, started here or (NAME.json) elsewhere, in that order."""
    with ExitStack() as stack:
        found = []
        for name in names:
            if name.endswith(".json"):
                found.append(access_from(Path(name)))
            else:
                found.append(stack.enter_context(running(make(name, folder, ports, main_cf))))
        yield found


def add_options(parser: argparse.ArgumentParser) -> None:
    """The options that every program with peers has."""
    parser.add_argument("--port-base", type=int, default=Ports.base, help="first of 20 free ports (%(default)s)")
    parser.add_argument("-o", dest="main_cf", action="append", default=[], metavar="NAME=VALUE", help="for main.cf")


def _main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("name", choices=NAMES)
    add_options(parser)
    options = parser.parse_args()
    signals = {signal.SIGINT, signal.SIGTERM}
    with folder() as path, running(make(options.name, path, Ports(options.port_base), options.main_cf)) as access:
        signal.pthread_sigmask(signal.SIG_BLOCK, signals)
        print(json.dumps(asdict(access)), flush=True)
        print(f"relays to 127.0.0.1:{options.port_base}; Ctrl-C ends it", file=sys.stderr)
        signal.sigwait(signals)
        signal.pthread_sigmask(signal.SIG_UNBLOCK, signals)


if __name__ == "__main__":
    _main()
