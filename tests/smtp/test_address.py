"""Paths and mailboxes: the grammar of RFC 5321 and nothing else, as received."""

from __future__ import annotations

import string
import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from postmeter.smtp.address import Mailbox, parse_forward_path, parse_reverse_path
from postmeter.smtp.reply import Refused

GOOD = [
    "customer@example.org",
    "Customer.Name+tag@Example.ORG",
    "!#$%&'*+/=?^_`{|}~-@example.org",
    '"a b"@example.org',
    '"a@b>"@example.org',
    r'"a\"\\b"@example.org',
    "a@1.example",
    "a@xn--exmple-cua.org",
    "büro@exämple.org",
    "a" * 64 + "@example.org",
    "a@" + "b" * 63 + ".org",
]
BAD = [
    "",
    "customer",
    "@example.org",
    "customer@",
    ".a@example.org",
    "a.@example.org",
    "a..b@example.org",
    "a b@example.org",
    "a@b@example.org",
    '"a"b@example.org',
    '""@example.org',  # RFC 5321, erratum 5414
    'a."b"@example.org',
    '"a".b@example.org',
    '"a\tb"@example.org',
    '"a\\\x07"@example.org',
    "(a)@example.org",
    "a@(b)example.org",
    "a@example.org(b)",
    "a@exam ple.org",
    '"a@example.org',
    '"a\\"@example.org',
    "a@example..org",
    "a@.example.org",
    "a@example.org.",
    "a@-example.org",
    "a@example-.org",
    "a@exam_ple.org",
    "a@" + "b" * 64 + ".org",
    "a" * 65 + "@example.org",
    "ü" * 33 + "@example.org",
    "a@" + "b." * 130 + "org",
    '"a\nb"@example.org',
    '"a\rb"@example.org',
    '"a\0b"@example.org',
    "a\tb@example.org",
    "a@example.org\n",
    "a\x7f@example.org",
    "a\x85b@example.org",
    "a\u2028b@example.org",
    "a\udcffb@example.org",
    "a,b@example.org",
    "<a@example.org>",
    "a@[]",
    "a@[192.0.2.256]",
    "a@[192.0.2.01]",
    "a@[IPv6:]",
    "a@[IPv6:fe80::1%eth0]",
    "a@[example.org]",
    "a@[IPv6:2001:db8:::1]",
    "a@[2001:db8::1]",
    "a@[192.0.2]",
    "a@[192.0.2.1",
    "a@192.0.2.1]",
    "a@[tag:content]",
]


def status(error: pytest.ExceptionInfo[Refused]) -> str:
    return f"{error.value.reply.code} {error.value.reply.status}"


@pytest.mark.parametrize("text", GOOD)
def test_a_good_path_is_returned_as_it_was_received(text: str) -> None:
    assert str(Mailbox.parse(text)) == text
    assert parse_forward_path(f"<{text}>").mailbox == text
    assert parse_reverse_path(f"<{text}>").mailbox == text


@pytest.mark.parametrize("text", BAD)
def test_what_is_no_address_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match="not a mailbox"):
        Mailbox.parse(text)
    with pytest.raises(Refused) as recipient:
        parse_forward_path(f"<{text}>")
    assert status(recipient) == "501 5.1.3"
    if text:
        with pytest.raises(Refused) as sender:
            parse_reverse_path(f"<{text}>")
        assert status(sender) == "501 5.1.7"


@pytest.mark.parametrize(
    "text", ["", "<", "<>x", "a@example.org", "<a@example.org", "a@example.org>", "<a@example.org>X=1"]
)
def test_a_path_needs_its_brackets(text: str) -> None:
    with pytest.raises(Refused):
        parse_forward_path(text)
    with pytest.raises(Refused):
        parse_reverse_path(text)


def test_the_parameters_are_what_follows_the_path() -> None:
    assert parse_reverse_path("<a@example.org> SIZE=1 BODY=7BIT").parameters == "SIZE=1 BODY=7BIT"
    assert parse_reverse_path("<> SIZE=1").parameters == "SIZE=1"
    assert parse_forward_path("<Postmaster> NOTIFY=NEVER").parameters == "NOTIFY=NEVER"
    assert parse_forward_path("<a@example.org>").parameters == ""


@pytest.mark.parametrize("route", ["@relay.example", "@relay.example,@other.example", "@localhost", "@exämple.org"])
def test_a_source_route_is_ignored(route: str) -> None:
    assert parse_forward_path(f"<{route}:a@example.org>").mailbox == "a@example.org"
    assert parse_reverse_path(f"<{route}:a@example.org>").mailbox == "a@example.org"


@pytest.mark.parametrize("route", ["relay.example", "@", "@a.example,", "@a.example,b.example", "@[192.0.2.1]", "@a b"])
def test_a_bad_source_route_is_refused(route: str) -> None:
    with pytest.raises(Refused) as refused:
        parse_forward_path(f"<{route}:a@example.org>")
    assert status(refused) == "501 5.1.3"


