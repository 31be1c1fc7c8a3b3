"""What sessions cost the running relay in memory: those that say nothing or too much, and large messages."""

from __future__ import annotations

import re
import socket
import ssl
from base64 import b64encode
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, suppress
from pathlib import Path

import pytest

from support.relay import DOMAIN, Access, Relay, wait_until

SETTINGS = """\
max_sessions_per_ip = 10000
max_sessions_per_connection = 10000
max_new_sessions_per_second = 10000
"""
KB = 1024
NOWHERE = "127.0.0.1:1"  # nothing is delivered meanwhile


@pytest.fixture(scope="module")
def relay(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Relay]:
    """A relay with two workers that has served a session already."""
    made = Relay(tmp_path_factory.mktemp("relay"), NOWHERE, settings={"smtp": SETTINGS})
    try:
        made.start()
        yield made
    finally:
        made.kill()


@pytest.fixture(scope="module")
def access(relay: Relay) -> Access:
    """A customer; every worker has done everything once."""
    made = relay.set_up()
    with ExitStack() as stack:
        for _ in range(20):
            upload(stack.enter_context(logged_in(relay, made)), 2_000_000)
    return made


def logged_in(relay: Relay, access: Access) -> ssl.SSLSocket:
    """A session inside TLS that is ready for MAIL."""
    context = ssl.create_default_context(cafile=str(relay.certificate))
    plain = socket.create_connection(("127.0.0.1", relay.tls_port), 30)
    link = context.wrap_socket(plain, server_hostname="localhost")
    Talk(link).ask(None, b"220")
    Talk(link).ask(b"EHLO client.example", b"250")
    Talk(link).ask(b"AUTH LOGIN", b"334")
    for text in (access.username, access.password):
        Talk(link).ask(_base64(text), b"334" if text == access.username else b"235")
    return link


def _base64(text: str) -> bytes:
    return b64encode(text.encode())


class Talk:
    """One command, one reply."""

    def __init__(self, link: socket.socket) -> None:
        self._link = link

    def ask(self, line: bytes | None, code: bytes) -> None:
        """Send the line, read the reply to its end."""
        if line is not None:
            self._link.sendall(line + b"\r\n")
        said = b""
        while not re.search(rb"^\d{3} .*\r\n\Z", said, re.MULTILINE):
            piece = self._link.recv(4096)
            assert piece, said
            said += piece
        assert said.startswith(code), said


def begin(link: socket.socket) -> None:
    """A message up to its content."""
    talk = Talk(link)
    talk.ask(b"MAIL FROM:<orders@%s>" % DOMAIN.encode(), b"250")
    talk.ask(b"RCPT TO:<anna@kunde.example>", b"250")
    talk.ask(b"DATA", b"354")
    link.sendall(b"From: orders@%s\r\nSubject: large\r\n\r\n" % DOMAIN.encode())


def fill(link: socket.socket, size: int) -> None:
    """So many octets of a body."""
    lines = (b"x" * 70 + b"\r\n") * 910
    for _ in range(size // len(lines) + 1):
        link.sendall(lines)


def upload(link: socket.socket, size: int) -> None:
    """A whole message."""
    begin(link)
    fill(link, size)
    Talk(link).ask(b".", b"250")


class Scales:
    """Weighs the workers: what they have now and at most since ``reset``, all together, in octets."""

    def __init__(self, relay: Relay) -> None:
        self._pids = relay.workers()
        self.reset()
        self._before = self.now()

    def reset(self) -> None:
        """Forget the peaks (proc(5), clear_refs)."""
        for pid in self._pids:
            Path(f"/proc/{pid}/clear_refs").write_text("5")

    def now(self) -> int:
        """Resident now."""
        return sum(self._read(pid, "VmRSS") for pid in self._pids)

    @property
    def growth(self) -> int:
        """How much more there is now."""
        return self.now() - self._before

    @property
    def peak(self) -> int:
        """How much more there was at most."""
        return sum(self._read(pid, "VmHWM") for pid in self._pids) - self._before

    def _read(self, pid: int, name: str) -> int:
        (found,) = re.findall(rf"^{name}:\s+(\d+) kB$", Path(f"/proc/{pid}/status").read_text(), re.MULTILINE)
        return int(found) * KB


def test_an_idle_session_inside_tls_costs_less_than_60_kilobytes(relay: Relay, access: Access) -> None:
    scales, number = Scales(relay), 400
    with ExitStack() as stack:
        for _ in range(number):
            stack.enter_context(logged_in(relay, access))
        assert scales.growth < number * 60 * KB


def test_a_megabyte_without_a_line_end_ends_the_session_and_is_not_kept(relay: Relay, access: Access) -> None:
    scales, number = Scales(relay), 40
    with ThreadPoolExecutor(number) as threads:
        told = list(threads.map(lambda _: flood(relay), range(number)))
    assert all(b"500 5.5.2 " in said and said.splitlines()[-1].startswith(b"421 4.7.0 ") for said in told)
    assert scales.peak < number * 64 * KB


def flood(relay: Relay) -> bytes:
    """What a client is told that sends a megabyte without a line end; it is over then."""
    said = b""
    with socket.create_connection(("127.0.0.1", relay.port), 30) as link, suppress(ConnectionError):
        for _ in range(16):
            link.sendall(b"x" * 64 * KB)
        while piece := link.recv(4096):
            said += piece
    return said


def test_large_messages_that_come_at_once_are_not_held_in_memory(relay: Relay, access: Access) -> None:
    scales, number, size = Scales(relay), 40, 12_000_000
    with ExitStack() as stack, ThreadPoolExecutor(number) as threads:
        links = [stack.enter_context(logged_in(relay, access)) for _ in range(number)]

        def send(link: ssl.SSLSocket) -> None:
            begin(link)
            fill(link, size)

        list(threads.map(send, links))
        assert scales.peak < number * 1_500 * KB
        list(threads.map(lambda link: Talk(link).ask(b".", b"250"), links[:4]))
        assert scales.peak < number * 1_500 * KB + (100 << 20)
    wait_until(lambda: relay.stats()["arrived"] == 24, 30, "the four messages")


def test_a_client_that_leaves_in_the_midst_leaves_nothing(relay: Relay, access: Access) -> None:
    before = relay.stats()["arrived"]
    with ExitStack() as stack:
        for link in [stack.enter_context(logged_in(relay, access)) for _ in range(10)]:
            begin(link)
            fill(link, 3_000_000)
    wait_until(lambda: not _spools(relay), 20, "no spool file")
    assert relay.stats()["arrived"] == before


def _spools(relay: Relay) -> list[str]:
    """The unlinked files of the data folder that a worker has open."""
    links = [link for pid in relay.workers() for link in Path(f"/proc/{pid}/fd").iterdir()]
    found = []
    for link in links:
        with suppress(OSError):
            target = str(link.readlink())
            if str(relay.data) in target and target.endswith("(deleted)"):
                found.append(target)
    return found
