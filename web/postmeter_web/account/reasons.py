"""Why a mail did not arrive, in one or two plain sentences: what the server meant, and what to do about it."""

from __future__ import annotations

import re
from dataclasses import dataclass

from flask_babel import gettext

MOST = 2_048  # octets of a reply that are read, which is what the relay keeps of it
QUOTED = 200  # characters of a reply that are shown
WAITING = frozenset({"queued", "leased", "deferred"})
EXPIRED = "554 5.4.7 Delivery time expired; the last answer was: "


def N_(text: str) -> str:
    """Mark a sentence for translation."""
    return text


@dataclass(frozen=True, slots=True)
class Reason:
    """What happened, and what to do once the recipient is given up; while it waits, it is tried again anyway."""

    what: str
    do: str


AGAIN = N_("It is tried again by itself.")
GIVEN_UP = N_("It was tried again and again until its time was over.")
STATES = {  # what needs no reply
    "delivered": N_("The recipient's mail server has taken it."),
    "cancelled": N_("It was cancelled before it was delivered."),
    "held": N_("It is held back until somebody releases or cancels it."),
    "suppressed": N_("The address is on the list of suppressed addresses, so it was not tried. Lift it there to send."),
}
NOT_YET = N_("It waits for its first attempt.")
NO_WORDS = N_("The server refused it without saying why.")
NO_WORDS_YET = N_("The server has not taken it yet and did not say why.")
WORDS = N_("The server refused it: “%(words)s”")
WORDS_YET = N_("The server has not taken it yet: “%(words)s”")

_ASK = N_("Check the address for typing errors and ask the recipient for the right one.")
_OTHER = N_("Ask the recipient for another address.")
_OPERATOR = N_("Tell the operator of this relay.")
_LATER = N_("Send it again later.")
_CONTENT = N_("Check subject, wording, links and attachments, and whether the recipient expects the mail.")
NO_MAILBOX = Reason(N_("There is no such mailbox."), _ASK)
BAD_ADDRESS = Reason(N_("The recipient's server does not understand the address."), _ASK)
MOVED = Reason(N_("The mailbox has moved elsewhere."), _OTHER)
DISABLED = Reason(N_("The mailbox takes no mail at present."), _OTHER)
FULL = Reason(N_("The recipient's mailbox is full."), N_("The recipient has to make room; send it again later."))
NO_DOMAIN = Reason(N_("The domain of the address does not exist."), N_("Check what stands behind the @ sign."))
NULL_MX = Reason(N_("The domain of the address says that it takes no mail."), _OTHER)
NO_SERVER = Reason(N_("The domain of the address has no mail server that could be found."), _ASK)
NO_ANSWER = Reason(N_("The recipient's mail server cannot be reached."), _LATER)
BROKEN_OFF = Reason(N_("The recipient's mail server broke off in the middle."), _LATER)
SERVER_TROUBLE = Reason(N_("The recipient's mail server has a problem of its own at present."), _LATER)
NOT_OURS = Reason(N_("The mail server does not take mail for this domain."), _ASK)
LOOP = Reason(
    N_("The mail goes round in a circle between mail servers."), N_("Its recipient's administrator must help.")
)
TOO_LARGE = Reason(
    N_("The mail is too large for the recipient's server."), N_("Send a link instead of the attachment.")
)
VIRUS = Reason(N_("The server thinks that the mail carries malware."), _CONTENT)
SPAM = Reason(N_("The server took the mail for spam."), _CONTENT)
REPUTATION = Reason(N_("The server does not trust the address that we send from."), _OPERATOR)
BLOCK_LIST = Reason(N_("The address that we send from is on a block list that the server uses."), _OPERATOR)
REVERSE_DNS = Reason(N_("The server wants a name for the address that we send from."), _OPERATOR)
AUTHENTICATION = Reason(
    N_("The server does not accept that the mail is from your domain (SPF, DKIM, DMARC)."),
    N_("Check the domain's DNS records on the page Domains."),
)
POLICY = Reason(N_("The recipient's server does not want this mail, by a rule of its own."), _OTHER)
SENDER = Reason(N_("The server does not accept the sender address."), N_("Check that the address exists."))
GREYLISTED = Reason(N_("The server asks unknown senders to come back later (greylisting)."), _LATER)
TOO_MANY = Reason(N_("The server takes only so many mails at a time."), _LATER)
CONTENT = Reason(N_("The recipient's server cannot read the mail's form."), _CONTENT)
UNICODE = Reason(N_("The recipient's server takes no addresses with letters such as ü."), _OTHER)
PROTOCOL = Reason(N_("The recipient's server did not understand ours."), _OPERATOR)
ENCRYPTION = Reason(N_("No encrypted connection to the recipient's server could be agreed on."), _OPERATOR)
OWN_TROUBLE = Reason(N_("This relay had a problem of its own."), _OPERATOR)
PACED = Reason(N_("This relay sends this provider only so much a day from addresses that are new to it."), _LATER)
UNSIGNED = Reason(N_("The mail could not be prepared and signed."), _OPERATOR)

