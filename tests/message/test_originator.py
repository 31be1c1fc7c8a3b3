"""From and Sender: the domains that are checked are the domains that others see."""

from __future__ import annotations

import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from postmeter.message.header import HeaderSection
from postmeter.message.originator import MAX_MAILBOXES, a_labels, mailbox_domains, originator_domains


@pytest.mark.parametrize(
    ("text", "domains"),
    [
        ("a@shop.example", ["shop.example"]),
        ("<a@SHOP.Example>", ["shop.example"]),
        ("Shop <a@shop.example>", ["shop.example"]),
        ("The Shop GmbH & Co. KG <a@shop.example>", ["shop.example"]),
        ('"Shop, Inc. <evil@evil.example>" <a@shop.example>', ["shop.example"]),
        ('"a \\" <b@evil.example>" <a@shop.example>', ["shop.example"]),
        ('"a@b"@shop.example', ["shop.example"]),
        ("=?utf-8?Q?M=C3=BCller?= <a@shop.example>", ["shop.example"]),
        ("=?utf-8?B?ZXZpbEBldmlsLmV4YW1wbGUs?= <a@shop.example>", ["shop.example"]),
        ("a@shop.example (Shop (the best))", ["shop.example"]),
        ("(x)Shop(y)<(z)a@shop.example>(q\\))", ["shop.example"]),
        ("a @ shop.example", ["shop.example"]),
        ("a@shop.example <a@other.example>", ["shop.example", "other.example"]),
        ("a@x.example, B <b@y.example> , c@z.example", ["x.example", "y.example", "z.example"]),
        ("a@xn--kche-0ra.example", ["xn--kche-0ra.example"]),
        ("a@küche.example", ["xn--kche-0ra.example"]),
        ("a@KÜCHE.example", ["xn--kche-0ra.example"]),
        ("büro@shop.example", ["shop.example"]),
        ("a..b.@shop.example", ["shop.example"]),
    ],
)
def test_mailboxes_give_their_domains(text: str, domains: list[str]) -> None:
    assert mailbox_domains(text) == domains


@pytest.mark.parametrize(
    "text",
    [
        "",
        "  ",
        "(only a comment)",
        "nobody",
        "a@",
        "@shop.example",
        "a@b@shop.example",
        "a@shop.example b@evil.example",
        "a@shop.example,",
        "a@shop.example,,b@shop.example",
        ",a@shop.example",
        "a@shop.example;b@evil.example",
        "Group: a@shop.example;",
        "undisclosed-recipients:;",
        "<@evil.example:a@shop.example>",
        "<a@shop.example",
        "a@shop.example>",
        "<a@evil.example> <a@shop.example>",
        "<a@evil.example> a@shop.example",
        "Shop <<a@shop.example>>",
        "<>",
        '"unterminated <a@shop.example>',
        '"a"b"@shop.example',
        "a(b@shop.example",
        "a@shop.example (b@evil.example)",
        "a@shop.example (<b>)",
        "a@shop.example(x\\)",
        "a@shop . example",
        "a@shop(x).example",
        "a@shop..example",
        "a@.shop.example",
        "a@shop.example.",
        "a@-shop.example",
        "a@shop_.example",
        'a@"shop.example"',
        "a@[192.0.2.1]",
        "a@shop\u3002example",
        "a@ｓhop.example",
        "a@straße.example",
        "a@\u00a0shop.example",
        "a@" + "ü" * 64 + ".example",
        "a@" + "x" * 64 + ".example",
        "a@" + "x." * 130 + "example",
        "Mail, Shop <a@shop.example>",
        "Shop [x] <a@shop.example>",
        "a\\@evil.example@shop.example",
    ],
)
def test_what_could_be_read_in_two_ways_is_refused(text: str) -> None:
    with pytest.raises(ValueError) as error:
        mailbox_domains(text)
    assert str(error.value).isascii()


def test_sender_counts_beside_all_authors() -> None:
    head = b"From: a@x.example, b@y.example\r\nSender: c@z.example\r\nTo: d@other.example\r\n\r\n"
    assert originator_domains(HeaderSection.parse(head)) == ("x.example", "y.example", "z.example")


@given(st.text() | st.text(alphabet='ab.@<>,"\\() \tü'))
def test_reading_is_total_and_gives_host_names(text: str) -> None:
    try:
        domains = mailbox_domains(text)
    except ValueError:
        return
    assert domains
    assert [a_labels(domain) for domain in domains] == domains


@pytest.mark.parametrize("part", ["a ", "a,", "(", "()", '"', '""', "\\", "<", "a@b.c,", "=?", '"\\', "@", "(\\"])
def test_hostile_values_take_no_time(part: str) -> None:
    begin = time.process_time()
    with pytest.raises(ValueError):
        mailbox_domains(part * (120_000 // len(part)))
    assert time.process_time() - begin < 1


def test_more_authors_than_anybody_has_are_refused_before_their_domains_are_looked_at() -> None:
    authors = [f"a@exämple{n}.org" for n in range(MAX_MAILBOXES + 1)]
    assert len(mailbox_domains(",".join(authors[:-1]))) == MAX_MAILBOXES
    with pytest.raises(ValueError, match="more than 100 addresses"):
        mailbox_domains(",".join(authors))
