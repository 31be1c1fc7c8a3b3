"""A long queue, on a small scale: the same programme measures it with a million (bench/README.md)."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

BENCH = Path(__file__).parent.parent / "bench"


def backlog(*options: object) -> dict[str, Any]:
    """What the benchmark tells."""
    command = [sys.executable, str(BENCH / "backlog.py"), "-m", "4", *map(str, options)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=120, check=False)
    assert done.returncode == 0, done.stderr
    told: dict[str, Any] = json.loads(done.stdout)
    return told


@pytest.mark.parametrize(
    "shape",
    [
        pytest.param(("-n", 6000, "-a", 1, "--dead", 0, "--due", 1), id="one account has much to send"),
        pytest.param(("-n", 6000, "-a", 5, "--dead", 0.9, "--due", 1), id="a provider is silent"),
    ],
)
def test_another_accounts_single_mail_leaves_at_once_handed_over_or_from_the_store(shape: tuple[object, ...]) -> None:
    told = backlog(*shape)
    assert told["single_handed_over_s"]["p50"] < 2, told
    assert told["single_from_store_s"]["p50"] < 2, told
    assert max(told[way]["most"] for way in ("single_handed_over_s", "single_from_store_s")) < 5, told
    assert told["start_to_first_delivery_s"] < 60, told
    assert told["rss_mib_of_largest_process"] < 1000, told