# What servers say tells more than their codes, which many of them choose carelessly. The first that is found counts.
_SAID: tuple[tuple[str, Reason], ...] = (
    (r"^this relay has sent .* enough", PACED),
    (r"^(?:this|something went wrong in this) relay\b", OWN_TROUBLE),
    (r"gr[ea]y.?list|postgrey", GREYLISTED),
    (r"spamhaus|spamcop|sorbs|\b(?:dns|r)bl\b|(?:block|black|deny).?list|\blisted (?:at|by|in|on)\b", BLOCK_LIST),
    (r"\b(?:dmarc|spf|dkim)\b|unauthenticated|authentication (?:check|fail|required for)", AUTHENTICATION),
    (r"virus|malware|infected|phish", VIRUS),
    (r"too many hops|mail loop|loop detected|loops? back|looping", LOOP),
    (r"quota|(?:mail|in)box (?:is |are )?full|out of storage|insufficient storage|mailfolder is full", FULL),
    (
        r"too (?:large|big)|size (?:limit|exceed)|maximum (?:message )?size|exceeds (?:the )?(?:message )?size",
        TOO_LARGE,
    ),
    (
        r"rate.?limit|too many (?:mess|mail|conn|recip|conc)|throttl|unusual rate|unexpected volume|deferred due",
        TOO_MANY,
    ),
    (r"(?:sender|return) (?:address|path|domain|verif)|sender (?:rejected|denied|not allowed)", SENDER),
    (r"reverse dns|\brdns\b|\bptr\b|reverse (?:lookup|hostname)|rejected: cannot find your", REVERSE_DNS),
    (r"reputation|bad history", REPUTATION),
    (r"\bspam|\bjunk\b|unsolicited|\bbulk\b|suspicious|\buce\b", SPAM),
    (r"relay(?:ing)? (?:access )?(?:is )?(?:denied|prohibited|not)|(?:unable|not permitted|cannot) to relay", NOT_OURS),
    (
        r"(?:account|mailbox|user|address|recipient).{0,40}\b(?:disabled|inactive|deactivated|suspended|expired)",
        DISABLED,
    ),
    (r"(?:user|recipient|mailbox|account|address|alias).{0,40}\b(?:unknown|not found|invalid)", NO_MAILBOX),
    (
        r"(?:unknown|no such|invalid|non-?existent) (?:local )?(?:user|recipient|mailbox|account|person|alias)",
        NO_MAILBOX,
    ),
    (r"does(?: not|n.t) exist|mailbox unavailable|not our customer|user doesn.t have|unrouteable address", NO_MAILBOX),
    (r"recipient address rejected: access denied", NO_MAILBOX),
    (r"starttls|tls (?:is )?required|encryption (?:is )?(?:required|needed)", ENCRYPTION),
)
_SPOKEN = tuple((re.compile(pattern, re.IGNORECASE), reason) for pattern, reason in _SAID)

