"""Where the customers' systems hand their mail over, as their settings name it."""

from __future__ import annotations

from dataclasses import dataclass
from ipaddress import ip_address

from postmeter.config import Settings, address


@dataclass(frozen=True)
class Endpoint:
    """Host, port with STARTTLS and port with implicit TLS that a client uses; None where there is no listener."""

    host: str
    port: int | None
    tls_port: int | None

    @classmethod
    def of(cls, settings: Settings) -> Endpoint:
        """A listener on the loopback is named by its address, any other by the host name, which the certificate has."""
        starttls = [address("smtp.submission", text) for text in settings.smtp.submission[:1]]
        implicit = [address("smtp.submissions", text) for text in settings.smtp.submissions[:1]]
        hosts = [host for host, _ in (*starttls, *implicit)]
        host = hosts[0] if hosts and _is_loopback(hosts[0]) else settings.hostname
        return cls(host, starttls[0][1] if starttls else None, implicit[0][1] if implicit else None)


def _is_loopback(host: str) -> bool:
    try:
        return ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"
