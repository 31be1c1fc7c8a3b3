"""From an event to the mail about it: who the account is, how it stands, and which language it reads."""

from __future__ import annotations

from datetime import datetime
from email.message import EmailMessage

from sqlalchemy.orm import Session

from postmeter import AccountFacts, Core, Event
from postmeter_notify import mail, tables
from postmeter_notify.case import Case, Letter, one_line
from postmeter_notify.settings import NotifySettings


def settings_of(core: Core) -> NotifySettings:
    """The plugin's settings."""
    own = core.own
    assert isinstance(own, NotifySettings)
    return own


def language_of(core: Core, session: Session, account_id: int) -> str:
    """The language of an account."""
    return tables.language_of(session, account_id) or settings_of(core).language


def mail_about(core: Core, session: Session, account: AccountFacts, event: Event) -> EmailMessage:
    """The mail to the account's admins about an event."""
    language = language_of(core, session, account.id)
    if event.kind == "notice":
        return _compose(core, account, language, mail.foreign(event.facts["texts"], language))
    case = _case(core, session, account, event)
    return _compose(core, account, language, mail.letter(event.kind, language, case))


def test_mail(core: Core, session: Session, account: AccountFacts) -> EmailMessage:
    """A mail that only shows that mails arrive."""
    language = language_of(core, session, account.id)
    return _compose(core, account, language, mail.letter("test", language, Case(one_line(account.name))))


def _compose(core: Core, account: AccountFacts, language: str, letter: Letter) -> EmailMessage:
    own = settings_of(core)
    name = one_line(account.name)
    return mail.compose(letter, language, name, hostname=core.settings.hostname, sender=own.sender, panel=own.panel)


def _case(core: Core, session: Session, account: AccountFacts, event: Event) -> Case:
    quota = core.quota(session, account.id)
    domain = event.facts.get("domain")
    using = (one_line(one.name) for one in core.connections(session, account.id) if domain in one.domains)
    return Case(
        account=one_line(account.name),
        at=event.at,
        facts=event.facts,
        left=quota.left,
        runs_out=None if quota.runs_out is None else datetime.fromisoformat(quota.runs_out).timestamp(),
        goes_on=_goes_on(core, account),
        connections=tuple(using),
    )


def _goes_on(core: Core, account: AccountFacts) -> bool:
    """Whether mail beyond all blocks is taken and invoiced."""
    own = account.overdraft_policy
    policy = core.settings.overdraft.policy if own == "default" else own
    return policy == "always" or (policy == "agreement" and account.agreement)
