"""The plugin on both databases."""

from __future__ import annotations

import pytest

from postmeter.store.engine import Store
from support.webhooks import Bench


@pytest.fixture
def bench(store: Store) -> Bench:
    """The plugin with its clock and its endpoints."""
    return Bench(store)
