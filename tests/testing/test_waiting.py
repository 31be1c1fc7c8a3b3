"""What plugin authors wait with, and the ports that they listen on."""

from __future__ import annotations

import random
from typing import Any

import pytest

from postmeter.testing.waiting import free_port


def test_no_port_is_given_twice_though_nobody_listens_on_it_yet(monkeypatch: pytest.MonkeyPatch) -> None:
    def first(ports: Any, number: int) -> list[int]:
        return sorted(ports)[:number]

    monkeypatch.setattr(random, "sample", first)
    assert len({free_port() for _ in range(5)}) == 5
