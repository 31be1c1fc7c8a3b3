"""Where a body waits: in memory or in a file without a name."""

from __future__ import annotations

import errno
from collections.abc import Callable
from pathlib import Path
from threading import Thread
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from postmeter.server import spool as spool_module
from postmeter.server.spool import BLOCK, IN_MEMORY, Spool


@given(st.lists(st.binary(min_size=1, max_size=40), max_size=20), st.integers(0, 60), st.integers(0, 60))
def test_what_was_written_is_read_wherever_it_is(
    tmp_path: Path, blocks: list[bytes], start: int, in_memory: int
) -> None:
    whole = b"".join(blocks)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(spool_module, "BLOCK", 7)
        spool = Spool(tmp_path, in_memory)
        for block in blocks:
            spool.write(block)
        assert spool.size == len(whole)
        assert spool.in_memory == (len(whole) <= in_memory)
        assert spool.head(1000) == whole
        assert [b"".join(spool.blocks(start)) for _ in range(2)] == [whole[start:]] * 2
        spool.close()


def test_a_large_body_is_in_a_file_without_a_name_and_read_in_blocks(tmp_path: Path) -> None:
    spool = Spool(tmp_path)
    piece = bytes(range(256)) * 256
    while spool.size <= 3 * IN_MEMORY:
        spool.write(piece)
    assert not spool.in_memory
    assert spool._blocks == []
    assert list(tmp_path.iterdir()) == []
    assert spool.head(100) == piece[:100]
    spool.write(b"behind a look at the head")
    assert max(map(len, spool.blocks(5))) == BLOCK
    assert b"".join(spool.blocks(spool.size - 4)) == b"head"
    spool.close()
    spool.close()


def test_another_thread_may_read_it(tmp_path: Path) -> None:
    spool = Spool(tmp_path)
    for _ in range(3):
        spool.write(b"x" * IN_MEMORY)
    read: list[int] = []
    thread = Thread(target=lambda: read.extend(map(len, spool.blocks(10))))
    thread.start()
    thread.join()
    spool.close()
    assert sum(read) == 3 * IN_MEMORY - 10


class Full:
    """A file on a full disk: neither written nor flushed."""

    closed = False

    def refuse(self, *_: object) -> None:
        """As the system does."""
        raise OSError(errno.ENOSPC, "No space left on device")

    write = writelines = seek = refuse

    def close(self) -> None:
        """A buffered file flushes first."""
        self.closed = True
        self.refuse()


@pytest.mark.parametrize(
    "use", [lambda s: s.write(b"x"), lambda s: s.head(10), lambda s: list(s.blocks(0))], ids=["write", "head", "blocks"]
)
def test_a_full_disk_is_an_oserror_and_can_be_closed(
    tmp_path: Path, use: Callable[[Spool], Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    spool, file = Spool(tmp_path), Full()
    spool._file = file  # type: ignore[assignment]
    with pytest.raises(OSError, match="No space left"):
        use(spool)
    spool.close()
    assert file.closed


def test_a_folder_that_is_gone_is_an_oserror(tmp_path: Path) -> None:
    spool = Spool(tmp_path / "missing")
    with pytest.raises(OSError, match="No such file"):
        spool.write(b"x" * (IN_MEMORY + 1))
    spool.close()
