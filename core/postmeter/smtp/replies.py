"""What the submission server says: every reply as a named constant (RFC 5321, 4.2.2; RFC 3463; RFC 4954; RFC 3207).

The sentences are for the people who read them in their shop's log, so they say what to do. A reply that depends
on a value is a function.
"""

from __future__ import annotations

import re
from functools import lru_cache

from postmeter.smtp.limits import Limits
from postmeter.smtp.reply import Reply

# The dialogue
OK = Reply(250, "2.0.0", "Ok")
SENDER_OK = Reply(250, "2.1.0", "Sender ok")
RECIPIENT_OK = Reply(250, "2.1.5", "Recipient ok")
START_CONTENT = Reply(354, "", "End the message with a line that holds a single dot")
READY_FOR_TLS = Reply(220, "2.0.0", "Ready to start TLS")
CLOSING = Reply(221, "2.0.0", "Bye")
HELP = Reply(
    214, "2.0.0", "Commands: EHLO STARTTLS AUTH MAIL RCPT DATA BDAT RSET NOOP QUIT; how to set up is shown in the panel"
)
CANNOT_VERIFY = Reply(252, "2.1.5", "Addresses are not verified here; send the message and see")
NO_LISTS = Reply(502, "5.5.1", "There are no mailing lists here")

# Order and syntax of commands
UNKNOWN_COMMAND = Reply(500, "5.5.2", "Command not recognized")
BAD_CHARACTER = Reply(500, "5.5.2", "The command contains a character that is not allowed there")
BARE_LF_COMMAND = Reply(500, "5.5.2", "Command lines must end in CR LF, not in a bare LF")
COMMAND_TOO_LONG = Reply(500, "5.5.2", "Command line too long")
NOT_HTTP = Reply(500, "5.5.2", "This is a mail server, not a web server")
NOT_TLS_YET = Reply(
    500, "5.5.2", "Sessions begin in clear text here: set the encryption to STARTTLS, or take the port for SSL/TLS"
)
BAD_ARGUMENT = Reply(501, "5.5.4", "The command has a missing or a wrong argument")
NAME_YOURSELF = Reply(501, "5.5.4", "Say who you are: EHLO and a host name")
EHLO_FIRST = Reply(503, "5.5.1", "Send EHLO first")
MAIL_FIRST = Reply(503, "5.5.1", "Send MAIL first")
RCPT_FIRST = Reply(503, "5.5.1", "Send RCPT first")
NESTED_MAIL = Reply(503, "5.5.1", "A message was already begun; send RSET to drop it")
CHUNKS_BEGUN = Reply(503, "5.5.1", "The content was begun with BDAT; go on with BDAT, or send RSET to drop it")
BAD_CHUNK = Reply(501, "5.5.4", "Not understood: BDAT needs a number of octets and at most the word LAST")
NO_VALID_RECIPIENTS = Reply(554, "5.5.1", "No valid recipients")
BAD_PARAMETER = Reply(501, "5.5.4", "A parameter has a wrong value or comes twice")
UNKNOWN_PARAMETER = Reply(555, "5.5.4", "A parameter is not known here")

# TLS (RFC 3207, 4)
TLS_REQUIRED = Reply(530, "5.7.0", "Must issue a STARTTLS command first")
TLS_ACTIVE = Reply(503, "5.5.1", "The session is already encrypted")
BEHIND_STARTTLS = Reply(501, "5.5.1", "Nothing may be sent behind STARTTLS before TLS has started")

# Login (RFC 4954, 4 and 6)
AUTHENTICATED = Reply(235, "2.7.0", "Authentication successful")
ASK_PLAIN = Reply(334, "", "")
ASK_USER_NAME = Reply(334, "", "VXNlcm5hbWU6")
ASK_PASSWORD = Reply(334, "", "UGFzc3dvcmQ6")
ENCRYPTION_REQUIRED = Reply(538, "5.7.11", "Encryption required for requested authentication mechanism")
AUTHENTICATION_REQUIRED = Reply(530, "5.7.0", "Authentication required")
AUTHENTICATION_FAILED = Reply(
    535, "5.7.8", "User name or password is wrong; compare them with the access data in the panel"
)
AUTHORIZATION_REFUSED = Reply(
    535, "5.7.8", "Nobody logs in for somebody else here; leave the authorization identity empty, or put the user name"
)
AUTHENTICATION_UNAVAILABLE = Reply(454, "4.7.0", "Logins cannot be checked at the moment; try again later")
AUTHENTICATION_MALFORMED = Reply(501, "5.5.2", "The login data cannot be decoded")
AUTHENTICATION_CANCELLED = Reply(501, "5.7.0", "Login cancelled")
AUTHENTICATION_TOO_LONG = Reply(500, "5.5.6", "Login line too long")
UNKNOWN_MECHANISM = Reply(504, "5.5.4", "This login method is not offered; use PLAIN or LOGIN")
ALREADY_AUTHENTICATED = Reply(503, "5.5.1", "Already logged in")
ACCESS_CHANGED = Reply(421, "4.7.0", "The access data were changed after this login; log in again with the new ones")
LOGIN_LOCKED = Reply(
    454, "4.7.0", "Too many failed logins with this user name or from your network; check the data and try again later"
)
TOO_MANY_LOGINS = Reply(421, "4.7.0", "Too many failed logins; check user name and password before you try again")

