"""A TLS session is resumed with the same address under the same policy, for an hour, and no longer."""

from __future__ import annotations

from dataclasses import replace
from typing import Any, cast

from OpenSSL import SSL
from twisted.internet.task import Clock

from postmeter.delivery.client_tls import MOST_RESUMABLE, RESUMABLE, TlsFacts, TlsSessions
from postmeter.delivery.mta_sts import StsPolicy
from postmeter.delivery.route import Host
from postmeter.delivery.tls_policy import HostPolicy

HOST = Host("mx.good.test", "192.0.2.1", 25)
LAX = HostPolicy(HOST.name)
STRICT = HostPolicy(HOST.name, "sts", None, StsPolicy("enforce", (HOST.name,), 60))
FACTS = TlsFacts("TLSv1.3", "TLS_AES_256_GCM_SHA384", "")
SESSION = cast(SSL.Session, object())


def bench() -> tuple[Clock, TlsSessions]:
    clock = Clock()
    return clock, TlsSessions(clock.seconds, cast(Any, object()))


def test_a_session_is_found_for_the_same_address_and_policy_only() -> None:
    _, sessions = bench()
    sessions.keep(HOST, LAX, SESSION, FACTS, None)
    assert sessions.find(HOST, LAX) is not None
    assert sessions.find(HOST, STRICT) is None
    assert sessions.find(replace(HOST, address="192.0.2.2"), LAX) is None
    assert sessions.find(replace(HOST, name="other.test"), LAX) is None


def test_a_certificate_is_looked_at_again_after_an_hour_however_often_the_session_was_resumed() -> None:
    clock, sessions = bench()
    sessions.keep(HOST, STRICT, SESSION, FACTS, None)
    clock.advance(RESUMABLE - 1)
    earlier = sessions.find(HOST, STRICT)
    assert earlier is not None
    sessions.keep(HOST, STRICT, SESSION, FACTS, earlier.until)
    clock.advance(1)
    assert sessions.find(HOST, STRICT) is None


def test_what_can_be_resumed_no_more_is_not_kept() -> None:
    clock, sessions = bench()
    for number in range(3):
        sessions.keep(Host(HOST.name, str(number), 25), LAX, SESSION, FACTS, None)
    clock.advance(RESUMABLE)
    sessions.keep(HOST, LAX, SESSION, FACTS, None)
    assert list(sessions._kept) == [(HOST, LAX)]


def test_only_so_many_sessions_are_kept() -> None:
    _, sessions = bench()
    for number in range(MOST_RESUMABLE + 1):
        sessions.keep(Host(HOST.name, str(number), 25), LAX, SESSION, FACTS, None)
    assert sessions.find(Host(HOST.name, "0", 25), LAX) is None
    assert sessions.find(Host(HOST.name, "1", 25), LAX) is not None
