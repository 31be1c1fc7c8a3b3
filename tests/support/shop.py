"""A shop that hands mails over to the running relay: the one that plugin authors have."""

from __future__ import annotations

from postmeter.testing.running import ORDER as ORDER
from postmeter.testing.running import SENDER as SENDER
from postmeter.testing.running import Shop as Shop
