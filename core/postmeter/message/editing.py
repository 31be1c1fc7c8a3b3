"""What is taken out of a header section and put in front of it on acceptance; the rest stays byte for byte."""

from __future__ import annotations

import re
import time
from binascii import a2b_base64, a2b_qp
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache

from postmeter.message.handling import PREFIX, Handling, handling_of
from postmeter.message.header import Field, HeaderSection, malformed
from postmeter.message.originator import a_labels

MAX_SUBJECT = 200  # characters
MAX_MESSAGE_ID = 255  # characters
MAX_REFERENCE = 255  # characters
USUAL = Handling()

IDEMPOTENCY_KEY = b"postmeter-idempotency-key"
REFERENCE = b"x-postmeter-ref"

# The envelope's business, what others must not see, what is meant for us, and what only the relay itself may say.
STRIPPED = frozenset({b"return-path", b"bcc", b"resent-bcc", IDEMPOTENCY_KEY, b"feedback-id", b"x-csa-complaints"})

_DAYS = ("Mon", "Tue", "Wed", "Thu", "Fri", "Sat", "Sun")
_MONTHS = ("Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec")
_HELP = rb"<(?:https://|mailto:)[!-;=?-~]+>"
_LIST_HELP = re.compile(_HELP + rb"(?:, " + _HELP + rb")?")
_HTTPS = re.compile(r"https://([a-z0-9.-]+\.[a-z0-9-]+)(?::\d{1,5})?(?:[/?#][^\s<>\"\\^`{|}]*)?", re.IGNORECASE)
_MAILTO = re.compile(r"(?:mailto:)?([a-z0-9.!#$%&'*+/=_~-]+@([a-z0-9.-]+)(?:\?[^\s<>\"\\^`{|}]*)?)", re.IGNORECASE)
_ENCODED_WORD = re.compile(r"=\?([^?\s*]+)(?:\*[^?\s]*)?\?([bBqQ])\?([^?\s]*)\?=")
_KEY = re.compile(rb"[ -~]{1,255}")
_BETWEEN_WORDS = re.compile(r"(?<=\?=)[ \t]+(?==\?)")


@dataclass(frozen=True, slots=True)
class PreparedHead:
    """The header section that is stored, signed and sent, and what the store keeps of it in readable form.

    ``key`` is the client's idempotency key, ``reference`` what it calls the subject matter (X-Postmeter-Ref);
    empty: it has given none. ``handling`` is what it wants for this message.
    """

    section: HeaderSection
    subject: str
    message_id: str
    key: bytes
    reference: str
    handling: Handling


def prepare(
    section: HeaderSection,
    *,
    identifier: str,
    connection: str,
    hostname: str,
    seconds: int,
    list_help: str,
    keep_list_help: bool = True,
    smtputf8: bool = False,
    extra: Sequence[Field] = (),
    handling: Handling = USUAL,
) -> PreparedHead:
    """The section as it leaves: stripped, with Received, List-Help, Date, Message-ID and the ``extra`` fields in front.

    ``identifier`` names the message and ``connection`` who sent it; ``seconds`` since 1970 is the time of acceptance;
    ``list_help`` is the value for the From domain, as ``list_help_value`` makes it. Date and Message-ID are added when
    absent, never replaced (RFC 6409, 8). The client's own List-Help stays with ``keep_list_help`` if single and valid.
    ``handling`` is how the connection's messages are handled. Refused (550 5.6.0): an idempotency key that is none, and
    what ``handling_of`` refuses.
    """
    kept = strip(section)
    plain = len(kept.fields) == len(section.fields)  # as nearly all are: there is nothing in it that is meant for us
    wanted = handling if plain else handling_of(section, handling)
    front = [received(identifier, connection, hostname, seconds, smtputf8)]
    if not (keep_list_help and _has_valid_list_help(kept)):
        kept = kept.without(b"list-help")
        front.append(_list_help_field(list_help))
    if not kept.count(b"date"):
        front.append(Field(b"date", b"Date: " + date_time(seconds).encode() + b"\r\n"))
    if not kept.count(b"message-id"):
        front.append(Field(b"message-id", f"Message-ID: <{identifier}@{hostname}>\r\n".encode()))
    whole = kept.with_front([*front, *extra])
    message_id = _text(whole.get(b"message-id") or b"")[:MAX_MESSAGE_ID]
    reference = _text(section.get(REFERENCE) or b"").strip()[:MAX_REFERENCE]
    return PreparedHead(whole, subject_of(whole), message_id, key_of(section), reference, wanted)


