"""What twisted.mail.smtp does wrong (RELIABILITY.md, section 3, T1 to T7 and T10), the session does not.

Each test fails when its guard is taken out (``GUARDS``). The rest, T8 and T9, is in server/test_hazards.py.
"""

from __future__ import annotations

import tracemalloc
from pathlib import Path

import pytest

from postmeter.smtp import replies
from postmeter.smtp.address import parse_forward_path, parse_reverse_path
from postmeter.smtp.events import EndOfContent, Mail, Rcpt, StartTls
from postmeter.smtp.reply import Refused
from postmeter.smtp.session import Session
from support.dialogue import Driver
from support.mutant import Guard, fails_without
from support.submission import BODY, ENVELOPE, codes, logged_in, secure, until_end_of_content

SMUGGLED = b"MAIL FROM:<evil@shop.example>\r\nRCPT TO:<victim@example.org>\r\nDATA\r\nFrom: evil@shop.example\r\n"
WRONG = b"AUTH PLAIN AHNob3AAd3Jvbmc=\r\n"


def clear() -> Driver:
    """A session in clear text."""
    return Driver(Session("mail.example.net"))


def test_t1_what_is_sent_behind_starttls_is_never_executed() -> None:
    driver = clear()
    said = driver.send(b"EHLO client.example\r\nSTARTTLS\r\nEHLO evil.example\r\nMAIL FROM:<a@shop.example>\r\n")
    assert codes(said) == [250, 501]
    assert driver.session.closing


def test_t1_what_is_sent_before_the_handshake_is_never_executed() -> None:
    driver = clear()
    driver.send(b"EHLO client.example\r\nSTARTTLS\r\n")
    assert [type(event) for event in driver.events] == [StartTls]
    assert driver.send(b"EHLO evil.example\r\nMAIL FROM:<a@shop.example>\r\n") == b""
    assert driver.session.closing


def test_t2_nothing_said_in_clear_text_is_known_inside_tls() -> None:
    driver = clear()
    driver.send(b"EHLO before.example\r\nSTARTTLS\r\n")
    driver.session.tls_started()
    assert driver.session.helo == ""
    assert codes(driver.send(b"AUTH PLAIN AHNob3AAc2VjcmV0\r\n")) == [503]


def test_t3_the_rest_of_a_body_behind_a_long_line_is_body() -> None:
    driver = logged_in()
    driver.send(ENVELOPE + b"DATA\r\n")
    assert driver.send(b"x" * 16_385) == b""
    assert driver.send(b"\r\n" + SMUGGLED) == b""
    assert codes(driver.send(b".\r\nNOOP\r\n")) == [550, 250]
    assert [type(event) for event in driver.events] == [Mail, Rcpt, EndOfContent]


def test_t4_octets_without_a_line_end_are_not_kept_and_end_the_session() -> None:
    driver = clear()
    piece = b"x" * 4096
    tracemalloc.start()
    try:
        for _ in range(256):
            driver.send(piece)
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert driver.session.closing
    assert codes(driver.written) == [220, 500, 421]
    assert peak < 65_536


def test_t5_no_bare_cr_and_no_bare_lf_passes() -> None:
    ends = (b"\n", b"\r", b"\r\n")
    for sequence in {before + b"." + behind for before in ends for behind in ends} - {b"\r\n.\r\n"} | {b"\n", b"\r"}:
        driver = logged_in()
        driver.send(ENVELOPE + b"DATA\r\nFrom: orders@shop.example\r\n\r\nHello" + sequence + SMUGGLED)
        assert codes(driver.send(b"\r\n.\r\n")) == [550]
        assert [type(event) for event in driver.events] == [Mail, Rcpt, EndOfContent]


def test_t5_a_nul_beside_a_dot_does_not_pass() -> None:
    for sequence in (b"\r\n\0.\r\n", b"\r\n.\0\r\n"):
        driver = logged_in()
        driver.send(ENVELOPE + b"DATA\r\nFrom: orders@shop.example\r\n\r\nHello" + sequence + SMUGGLED)
        assert codes(driver.send(b"\r\n.\r\n")) == [550]
        assert driver.content == b""


def test_t6_a_newline_in_a_recipient_ends_the_session() -> None:
    driver = logged_in()
    said = driver.send(b'MAIL FROM:<>\r\nRCPT TO:<"a\nb"@example.org>\r\nRCPT TO:<victim@example.org>\r\n')
    assert codes(said) == [250, 500]
    assert driver.session.closing
    assert [type(event) for event in driver.events] == [Mail]


def test_t6_no_control_character_is_part_of_an_address() -> None:
    for octet in (*range(32), 127):
        for path in (f'<"a{chr(octet)}b"@example.org>', f"<a{chr(octet)}b@example.org>", f"<a@b{chr(octet)}.example>"):
            assert _is_refused(path), path
        driver = logged_in()
        driver.send(b'MAIL FROM:<>\r\nRCPT TO:<"a%cb"@example.org>\r\n' % octet)
        assert [type(event) for event in driver.events] == [Mail]


