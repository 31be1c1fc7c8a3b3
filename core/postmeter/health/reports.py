"""Looks at what comes back: whether bounces and complaints reach this relay, and SPF allows its return path."""

from __future__ import annotations

from collections.abc import Iterator

from postmeter.config import Settings
from postmeter.errors import UnreachableError
from postmeter.health import spf
from postmeter.health.finding import Finding, ok, problem, warning
from postmeter.health.sources import public, sources
from postmeter.health.spf import Broken, Lookup
from postmeter.store import returning

_UNKNOWN = "look again; if it stays so, see what the DNS server says"


def listener(settings: Settings) -> Iterator[Finding]:
    """Whether somebody listens for reports, and there is a domain for them."""
    check, smtp = "reports", settings.smtp
    if not smtp.reports:
        mend = "set smtp.reports to an address with port 25, and smtp.return_path to a domain for bounces"
        yield warning(check, "bounces and complaints that come after a delivery are not seen", mend)
    elif not smtp.return_path:
        mend = "set smtp.return_path to a domain for bounces"
        yield warning(check, "they are seen for customers' domains with a return path of their own only", mend)
    else:
        yield ok(check, f"bounces and complaints come to {smtp.return_path}, and are read")


def return_path(settings: Settings, lookup: Lookup) -> Iterator[Finding]:
    """Whether the relay's domain for bounces leads here, and lets us send (SPF)."""
    smtp, name = settings.smtp, settings.smtp.return_path
    if not (smtp.reports and name):
        return
    try:
        fault = returning.fault_in(name, lookup(name, "MX"), returning.exchanges(settings.hostname, ()))
        ours = dict.fromkeys(one.address for one in public(sources(settings)))
        refused = [str(one) for one in ours if spf.check(one, name, lookup) != "pass"]
    except Broken as error:
        yield problem("return path", f"receivers cannot use its SPF record: {error}", f"mend the TXT record of {name}")
        return
    except UnreachableError as error:
        yield warning("return path", str(error), _UNKNOWN)
        return
    if fault:
        yield problem("return path", fault, f"publish for {name} the MX record 10 {settings.hostname}.")
    if refused:
        mend = f'publish for {name} the TXT record "v=spf1 a:{settings.hostname} -all"'
        yield problem("return path", f"its SPF record does not let {', '.join(refused)} send", mend)
    if not (fault or refused):
        yield ok("return path", f"{name} leads here")