# Reports (port 25)
NO_LOGIN = Reply(502, "5.5.1", "Nobody logs in here; hand messages over at the submission ports")
RELAY_DENIED = Reply(550, "5.7.1", "Relay denied; reports about mail of this server are all that is taken here")
NO_RETURN_PATH = Reply(550, "5.1.1", "There is no such return path here, or its time is over")
NO_REPORT = Reply(550, "5.6.0", "This is no report about a delivery, and nobody reads mail to this address")
TOO_EARLY = Reply(451, "4.3.0", "What became of this mail is not recorded here yet; report it again in some minutes")
REPORT_HEARD = Reply(250, "2.0.0", "Thank you for the report")
PASSED_ON = Reply(250, "2.0.0", "Thank you; it is passed on")
ENOUGH_MAIL = Reply(450, "4.7.1", "Too much mail to this address; try again in an hour")

# Addresses (RFC 3463, 3.2; RFC 6531, 3.5)
BAD_SENDER = Reply(
    501, "5.1.7", "The sender address is not valid; it must look like <name@your-domain.example>, without anything else"
)
BAD_RECIPIENT = Reply(
    501, "5.1.3", "The recipient address is not valid; look for a missing @, a space, a comma or two dots in a row"
)
NO_SUCH_DOMAIN = Reply(
    550, "5.1.2", "The domain of the recipient address cannot exist; look behind the @ for a typing error or no ending"
)
UTF8_MISSING = Reply(553, "5.6.7", "Addresses with letters beyond ASCII need the parameter SMTPUTF8")
NULL_MX = Reply(556, "5.1.10", "The domain of the recipient address takes no mail; look for a typing error in it")
RECIPIENT_UNCHECKED = Reply(451, "4.3.0", "The recipient address cannot be checked at the moment; try again later")
TOO_MANY_RECIPIENTS = Reply(452, "4.5.3", "Too many recipients; send the message again to the others")

# Content
BARE_LF = Reply(550, "5.5.2", "bare <LF> received; lines of a message must end in CR LF")
BARE_CR = Reply(550, "5.5.2", "bare <CR> received; lines of a message must end in CR LF")
NUL_IN_CONTENT = Reply(550, "5.6.0", "The message contains a NUL character")
LINE_TOO_LONG = Reply(
    550, "5.6.0", "The message has a line of more than 998 characters; encode it (base64 or quoted-printable)"
)
ROUTING_LOOP = Reply(554, "5.4.6", "Routing loop detected")

# Limits and trouble
LOCAL_ERROR = Reply(451, "4.3.0", "Something went wrong here; the message was not accepted, try again later")
DISK_FULL = Reply(452, "4.3.1", "Mail system full; try again later")
OVERLOADED = Reply(421, "4.3.2", "Too busy; try again later")
SHUTTING_DOWN = Reply(421, "4.3.2", "Service shutting down; try again in a moment")
TIMED_OUT = Reply(421, "4.4.2", "Nothing was received for too long")
TOO_MANY_NEW_SESSIONS = Reply(421, "4.7.0", "Too many new sessions from your address, none of which has logged in")
TOO_MANY_FROM_ADDRESS = Reply(421, "4.7.0", "Too many sessions from your address at once; try again later")
MADE_ROOM = Reply(421, "4.7.0", "You have not logged in, and other sessions of your address wait")
TOO_MANY_SESSIONS = Reply(421, "4.7.0", "Too many sessions at once; try again later")
TOO_MANY_ERRORS = Reply(421, "4.7.0", "Too many errors")
TOO_MANY_JUNK_COMMANDS = Reply(421, "4.7.0", "Too many commands without a message; connect again to send one")
TOO_MANY_MESSAGES = Reply(421, "4.7.0", "Enough messages for one session; connect again to send more")
TOO_MANY_REFUSED = Reply(421, "4.7.0", "Too many refused addresses or messages; correct them before you connect again")
QUOTA_EXHAUSTED = Reply(450, "4.7.1", "Quota exhausted; book a block in the panel, then the message can be sent again")

