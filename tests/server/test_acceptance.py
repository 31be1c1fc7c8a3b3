"""From a complete message to its reply: what is checked, edited, stored and handed over."""

from __future__ import annotations

import errno
import hashlib
import sqlite3
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from sqlalchemy.exc import OperationalError

from postmeter.message.envelope import Envelope, Recipient
from postmeter.message.header import HeaderLimits
from postmeter.server.acceptance import allowed_domain, reply_for, storage_trouble
from postmeter.server.spool import Spool
from postmeter.smtp.replies import DISK_FULL, LOCAL_ERROR, QUOTA_EXHAUSTED
from postmeter.smtp.reply import Refused, Reply
from postmeter.store.accept import Accepted
from postmeter.store.connections import AllowedDomain
from postmeter.store.picking import Load
from support.accepting import ENVELOPE, IDENTIFIER, NOW, Bench, FakeDelivery
from support.reception import ACCESS, HELP

BODY = b"\r\nHello\r\n.\r\n"
TWO = replace(ACCESS, domains=(AllowedDomain("shop.example", HELP), AllowedDomain("eu.shop.example", "<mailto:a@b.c>")))


def message(*fields: bytes, sender: bytes = b"From: orders@shop.example") -> bytes:
    """A small message."""
    return b"".join(field + b"\r\n" for field in (sender, *fields)) + BODY


def test_the_reply_names_the_id_that_is_stored_and_in_received(tmp_path: Path) -> None:
    bench = Bench(tmp_path)
    assert str(bench.reply(message())) == f"250 2.0.0 Ok: queued as {IDENTIFIER}"
    [submission] = bench.submissions
    assert (submission.id, submission.accepted_at, submission.account_id) == (IDENTIFIER, NOW, 3)
    assert bench.head[:3] == [
        b"Received: from [AUTH:7]",
        b" by mail.example.net with ESMTPSA",
        f" id {IDENTIFIER}; Fri, 15 Jan 2027 08:00:00 +0000".encode(),
    ]
    assert submission.size == len(bench.contents[0])


@pytest.mark.parametrize(
    "sender",
    [
        b"From: orders@shop.example",
        b"From: Orders <orders@SHOP.Example>",
        b"From: orders@mail.shop.example",
        b"From: a@shop.example, b@deep.below.shop.example",
        b"From: a@shop.example\r\nSender: b@mail.shop.example",
    ],
)
def test_a_verified_domain_and_what_is_below_it_may_send(tmp_path: Path, sender: bytes) -> None:
    bench = Bench(tmp_path)
    assert bench.reply(message(sender=sender)).code == 250
    assert bench.submissions[0].domain == "shop.example"


@pytest.mark.parametrize(
    ("sender", "named"),
    [
        (b"From: a@evilshop.example", "evilshop.example"),
        (b"From: a@example", "example"),
        (b"From: a@shop.example.evil.example", "shop.example.evil.example"),
        (b"From: a@shop.example, b@other.example", "other.example"),
        (b"From: a@shop.example\r\nSender: b@other.example", "other.example"),
        (b'From: "a@shop.example" <a@other.example>', "other.example"),
    ],
)
def test_every_other_domain_is_refused_by_its_name(tmp_path: Path, sender: bytes, named: str) -> None:
    bench = Bench(tmp_path)
    reply = bench.reply(message(sender=sender))
    assert (reply.code, reply.status) == (550, "5.7.1")
    assert f" {named} " in reply.text
    assert bench.submissions == []
    assert bench.delivery.reserved == []


@pytest.mark.parametrize(
    "content",
    [
        b"Subject: no author" + BODY,
        b"From: a@shop.example\r\nFrom: b@shop.example\r\n" + BODY,
        b" folded: first line\r\nFrom: a@shop.example\r\n" + BODY,
        b"From: a@shop.example\r\nno colon here\r\n" + BODY,
        b"From: a@shop.example\r\nSubject: \xff\r\n" + BODY,
        b"",
        BODY,
    ],
)
def test_what_is_no_message_is_refused(tmp_path: Path, content: bytes) -> None:
    bench = Bench(tmp_path)
    reply = bench.reply(content)
    assert (reply.code, reply.status) == (550, "5.6.0")
    assert bench.submissions == []


