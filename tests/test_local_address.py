"""Which addresses are this machine's, also where the kernel lets any be bound."""

from __future__ import annotations

import errno
import socket
import subprocess
import sys
from typing import Any

import pytest

from postmeter.local_address import is_local
from support.foreign import need, need_program

OURS = ("127.0.0.1", "127.0.0.7", "::1", "192.0.2.1", "192.0.2.2", "2001:db8::1", "2001:db8::2", "::ffff:192.0.2.1")
OTHERS = ("192.0.2.9", "198.51.100.1", "2001:db8::9", "2001:db8:1::1", "::ffff:192.0.2.9", "192.0.2.255", "224.0.0.1")

# A network of its own, where any address can be bound; the second of two in one subnet has the first as its source.
NETWORK = """
set -e
echo 1 > /proc/sys/net/ipv4/ip_nonlocal_bind
echo 1 > /proc/sys/net/ipv6/ip_nonlocal_bind
ip link set lo up
for address in 192.0.2.1/32 192.0.2.2/32 2001:db8::1/128 2001:db8::2/128; do ip address add "$address" dev lo; done
exec "$@"
"""
ASKING = """
import socket, sys
from postmeter.local_address import is_local
socket.socket(socket.AF_INET).bind(("198.51.100.1", 0))
socket.socket(socket.AF_INET6).bind(("2001:db8:1::1", 0))
print(*filter(is_local, sys.argv[1:]))
"""


def unshared(*command: str) -> list[str]:
    return ["unshare", "--map-root-user", "--net", *command]


def test_this_machine_knows_its_loopback_and_that_others_are_not_here() -> None:
    assert [is_local(one) for one in ("127.0.0.1", "127.0.0.7", "::1")] == [True] * 3
    assert [is_local(one) for one in ("198.51.100.1", "2001:db8::1", "::ffff:198.51.100.1")] == [False] * 3


def test_an_address_that_can_be_bound_is_not_ours_by_that() -> None:
    need_program("ip")
    alone = subprocess.run(unshared("true"), capture_output=True, check=False)
    need("a kernel that gives a process a network of its own", alone.returncode == 0)
    command = unshared("sh", "-c", NETWORK, "sh", sys.executable, "-c", ASKING, *OURS, *OTHERS)
    asked = subprocess.run(command, capture_output=True, text=True, check=False)
    assert (asked.stdout.split(), asked.stderr) == (list(OURS), "")


@pytest.mark.parametrize(("address", "ours"), [("127.0.0.1", True), ("::1", True), ("198.51.100.1", False)])
def test_where_the_kernel_may_not_be_asked_what_can_be_bound_is_ours(
    address: str, ours: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    without_netlink(monkeypatch)
    assert is_local(address) is ours


def test_what_cannot_be_found_out_is_an_error(monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*_: Any) -> socket.socket:
        raise OSError(errno.EMFILE, "too many open files")

    monkeypatch.setattr(socket, "socket", full)
    with pytest.raises(OSError, match="too many"):
        is_local("127.0.0.1")


def without_netlink(monkeypatch: pytest.MonkeyPatch) -> None:
    """As under systemd's ``RestrictAddressFamilies=``."""
    made = socket.socket

    def restricted(family: int, *rest: Any) -> socket.socket:
        if family == socket.AF_NETLINK:
            raise OSError(errno.EAFNOSUPPORT, "address family not supported")
        return made(family, *rest)

    monkeypatch.setattr(socket, "socket", restricted)
