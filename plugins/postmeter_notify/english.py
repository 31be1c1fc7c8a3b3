"""The texts in English."""

from __future__ import annotations

from postmeter_notify.case import Case, Language, Letter, utc

_MONTHS = ("Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec")
_INVOICED = (
    "Each mail beyond your blocks is on your next invoice, at the highest price of the list; a block that you book "
    "later does not pay for it."
)
_STOPS = (
    "The relay answers the shop's mail with a temporary error (450\u00a04.7.1) until a block is booked. Most shops "
    "keep such mail and try again; some give up after a while."
)
_CHECK = "See in the shop's log whether it gave up on mail meanwhile, and have that sent again."
_BOOK_NOW = ("Book a new block now. Mail goes on at once.", _CHECK)


def number(n: int) -> str:
    """25,000."""
    return f"{n:,}"


def day(seconds: float) -> str:
    """23 Nov 2026, in one piece."""
    at = utc(seconds)
    return f"{at.day}\u00a0{_MONTHS[at.month - 1]}\u00a0{at.year}"


def moment(seconds: float) -> str:
    """23 Nov 2026, 14:05 UTC."""
    return f"{day(seconds)}, {utc(seconds):%H:%M}\u00a0UTC"


def mails(n: int) -> str:
    """1 mail, 25,000 mails."""
    return f"{number(n)}\u00a0{'mail' if n == 1 else 'mails'}"


def _are(n: int) -> str:
    return f"{mails(n)} {'is' if n == 1 else 'are'}"


def _block(case: Case) -> str:
    size = case.number("size")
    return "A block" if size is None else f"A block of {mails(size)}"


def quota_low(case: Case) -> Letter:
    """Fewer mails are left than the threshold."""
    left, threshold = case.number("left"), case.number("threshold")
    left = case.left if left is None else left
    asked = "" if threshold is None else f" You wanted to know when there are fewer than {number(threshold)}."
    pace = "" if case.runs_out is None else f" At the pace of the last days they last until {day(case.runs_out)}."
    then = (
        f"After the last one mail goes on. {_INVOICED}" if case.goes_on else f"After the last one mail stops. {_STOPS}"
    )
    return Letter(
        f"Only {_are(left)} left",
        f"In the account “{case.account}” {_are(left)} left.{asked}",
        f"Nothing has stopped: your shop's mail goes out as before.{pace} After the last one {then}",
        ("Book a further block in time. Its mails can be used at once.",),
    )


def quota_exhausted(case: Case) -> Letter:
    """Nothing is left."""
    happened = f"The account “{case.account}” has used up all mails of its blocks."
    if case.goes_on:
        meaning = f"Your shop's mail goes on. {_INVOICED}"
        return Letter("No mails are left", happened, meaning, ("Book a new block. From then on mail is paid by it.",))
    meaning = f"Your shop cannot send mail at the moment. {_STOPS} What was accepted before is still delivered."
    return Letter("No mails are left", happened, meaning, _BOOK_NOW)


def quota_overdraft(case: Case) -> Letter:
    """The first mail beyond all blocks."""
    taken = case.number("overdraft")
    so_far = "" if taken is None else f" So far {'it is' if taken == 1 else 'these are'} {mails(taken)}."
    return Letter(
        "Mail now goes beyond your blocks",
        f"In the account “{case.account}” mail has begun to go beyond all booked blocks.{so_far}",
        f"Nothing has stopped: your shop's mail goes out as before. {_INVOICED}",
        ("Book a new block. From then on mail is paid by it.",),
    )


def quota_expiring(case: Case) -> Letter:
    """A block that is not renewed ends in three days."""
    left, ends = case.number("left"), case.moment("expires_at")
    when = "within three days" if ends is None else f"on {moment(ends)}"
    rest = "" if left is None else f" {_are(left)} left of it."
    title = "A block ends soon" if left is None or ends is None else f"{mails(left)} can be used until {day(ends)}"
    return Letter(
        title,
        f"{_block(case)} of the account “{case.account}” ends {when} and is not renewed.{rest} What is not used until "
        "then is lost.",
        f"Until then nothing changes. {_afterwards(case)}",
        ("Book a new block before that, or have the renewal of this one switched on.",),
    )