def test_the_null_path_is_a_sender_only() -> None:
    assert parse_reverse_path("<>").mailbox == ""
    with pytest.raises(Refused) as refused:
        parse_forward_path("<>")
    assert status(refused) == "501 5.1.3"


def test_postmaster_needs_no_domain() -> None:
    assert parse_forward_path("<PostMaster>").mailbox == "PostMaster"


def test_a_recipient_needs_a_domain_with_a_dot() -> None:
    with pytest.raises(Refused) as refused:
        parse_forward_path("<a@localhost>")
    assert status(refused) == "550 5.1.2"
    assert parse_reverse_path("<www-data@localhost>").mailbox == "www-data@localhost"


@pytest.mark.parametrize("domain", ["192.0.2.1", "example.123", "exämple", "ü" * 58 + ".org", "exa\u00admple.org"])
def test_a_recipient_needs_a_domain_that_can_exist(domain: str) -> None:
    with pytest.raises(Refused) as refused:
        parse_forward_path(f"<a@{domain}>")
    assert status(refused) == "550 5.1.2"
    assert parse_reverse_path(f"<a@{domain}>").mailbox == f"a@{domain}"


def test_the_refusals_say_what_to_look_for() -> None:
    for text, hint in (("<joe.example.org>", "missing @"), ("<joe@example>", "typing error or no ending")):
        with pytest.raises(Refused) as refused:
            parse_forward_path(text)
        assert hint in refused.value.reply.text


@pytest.mark.parametrize(
    "domain",
    [
        "[192.0.2.1]",
        "[IPv6:2001:db8::1]",
        "[ipv6:::1]",
        "[IPv6:2001:DB8:0:0:0:0:0:1]",
        "[IPv6:::ffff:192.0.2.1]",
        "[IPv6:::]",
    ],
)
def test_an_address_literal_is_read_but_no_recipient(domain: str) -> None:
    assert Mailbox.parse(f"a@{domain}").domain == domain
    assert parse_reverse_path(f"<a@{domain}>").mailbox == f"a@{domain}"
    with pytest.raises(Refused) as refused:
        parse_forward_path(f"<a@{domain}>")
    assert status(refused) == "501 5.1.3"


@pytest.mark.parametrize("letter", ["a", "ü"])
def test_a_local_part_has_at_most_64_octets(letter: str) -> None:
    longest = letter * (64 // len(letter.encode()))
    assert parse_forward_path(f"<{longest}@example.org>").mailbox == f"{longest}@example.org"
    for local in (longest + "x", f'"{longest}"'):
        with pytest.raises(Refused) as refused:
            parse_forward_path(f"<{local}@example.org>")
        assert status(refused) == "501 5.1.3"


def test_a_path_has_at_most_256_octets_with_its_brackets() -> None:
    domain = ".".join(["b" * 61] * 4)[:-5] + ".org"
    longest = "a" * (254 - 1 - len(domain)) + "@" + domain
    for parse in (parse_forward_path, parse_reverse_path):
        assert parse(f"<{longest}>").mailbox == longest
        with pytest.raises(Refused):
            parse(f"<a{longest}>")
        with pytest.raises(Refused):
            parse(f"<@r.example:{longest}>")
    assert str(Mailbox.parse(longest)) == longest


@given(st.text(alphabet=string.printable + "\0äλ\udcff", max_size=80))
def test_nothing_that_could_break_a_line_gets_through(text: str) -> None:
    try:
        mailbox = parse_forward_path(text).mailbox
    except Refused:
        return
    assert mailbox in text
    assert not set(mailbox) & set("\r\n\0\t")
    mailbox.encode()


@given(
    st.text(alphabet=string.ascii_letters + string.digits + "!#$%&'*+/=?^_`{|}~-", min_size=1, max_size=64),
    st.lists(st.from_regex(r"[a-z0-9]([a-z0-9-]{0,20}[a-z0-9])?", fullmatch=True), min_size=2, max_size=6),
)
def test_parsing_and_writing_are_inverse(local: str, labels: list[str]) -> None:
    mailbox = Mailbox(local, ".".join(labels))
    assert Mailbox.parse(str(mailbox)) == mailbox


@pytest.mark.parametrize("unit", ["a.", "a@", '"\\', "a-", "@a,", "-", '"', "a.b-"])
def test_long_garbage_takes_linear_time(unit: str) -> None:
    started = time.process_time()
    for text in (f"<{unit * 50_000}", f"<{unit * 50_000}>", f"<@{unit * 50_000}>", f"<a@{unit * 50_000}>"):
        with pytest.raises(Refused):
            parse_forward_path(text)
    assert time.process_time() - started < 1
