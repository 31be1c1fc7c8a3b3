"""`postmeter store`: the shops that are told what became of their mail."""

from __future__ import annotations

import click

from postmeter import Core, UnreachableError, console, pass_core
from postmeter_stores import desk, facts, queue
from postmeter_stores.kinds import KINDS
from postmeter_stores.reference import Pattern
from postmeter_stores.tables import GIVEN_UP, MISSING, REJECTED, WAITING
from postmeter_stores.web import clean_base, iso

CREDENTIALS = ("key", "secret", "token", "token_secret")
MAX_SHOWN = 100  # notes


@click.group()
def store() -> None:
    """Shops that are told in their orders what became of the mail."""


@store.command()
@click.argument("account")
@click.argument("connection")
@click.argument("kind", type=click.Choice(list(KINDS)))
@click.option("--url", metavar="URL", required=True, help="The shop's address.")
@click.option("--key", metavar="TEXT", envvar="STORE_KEY", help="Consumer key, access key ID or webservice key.")
@click.option("--secret", metavar="TEXT", envvar="STORE_SECRET", help="The secret of the key.")
@click.option("--token", metavar="TEXT", envvar="STORE_TOKEN", help="Magento's access token.")
@click.option("--token-secret", metavar="TEXT", envvar="STORE_TOKEN_SECRET", help="Its secret.")
@click.option("--pattern", metavar="REGEX", default="", help="Finds the order in the mail: 'Order #(\\d+)'.")
@click.option("--deliveries", is_flag=True, help="Write deliveries, too, not only bounces.")
@console.json_option
@pass_core
def connect(
    core: Core,
    /,
    account: str,
    connection: str,
    kind: str,
    url: str,
    pattern: str,
    deliveries: bool,
    as_json: bool,
    **given: str | None,
) -> None:
    """Connect the shop that sends by a connection, or connect it anew; credentials not given are asked for."""
    base = clean_base(url, desk.own(core))
    if pattern:
        Pattern(pattern)
    with core.read() as session:
        facts.connection_of(core, session, account, connection)
    sealed = desk.seal(core, kind, _asked(kind, given))
    with core.write() as session:
        found = facts.connection_of(core, session, account, connection)
        desk.connect(session, core, found, kind, base, sealed, pattern=pattern, deliveries=deliveries)
    data = {"connection": connection, "kind": kind, "url": base}
    console.show(as_json, data, f"{connection} is connected with {base}. Try it with `postmeter store test`.")


@store.command()
@click.argument("account")
@console.json_option
@pass_core
def show(core: Core, account: str, as_json: bool) -> None:
    """Print the shops of an account, without their credentials."""
    with core.read() as session:
        found = facts.shops(core, session, account, core.clock())
    heads = ("Connection", "Shop", "Address", "Pattern", "Writes", "State", "Waiting")
    rows = [(s.connection, KINDS[s.kind].title, s.url, s.pattern, _writes(s), _state(s), s.waiting) for s in found]
    console.show(as_json, console.plain(found), console.table(heads, rows) if found else "No shop is connected.")


@store.command()
@click.argument("account")
@click.argument("connection")
@console.json_option
@pass_core
def test(core: Core, account: str, connection: str, as_json: bool) -> None:
    """Log in to a shop and say what is wrong; when nothing is, what waits for it is written."""
    with core.read() as session:
        row = facts.shop_of(core, session, account, connection)
    if trouble := desk.trouble(core, row):
        raise UnreachableError(trouble)
    with core.write() as session:
        queue.resume(session, row.connection_id, core.clock())
    told = f"{KINDS[row.kind].title} at {row.url} takes the log-in, and notes may be written."
    console.show(as_json, {"connection": connection, "works": True}, told)


@store.command()
@click.argument("account")
@click.argument("connection")
@console.json_option
@pass_core
def disconnect(core: Core, account: str, connection: str, as_json: bool) -> None:
    """Forget the shop of a connection, its credentials and what waits for it."""
    with core.write() as session:
        row = facts.shop_of(core, session, account, connection)
        facts.remove(session, row.connection_id)
        core.follow(session, row.connection_id, False)
    console.show(as_json, {"connection": connection}, f"{connection} has no shop any more.")


@store.command(name="queue")
@click.argument("account")
@click.option("--ended", is_flag=True, help="What could not be written, instead of what waits.")
@console.json_option
@pass_core
def show_queue(core: Core, account: str, ended: bool, as_json: bool) -> None:
    """Print the notes that wait for an account's shops, and why."""
    states = (MISSING, REJECTED, GIVEN_UP) if ended else (WAITING,)
    with core.read() as session:
        found = facts.notes(core, session, account, states, MAX_SHOWN)
    heads = ("Connection", "Message", "Recipient", "Kind", "Reference", "State", "Tries", "Next", "Last answer")
    rows = [
        (n.connection, n.message_id, n.recipient, n.kind, n.reference, n.state, n.attempts, _time(n.next_at), n.said)
        for n in found
    ]
    empty = "No note has come to nothing." if ended else "No note waits."
    console.show(as_json, console.plain(found), console.table(heads, rows) if found else empty)


def _asked(kind: str, given: dict[str, str | None]) -> dict[str, str]:
    """The credentials that were given; those that are needed besides are asked for, unseen."""
    credentials = {name: (given[name] or "").strip() for name in CREDENTIALS}
    for name, title in KINDS[kind].needs.items():
        if not credentials[name]:
            credentials[name] = click.prompt(f"{KINDS[kind].title}: {title}", hide_input=True).strip()
    return credentials


def _writes(shop: facts.ShopFacts) -> str:
    return "bounces, deliveries" if shop.deliveries else "bounces"


def _state(shop: facts.ShopFacts) -> str:
    if shop.paused:
        return f"paused: {shop.paused}"
    return f"in trouble: {shop.trouble}" if shop.trouble else "works"


def _time(at: float | None) -> str:
    return "" if at is None else iso(at)