def _afterwards(case: Case) -> str:
    others = case.left - (case.number("left") or 0)
    if others > 0:
        return f"After that, your shop's mail goes on with your other blocks, in which {_are(others)} left."
    return f"After that, mail goes on. {_INVOICED}" if case.goes_on else f"After that, mail stops. {_STOPS}"


def quota_renewed(case: Case) -> Letter:
    """A block has ended and the next one has begun."""
    size, ends, lost = case.number("size"), case.moment("expires_at"), case.number("lost")
    new = "Its place was taken by a new one" + ("" if size is None else f" of {mails(size)}")
    until = "" if ends is None else f", which can be used until {moment(ends)}"
    unused = f" {mails(lost)} of the old one had not been used and {'is' if lost == 1 else 'are'} lost." if lost else ""
    cancel = "" if ends is None else f" before {day(ends)}"
    return Letter(
        "A block was renewed" if size is None else f"A block of {mails(size)} was renewed",
        f"A block of the account “{case.account}” has ended. {new}{until}.{unused}",
        "Your shop's mail goes on without a gap. The new block is on your next invoice.",
        (f"Nothing. If you do not need a further block after this one, have the renewal cancelled{cancel}.",),
    )


def quota_expired(case: Case) -> Letter:
    """A block has ended for good."""
    lost = case.number("lost")
    unused = "" if lost is None else " All of its mails had been used."
    if lost:
        unused = f" {mails(lost)} of it had not been used and {'is' if lost == 1 else 'are'} lost."
    steps: tuple[str, ...]
    if case.left:
        meaning = f"Your shop's mail goes on with your other blocks, in which {_are(case.left)} left."
        steps = ("Nothing, if that is enough. Otherwise book a new block.",)
    elif case.goes_on:
        meaning = f"Your shop's mail goes on. {_INVOICED}"
        steps = ("Book a new block. From then on mail is paid by it.",)
    else:
        meaning = f"There is no other block, so your shop cannot send mail at the moment. {_STOPS}"
        steps = _BOOK_NOW
    return Letter(
        f"{_block(case)} has ended",
        f"{_block(case)} of the account “{case.account}” ended on {moment(case.at)}.{unused}",
        meaning,
        steps,
    )


def domain_broken(case: Case) -> Letter:
    """The DKIM record is gone: for a day, or for good."""
    domain, problems = case.text("domain"), " ".join(case.texts("problems"))
    publish = (
        f"Publish the record again where the DNS of {domain} is kept; nothing else is to be changed. {problems}".strip()
    )
    if case.facts.get("warning"):
        ends = case.moment("off_at")
        by = "by this time tomorrow" if ends is None else f"by {moment(ends)}"
        return Letter(
            f"The DKIM record of {domain} is not in the DNS",
            f"The relay has looked for the DKIM record of {domain} for a day and has not found it as it should be.",
            "Mail from this domain still goes out, but the recipients' servers cannot verify its signature: they may "
            f"refuse it or take it for spam. If the record is not back {by}, the relay takes no more mail from it.",
            (publish, "Then wait: the relay looks every hour and will find it."),
        )
    return Letter(
        f"No mail is taken from {domain}: its DKIM record is missing",
        f"The DKIM record of {domain} is not in the DNS as it should be, so the domain is inactive.",
        f"The relay takes no mail from this domain until the record is back.{_inactive(case)} What was accepted before "
        "is still delivered.",
        (publish, "Then wait: the relay looks every hour, and takes mail again as soon as it finds it.", _CHECK),
    )


def _inactive(case: Case) -> str:
    if not case.connections:
        return ""
    names = ", ".join(f"“{name}”" for name in case.connections)
    if len(case.connections) == 1:
        return f" The connection {names} uses it: its log-ins are refused."
    return f" The connections {names} use it: their log-ins are refused."