def key_of(section: HeaderSection) -> bytes:
    """What the client wants the message to be known by, so that it is accepted once; empty without the field."""
    given = section.all(IDEMPOTENCY_KEY)
    if not given:
        return b""
    if len(given) > 1:
        raise malformed(f"Postmeter-Idempotency-Key: at most one is allowed, found {len(given)}")
    if not _KEY.fullmatch(given[0].value):
        raise malformed("Postmeter-Idempotency-Key: 1 to 255 printable ASCII characters are needed")
    return given[0].value


def strip(section: HeaderSection) -> HeaderSection:
    """The section without the fields that do not pass the relay."""
    fields = [f for f in section.fields if f.name not in STRIPPED and not f.name.startswith(PREFIX)]
    return HeaderSection(tuple(fields), section.end)


def received(identifier: str, connection: str, hostname: str, seconds: int, smtputf8: bool = False) -> Field:
    """The trace field (RFC 5321, 4.4; RFC 3848; RFC 6531, 4.3); it names the connection, not the client's address."""
    protocol = "UTF8SMTPSA" if smtputf8 else "ESMTPSA"
    lines = (
        f"Received: from [AUTH:{connection}]",
        f" by {hostname} with {protocol}",
        f" id {identifier}; {date_time(seconds)}",
        "",
    )
    return Field(b"received", "\r\n".join(lines).encode("ascii"))


@lru_cache(maxsize=8)
def date_time(seconds: int) -> str:
    """The moment as RFC 5322, 3.3 writes it, in UTC."""
    at = time.gmtime(seconds)
    clock = f"{at.tm_hour:02}:{at.tm_min:02}:{at.tm_sec:02}"
    return f"{_DAYS[at.tm_wday]}, {at.tm_mday:02} {_MONTHS[at.tm_mon - 1]} {at.tm_year:04} {clock} +0000"


def list_help_value(text: str) -> str:
    """The field value for one or two addresses (parted by blanks) that a person gave: https, mailto or a mail address.

    ValueError with a sentence for that person otherwise (RFC 2369, 2 and 4: each in angle brackets, commas between).
    """
    if not text.isprintable() or not text.isascii():
        raise ValueError("The List-Help address may only have printable ASCII characters.")
    parts = [part.rstrip(",").removeprefix("<").removesuffix(">") for part in text.replace(">,", "> ").split()]
    if not 1 <= len(parts) <= 2:
        raise ValueError("Give one https address, one mail address, or one of each, without blanks inside.")
    return ", ".join([f"<{_help_address(part)}>" for part in parts])


def _help_address(part: str) -> str:
    web, mail = _HTTPS.fullmatch(part), _MAILTO.fullmatch(part)
    try:
        if web:
            a_labels(web[1])
            return "https" + part[5:]
        if mail and "." in a_labels(mail[2]):
            return f"mailto:{mail[1]}"
    except ValueError:
        pass
    if part.lower().startswith("http://"):
        raise ValueError("The List-Help page must have an https address; http is not protected.")
    raise ValueError(
        "The List-Help address must be an https address such as https://shop.example/help or a mail address."
    )


@lru_cache(maxsize=1024)
def _list_help_field(value: str) -> Field:
    return Field.make("List-Help", value)


def _has_valid_list_help(section: HeaderSection) -> bool:
    own = section.all(b"list-help")
    return len(own) == 1 and _LIST_HELP.fullmatch(own[0].value) is not None


def subject_of(section: HeaderSection) -> str:
    """The subject in readable form: encoded words decoded (RFC 2047), no control characters, at most 200 characters."""
    text = (section.get(b"subject") or b"")[:4096].decode("utf-8", "replace")
    if "=?" in text:
        text = _ENCODED_WORD.sub(_decode_word, _BETWEEN_WORDS.sub("", text))
    return _clean(text)[:MAX_SUBJECT]


def _decode_word(word: re.Match[str]) -> str:
    charset, encoding, text = word.groups()
    try:
        octets = a2b_base64(text + "=" * (-len(text) % 4)) if encoding in "bB" else a2b_qp(text.encode(), header=True)
        return octets.decode(charset, "replace")
    except (LookupError, ValueError):  # an unknown charset, or no Base64
        return word[0]


def _text(octets: bytes) -> str:
    return _clean(octets.decode("utf-8", "replace"))


def _clean(text: str) -> str:
    return text if text.isprintable() else "".join([c if c.isprintable() else " " if c.isspace() else "" for c in text])