def _is_refused(path: str) -> bool:
    for parse in (parse_forward_path, parse_reverse_path):
        try:
            parse(path)
        except Refused:
            continue
        return False
    return True


def test_t7_a_command_behind_the_final_dot_waits_for_the_answer() -> None:
    driver = logged_in()
    until_end_of_content(driver, b"RSET\r\nQUIT\r\n")
    assert driver.session.poll() is None
    assert driver.session.outgoing() == b""
    driver.session.answer(replies.DISK_FULL)
    assert driver.session.poll() is None
    assert codes(driver.flush()) == [452, 250, 221]


def test_t10_nobody_logs_in_without_tls() -> None:
    driver = clear()
    assert b"AUTH" not in driver.send(b"EHLO client.example\r\n")
    assert codes(driver.send(b"AUTH PLAIN AHNob3AAc2VjcmV0\r\nAUTH LOGIN\r\n")) == [538, 538]
    assert driver.events == []


def test_t10_a_login_without_method_is_refused_as_such() -> None:
    assert codes(secure().send(b"EHLO a\r\nAUTH\r\nNOOP\r\n")) == [250, 501, 250]


def test_t10_harmless_commands_are_answered() -> None:
    said = clear().send(b"NOOP\r\nRSET\r\nNOOP a\r\nXYZ\r\nNOOP\r\n")
    assert codes(said) == [250, 250, 250, 530, 250]
    assert codes(secure().send(b"NOOP\r\nVRFY a\r\nHELP\r\nEXPN a\r\nXYZ\r\n")) == [250, 252, 214, 502, 500]


def test_t10_the_parameters_of_mail_are_read() -> None:
    driver = logged_in()
    said = driver.send(b"MAIL FROM:<> SIZE=31457281\r\nMAIL FROM:<> SIZE=x\r\nMAIL FROM:<> X=1\r\n")
    assert codes(said) == [552, 501, 555]
    driver.send(b"MAIL FROM:<> BODY=8BITMIME RET=HDRS ENVID=a SMTPUTF8\r\nRCPT TO:<a@example.org>\r\nDATA\r\n" + BODY)
    end = driver.events[-1]
    assert isinstance(end, EndOfContent)
    envelope = end.envelope
    assert (envelope.body, envelope.ret, envelope.envid, envelope.smtputf8) == ("8BITMIME", "HDRS", "a", True)


def test_t10_nobody_sends_without_a_greeting_or_a_login() -> None:
    driver = secure()
    assert codes(driver.send(ENVELOPE + b"EHLO client.example\r\n" + ENVELOPE)) == [503, 503, 250, 530, 530]
    assert driver.events == []


def test_t10_the_fifth_wrong_password_is_the_last() -> None:
    driver = secure()
    said = driver.send(b"EHLO client.example\r\n" + WRONG * 9)
    assert codes(said) == [250, 535, 535, 535, 535, 421]
    assert driver.session.closing


def test_t10_errors_and_recipients_have_an_end() -> None:
    assert codes(secure().send(b"XYZ\r\n" * 99)) == [500] * 19 + [421]
    driver = logged_in()
    driver.send(b"MAIL FROM:<>\r\n" + b"RCPT TO:<a@example.org>\r\n" * 100)
    assert codes(driver.send(b"RCPT TO:<a@example.org>\r\nDATA\r\n")) == [452, 354]


