"""The fuzz targets hold for every dialogue script and for what fuzzing found worth keeping; needs no atheris."""

from __future__ import annotations

from pathlib import Path
from types import ModuleType

import pytest

from fuzz import dialogue, grammar, reports

TARGETS = {"dialogue": dialogue, "grammar": grammar, "reports": reports}
CORPUS = Path(__file__).parent / "corpus"


@pytest.mark.parametrize("target", TARGETS.values(), ids=TARGETS)
def test_the_seeds_hold(target: ModuleType) -> None:
    seeds = list(target.seeds())
    for seed in seeds:
        target.check(seed)
    assert len(seeds) > 200


@pytest.mark.parametrize("name", TARGETS)
def test_the_corpus_holds(name: str) -> None:
    paths = sorted((CORPUS / name).iterdir())
    for path in paths:
        TARGETS[name].check(path.read_bytes())
    assert paths


@pytest.mark.parametrize("flags", range(64))
def test_a_case_is_written_as_it_is_read(flags: int) -> None:
    case = dialogue.Case(flags, 5, bytes([1, 2, 3, 0, 5, 6]), [b"EHLO a\r\n", b"", b"NOOP\r\n"])
    assert dialogue.Case.read(case.write()) == case
    dialogue.check(case.write())


@pytest.mark.parametrize("data", [b"", b"\0", b"\x03", b"\xff" * 9, dialogue.FLIGHT * 20])
def test_an_input_of_any_length_is_one(data: bytes) -> None:
    dialogue.check(data)
    grammar.check(data)
    reports.check(data)
