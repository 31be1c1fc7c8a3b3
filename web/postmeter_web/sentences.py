"""What the relay says in English sentences (why a connection is off, what a form lacks) in the visitor's language."""

from __future__ import annotations

import re
from functools import cache

from flask_babel import format_decimal, gettext

from postmeter_web.operator.health_sentences import HEALTH

# Every sentence of the core that people read in the panel; what stands in braces is copied.
# N_ marks them for the catalogs.
MOST = 2_000  # characters of a sentence that is looked up


def N_(template: str) -> str:
    """Mark a template for translation."""
    return template


CONNECTIONS = (  # why one is off
    N_("This account is blocked: {reason}"),
    N_("This connection is paused: {reason}"),
    N_(
        "This connection is paused: {count} of {recipients} recipients within {days} days bounced, more than "
        "{allowed} %; what waits is kept back; take such addresses off the lists, then have it resumed"
    ),
    N_(
        "This connection is paused: {count} of {recipients} recipients within {days} days complained, more than "
        "{allowed} %; what waits is kept back; send only what people have asked for, then have it resumed"
    ),
    N_("this connection was paused for its bounces or complaints: only the operator resumes it"),
    N_("this connection was paused for its bounces or complaints: it cannot be given up before it is resumed"),
    N_("This connection has no sending domain."),
    N_("The DKIM record of {domains} has not been verified yet."),
    N_("{host} would be asked in clear text; only https is allowed"),
    N_("{host} is not a public address, so nothing is sent there"),
    N_("{url} is not a URL such as https://shop.example/path"),
    # account
    N_("there is an account {name} already"),
    N_("the name of the account must have 1 to 100 printable characters"),
)
QUOTA = (  # what cannot be booked
    N_("the account has no paid block {block} that could be renewed"),
    N_("the smallest block has {least} mails, not {number}"),
    N_("the largest block has {most} mails, not {number}"),
    N_("a block has a multiple of {step} mails, which {number} is not"),
    N_("with the key {key} a block of {first} mails was booked, not of {number}"),
)
SUPPRESSIONS = (  # what cannot be one, and what is wrong with a list of them
    N_("{text} is no date such as 2030-12-31"),
    N_("the day has to be in the future"),
    N_("the file has no line with an address"),
    N_("the file is not in UTF-8"),
    N_("the file is no CSV: {problem}"),
)
LOOKS = (  # what the DNS says
    N_("{name}: There is no TXT record."),
    N_("{name}: There are {number} TXT records; only one is allowed."),
    N_("{name}: The record is not a DKIM key record."),
    N_("{name}: The key was revoked: the record has an empty p=."),
    N_("{name}: The record is for another kind of key (k=)."),
    N_("{name}: The record has another key (p=)."),
    N_("There is no DKIM key for this domain."),
    N_("the DNS gives no answer about {name}: {error}"),
    N_("the system has no DNS server ({error}); set delivery.resolver"),
    N_("{part} is nothing that an SPF record can have."),
    N_("{part} is no network."),
    N_("It refers to {name}, which has no SPF record."),
    N_("It takes more than {number} look-ups, which is the limit."),
    N_("Others are looking things up just now; look again in a few seconds."),
)
DOMAINS = (  # what cannot be done with one, and advice
    N_("the account has the domain {name} already"),
    N_("{name} is not a domain name such as shop.example"),
    N_("the domain {name} is used by: {users}; take it out of them first"),
    N_("a new key of {name} waits for its record already; publish that, or cancel the key"),
    N_("the domain {name} is not verified; publish the records that it has"),
    N_("no key {selector} of {name} waits for its record (any more)"),
    N_("the account has no domain {name}"),
    N_("the return path must be a name below {domain}, such as {name}"),
    N_("{name}: There is no MX record."),
    N_("{name}: The MX record leads to {host}, not to this relay."),
    N_("There are {number} SPF records; only one is allowed."),
    N_("Receivers cannot use the SPF record: {error}"),
    N_("There is no SPF record. Receivers look for one under the domain of the return path."),
    N_("The SPF record lets everybody send. End it with ~all or -all."),
    N_("The SPF record lets this relay send."),
    N_("The SPF record does not name this relay. DKIM is enough for DMARC, but some receivers want both."),
    N_("There are {number} DMARC policies; receivers ignore them all. Leave one."),
    N_("There is no DMARC policy. Gmail, Yahoo and Microsoft want one of everybody who sends much mail."),
    N_("Begin with p=none, which changes nothing, and read the reports."),
    N_("The policy cannot be read: a part of it is not of the form tag=value."),
    N_("The policy has no p= of none, quarantine or reject."),
    N_("The policy is that of {name}."),
    N_("It has no rua=, so nobody gets reports about mail that pretends to be yours."),
    N_("With adkim=s, only mail from exactly this domain passes, none from names below it."),
    N_("p=none only watches. When the reports show no mail of yours that fails, make it p=quarantine."),
    N_("p=quarantine: mail that pretends to be yours is put aside."),
    N_("p=reject: mail that pretends to be yours is refused."),
)
CSA = (N_("a note has at most {number} printable characters"),)
PEOPLE = (  # their addresses and names, teams, second factors, requests
    N_("{email} is not an e-mail address"),
    N_("there is a user {email} already"),
    N_("there are too many requests at the moment; please try again in some days"),
    N_("this request has been decided already"),
    N_("this code is wrong or was used before; wait for the app's next one"),
    N_("{email} belongs to the account already"),
    N_("at most {number} invitations can be open; withdraw one first"),
    N_("this invitation is not open any more"),
    N_("only an owner makes somebody an owner, and changes or removes one"),
    N_("this person does not belong to the account any more"),
    N_("an account has at least one owner; make somebody else an owner first"),
)
CONNECTING = (  # what cannot be done with a connection, or on the way to one
    N_("This connection was given up."),
    N_("the name of the connection must have 1 to 100 printable characters"),
    N_("the account {account} has a connection {name} already"),
    N_("this account has a connection {name} already"),
    N_("a connection needs a sending domain"),
    N_("the account {account} has no connection {name}"),
    N_("the account {account} has no domain {name}; add it with `postmeter domain add`"),
    N_("the access data are shown when the DNS records are there"),
    N_("the password has been shown since you opened the page; renew it if nobody has noted it"),
    N_("the reason must have 1 to {most} printable characters"),
    N_("The List-Help address may only have printable ASCII characters."),
    N_("Give one https address, one mail address, or one of each, without blanks inside."),
    N_("The List-Help page must have an https address; http is not protected."),
    N_("The List-Help address must be an https address such as https://shop.example/help or a mail address."),
    N_("{address} is not an address such as joe@example.org"),
    N_("{text} is no lifetime between 1 minute and 5 days, such as 600, 10m, 2h or 3d"),
    N_("{address} is on the suppression list; take it off there or choose another address"),
    N_("Quota exhausted; book a block in the panel, then the message can be sent again"),
)
FETCHES = (  # what became of a look at a page
    N_("{url} is not a URL such as https://shop.example/path"),
    N_("the address of {host} cannot be found: {error}"),
    N_("{host} cannot be reached: {error}"),
    N_("{host} has no address"),
    N_("the server switches to another protocol"),
    N_("{host} did not answer within {seconds} seconds"),
    N_("{host} does not answer as a web server does: {error}"),
    N_("the certificate of {host} cannot be trusted: {error}"),
    N_("{host} is not a public address, so nothing is sent there"),
)
OPERATOR = (  # filters of the queue, suspensions
    N_("a quotation mark in the filter is not closed"),
    N_("a filter has at most {number} characters"),
    N_("{word} is no condition; there are: {names}"),
    N_("nothing waits in the state {state}; there are: {names}"),
    N_("there is no class {name}; there are: {names}"),
    N_("there is no account {name}"),
    N_("there is no connection {name}"),
    N_("{text} is no next hop such as 192.0.2.1:25, mail.example.org:25 or mx"),
    N_("the reason must have 1 to {number} printable characters"),
    N_("the name of a provider has 1 to {number} printable characters"),
    N_("a suspension ends in the future"),
    N_("the provider {name} is not suspended, and no session with it is open or limited"),
)
TEMPLATES = (
    *CONNECTIONS,
    *QUOTA,
    *LOOKS,
    *DOMAINS,
    *CONNECTING,
    *FETCHES,
    *SUPPRESSIONS,
    *CSA,
    *HEALTH,
    *PEOPLE,
    *OPERATOR,
)