def test_of_two_domains_the_longest_decides() -> None:
    assert allowed_domain(TWO, "eu.shop.example").name == "eu.shop.example"
    assert allowed_domain(TWO, "x.eu.shop.example").list_help == "<mailto:a@b.c>"
    assert allowed_domain(TWO, "eeu.shop.example").name == "shop.example"


@given(st.from_regex(r"[a-z.]{0,12}", fullmatch=True))
def test_only_the_domain_and_names_below_it_are_allowed(prefix: str) -> None:
    try:
        allowed = bool(allowed_domain(ACCESS, f"{prefix}shop.example"))
    except Refused:
        allowed = False
    assert allowed == (prefix == "" or prefix.endswith("."))


def test_a_valid_list_help_is_kept_or_replaced_as_the_operator_says(tmp_path: Path) -> None:
    own = b"List-Help: <https://shop.example/own>"
    kept, replaced = Bench(tmp_path), Bench(tmp_path, keep_list_help=False)
    kept.reply(message(own))
    replaced.reply(message(own))
    assert [line for line in kept.head if line.startswith(b"List-Help")] == [own]
    assert [line for line in replaced.head if line.startswith(b"List-Help")] == [b"List-Help: " + HELP.encode()]


@pytest.mark.parametrize("own", [(), (b"List-Help: nonsense",), (b"List-Help: <https://a.b/>",) * 2])
def test_without_one_valid_list_help_the_domains_is_added(tmp_path: Path, own: tuple[bytes, ...]) -> None:
    bench = Bench(tmp_path)
    bench.reply(message(*own))
    assert [line for line in bench.head if line.startswith(b"List-Help")] == [b"List-Help: " + HELP.encode()]


def test_date_and_message_id_are_added_when_absent_only(tmp_path: Path) -> None:
    bench = Bench(tmp_path)
    bench.reply(message())
    assert f"Message-ID: <{IDENTIFIER}@mail.example.net>".encode() in bench.head
    assert b"Date: Fri, 15 Jan 2027 08:00:00 +0000" in bench.head
    assert bench.submissions[0].message_id == f"<{IDENTIFIER}@mail.example.net>"
    own = (b"Date: Mon, 1 Jan 2001 00:00:00 +0000", b"Message-ID: <own@shop.example>")
    bench.reply(message(*own))
    assert [line for line in bench.head if line.startswith((b"Date", b"Message-ID"))] == list(own)
    assert bench.submissions[1].message_id == "<own@shop.example>"


def test_bcc_and_our_own_fields_do_not_pass_and_the_rest_is_untouched(tmp_path: Path) -> None:
    bench = Bench(tmp_path)
    fields = (b"X-Odd:   value \t", b"bcc: hidden@example.org", b"Subject: a\r\n  b", b"X-Postmeter-Id: forged")
    bench.reply(message(*fields))
    [content] = bench.contents
    assert content.endswith(b"From: orders@shop.example\r\nX-Odd:   value \t\r\nSubject: a\r\n  b\r\n" + BODY)
    assert b"hidden" not in content
    assert b"forged" not in content
    assert bench.submissions[0].subject == "a  b"


