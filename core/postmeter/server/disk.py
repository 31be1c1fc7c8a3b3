"""Whether the data folder's disk has room for more mail; what there is already keeps being delivered."""

from __future__ import annotations

import logging
import os
from pathlib import Path

from postmeter.config import Server
from postmeter.disk_room import is_low

log = logging.getLogger(__name__)


class DiskWatch:
    """``low`` says that nothing more should be taken, as it was at the last ``look``."""

    def __init__(self, folder: Path, limits: Server) -> None:
        self._folder = folder
        self._limits = limits
        self.low = False
        self.look()

    def look(self) -> None:
        """Ask the file system; it may take its time. OSError when the folder is gone."""
        low = is_low(os.statvfs(self._folder), self._limits)
        if low and not self.low:
            log.error("the disk of %s is nearly full: mail is answered with 452 until there is room", self._folder)
        elif self.low and not low:
            log.info("the disk of %s has room again", self._folder)
        self.low = low
