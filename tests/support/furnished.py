"""A house that is lived in: an account with everything that there can be, each piece with the account's mark in it."""

from __future__ import annotations

from dataclasses import dataclass, replace

from sqlalchemy.orm import Session

from postmeter.message.envelope import Envelope, Recipient
from postmeter.store import accounts, audit, connections, domains, logins, pauses, quota, rotation, suppressions, team
from postmeter.store.audit import Actor
from postmeter.store.queue import Leased
from postmeter.store.secrets import NewPassword
from postmeter.store.settle import Settlement, settle
from postmeter.store.tables import Account, SendingDomain
from support import plugged
from support.hostile import LINK, hostile
from support.panel import House
from support.postage import accept, add_worker, lease, outcome, submission
from support.tenants import new_key


@dataclass(frozen=True)
class Furniture:
    """What an account has, by the names that addresses of pages use for it."""

    mark: str
    domain: str
    selector: str
    connection: int
    message: str
    suppressed: str
    block: int
    member: str
    member_id: int
    login: int
    invitation: int
    endpoint: int
    invoice: str


def furnish(house: House, account: str, mark: str, password: NewPassword) -> Furniture:
    """Give an account of each thing one; the house has the plugins' tables."""
    domain = f"{mark}.example"
    with house.store.write() as session:
        row = accounts.account_by_name(session, account)
        selector = _add_domain(session, house, row, domain)
        connection = _add_connection(session, house, row, mark, domain)
        block = quota.book_block(session, row.id, 25_000, house.settings.block, house.now)
        gone = f"gone@{domain}"
        suppressions.suppress(session, row.id, gone, "bounce", house.now, detail=hostile("suppression", mark))
        actor = Actor(None, f"{mark}@{domain}", "192.0.2.7")
        noted = {"what": hostile("fact", mark)}
        subject = hostile("subject-of-change", mark)
        audit.record(session, actor, "connection.add", subject, house.now, account_id=row.id, facts=noted)
    member = house.member(account, f"{mark}@members.example", "viewer", password)
    with house.store.write() as session:
        known = accounts.known_user(session, member)
        agent = hostile("agent", mark)
        _, login = logins.begin(session, house.secrets, known.id, "192.0.2.8", agent, house.now)
        invitation = _invite(session, house, row.id, f"invited@{mark}.example")
        user = known.id
    message = _mail(house, house.ids[account], connection, domain, mark)
    endpoint, invoice = plugged.equip(house, account, mark, connection)
    own = (domain, selector, connection, message, gone, block, member, user, login.id, invitation)
    return Furniture(mark, *own, endpoint, invoice)


def _add_domain(session: Session, house: House, account: Account, domain: str) -> str:
    """A domain that is verified, with a key that waits for its record; the selector of that one."""
    help_page = f"https://{domain}/help"
    domains.add_domain(session, house.secrets, account, domain, help_page, True, [new_key()], house.now)
    session.get_one(SendingDomain, (account.id, domain)).list_help = f"<{LINK}>, <{hostile('help')}>"
    waiting = new_key()
    rotation.rotate(session, house.secrets, account.id, domain, waiting, house.now)
    return waiting.selector


def _add_connection(session: Session, house: House, account: Account, mark: str, domain: str) -> int:
    """One that was used, and one that is paused."""
    used, paused = (hostile(what, mark) for what in ("connection", "paused"))
    for name in (used, paused):
        connections.add_connection(session, house.secrets, account, name, [domain], house.now)
    pauses.pause(session, account, paused, hostile("why-paused", mark), house.now)
    row = connections.connection_by_name(session, account, used)
    row.last_used_at = house.now
    return row.id


def _invite(session: Session, house: House, account: int, email: str) -> int:
    owner = team.members(session, account)[0].user_id
    team.invite(session, house.secrets, account, "owner", email, "viewer", owner, house.now)
    return team.invitations(session, account, house.now)[0].id


def _mail(house: House, account: int, connection: int, domain: str, mark: str) -> str:
    """A message to four recipients: one delivered, one bounced, one deferred, one that waits; its id."""
    worker = add_worker(house.store, house.now + 1e6)
    names = ("delivered", "bounced", "deferred", "queued")
    envelope = Envelope(f"b@{domain}", tuple(Recipient(f"{name}@{mark}.example.net", "NEVER") for name in names))
    sent = replace(
        submission(account=account, at=house.now),
        id=f"{account:026d}",
        connection_id=connection,
        domain=domain,
        header_from=f"{mark}@{domain}",
        subject=f"=1+1 {hostile('subject', mark)}",
        message_id=f"<{hostile('message-id', mark)}@{domain}>",
        envelope=envelope,
        reference=f"order:{hostile('reference', mark)}",
    )
    accept(house.store, sent)
    [leased] = [one for one in lease(house.store, worker, house.now) if one.message.id == sent.id]
    answers = {
        "delivered": f"250 2.0.0 {hostile('taken', mark)}",
        "bounced": f"550 5.1.1 {hostile('reply', mark)}",
        "deferred": f"451 4.7.1 {hostile('delay', mark)}",
    }
    with house.store.write() as session:
        settle(
            session,
            [_outcome(house, leased, n, worker, state, reply) for n, (state, reply) in enumerate(answers.items())],
        )
    return sent.id


def _outcome(house: House, leased: Leased, n: int, worker: int, state: str, reply: str) -> Settlement:
    mark, at = leased.message.domain.partition(".")[0], house.now
    made = outcome(leased, leased.recipients[n], worker, state, at, reply=reply, again=at + 900, provider="Google")
    names = ("remote", "address", "local_address", "ehlo", "tls", "cipher", "certificate")
    facts = {name: hostile(name, mark) for name in names}
    return replace(made, facts={**made.facts, **facts, "dialogue": [[0.1, "S", hostile("dialogue", mark)]]})
