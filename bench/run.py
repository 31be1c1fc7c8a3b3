"""Runs the scenarios against Postmeter and other servers in turns (A B A B ...) and prints tables in Markdown.

python bench/run.py postmeter postfix-dkim -s many-2k-c10,one-2k-c10     README.md beside this file explains it
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Iterator, Sequence
from dataclasses import asdict
from pathlib import Path

import measure
import peers
import report
from measure import IdleResult, Result, Tools
from peer import Access, Ports
from scenarios import SCENARIOS, USUAL, IdleScenario, Scenario


class Results:
    """Everything measured so far, each result written down at once: one line of JSON."""

    def __init__(self, file: Path | None) -> None:
        self.all: list[Result | IdleResult] = []
        self._file = file

    def add(self, result: Result | IdleResult) -> None:
        """Keep a result and tell it."""
        self.all.append(result)
        line = json.dumps(asdict(result))
        print(line, file=sys.stderr, flush=True)
        if self._file:
            with self._file.open("a") as file:
                file.write(line + "\n")


def read_results(file: Path) -> list[Result | IdleResult]:
    """The results that an earlier run wrote."""
    rows = [json.loads(line) for line in file.read_text().splitlines()]
    return [IdleResult(**row) if "held" in row else Result(**row) for row in rows]


def interleave(
    tools: Tools, accesses: Sequence[Access], scenario: Scenario, options: argparse.Namespace
) -> Iterator[Result]:
    """The runs of one scenario: in every round each peer once."""
    numbers = {access: measure.fitting(tools, access, scenario, options.seconds) for access in accesses}
    for _ in range(options.rounds):
        for access in accesses:
            yield measure.run(tools, access, scenario, numbers[access])


def run_all(options: argparse.Namespace, results: Results) -> None:
    """Start the peers, measure, stop them."""
    ports = Ports(options.port_base)
    with peers.folder() as folder:
        tools = Tools(folder, ports)
        with peers.all_running(options.peers, folder, ports, options.main_cf) as accesses:
            for scenario in (SCENARIOS[name] for name in options.scenarios):
                if isinstance(scenario, IdleScenario):
                    for access in accesses:
                        results.add(measure.hold(tools, access, scenario))
                else:
                    for result in interleave(tools, accesses, scenario, options):
                        results.add(result)


def _peer(text: str) -> str:
    if text not in peers.NAMES and not text.endswith(".json"):
        raise argparse.ArgumentTypeError(f"there is no {text}; there are {', '.join(peers.NAMES)}, or NAME.json")
    return text


def _scenarios(text: str) -> list[str]:
    names = text.split(",")
    if unknown := [name for name in names if name not in SCENARIOS]:
        raise argparse.ArgumentTypeError(f"there is no {unknown[0]}; there are {', '.join(SCENARIOS)}")
    return names


def main() -> None:
    """The command line."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("peers", nargs="*", type=_peer, metavar="PEER", help=f"{', '.join(peers.NAMES)}, or NAME.json")
    parser.add_argument("-s", dest="scenarios", type=_scenarios, default=USUAL, help="comma-separated; all but idle-N")
    parser.add_argument("-r", dest="rounds", type=int, default=3, help="rounds (%(default)s)")
    parser.add_argument("-t", dest="seconds", type=float, default=3.0, help="seconds of a run, about (%(default)s)")
    parser.add_argument("--results", type=Path, metavar="FILE", help="append every result as a line of JSON")
    parser.add_argument("--table", type=Path, metavar="FILE", help="only print the tables of such a file")
    parser.add_argument("--list", action="store_true", help="only print the names of the scenarios")
    peers.add_options(parser)
    options = parser.parse_args()
    if options.list:
        print("\n".join(SCENARIOS))
    elif options.table:
        print(report.markdown(read_results(options.table)))
    elif not options.peers:
        parser.error("name at least one peer")
    else:
        results = Results(options.results)
        run_all(options, results)
        print(report.markdown(results.all))


if __name__ == "__main__":
    main()
