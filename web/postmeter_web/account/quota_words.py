"""What the quota's pages say in sentences: what happens at 0, the hourly limit, each entry of the ledger."""

from __future__ import annotations

from flask_babel import gettext

from postmeter import Tariff, config
from postmeter.quota.overdraft import room
from postmeter.store.accounts import AccountFacts
from postmeter.store.ledger import Entry
from postmeter_web.show import money, number


def N_(text: str) -> str:
    """Mark a text for translation."""
    return text


KINDS = {  # of entries of the ledger, for the choice
    "book": N_("Booked"),
    "renew": N_("Renewed"),
    "expire": N_("Expired"),
    "reserve": N_("Accepted"),
    "charge": N_("Sent"),
    "release": N_("Given back"),
    "overdraft": N_("Beyond all blocks"),
    "invoice": N_("Invoiced"),
}
_OF_BLOCK = {
    "book": N_("Block %(block)d was booked."),
    "renew": N_("Block %(block)d took the place of one that had ended."),
    "expire": N_("Block %(block)d has ended; this was left of it."),
    "reserve": N_("Mail was accepted; block %(block)d pays for it."),
    "charge": N_("Mail was handed to mail servers, paid by block %(block)d."),
    "release": N_("Mail was never sent; block %(block)d has it back."),
}
_BEYOND = {
    "overdraft": N_("Mail was accepted beyond all blocks."),
    "charge": N_("Mail beyond all blocks was handed to mail servers."),
    "invoice": N_("Mail beyond all blocks was put on an invoice."),
}


def entry_words(entry: Entry) -> str:
    """What has happened."""
    if entry.kind == "overdraft" and entry.units > 0:
        return str(gettext("Mail beyond all blocks was never sent; it costs nothing."))
    texts = _BEYOND if entry.block is None else _OF_BLOCK
    return str(gettext(texts[entry.kind], block=entry.block))


def at_zero(account: AccountFacts, overdraft: config.Overdraft, tariff: Tariff | None) -> str:
    """What becomes of the account's mail when no block has any left."""
    policy = overdraft.policy if account.overdraft_policy == "default" else account.overdraft_policy
    cap = overdraft.cap if account.overdraft_cap is None else account.overdraft_cap
    if room(account.agreement, policy, cap, 0) == 0:
        return str(
            gettext(
                "When nothing is left, no further mail is taken: your systems are told to try again later (450 4.7.1), "
                "until a block is booked."
            )
        )
    said = [_goes_on(cap)]
    if tariff:
        price = money(tariff.prices.highest, tariff.currency)
        said.append(
            gettext(
                "Each of these mails costs %(price)s and is on the next invoice, also if a block is booked later.",
                price=price,
            )
        )
    return " ".join(said)


def hourly_limit(account: AccountFacts, demo: config.Demo) -> str:
    """What holds for an account that never had a paid block; empty for others."""
    if account.paid_at is not None or not demo.per_hour:
        return ""
    text = _EXCESS[demo.on_excess]
    return str(gettext(text, recipients=number(demo.per_hour)))


def why_not(account: AccountFacts, tariff: Tariff | None, operator: bool) -> str:
    """Why nobody but the operator can book a block for the account now; empty when its people can."""
    if operator:
        return ""
    if account.blocked:
        return str(gettext("This account is blocked (%(reason)s). Please ask the operator.", reason=account.blocked))
    if not account.agreement:
        return str(
            gettext(
                "This account has no billing agreement yet, so blocks are booked by the operator. "
                "Please ask for the block that you need."
            )
        )
    if tariff and not tariff.addressed:
        return str(gettext("Before a block can be booked, it must be known whom invoices are for."))
    return ""


_EXCESS = {
    "queue": N_(
        "Until its first paid block this account sends to %(recipients)s recipients an hour; what is more waits for "
        "its turn. The first block ends this limit at once."
    ),
    "refuse": N_(
        "Until its first paid block this account sends to %(recipients)s recipients an hour; what is more is refused "
        "for the time being (450 4.7.1). The first block ends this limit at once."
    ),
}


def _goes_on(cap: int) -> str:
    if not cap:
        return str(gettext("When nothing is left, mail goes on."))
    return str(
        gettext(
            "When nothing is left, mail goes on until %(cap)s mails are on no invoice yet; after that your systems are "
            "told to try again later (450 4.7.1).",
            cap=number(cap),
        )
    )