GUARDS = (
    Guard(
        "T1 in one segment", test_t1_what_is_sent_behind_starttls_is_never_executed, "smtp/session.py",
        "        if self._lines.buffer:\n",
        "        if False:\n",
    ),
    Guard(
        "T1 before the handshake", test_t1_what_is_sent_before_the_handshake_is_never_executed, "smtp/session.py",
        "        if self._state is State.HANDSHAKE:\n",
        "        if False:\n",
    ),
    Guard(
        "T2 greeting", test_t2_nothing_said_in_clear_text_is_known_inside_tls, "smtp/session.py",
        "        self._idle = State.SECURE\n",
        "        self._idle = State.GREETED\n",
    ),
    Guard(
        "T2 name", test_t2_nothing_said_in_clear_text_is_known_inside_tls, "smtp/session.py",
        '        self.helo = ""\n',
        "",
    ),
    Guard(
        "T3 end of the content", test_t3_the_rest_of_a_body_behind_a_long_line_is_body, "smtp/session.py",
        '                if block != b"":\n',
        '                if block != b"" and self._reader.flaw is None:\n',
    ),
    Guard(
        "T3 long line", test_t3_the_rest_of_a_body_behind_a_long_line_is_body, "smtp/collector.py",
        "            if self._flaw == _FLAWLESS and not self._accept_long_lines:",
        "            if False:",
    ),
    Guard(
        "T4 end of the session", test_t4_octets_without_a_line_end_are_not_kept_and_end_the_session, "smtp/lines.py",
        "        if self._swallowed > MAX_SWALLOWED:\n",
        "        if False:\n",
    ),
    Guard(
        "T4 longest line", test_t4_octets_without_a_line_end_are_not_kept_and_end_the_session, "smtp/lines.py",
        "        if length > self._longest_command and length > self._longest(login):\n",
        "        if False:\n",
    ),
    Guard(
        "T5 end of the content", test_t5_no_bare_cr_and_no_bare_lf_passes, "smtp/content.py",
        "        end = data.find(_END)\n",
        '        end = data.replace(b"\\r\\n.\\n", _END).find(_END)\n',
    ),
    Guard(
        "T5 bare LF", test_t5_no_bare_cr_and_no_bare_lf_passes, "smtp/collector.py",
        '        if piece.count(b"\\n") != ends:\n',
        "        if False:\n",
    ),
    Guard(
        "T5 bare CR", test_t5_no_bare_cr_and_no_bare_lf_passes, "smtp/collector.py",
        '        elif piece.count(b"\\r") != ends:\n',
        "        elif False:\n",
    ),
    Guard(
        "T5 NUL", test_t5_a_nul_beside_a_dot_does_not_pass, "smtp/collector.py",
        '        elif b"\\0" in piece:\n',
        "        elif False:\n",
    ),
    Guard(
        "T6 newline", test_t6_a_newline_in_a_recipient_ends_the_session, "smtp/lines.py",
        "        if end < 1 or buffer[end - 1] != 13:\n",
        "        if end < 1:\n",
    ),
    Guard(
        "T6 grammar", test_t6_no_control_character_is_part_of_an_address, "smtp/address.py",
        r"[ !#-\[\]-~{_UTF8}]",
        r'[^"\\]',
    ),
    Guard(
        "T7 open event", test_t7_a_command_behind_the_final_dot_waits_for_the_answer, "smtp/session.py",
        "        while self._open is None and not self.closing:\n",
        "        while not self.closing:\n",
    ),
    Guard(
        "T10 login in clear text", test_t10_nobody_logs_in_without_tls, "smtp/commands.py",
        '    State.CLEAR_GREETED: _CLEAR | {"STARTTLS"},\n',
        '    State.CLEAR_GREETED: _CLEAR | {"STARTTLS", "AUTH"},\n',
    ),
    Guard(
        "T10 offer in clear text", test_t10_nobody_logs_in_without_tls, "smtp/replies.py",
        '    own = "AUTH PLAIN LOGIN" if tls else "STARTTLS"\n',
        '    own = "AUTH PLAIN LOGIN"\n',
    ),
    Guard(
        "T10 login without method", test_t10_a_login_without_method_is_refused_as_such, "smtp/session.py",
        "        if not mechanism:\n            raise Refused(replies.BAD_ARGUMENT)\n",
        "",
    ),
    Guard(
        "T10 harmless commands", test_t10_harmless_commands_are_answered, "smtp/commands.py",
        '_CLEAR = frozenset({"EHLO", "HELO", "NOOP", "RSET", "QUIT"})\n',
        '_CLEAR = frozenset({"EHLO", "HELO", "RSET", "QUIT"})\n',
    ),
    Guard(
        "T10 size", test_t10_the_parameters_of_mail_are_read, "smtp/parameters.py",
        "    if size > max_message_size:\n",
        "    if False:\n",
    ),
    Guard(
        "T10 greeting", test_t10_nobody_sends_without_a_greeting_or_a_login, "smtp/commands.py",
        "    State.SECURE: _SECURE,\n",
        '    State.SECURE: _SECURE | {"MAIL"},\n',
    ),
    Guard(
        "T10 login", test_t10_nobody_sends_without_a_greeting_or_a_login, "smtp/commands.py",
        '    State.GREETED: _SECURE | {"AUTH"},\n',
        '    State.GREETED: _SECURE | {"AUTH", "MAIL"},\n',
    ),
    Guard(
        "T10 wrong passwords", test_t10_the_fifth_wrong_password_is_the_last, "smtp/patience.py",
        "limits.max_login_failures - 1",
        "1000",
    ),
    Guard(
        "T10 errors", test_t10_errors_and_recipients_have_an_end, "smtp/patience.py",
        "limits.max_errors - 1",
        "1000",
    ),
    Guard(
        "T10 recipients", test_t10_errors_and_recipients_have_an_end, "smtp/incoming.py",
        "        if len(self.recipients) >= self._limits.max_recipients:\n",
        "        if False:\n",
    ),
)  # fmt: skip


@pytest.mark.parametrize("guard", GUARDS, ids=lambda guard: guard.hazard)
def test_the_guard_is_what_holds(guard: Guard, tmp_path: Path) -> None:
    assert fails_without(guard, tmp_path)
