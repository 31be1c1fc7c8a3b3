"""A disk that is nearly full is noticed before it is full."""

from __future__ import annotations

import os
from pathlib import Path
from types import SimpleNamespace

import pytest

from postmeter.config import Server
from postmeter.server.disk import DiskWatch

ROOMY = {"f_bavail": 500, "f_blocks": 1000, "f_frsize": 1 << 22, "f_favail": 500, "f_files": 1000}


class FileSystem:
    """What the file system says."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.status = dict(ROOMY)
        monkeypatch.setattr(os, "statvfs", lambda _path: SimpleNamespace(**self.status))


@pytest.fixture
def disk(monkeypatch: pytest.MonkeyPatch) -> FileSystem:
    """One with room."""
    return FileSystem(monkeypatch)


@pytest.mark.parametrize(
    "status",
    [
        {"f_bavail": 99},  # less than 10 per cent
        {"f_favail": 99},  # of the inodes
        {"f_frsize": 1 << 20, "f_bavail": 953},  # less than 1 GB, though most of the disk
    ],
)
def test_little_room_is_told_once_and_the_end_of_it_too(
    disk: FileSystem, tmp_path: Path, status: dict[str, int], caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level("INFO")
    watch = DiskWatch(tmp_path, Server())
    assert not watch.low
    disk.status |= status
    for _ in range(2):
        watch.look()
        assert watch.low
    disk.status = dict(ROOMY)
    watch.look()
    assert not watch.low
    assert [record.levelname for record in caplog.records] == ["ERROR", "INFO"]


def test_what_is_just_enough_is_enough(disk: FileSystem, tmp_path: Path) -> None:
    disk.status |= {"f_bavail": 100, "f_favail": 100, "f_frsize": 10_000_000}
    assert not DiskWatch(tmp_path, Server()).low


def test_a_file_system_without_inodes_has_enough_of_them(disk: FileSystem, tmp_path: Path) -> None:
    disk.status |= {"f_files": 0, "f_favail": 0}
    assert not DiskWatch(tmp_path, Server()).low


def test_the_settings_say_how_much_is_little(disk: FileSystem, tmp_path: Path) -> None:
    disk.status |= {"f_bavail": 40, "f_favail": 40, "f_frsize": 4096}
    assert DiskWatch(tmp_path, Server(min_free_percent=5, min_free_bytes=0)).low
    assert not DiskWatch(tmp_path, Server(min_free_percent=4, min_free_bytes=0)).low
    assert not DiskWatch(tmp_path, Server(min_free_percent=0, min_free_bytes=4096 * 40)).low
    assert DiskWatch(tmp_path, Server(min_free_percent=0, min_free_bytes=4096 * 41)).low