_OFFERS = ("8BITMIME", "PIPELINING", "CHUNKING", "ENHANCEDSTATUSCODES", "DSN", "SMTPUTF8")
_replace_odd = re.compile(r"[^ -~]").sub


def greeting(hostname: str) -> Reply:
    """The first line of a session (RFC 5321, 4.3.1)."""
    return Reply(220, "", f"{hostname} ESMTP")


@lru_cache(maxsize=16)
def ehlo(hostname: str, limits: Limits, tls: bool) -> Reply:
    """The answer to EHLO: STARTTLS is offered in clear text only, AUTH inside TLS only (RFC 3207, 4.2; RFC 4954, 4)."""
    own = "AUTH PLAIN LOGIN" if tls else "STARTTLS"
    most = f"LIMITS MAILMAX={limits.max_messages} RCPTMAX={limits.max_recipients}"  # RFC 9422, 3
    return Reply(250, "", "\n".join([hostname, f"SIZE {limits.max_message_size}", *_OFFERS, most, own]))


@lru_cache(maxsize=16)
def ehlo_to_reporters(hostname: str, limits: Limits, tls: bool) -> Reply:
    """The same on port 25, where nobody logs in, and TLS is offered but not asked for (RFC 3207, 4)."""
    own = [] if tls else ["STARTTLS"]
    offers = [offer for offer in _OFFERS if offer not in ("CHUNKING", "DSN")]
    return Reply(250, "", "\n".join([hostname, f"SIZE {limits.max_message_size}", *offers, *own]))


def helo(hostname: str) -> Reply:
    """The answer to HELO (RFC 5321, 4.1.1.1)."""
    return Reply(250, "", hostname)


def queued(message_id: str) -> Reply:
    """The message is committed; the form that clients read the id from."""
    return Reply(250, "2.0.0", f"Ok: queued as {message_id}")


def chunk_received(octets: int) -> Reply:
    """A chunk is here and the content goes on (RFC 3030, 2)."""
    return Reply(250, "2.0.0", f"{octets} octets received")


def message_too_large(limit: int) -> Reply:
    """More than ``limit`` octets were declared or sent (RFC 1870, 6)."""
    return Reply(552, "5.3.4", f"Message size exceeds {limit}")


def connection_inactive(reason: str) -> Reply:
    """The access data are right, but may not be used at present because of ``reason`` (plain words)."""
    return Reply(550, "5.7.1", f"Connection inactive: {_plain(reason)}")


def from_domain_refused(domain: str) -> Reply:
    """The From field names a domain that is not verified for this connection."""
    return Reply(
        550, "5.7.1", f"The From domain {_plain(domain)} is not verified for this connection; add it in the panel"
    )


def hourly_limit_reached(per_hour: int) -> Reply:
    """An account that never had a paid block has used up its rolling hour, and its surplus is not queued."""
    return Reply(
        450,
        "4.7.1",
        f"Without a booked block this account may send to {per_hour:,} recipients an hour, and the message has more "
        "than are left; book a block in the panel, or send it again later",
    )


def over_hourly_limit(per_hour: int) -> Reply:
    """Such a message would be refused in every hour."""
    return Reply(
        550,
        "5.7.1",
        f"The message has more recipients than this account may send to in an hour without a booked block "
        f"({per_hour:,}); book a block in the panel, or send it in parts",
    )


def cap_reached(most: int, period: str, until: str) -> Reply:
    """The connection's cap for this hour, day or month leaves no room for the message ``until`` its end."""
    return Reply(
        450,
        "4.7.1",
        f"This connection may send to {most:,} recipients per {period}, and the message has more than are left until "
        f"{until}; send it again then, or have the limit raised",
    )


def over_cap(most: int, period: str) -> Reply:
    """Such a message would be refused in every hour, day or month."""
    return Reply(
        550,
        "5.7.1",
        f"The message has more recipients than this connection may send to in one {period} ({most:,}); send it in "
        "parts, or have the limit raised",
    )


def recipient_suppressed(since: str, why: str, detail: str, by_operator: bool) -> Reply:
    """The address is not to be tried since a date, for a reason in plain words; ``detail`` is anybody's text."""
    reason = f"{_plain(why)} ({_plain(detail[:120])})" if detail else _plain(why)
    remedy = "only the relay's operator can" if by_operator else "you in the panel, or the relay's operator, can"
    return Reply(550, "5.7.1", f"This address was suppressed on {since}, {reason}; {remedy} take it off the list again")


def _plain(text: str) -> str:
    """``text``, which a client or a customer wrote, as a part of one reply line (RFC 5321, 4.2)."""
    return _replace_odd("?", text[:255])
