"""Second factors: each code of the app once, each recovery code once, nothing readable in the database."""

from __future__ import annotations

import pyotp
import pytest
from sqlalchemy import select

from postmeter.errors import UsageError
from postmeter.store import accounts, second_factors
from postmeter.store.engine import Store
from postmeter.store.panel_tables import RecoveryCode
from postmeter.store.second_factors import CODES, STEP
from postmeter.store.tables import User
from support.tenants import NOW, PASSWORD, SECRETS

SECRET = "JBSWY3DPEHPK3PXPJBSWY3DPEHPK3PXP"
RFC_6238 = "GEZDGNBVGY3TQOJQGEZDGNBVGY3TQOJQ"  # "12345678901234567890", appendix B


def code(now: float) -> str:
    return pyotp.TOTP(SECRET).at(int(now))


def accepted(store: Store, user_id: int, text: str, now: float) -> bool:
    with store.write() as session:
        return second_factors.accept(session, SECRETS, user_id, text, now)


@pytest.fixture
def ann(store: Store) -> int:
    """Who has set up a second factor."""
    with store.write() as session:
        user_id = accounts.add_user(session, "ann@acme.example", False, PASSWORD, NOW)
        second_factors.set_up(session, SECRETS, user_id, SECRET, code(NOW), NOW)
    return user_id


def codes(store: Store, user_id: int) -> list[str]:
    with store.write() as session:
        return second_factors.new_codes(session, SECRETS, user_id)


@pytest.mark.parametrize(("now", "shown"), [(59, "287082"), (1111111109, "081804"), (20000000000, "353130")])
def test_codes_are_those_of_the_rfc(now: int, shown: str) -> None:
    assert second_factors.step_of(RFC_6238, shown, now) == now // STEP


@pytest.mark.parametrize(("drift", "good"), [(-2, False), (-1, True), (0, True), (1, True), (2, False)])
def test_a_clock_may_be_one_step_off(drift: int, good: bool) -> None:
    assert (second_factors.step_of(SECRET, code(NOW + drift * STEP), NOW) is not None) == good


def test_each_code_is_accepted_once(store: Store, ann: int) -> None:
    assert not accepted(store, ann, code(NOW), NOW)  # it was used to set the factor up
    later = NOW + STEP
    assert accepted(store, ann, code(later), later)
    assert not accepted(store, ann, code(later), later)
    assert not accepted(store, ann, code(NOW), later)  # nor is an older one
    assert not accepted(store, ann, "000000", later + STEP)


def test_a_code_may_have_blanks(store: Store, ann: int) -> None:
    later = NOW + STEP
    assert accepted(store, ann, f" {code(later)[:3]} {code(later)[3:]}", later)


def test_a_wrong_code_sets_nothing_up(store: Store) -> None:
    with store.write() as session:
        bob = accounts.add_user(session, "bob@acme.example", False, PASSWORD, NOW)
    with pytest.raises(UsageError, match="wrong"), store.write() as session:
        second_factors.set_up(session, SECRETS, bob, SECRET, "123456", NOW)
    with store.read() as session:
        assert session.get_one(User, bob).totp is None
    assert not accepted(store, bob, "123456", NOW)


def test_each_recovery_code_is_accepted_once_and_only_its_users(store: Store, ann: int) -> None:
    with store.write() as session:
        bob = accounts.add_user(session, "bob@acme.example", False, PASSWORD, NOW)
    papers = codes(store, ann)
    assert len(set(papers)) == CODES
    assert not accepted(store, bob, papers[0], NOW)
    assert accepted(store, ann, f" {papers[0].upper()} ", NOW)
    assert not accepted(store, ann, papers[0], NOW)
    with store.read() as session:
        assert second_factors.codes_left(session, ann) == CODES - 1


def test_new_recovery_codes_end_the_old_ones(store: Store, ann: int) -> None:
    old, new = codes(store, ann), codes(store, ann)
    assert not accepted(store, ann, old[0], NOW)
    assert accepted(store, ann, new[0], NOW)


def test_nothing_is_readable_in_the_database(store: Store, ann: int) -> None:
    papers = codes(store, ann)
    with store.read() as session:
        sealed = session.scalars(select(User.totp)).one() or b""
        digests = session.scalars(select(RecoveryCode.digest)).all()
    assert SECRET.encode() not in sealed
    assert SECRETS.unseal(sealed) == SECRET.encode()
    assert not any(paper.replace("-", "").encode() in digest for paper in papers for digest in digests)


def test_turned_off_means_nothing_is_asked_and_nothing_is_left(store: Store, ann: int) -> None:
    papers = codes(store, ann)
    with store.write() as session:
        second_factors.turn_off(session, ann)
        facts = accounts.user_facts(session, ann)
        assert facts is not None
        assert not facts.second_factor
        assert second_factors.codes_left(session, ann) == 0
    assert not accepted(store, ann, code(NOW + STEP), NOW + STEP)
    assert not accepted(store, ann, papers[0], NOW)


def test_the_address_for_apps_names_user_and_relay() -> None:
    address = second_factors.address_of(SECRET, "ann@acme.example", "mail.example.net")
    assert address == f"otpauth://totp/mail.example.net:ann%40acme.example?secret={SECRET}&issuer=mail.example.net"
