"""Whether the data folder's disk has room for more mail; what there is already keeps being delivered."""

from __future__ import annotations

import logging
import os
from pathlib import Path

from postmeter.config import Server

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


def is_low(status: os.statvfs_result, limits: Server) -> bool:
    """Whether less is free than the settings ask for: octets, or per cent of the blocks or the inodes."""
    percent = limits.min_free_percent
    few = _scarce(status.f_bavail, status.f_blocks, percent) or _scarce(status.f_favail, status.f_files, percent)
    return few or status.f_bavail * status.f_frsize < limits.min_free_bytes


def _scarce(free: int, of: int, percent: int) -> bool:
    """Less than so many per cent; a file system that does not count them (``of`` is 0) has enough."""
    return of > 0 and free * 100 < of * percent
