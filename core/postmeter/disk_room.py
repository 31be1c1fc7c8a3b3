"""When a disk is nearly full, by the settings."""

from __future__ import annotations

import os

from postmeter.config import Server


def is_low(status: os.statvfs_result, limits: Server) -> bool:
    """Whether less is free than the settings ask for: octets, or per cent of the blocks or the inodes."""
    percent = limits.min_free_percent
    few = _scarce(status.f_bavail, status.f_blocks, percent) or _scarce(status.f_favail, status.f_files, percent)
    return few or status.f_bavail * status.f_frsize < limits.min_free_bytes


def _scarce(free: int, of: int, percent: int) -> bool:
    """Less than so many per cent; a file system that does not count them (``of`` is 0) has enough."""
    return of > 0 and free * 100 < of * percent
