"""Which addresses are this machine's own, as its kernel tells."""

from __future__ import annotations

import errno
import ipaddress
import socket
import struct

# rtnetlink(7): what `ip route get ADDRESS` asks and is told.
_HEADER = struct.Struct("=IHHII")  # nlmsghdr: length, type, flags, sequence, port
_ROUTE = struct.Struct("=BBBBBBBBI")  # rtmsg: family, length of the destination, ..., type of the route, flags
_ATTRIBUTE = struct.Struct("=HH")  # rtattr: length, type
_RTM_NEWROUTE, _RTM_GETROUTE, _NLM_F_REQUEST, _RTA_DST, _RTN_LOCAL = 24, 26, 1, 1, 2
_LARGEST = 8_192  # octets of an answer


def is_local(address: str) -> bool:
    """Whether an address is one of this machine's, the loopback's included; OSError when that cannot be found out.

    The route there says so. That an address can be bound does not: with ``net.ipv4.ip_nonlocal_bind``, which machines
    have that take an address over from one another (VRRP), any can. It takes some microseconds and asks nobody else.
    """
    ip = ipaddress.ip_address(address)
    if isinstance(ip, ipaddress.IPv6Address) and ip.ipv4_mapped is not None:
        ip = ip.ipv4_mapped
    family = socket.AF_INET if ip.version == 4 else socket.AF_INET6
    try:
        return _is_routed_here(family, ip.packed)
    except OSError:  # a sandbox may forbid the question
        return _can_be_bound(family, str(ip))


def _is_routed_here(family: int, packed: bytes) -> bool:
    attribute = _ATTRIBUTE.pack(_ATTRIBUTE.size + len(packed), _RTA_DST) + packed
    question = _ROUTE.pack(family, 8 * len(packed), 0, 0, 0, 0, 0, 0, 0) + attribute
    with socket.socket(socket.AF_NETLINK, socket.SOCK_RAW, socket.NETLINK_ROUTE) as kernel:
        kernel.send(_HEADER.pack(_HEADER.size + len(question), _RTM_GETROUTE, _NLM_F_REQUEST, 0, 0) + question)
        answer = kernel.recv(_LARGEST, socket.MSG_DONTWAIT)  # it has answered by now
    if _HEADER.unpack_from(answer)[1] != _RTM_NEWROUTE:
        return False  # an error: nothing leads there
    return bool(_ROUTE.unpack_from(answer, _HEADER.size)[7] == _RTN_LOCAL)


def _can_be_bound(family: int, address: str) -> bool:
    try:
        with socket.socket(family, socket.SOCK_DGRAM) as probe:
            probe.bind((address, 0))
    except OSError as error:
        if error.errno in (errno.EADDRNOTAVAIL, errno.EAFNOSUPPORT):
            return False
        raise
    return True
