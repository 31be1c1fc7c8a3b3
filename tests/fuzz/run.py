"""Runs a fuzz target under atheris until its time is up or an input breaks it: ``python tests/fuzz/run.py dialogue``.

``dialogue -max_total_time=60`` is a minute of ``fuzz/dialogue.py``, and 28800 a night; without the option it goes on
until Ctrl-C. What it learns is kept in ``build/fuzz`` for the next run. An input that breaks the target is written
there, too, and the last lines name the file: put it into ``tests/fuzz/corpus/dialogue``, and ``pytest tests/fuzz``
plays it again, without atheris. All other options are libFuzzer's.
"""

from __future__ import annotations

import importlib
import sys
from pathlib import Path

import atheris

HERE = Path(__file__).parent
BUILD = HERE.parent.parent / "build" / "fuzz"
LONGEST = 1500  # octets of an input: room for a line that is too long


def main(name: str, *options: str) -> None:
    """Fuzzes until libFuzzer ends the process."""
    sys.path.insert(0, str(HERE.parent))
    with atheris.instrument_imports(include=["postmeter.smtp", "postmeter.message"]):
        target = importlib.import_module(f"fuzz.{name}")
    found, seeds = BUILD / name / "found", BUILD / name / "seeds"
    found.mkdir(parents=True, exist_ok=True)
    seeds.mkdir(exist_ok=True)
    for number, seed in enumerate(target.seeds()):
        (seeds / str(number)).write_bytes(seed)
    words, crash = HERE / f"{name}.dict", BUILD / f"{name}-"
    settings = [f"-max_len={LONGEST}", "-timeout=20", f"-dict={words}", f"-artifact_prefix={crash}"]
    folders = [str(folder) for folder in (found, seeds, HERE / "corpus" / name)]
    atheris.Setup([sys.argv[0], *settings, *options, *folders], target.check)
    atheris.Fuzz()


if __name__ == "__main__":
    main(*sys.argv[1:])
