"""What the operator should hear of: refusals that are about this relay, in the log once an hour for each provider."""

from __future__ import annotations

import logging

from postmeter.store.settle import Settlement

log = logging.getLogger(__name__)

HOUR = 3_600.0
SAID = {  # by class
    "block.ip": "%s does not want mail from %s: %s",
    "protocol": "%s did not understand this relay (%s): %s",
}


class Concerns:
    """Of one worker; what has been said of a provider is said again after an hour."""

    def __init__(self) -> None:
        self._silent: dict[tuple[str, str], float] = {}  # until when; as many as there are providers

    def note(self, settlement: Settlement) -> None:
        """An attempt has ended."""
        failure, facts = settlement.failure, settlement.facts
        if failure is None or failure.name not in SAID:
            return
        key = failure.name, facts.get("provider", "")
        if settlement.at >= self._silent.get(key, 0.0):
            self._silent[key] = settlement.at + HOUR
            remote = key[1] if key[1] not in ("", "other") else facts.get("remote", "")
            log.warning(SAID[failure.name], remote, facts.get("local_address", ""), settlement.reply)
