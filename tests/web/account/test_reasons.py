"""Why a mail did not arrive, for people who do not read SMTP."""

from __future__ import annotations

import time

import pytest
from flask import Flask

from postmeter.delivery import outcome, route
from postmeter_web.account import reasons
from postmeter_web.account.reasons import EXPIRED, MOST, QUOTED, Reason, why

REFUSED = [  # what real servers say (RFC 5321 codes, RFC 3463 and 7372 status codes, and words)
    ("550 5.1.1 The email account that you tried to reach does not exist. Please try double-checking", "NO_MAILBOX"),
    ("550 5.5.0 Requested action not taken: mailbox unavailable (S2017062302).", "NO_MAILBOX"),
    ("550 5.4.1 Recipient address rejected: Access denied. [AM6EUR05FT047.eop-eur05.example]", "NO_MAILBOX"),
    ("550 5.1.1 <joe@example.org>: Recipient address rejected: User unknown in local recipient table", "NO_MAILBOX"),
    ("554 delivery error: dd This user doesn't have a yahoo.com account (joe@yahoo.com)", "NO_MAILBOX"),
    ("550 Unrouteable address", "NO_MAILBOX"),
    ("550 5.1.0 No", "NO_MAILBOX"),
    ("553 5.1.3 The recipient address <joe> is not a valid RFC 5321 address", "BAD_ADDRESS"),
    ("551 5.1.6 User has moved", "MOVED"),
    ("554 5.7.1 The account joe@example.org has been disabled", "DISABLED"),
    ("550 5.2.1 Not now", "DISABLED"),
    ("452 4.2.2 The recipient's inbox is out of storage space", "FULL"),
    ("552 5.2.2 <joe@example.org>: user is over quota", "FULL"),
    ("552 5.3.4 Message size exceeds fixed limit", "TOO_LARGE"),
    ("552 Message too big", "TOO_LARGE"),
    ("550 5.7.1 Unfortunately, messages from [192.0.2.1] weren't sent: on our block list (S3140).", "BLOCK_LIST"),
    ("554 5.7.1 Service unavailable; Client host [192.0.2.1] blocked using zen.spamhaus.org", "BLOCK_LIST"),
    ("550 5.7.26 Unauthenticated email from shop.example is not accepted due to domain's DMARC", "AUTHENTICATION"),
    ("550 5.7.23 The message was rejected", "AUTHENTICATION"),
    ("550 5.7.1 Gmail has detected that this message is likely unsolicited mail", "SPAM"),
    ("554 5.7.1 Message rejected as spam", "SPAM"),
    ("550 5.7.1 Very low reputation of the sending IP", "REPUTATION"),
    ("554 No SMTP service; Bad DNS PTR resource record", "REVERSE_DNS"),
    ("554 5.7.0 Message contains malware", "VIRUS"),
    ("554 5.7.1 <joe@example.org>: Relay access denied", "NOT_OURS"),
    ("550 5.7.1 Not wanted here", "POLICY"),
    ("450 4.2.0 <joe@example.org>: Recipient address rejected: Greylisted, see http://postgrey.example", "GREYLISTED"),
    ("421 4.7.0 [TSS04] Messages from 192.0.2.1 temporarily deferred due to unexpected volume", "TOO_MANY"),
    ("421 4.7.28 Our system has detected an unusual rate of mail", "TOO_MANY"),
    ("452 4.3.1 Insufficient system resources", "SERVER_TROUBLE"),
    ("554 5.4.6 Too many hops", "LOOP"),
    ("550 5.1.8 Sender address rejected: Domain not found", "SENDER"),
    ("451 4.7.5 TLS handshake failed: certificate has expired", "ENCRYPTION"),
    ("554 5.6.0 Malformed", "CONTENT"),
    ("550 5.6.7 The server does not take internationalised mail (SMTPUTF8)", "UNICODE"),
    ("501 5.5.4 Bad parameter", "PROTOCOL"),
    ("451 4.4.1 No connection: User timeout caused connection failure.", "NO_ANSWER"),
    ("451 4.4.2 Connection lost", "BROKEN_OFF"),
    (str(route.NULL_MX), "NULL_MX"),
    (str(route.NO_DOMAIN), "NO_DOMAIN"),
    (str(route.NO_DOMAIN_YET), "NO_DOMAIN"),
    (str(route.DNS_FAILURE), "NO_SERVER"),
    (str(route.NO_ADDRESS), "NO_SERVER"),
    ("451 4.3.0 Something went wrong in this relay before the mail was sent", "OWN_TROUBLE"),
    ("451 4.3.2 This relay has sent Google enough from its addresses today; the rest waits a little", "PACED"),
]


@pytest.mark.parametrize(("reply", "name"), REFUSED)
def test_a_reply_is_told_in_a_sentence_with_what_to_do(app: Flask, reply: str, name: str) -> None:
    reason: Reason = getattr(reasons, name)
    with app.test_request_context():
        assert why(reply, "rcpt", "bounced") == f"{reason.what} {reason.do}"


def test_what_waits_is_tried_again_by_itself(app: Flask) -> None:
    with app.test_request_context():
        assert why("452 4.2.2 Full", "rcpt", "deferred").endswith(f"full. {reasons.AGAIN}")
        assert why("", "", "queued") == reasons.NOT_YET


def test_who_is_given_up_is_told_the_last_answer(app: Flask) -> None:
    assert outcome.EXPIRED_REPLY == EXPIRED
    with app.test_request_context():
        told = why(f"{EXPIRED}451 4.4.1 No connection", "connect", "expired")
    assert told == f"{reasons.GIVEN_UP} {reasons.NO_ANSWER.what} {reasons.NO_ANSWER.do}"


@pytest.mark.parametrize("state", list(reasons.STATES))
def test_other_states_need_no_reply(app: Flask, state: str) -> None:
    with app.test_request_context():
        assert why("250 2.0.0 Ok", "content", state) == reasons.STATES[state]


@pytest.mark.parametrize(
    ("stage", "reason"), [("connect", reasons.NO_ANSWER), ("banner", reasons.REPUTATION), ("sign", reasons.UNSIGNED)]
)
def test_where_it_ended_tells_when_nothing_else_does(app: Flask, stage: str, reason: Reason) -> None:
    with app.test_request_context():
        assert why("554 Go away", stage, "bounced").startswith(reason.what)


def test_an_unknown_answer_is_quoted_without_its_codes(app: Flask) -> None:
    with app.test_request_context():
        assert why("550 Nein\r\n danke\x07", "rcpt", "bounced") == "The server refused it: “Nein danke”"
        assert why("450 Nein", "rcpt", "deferred") == "The server has not taken it yet: “Nein”"
        assert why("550", "rcpt", "bounced") == reasons.NO_WORDS
        assert why("100 % <b>", "", "bounced") == "The server refused it: “100 % <b>”"
        assert len(why("550 " + "x" * 5000, "rcpt", "bounced")) < QUOTED + 40


def test_it_is_told_in_german(app: Flask) -> None:
    with app.test_request_context(headers={"Accept-Language": "de"}):
        assert why("550 5.1.1 User unknown", "rcpt", "bounced").startswith("Dieses Postfach gibt es nicht.")


@pytest.mark.parametrize(
    "piece", ["mailbox ", "a", "user", "exceeds the ", "sender ", " ", "account is ", "550 5.1.1 "]
)
def test_no_answer_takes_long_to_read(app: Flask, piece: str) -> None:
    reply = piece * (100 * MOST // len(piece))
    with app.test_request_context():
        begun = time.thread_time()
        why(reply, "rcpt", "bounced")
        assert time.thread_time() - begun < 0.1
