"""A house that is lived in: an account with everything that there can be, each piece with the account's mark in it."""

from __future__ import annotations

from dataclasses import dataclass, replace

from postmeter.message.envelope import Envelope, Recipient
from postmeter.store import accounts, audit, connections, domains, quota, suppressions, team
from postmeter.store.audit import Actor
from postmeter.store.queue import Leased
from postmeter.store.secrets import NewPassword
from postmeter.store.settle import settle
from postmeter.store.tables import Connection
from support.panel import House
from support.postage import accept, add_worker, lease, outcome, submission
from support.tenants import new_key

HOSTILE = "<script>alert(1)</script>"


@dataclass(frozen=True)
class Furniture:
    """What an account has, by the names that addresses of pages use for it."""

    mark: str
    domain: str
    connection: int
    connection_name: str
    message: str
    suppressed: str
    block: int
    member: str
    member_id: int
    invitation: int


def furnish(house: House, account: str, mark: str, password: NewPassword) -> Furniture:
    """Give an account a domain, connections, mail in every state, suppressions, a block and a member."""
    domain, name = f"{mark}.example", f"{mark} {HOSTILE}"
    with house.store.write() as session:
        row = accounts.account_by_name(session, account)
        domains.add_domain(session, house.secrets, row, domain, f"https://{domain}/help", True, [new_key()], house.now)
        made = connections.add_connection(session, house.secrets, row, name, [domain], house.now)
        session.get_one(Connection, made.connection_id).last_used_at = house.now
        block = quota.book_block(session, row.id, 25_000, house.settings.block, house.now)
        suppressions.suppress(session, row.id, f"gone@{domain}", "bounce", house.now, detail=f"{mark} {HOSTILE}")
        actor = Actor(None, f"{mark}@{domain}", "192.0.2.7")
        audit.record(session, actor, "connection.add", f"{mark} {HOSTILE}", house.now, account_id=row.id)
    member = house.member(account, f"{mark}@members.example", "viewer", password)
    with house.store.write() as session:
        member_id = accounts.known_user(session, member).id
        owner, invited = team.members(session, row.id)[0].user_id, f"invited@{mark}.example"
        team.invite(session, house.secrets, row.id, "owner", invited, "viewer", owner, house.now)
        invitation = team.invitations(session, row.id, house.now)[0].id
    message = _mail(house, house.ids[account], made.connection_id, domain, mark)
    return Furniture(
        mark, domain, made.connection_id, name, message, f"gone@{domain}", block, member, member_id, invitation
    )


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
        subject=f"=1+1 {mark} {HOSTILE}",
        envelope=envelope,
        reference=f"order:{mark}",
    )
    accept(house.store, sent)
    [leased] = [one for one in lease(house.store, worker, house.now) if one.message.id == sent.id]
    answers = {"delivered": "250 2.0.0 ok", "bounced": f"550 5.1.1 {mark} {HOSTILE}", "deferred": f"451 4.7.1 {mark}"}
    with house.store.write() as session:
        settle(
            session,
            [_outcome(house, leased, n, worker, state, reply) for n, (state, reply) in enumerate(answers.items())],
        )
    return sent.id


def _outcome(house: House, leased: Leased, n: int, worker: int, state: str, reply: str) -> object:
    recipient = leased.recipients[n]
    return outcome(leased, recipient, worker, state, house.now, reply=reply, again=house.now + 900)
