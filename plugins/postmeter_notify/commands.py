"""`postmeter notify`: the language of an account's notices, and a test."""

from __future__ import annotations

import click

from postmeter import Core, UsageError, console, pass_core
from postmeter_notify import tables
from postmeter_notify.desk import language_of, test_mail
from postmeter_notify.settings import LANGUAGES

DEFAULT = "default"


@click.group()
def notify() -> None:
    """The notices to the admins of accounts."""


@notify.command()
@click.argument("account")
@click.argument("language", type=click.Choice([*LANGUAGES, DEFAULT]), required=False)
@console.json_option
@pass_core
def language(core: Core, account: str, language: str | None, as_json: bool) -> None:
    """Print the language of an account's notices, or set it."""
    with core.write() if language else core.read() as session:
        facts = core.account(session, account)
        if language:
            tables.set_language(session, facts.id, None if language == DEFAULT else language)
        used = language_of(core, session, facts.id)
    console.show(as_json, {"account": facts.name, "language": used}, used)


@notify.command()
@click.argument("account")
@console.json_option
@pass_core
def test(core: Core, account: str, as_json: bool) -> None:
    """Send a mail to the admins of an account that shows that notices arrive."""
    with core.write() as session:
        facts = core.account(session, account)
        if not facts.admins:
            raise UsageError(f"the account {facts.name!r} has no owner and no admin")
        mail = test_mail(core, session, facts)
        sent = [{"to": address, "message": core.send(session, mail, address)} for address in facts.admins]
    text = console.table(("To", "Message"), [(one["to"], one["message"]) for one in sent])
    console.show(as_json, {"account": facts.name, "sent": sent}, text)