NESTED = {"error", "problem"}  # places where a sentence of the core can stand again
# places of figures, which the core writes as in 25,000
NUMBERS = {"least", "most", "step", "first", "number", "count", "recipients"}


def in_words(text: str) -> str:
    """A sentence of the core in the visitor's language; one that nobody knows stays as it is."""
    if known := _find(text):
        template, parts = known
        return str(gettext(template)).format(**{name: _filled(name, part) for name, part in parts.items()})
    return text


def template_of(text: str) -> str | None:
    """The template that a sentence of the core was made of, if it is known."""
    known = _find(text)
    return known[0] if known else None


def _find(text: str) -> tuple[str, dict[str, str]] | None:
    for template, pattern in _patterns():
        if found := pattern.fullmatch(text[:MOST]):
            return template, found.groupdict()
    return None


def _filled(name: str, part: str) -> str:
    """What stands in a place of a sentence, as the visitor reads it."""
    if name in NESTED:
        return in_words(part)
    if name in NUMBERS and re.fullmatch(r"\d{1,3}(,\d{3})+", part):
        return str(format_decimal(int(part.replace(",", ""))))
    return part


@cache
def _patterns() -> list[tuple[str, re.Pattern[str]]]:
    """The templates that say most themselves come first: others could take their words for what is filled in."""
    by_words = sorted(TEMPLATES, key=lambda template: -len(re.sub(r"\{\w+\}", "", template)))
    return [(template, _pattern(template)) for template in by_words]


def _pattern(template: str) -> re.Pattern[str]:
    """What a template can have become: in each place of braces anything, as little as possible.

    Where such a place ends is not reconsidered ((?>...)): if the rest does not follow from there, it follows from
    nowhere, and to look for it for every end of every place would take seconds for a text made for that.
    """
    start, *parts = re.split(r"\{(\w+)\}", template)
    places = [f"(?P<{name}>.*?){re.escape(after)}" for name, after in zip(parts[::2], parts[1::2], strict=True)]
    middle = [f"(?>{place})" for place in places[:-1]]
    return re.compile("".join([re.escape(start), *middle, *places[-1:]]), re.DOTALL)