@pytest.mark.parametrize("size", [128 * 1024 - 40, 128 * 1024, 2 << 20])
@pytest.mark.parametrize("end", [b"\r\n\r\nbody\r\n", b"\r\n"])
def test_a_header_section_has_at_most_128_kib(tmp_path: Path, size: int, end: bytes) -> None:
    bench = Bench(tmp_path)
    lines = b"\r\n".join([b"From: a@shop.example", *[b"X-Long: " + b"x" * 890] * (size // 900)])
    lines += b"\r\nX: " + b"y" * (size - len(lines) - 5)
    reply = bench.reply(lines + end)
    assert reply.code == (250 if size < 128 * 1024 else 550)
    if reply.permanent:
        assert reply.text == "The header section is larger than 131072 octets"


@pytest.mark.parametrize(
    ("limits", "reply"),
    [
        (HeaderLimits(), "250 2.0.0"),
        (HeaderLimits(size=99), "550 5.6.0 The header section is larger than 99 octets"),
        (HeaderLimits(fields=4), "550 5.6.0 The header section has more than 4 fields"),
        (HeaderLimits(received=1), "554 5.4.6 Routing loop detected"),
    ],
)
def test_the_limits_of_a_header_section_are_settings(tmp_path: Path, limits: HeaderLimits, reply: str) -> None:
    bench = Bench(tmp_path)
    acceptance, spool, replies = replace(bench._acceptance(), header_limits=limits), Spool(tmp_path), []
    spool.write(message(*[b"Received: from a by b"] * 2, *[b"X-Filler: " + b"x" * 20] * 2))
    acceptance.accept(ACCESS, ENVELOPE, spool).addCallback(replies.append)
    assert str(replies[0]).startswith(reply)


def test_a_message_without_body_is_a_message(tmp_path: Path) -> None:
    bench = Bench(tmp_path)
    assert bench.reply(b"From: a@shop.example\r\n").code == 250
    assert bench.contents[0].endswith(b"From: a@shop.example\r\n")
    assert bench.reply(b"From: a@shop.example\r\n\r\n").code == 250
    assert bench.contents[1].endswith(b"From: a@shop.example\r\n\r\n")


@pytest.mark.parametrize("octets", [100, 5_000_000])
def test_the_body_passes_octet_by_octet(tmp_path: Path, octets: int) -> None:
    bench = Bench(tmp_path)
    body = (hashlib.sha256(b"seed").digest().hex().encode() + b"\r\n") * (octets // 66 + 1)
    assert bench.reply(b"From: a@shop.example\r\n\r\n" + body).code == 250
    [content] = bench.contents
    assert content.partition(b"\r\n\r\n")[2] == body
    assert bench.submissions[0].size == len(content)


def test_what_is_committed_is_handed_over_with_its_blocks(tmp_path: Path) -> None:
    bench = Bench(tmp_path, outcome=lambda _: Accepted((4, None)))
    bench.reply(message())
    [(leased, content)] = bench.delivery.taken
    assert content == bench.contents[0]
    assert leased.message.envelope == replace(ENVELOPE, recipients=())
    assert (leased.message.id, leased.message.size, leased.message.domain) == (IDENTIFIER, len(content), "shop.example")
    assert [(r.n, r.path, r.attempts, r.block_id, r.charge) for r in leased.recipients] == [
        (0, ENVELOPE.recipients[0], 0, 4, "reserved"),
        (1, ENVELOPE.recipients[1], 0, None, "reserved"),
    ]
    assert bench.submissions[0].worker == bench.delivery.worker
    assert bench.delivery.reserved == [Load(ACCESS.account_id, "example.org", 2, len(content))]
    assert bench.delivery.given_up == []


def test_what_has_to_wait_for_its_slot_is_not_handed_over_and_gives_its_room_back(tmp_path: Path) -> None:
    bench = Bench(tmp_path, outcome=lambda _: Accepted((4, 4), (NOW + 3600,)))
    assert bench.reply(message()).code == 250
    [(leased, content)] = bench.delivery.taken
    assert [recipient.n for recipient in leased.recipients] == [0]
    assert content == bench.contents[0]
    assert bench.delivery.given_up == [Load(ACCESS.account_id, "example.org", 1, 0)]  # the content stays


def _full() -> sqlite3.OperationalError:
    error = sqlite3.OperationalError("database or disk is full")
    error.sqlite_errorcode = sqlite3.SQLITE_FULL
    return error


@pytest.mark.parametrize(
    ("trouble", "reply"),
    [
        (OperationalError("insert", {}, _full()), DISK_FULL),
        (OSError(errno.ENOSPC, "No space left on device"), DISK_FULL),
        (OSError(errno.EDQUOT, "Disk quota exceeded"), DISK_FULL),
        (OSError(errno.EIO, "Input/output error"), LOCAL_ERROR),
        (OperationalError("insert", {}, sqlite3.OperationalError("database is locked")), LOCAL_ERROR),
        (RuntimeError("a defect"), LOCAL_ERROR),
    ],
)
def test_trouble_with_the_store_is_temporary_and_gives_the_room_back(
    tmp_path: Path, trouble: Exception, reply: Reply
) -> None:
    def outcome(_submission: object) -> Any:
        raise trouble

    bench = Bench(tmp_path, outcome=outcome)
    assert bench.reply(message()) is reply
    assert bench.delivery.taken == []
    assert bench.delivery.given_up == bench.delivery.reserved


def test_the_stores_refusal_is_passed_on(tmp_path: Path) -> None:
    bench = Bench(tmp_path, outcome=lambda _: QUOTA_EXHAUSTED)
    assert bench.reply(message()) is QUOTA_EXHAUSTED
    assert bench.delivery.given_up == bench.delivery.reserved


def test_a_disk_that_fills_up_before_the_commit_is_452(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(_self: Spool, _limit: int) -> bytes:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(Spool, "head", full)
    assert Bench(tmp_path).reply(message()) is DISK_FULL


def test_the_client_has_its_250_even_when_the_hand_over_meets_a_defect(tmp_path: Path) -> None:
    class Broken(FakeDelivery):
        def take(self, *_: object) -> None:
            raise RuntimeError("a defect")

    bench = Bench(tmp_path, delivery=Broken())
    replies: list[Reply] = []
    acceptance = bench._acceptance()
    outcomes: list[Any] = []
    object.__setattr__(acceptance, "submit", lambda change, item, done: outcomes.append(done))
    spool = Spool(tmp_path)
    spool.write(message())
    acceptance.accept(ACCESS, ENVELOPE, spool).addCallback(replies.append)
    with pytest.raises(RuntimeError, match="a defect"):
        outcomes[0](Accepted((1, 1)))
    assert replies[0].code == 250


def test_utf8_needs_smtputf8(tmp_path: Path) -> None:
    content = "From: Bücher <a@shop.example>\r\n\r\n".encode()
    wide = Envelope("a@shop.example", (Recipient("joe@example.org"),), smtputf8=True)
    assert Bench(tmp_path).reply(content).status == "5.6.0"
    bench = Bench(tmp_path)
    assert bench.reply(content, envelope=wide).code == 250
    assert bench.head[1] == b" by mail.example.net with UTF8SMTPSA"


def test_an_error_becomes_its_reply_or_a_logged_451(caplog: pytest.LogCaptureFixture) -> None:
    assert reply_for(Refused(QUOTA_EXHAUSTED)) is QUOTA_EXHAUSTED
    assert caplog.text == ""
    assert reply_for(ValueError("odd")) is LOCAL_ERROR
    assert "odd" in caplog.text
    assert reply_for(OSError(errno.EROFS, "Read-only file system")) is LOCAL_ERROR
    assert "Read-only file system" in caplog.text
    assert storage_trouble(OSError(errno.ENOSPC, "")) is DISK_FULL


def test_a_message_may_say_how_it_is_handled(tmp_path: Path) -> None:
    bench = Bench(tmp_path)
    wishes = (b"X-Postmeter-Priority: urgent", b"X-Postmeter-Lifetime: 10m", b"X-Postmeter-TLS: required")
    assert bench.reply(message(*wishes)).code == 250
    [submission], [(leased, _)] = bench.submissions, bench.delivery.taken
    assert (submission.priority, submission.lifetime, submission.tls_required) == (0, 600, True)
    assert (leased.message.priority, leased.message.lifetime, leased.message.tls_required) == (0, 600, True)
    assert b"ostmeter" not in bench.contents[0].partition(b"\r\n\r\n")[0]
    assert str(bench.reply(message(b"X-Postmeter-Priority: at once"))).startswith("550 5.6.0 X-Postmeter-Priority: ")
