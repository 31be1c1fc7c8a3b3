"""The submission session: addresses come out as they came in, and nothing else does."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from postmeter.message.envelope import Envelope
from postmeter.smtp.events import EndOfContent, Mail, Rcpt
from postmeter.smtp.limits import Limits
from postmeter.smtp.mail import envelope_commands
from support.dialogue import Driver
from support.submission import BODY, codes, logged_in

ADDRESSES = [
    "customer@example.org",
    "Customer.Name+tag@EXAMPLE.Org",
    "!#$%&'*+/=?^_`{|}~-@example.org",
    '"a b"@example.org',
    '" "@example.org',
    '"a@b> NOTIFY=NEVER"@example.org',
    r'"a\"\\\ b"@example.org',
    "büro@exämple.org",
    "bu\u0308ro@exa\u0308mple.org",  # not composed, and it stays so
    "用户@例子.广告",
    "a@xn--exmple-cua.org",
    "💌@example.org",
]
local_parts = st.one_of(
    st.text(alphabet=st.sampled_from("aZ09!#$%&'*+/=?^_`{|}~-.äλ\u0308用💌"), min_size=1, max_size=20),
    st.text(alphabet=st.sampled_from(' aZ"\\@<>,;:.[]()äλ'), max_size=20).map(
        lambda text: '"' + text.replace("\\", "\\\\").replace('"', '\\"') + '"'
    ),
)


def sent_on(driver: Driver) -> list[bytes]:
    """The RCPT commands that the next server would get."""
    end = driver.events[-1]
    assert isinstance(end, EndOfContent)
    return envelope_commands(end.envelope, end.size, {})[1:-1]


@pytest.mark.parametrize("address", ADDRESSES)
def test_a_recipient_is_sent_on_byte_for_byte(address: str) -> None:
    driver, line = logged_in(), f"RCPT TO:<{address}>\r\n".encode()
    driver.send(b"MAIL FROM:<orders@shop.example> SMTPUTF8\r\n" + line + b"DATA\r\n" + BODY)
    assert sent_on(driver) == [line]


@given(st.lists(local_parts, min_size=1, max_size=5))
@settings(max_examples=200)
def test_whatever_is_accepted_is_sent_on_byte_for_byte(local_parts: list[str]) -> None:
    driver = logged_in()
    driver.send(b"MAIL FROM:<> SMTPUTF8\r\nRCPT TO:<customer@example.org>\r\n")
    lines = [f"RCPT TO:<{local}@example.org>\r\n".encode() for local in local_parts]
    accepted = [line for line in lines if codes(driver.send(line)) == [250]]
    driver.send(b"DATA\r\n" + BODY)
    assert sent_on(driver)[1:] == accepted


@given(st.binary(max_size=60))
@settings(max_examples=200)
def test_no_octet_of_an_address_becomes_another(octets: bytes) -> None:
    driver, line = logged_in(Limits(max_errors=1000)), b"RCPT TO:<" + octets + b">\r\n"
    driver.send(b"MAIL FROM:<> SMTPUTF8\r\n" + line)
    for event in driver.events:
        if isinstance(event, Rcpt):
            path = event.recipient.forward_path.encode()
            assert line.endswith(path + b">\r\n")


@pytest.mark.parametrize("command", ["MAIL FROM", "RCPT TO"])
@pytest.mark.parametrize("address", ["büro@shop.example", "office@exämple.org"])
def test_letters_beyond_ascii_need_smtputf8(command: str, address: str) -> None:
    driver = logged_in()
    before = b"" if command == "MAIL FROM" else b"MAIL FROM:<>\r\n"
    assert codes(driver.send(before + f"{command}:<{address}>\r\n".encode()))[-1] == 553
    driver.send(b"RSET\r\n")
    utf8 = b"" if command == "MAIL FROM" else b"MAIL FROM:<> SMTPUTF8\r\n"
    wish = " SMTPUTF8" if command == "MAIL FROM" else ""
    assert codes(driver.send(utf8 + f"{command}:<{address}>{wish}\r\n".encode()))[-1] == 250


@pytest.mark.parametrize(
    "octets", [b"b\xfcro", b"b\xc3ro", b"a\xc0\x80b", b"a\xed\xa0\x80b", b"a\xc2\x85b", b"a\xe2\x80\xa8b"]
)
def test_octets_that_are_no_text_are_no_address(octets: bytes) -> None:
    driver = logged_in()
    said = driver.send(b"MAIL FROM:<> SMTPUTF8\r\nRCPT TO:<" + octets + b"@example.org>\r\n")
    assert said.splitlines()[1].startswith(b"501 5.1.3")


@pytest.mark.parametrize(
    ("path", "reverse_path"),
    [
        (b"<>", ""),
        (b"<orders@[IPv6:2001:db8::1]>", "orders@[IPv6:2001:db8::1]"),
        (b"<orders@[192.0.2.1]>", "orders@[192.0.2.1]"),
        (b"<www-data@localhost>", "www-data@localhost"),
        (b'<"my shop"@shop.example>', '"my shop"@shop.example'),
        (b"<@relay.example:orders@shop.example>", "orders@shop.example"),
        (b" <orders@shop.example> ", "orders@shop.example"),
    ],
)
def test_a_sender_may_be_odd(path: bytes, reverse_path: str) -> None:
    driver = logged_in()
    assert codes(driver.send(b"mail from:" + path + b"\r\n")) == [250]
    [mail] = driver.events
    assert isinstance(mail, Mail)
    assert mail.reverse_path == reverse_path


def test_verification_takes_letters_beyond_ascii_and_tells_nothing() -> None:
    driver = logged_in()
    said = driver.send("VRFY büro SMTPUTF8\r\nEXPN büro\r\nVRFY a\r\n".encode())
    assert codes(said) == [252, 502, 252]


def test_envelope_has_what_was_said() -> None:
    driver = logged_in()
    driver.send("MAIL FROM:<büro@shop.example> SMTPUTF8\r\nRCPT TO:<Postmaster@example.org>\r\n".encode())
    driver.send(b"BDAT 0 LAST\r\n")
    end = driver.events[-1]
    assert isinstance(end, EndOfContent)
    assert end.envelope == Envelope("büro@shop.example", end.envelope.recipients, smtputf8=True)
    assert [to.forward_path for to in end.envelope.recipients] == ["Postmaster@example.org"]
