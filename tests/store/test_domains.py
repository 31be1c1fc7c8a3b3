"""Sending domains, their keys, and when they are verified."""

from __future__ import annotations

import dkim
import pytest

from postmeter.errors import PostmeterError, UsageError
from postmeter.message.signature import ED25519, RSA, SigningKey
from postmeter.store import domains
from postmeter.store.domains import NewKey
from postmeter.store.engine import Store
from postmeter.store.secrets import Secrets
from postmeter.store.tables import SendingDomain
from support.tenants import HELP, NOW, SECRETS, make_account, make_domain, new_key, rsa_key

KEY = SigningKey.load("shop.example", "s1", RSA, rsa_key().pem)


def test_a_new_domain_waits_for_its_records(store: Store) -> None:
    with store.write() as session:
        account = make_account(session)
        added = domains.add_domain(session, SECRETS, account, "Shop.Example.", HELP, False, [new_key()], NOW)
    dkim_record, dmarc = added.records
    assert (added.name, added.verified) == ("shop.example", False)
    assert dkim_record.name.endswith("._domainkey.shop.example")
    assert dkim_record.value.startswith("v=DKIM1; k=rsa; p=MII")
    assert (dkim_record.type, dkim_record.required) == ("TXT", True)
    assert (dmarc.name, dmarc.required) == ("_dmarc.shop.example", False)


def test_a_trusted_domain_is_verified_at_once(store: Store) -> None:
    with store.write() as session:
        account = make_account(session)
        make_domain(session, account)
        row = session.get_one(SendingDomain, (account.id, "shop.example"))
        assert (row.verified_at, row.trusted, row.list_help) == (NOW, True, "<https://shop.example/help>")


def test_adding_again_changes_the_list_help_and_keeps_the_key(store: Store) -> None:
    with store.write() as session:
        account = make_account(session)
        first = domains.add_domain(session, SECRETS, account, "shop.example", HELP, True, [new_key()], NOW)
        again = domains.add_domain(
            session, SECRETS, account, "shop.example", "help@shop.example", False, [new_key()], NOW
        )
        assert again.records == first.records
        assert again.verified
        assert session.get_one(SendingDomain, (account.id, "shop.example")).list_help == "<mailto:help@shop.example>"


def test_a_second_algorithm_gets_a_second_record(store: Store) -> None:
    with store.write() as session:
        account = make_account(session)
        keys = [new_key(), NewKey.generate(ED25519)]
        added = domains.add_domain(session, SECRETS, account, "shop.example", HELP, True, keys, NOW)
    assert [record.value.split(";")[1].strip() for record in added.records[:2]] == ["k=rsa", "k=ed25519"]


@pytest.mark.parametrize(
    "name", ["", "shop", "shop .example", "-a.example", "a..b", "192.0.2.1/24", "x" * 250 + ".example"]
)
def test_what_is_no_domain_is_refused(store: Store, name: str) -> None:
    with pytest.raises(UsageError, match="not a domain name"), store.write() as session:
        domains.add_domain(session, SECRETS, make_account(session), name, HELP, True, [new_key()], NOW)


def test_a_domain_with_umlauts_is_kept_in_its_ascii_form() -> None:
    assert domains.clean_domain("bücher.example") == "xn--bcher-kva.example"


@pytest.mark.parametrize("text", ["http://shop.example", "help", "https://shop.example/\r\nBcc: x@y.example"])
def test_what_is_no_list_help_is_refused(store: Store, text: str) -> None:
    with pytest.raises(UsageError, match="List-Help"), store.write() as session:
        domains.add_domain(session, SECRETS, make_account(session), "shop.example", text, True, [new_key()], NOW)


def test_two_accounts_may_have_the_same_domain_but_not_the_same_record(store: Store) -> None:
    with store.write() as session:
        one, two = make_account(session, "one"), make_account(session, "two")
        make_domain(session, one)
        make_domain(session, two, trust=False)
        facts = domains.domains_of(session, None, "shop.example")
        assert [(f.account, f.verified) for f in facts] == [("one", True), ("two", False)]
        assert facts[0].records[0].name != facts[1].records[0].name
        assert [f.account for f in domains.domains_of(session, two.id)] == ["two"]


def test_a_selector_that_is_in_use_is_refused(store: Store) -> None:
    with store.write() as session:
        key = new_key()
        domains.add_domain(session, SECRETS, make_account(session, "one"), "shop.example", HELP, True, [key], NOW)
        with pytest.raises(UsageError, match="the selector pm"):
            domains.add_domain(session, SECRETS, make_account(session, "two"), "shop.example", HELP, True, [key], NOW)
        session.rollback()


@pytest.mark.parametrize(
    ("algorithm", "selector", "pem", "told"),
    [
        (RSA, "s1", b"nonsense", "not a private key"),
        (RSA, "s 1", rsa_key().pem, "not a domain or selector"),
        (ED25519, "s1", rsa_key().pem, "not one for ed25519"),
    ],
)
def test_a_key_that_cannot_be_used_is_refused(algorithm: str, selector: str, pem: bytes, told: str) -> None:
    with pytest.raises(UsageError, match=told):
        NewKey.of(algorithm, selector, pem)


def test_mail_is_signed_by_the_accounts_key_and_then_by_the_operators(store: Store) -> None:
    with store.write() as session:
        one, two = make_account(session, "one"), make_account(session, "two")
        make_domain(session, one)
        make_domain(session, two)
        record = domains.add_operator_key(session, SECRETS, "relay.example", new_key(), NOW)
        keys = domains.keys_for(session, SECRETS, one.id, "shop.example")
        other = domains.keys_for(session, SECRETS, two.id, "shop.example")
        assert [key.domain for key in keys] == ["shop.example", "relay.example"]
        assert (record.name, record.value) == (keys[1].dns_name, keys[1].dns_value())
        assert keys[0].selector != other[0].selector
        assert [key.domain for key in domains.keys_for(session, SECRETS, one.id, "other.example")] == ["relay.example"]


def test_private_keys_are_not_in_the_database_in_clear(store: Store) -> None:
    with store.write() as session:
        account = make_account(session)
        make_domain(session, account)
        with pytest.raises(PostmeterError, match="restore both"):
            domains.keys_for(session, Secrets(bytes(32)), account.id, "shop.example")


def test_a_published_key_verifies_the_domain() -> None:
    spaced = KEY.dns_value().replace("; p=", ";\tp = ")
    assert domains.judge([KEY], {KEY.dns_name: [KEY.dns_value()]}) == []
    assert domains.judge([KEY], {KEY.dns_name: [spaced]}) == []
    assert dkim.util.parse_tag_value(KEY.dns_value().encode())[b"k"] == b"rsa"


@pytest.mark.parametrize(
    ("found", "told"),
    [
        ([], "no TXT record"),
        (["v=spf1 -all"], "not a DKIM key record"),
        (["v=DKIM1; k=rsa; p="], "revoked"),
        (["v=DKIM1; k=rsa; p=AAAA"], "another key"),
        (["v=DKIM1; k=ed25519; p=AAAA"], "another kind"),
        ([KEY.dns_value(), KEY.dns_value()], "2 TXT records"),
    ],
)
def test_what_is_wrong_with_a_record_is_named(found: list[str], told: str) -> None:
    problems = domains.judge([KEY], {KEY.dns_name: found})
    assert len(problems) == 1
    assert problems[0].startswith("s1._domainkey.shop.example: ")
    assert told in problems[0]


def test_a_domain_without_a_key_cannot_be_verified() -> None:
    assert domains.judge([], {}) == ["There is no DKIM key for this domain."]
