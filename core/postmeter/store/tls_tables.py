"""The tables of transport security: hosts with broken TLS, policies of domains, and what sessions are reported on."""

from __future__ import annotations

from sqlalchemy.orm import Mapped, mapped_column

from postmeter.store.base import Base


class BrokenTlsHost(Base):
    """A mail server with which TLS cannot be agreed on: until then it is sent mail in clear, where that is allowed.

    By its name as well: what a server answers to one name, which anybody can give it, says nothing about another.
    """

    __tablename__ = "broken_tls"
    name: Mapped[str] = mapped_column(primary_key=True)
    address: Mapped[str] = mapped_column(primary_key=True)
    port: Mapped[int] = mapped_column(primary_key=True, autoincrement=False)
    until: Mapped[float]


class MtaSts(Base):
    """A domain's MTA-STS policy as it was fetched (RFC 8461); it holds until ``expires_at``."""

    __tablename__ = "mta_sts"
    domain: Mapped[str] = mapped_column(primary_key=True)
    record: Mapped[str]  # the id in the DNS when it was fetched
    policy: Mapped[str]
    fetched_at: Mapped[float]
    expires_at: Mapped[float]


class TlsSessionDay(Base):
    """Sessions of a day (its first second, UTC) with a domain's mail servers that had the same end (RFC 8460).

    ``policy``: its type and lines. ``result``: empty when nothing has failed, and then nothing behind it is set.
    """

    __tablename__ = "tls_session_day"
    day: Mapped[int] = mapped_column(primary_key=True, autoincrement=False)
    domain: Mapped[str] = mapped_column(primary_key=True)
    policy: Mapped[str] = mapped_column(primary_key=True)
    result: Mapped[str] = mapped_column(primary_key=True)
    reason: Mapped[str] = mapped_column(primary_key=True)
    source: Mapped[str] = mapped_column(primary_key=True)
    host: Mapped[str] = mapped_column(primary_key=True)
    address: Mapped[str] = mapped_column(primary_key=True)
    sessions: Mapped[int] = mapped_column(default=0)


class TlsReport(Base):
    """A report that was sent, or given up (``sent_to`` is empty), about a domain and a day."""

    __tablename__ = "tls_report"
    day: Mapped[int] = mapped_column(primary_key=True, autoincrement=False)
    domain: Mapped[str] = mapped_column(primary_key=True)
    sent_at: Mapped[float]
    sent_to: Mapped[str]