def domain_refused(case: Case) -> Letter:
    """A provider does not believe that mail is from the domain."""
    domain, provider = case.text("domain"), case.text("provider")
    who = provider if provider not in ("", "other") else "A recipient's mail server"
    return Letter(
        f"{who} does not believe that mail is from {domain}",
        f"{who} has refused mail from {domain}, since SPF, DKIM or DMARC does not prove that it is from this domain. "
        f"The answer on {moment(case.at)}: {case.text('reply')}",
        "Such mail does not arrive there, and other providers may refuse it soon. The addresses of the recipients are "
        "in order and are still tried.",
        (
            f"Compare the records of {domain} with those that the page Domains of the panel shows; mend what differs.",
            "Then have what was refused sent again.",
        ),
    )


_REMEDIES = {
    "bounces": "Take addresses that bounce off your lists, and find out where the wrong ones come from.",
    "complaints": "Send only what people have asked for or expect, and make it easy to end that.",
}


def _too_many(case: Case) -> str:
    """What the guard has counted; empty when it was not the guard."""
    count, recipients, days, allowed = (case.number(name) for name in ("count", "recipients", "days", "permille"))
    if count is None or recipients is None or days is None or allowed is None:
        return ""
    did = "bounced" if case.text("cause") == "bounces" else "complained"
    where = f" at {case.text('provider')}" if case.text("provider") else ""
    return (
        f"{number(count)} of {number(recipients)} recipients{where} within {days} days {did}, "
        f"more than {allowed / 10:g}\u00a0%."
    )


def connection_warned(case: Case) -> Letter:
    """Too much of a connection's mail bounces or is complained about."""
    name, cause = case.text("connection"), case.text("cause")
    does = "is complained about" if cause == "complaints" else "bounces"
    return Letter(
        f"Too much of the mail of “{name}” {does}",
        f"Of the connection “{name}” of the account “{case.account}” too much mail {does}. {_too_many(case)}".strip(),
        "Nothing has stopped: your shop's mail goes out as before. But mail servers take what comes from such a sender "
        "for spam, and if it becomes more, the relay pauses the connection.",
        (_REMEDIES.get(cause, _REMEDIES["bounces"]),),
    )


def connection_paused(case: Case) -> Letter:
    """Somebody, or the guard, has paused a connection."""
    name, reason = case.text("connection"), _too_many(case) or case.text("reason")
    why = f" The reason: {reason}" if reason else ""
    remedy = _REMEDIES.get(case.text("cause"))
    waiting = "is kept back until then, and its time goes on" if remedy else "is still delivered"
    return Letter(
        f"The connection “{name}” is paused",
        f"The connection “{name}” of the account “{case.account}” was paused on {moment(case.at)}.{why}",
        f"The log-ins of this shop are refused, so it cannot send mail. What was accepted before {waiting}. "
        "Other connections are not affected.",
        (*([remedy] if remedy else []), "Ask your provider to resume it, once the reason is settled.", _CHECK),
    )


def test(case: Case) -> Letter:
    """What the command `postmeter notify test` sends."""
    return Letter(
        "This is a test",
        f"This mail shows that notices about the account “{case.account}” reach you.",
        "Everything is as before.",
        ("Nothing.",),
    )


LANGUAGE = Language(
    greeting="Hello,",
    meaning="What this means",
    steps="What to do now",
    panel="The panel: {url}",
    footer=(
        "The relay {hostname} sends this notice to all admins of the account “{account}”. It was written "
        "automatically and is free of charge."
    ),
    texts={
        "quota_low": quota_low,
        "quota_exhausted": quota_exhausted,
        "quota_overdraft": quota_overdraft,
        "quota_expiring": quota_expiring,
        "quota_renewed": quota_renewed,
        "quota_expired": quota_expired,
        "domain_broken": domain_broken,
        "domain_refused": domain_refused,
        "connection_paused": connection_paused,
        "connection_warned": connection_warned,
        "test": test,
    },
)
