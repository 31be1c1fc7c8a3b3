"""The PROXY protocol, versions 1 and 2: whom a proxy in front of us speaks for (HAProxy's proxy-protocol.txt)."""

from __future__ import annotations

from dataclasses import dataclass
from ipaddress import IPv4Address, IPv6Address

MAX_LINE = 107  # octets of a header of version 1, with CRLF
MAX_BLOCK = 4096  # octets that a header of version 2 may declare: addresses, and what else the proxy knows

_SIGNATURE = b"\r\n\r\n\0\r\nQUIT\n"  # of version 2
_HEAD = len(_SIGNATURE) + 4  # with version and command, family and transport, length
_LOCAL, _PROXY = 0x20, 0x21
_FAMILIES = {0x11: (IPv4Address, 4), 0x21: (IPv6Address, 16)}  # TCP over it, and the octets of an address
_WORDS = {"TCP4": IPv4Address, "TCP6": IPv6Address}


@dataclass(frozen=True, slots=True)
class ProxyHeader:
    """A header of ``size`` octets; ``client`` is the address of the real client, None when the proxy itself calls."""

    client: str | None
    size: int


def read_header(data: bytes) -> ProxyHeader | None:
    """The header that ``data`` begins with; None when more octets are needed, ValueError when it is none."""
    if data.startswith(_SIGNATURE[: len(data)]):
        return _read_block(data) if len(data) >= _HEAD else None
    return _read_line(data)


def _read_line(data: bytes) -> ProxyHeader | None:
    end = data.find(b"\r\n", 0, MAX_LINE)
    if end < 0:
        if len(data) >= MAX_LINE or not data.startswith(b"PROXY "[: len(data)]):
            raise ValueError("no PROXY header")
        return None
    words = data[:end].decode("ascii").split(" ")  # UnicodeDecodeError is a ValueError
    if words[:2] == ["PROXY", "UNKNOWN"]:
        return ProxyHeader(None, end + 2)
    keyword, family, source, destination, *ports = words + [""] * (4 - len(words))
    if keyword != "PROXY" or family not in _WORDS or len(ports) != 2 or not all(map(_is_port, ports)):
        raise ValueError("not a PROXY header of version 1")
    if "%" in source + destination:  # behind it Python takes anything as the scope of an IPv6 address
        raise ValueError("a PROXY header with a scope")
    kind = _WORDS[family]
    kind(destination)
    return ProxyHeader(str(kind(source)), end + 2)


def _is_port(text: str) -> bool:
    return text.isdecimal() and len(text) <= 5 and int(text) <= 65_535


def _read_block(data: bytes) -> ProxyHeader | None:
    command, family = data[12], data[13]
    length = int.from_bytes(data[14:16], "big")
    if command not in (_LOCAL, _PROXY) or length > MAX_BLOCK:
        raise ValueError("not a PROXY header of version 2")
    size = _HEAD + length
    if len(data) < size:
        return None
    if command == _LOCAL:
        return ProxyHeader(None, size)
    if family not in _FAMILIES:  # none of TCP over IP: the proxy says nothing that we could use
        raise ValueError("a PROXY header of an unknown family")
    kind, octets = _FAMILIES[family]
    if length < 2 * octets + 4:
        raise ValueError("a PROXY header without its addresses")
    return ProxyHeader(str(kind(data[_HEAD : _HEAD + octets])), size)