_STATUS: dict[str, Reason] = {  # by subject and detail (RFC 3463, 3; RFC 7372, 3; RFC 7505, 4; RFC 6531; RFC 5321)
    "1.0": NO_MAILBOX,
    "1.1": NO_MAILBOX,
    "1.2": NO_DOMAIN,
    "1.3": BAD_ADDRESS,
    "1.4": BAD_ADDRESS,
    "1.6": MOVED,
    "1.7": SENDER,
    "1.8": SENDER,
    "1.10": NULL_MX,
    "2.1": DISABLED,
    "2.2": FULL,
    "2.3": TOO_LARGE,
    "3.1": SERVER_TROUBLE,
    "3.2": SERVER_TROUBLE,
    "3.4": TOO_LARGE,
    "4.1": NO_ANSWER,
    "4.2": BROKEN_OFF,
    "4.3": NO_SERVER,
    "4.4": NO_SERVER,
    "4.5": TOO_MANY,
    "4.6": LOOP,
    "5.3": TOO_MANY,
    "6.7": UNICODE,
    "7.5": ENCRYPTION,
    "7.10": ENCRYPTION,
    "7.20": AUTHENTICATION,
    "7.21": AUTHENTICATION,
    "7.22": AUTHENTICATION,
    "7.23": AUTHENTICATION,
    "7.24": AUTHENTICATION,
    "7.25": REVERSE_DNS,
    "7.26": AUTHENTICATION,
    "7.27": SENDER,
    "7.28": TOO_MANY,
    "7.30": ENCRYPTION,
}
_STAGES: dict[str, Reason] = {  # where the conversation ended, when nothing else tells more
    "sign": UNSIGNED,
    "route": NO_SERVER,
    "connect": NO_ANSWER,
    "banner": REPUTATION,
    "ehlo": REPUTATION,
    "starttls": ENCRYPTION,
}
_CODES = {"421": SERVER_TROUBLE, "452": SERVER_TROUBLE, "552": TOO_LARGE, "556": NULL_MX}  # RFC 5321, 4.2.3
_SUBJECTS = {
    "3": SERVER_TROUBLE,
    "5": PROTOCOL,
    "6": CONTENT,
    "7": POLICY,
}  # RFC 3463, 2: of a status whose detail is no help
_REPLY = re.compile(r"([245]\d\d)(?:[ -]+([245])\.(\d{1,3}\.\d{1,3}))?[ -]*")


def why(reply: str, stage: str, state: str) -> str:
    """What became of a recipient and what to do, in the visitor's language.

    ``reply`` is the last answer as the relay keeps it, ``stage`` where the attempt ended (empty: not known), ``state``
    the recipient's.
    """
    if state in STATES:
        return str(gettext(STATES[state]))
    if not reply and state in WAITING:
        return str(gettext(NOT_YET))
    answer = _Answer.of(reply)
    reason = reason_of(answer.code, answer.status, answer.words, stage)
    waits = state in WAITING
    sentences = [gettext(GIVEN_UP)] if state == "expired" else []
    if reason is None:
        sentences.append(_in_its_words(answer.words, waits))
    else:
        sentences += [gettext(reason.what), gettext(AGAIN if waits else reason.do)]
    return " ".join(sentences)


def reason_of(code: str, status: str, words: str, stage: str) -> Reason | None:
    """What a server meant; None when nobody knows. ``status`` is subject and detail, such as ``1.1``."""
    return (
        next((reason for pattern, reason in _SPOKEN if pattern.search(words)), None)
        or _STATUS.get(status)
        or _STAGES.get(stage)
        or _SUBJECTS.get(status.partition(".")[0])
        or _CODES.get(code)
    )


@dataclass(frozen=True, slots=True)
class _Answer:
    code: str
    status: str
    words: str

    @classmethod
    def of(cls, reply: str) -> _Answer:
        text = reply[:MOST].removeprefix(EXPIRED)
        found = _REPLY.match(text)
        words = " ".join("".join(c if c.isprintable() else " " for c in text[found.end() if found else 0 :]).split())
        return cls(found[1], found[3] or "", words) if found else cls("", "", words)


def _in_its_words(words: str, waits: bool) -> str:
    if not words:
        return str(gettext(NO_WORDS_YET if waits else NO_WORDS))
    shown = words if len(words) <= QUOTED else words[: QUOTED - 1] + "…"
    return str(gettext(WORDS_YET if waits else WORDS, words=shown))
