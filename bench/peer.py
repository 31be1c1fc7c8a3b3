"""What every measured server has in common: how a client reaches it, and how it is started, killed and stopped."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import time
from abc import ABC, abstractmethod
from dataclasses import dataclass
from pathlib import Path

import processes


@dataclass(frozen=True)
class Access:
    """What a client needs, and the root processes whose trees are charged with the CPU time."""

    name: str
    port: int
    tls: str  # "starttls", "tls" or "plain"
    user: str  # empty: no AUTH
    password: str
    pids: tuple[int, ...]


@dataclass(frozen=True)
class Ports:
    """The loopback ports of a benchmark, counted from a base."""

    base: int = 15000

    @property
    def sink(self) -> int:
        """Where every peer relays to."""
        return self.base

    @property
    def submission(self) -> int:
        """Postmeter with STARTTLS; the next two are its implicit TLS and its panel."""
        return self.base + 11


class Peer(ABC):
    """One server under test; its files are in a folder of its own."""

    name: str

    def __init__(self, folder: Path, ports: Ports) -> None:
        self.folder = folder / self.name
        self.ports = ports
        self.certificate, self.key = certificate(folder)

    @abstractmethod
    def start(self) -> Access:
        """Begin with an empty queue."""

    @abstractmethod
    def restart(self) -> Access:
        """Begin again after a kill, with the queue as it was."""

    @abstractmethod
    def stop(self) -> None:
        """End in good order; what never started is fine."""


def certificate(folder: Path) -> tuple[Path, Path]:
    """One certificate and key for all peers of a run: ECDSA P-256, what certbot makes by default."""
    chain, key = folder / "certificate.pem", folder / "key.pem"
    if not chain.exists():
        curve = ["-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes"]
        names = ["-subj", "/CN=localhost", "-days", "30", "-keyout", str(key), "-out", str(chain)]
        subprocess.run(["openssl", "req", "-x509", *curve, *names], check=True, capture_output=True)
        key.chmod(0o644)  # Postfix reads it as its own user
    return chain, key


def kill(access: Access) -> None:
    """SIGKILL to the whole process tree at once, as a power cut would do to the processes."""
    pids = processes.tree(access.pids)
    for number in (signal.SIGSTOP, signal.SIGKILL):  # stopped first, so that no parent reacts to a child's death
        for pid in pids:
            try:
                os.kill(pid, number)
            except ProcessLookupError:
                continue


def wait_for_port(port: int, seconds: float = 20.0) -> None:
    """Return once the port answers; TimeoutError."""
    deadline = time.monotonic() + seconds
    while True:
        try:
            socket.create_connection(("127.0.0.1", port), 1).close()
        except OSError:
            if time.monotonic() > deadline:
                raise TimeoutError(f"port {port} does not answer") from None
            time.sleep(0.1)
        else:
            return


def end(process: subprocess.Popen[bytes] | None, seconds: float = 40.0) -> None:
    """SIGTERM, and SIGKILL to what has not ended after that time."""
    if process is None or process.poll() is not None:
        return
    process.terminate()
    try:
        process.wait(seconds)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()
