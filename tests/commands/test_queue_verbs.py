"""`postmeter queue hold|release|retry|cancel`: a count first, then the deed, and a line in the audit log."""

from __future__ import annotations

from pathlib import Path

import pytest

from postmeter.store import audit
from postmeter.store.engine import Store
from postmeter.store.tables import BOUNCED, CANCELLED, HELD, QUEUED
from support.command import Cli, opened, printed, told, with_account
from support.postage import accept, add_worker, lease, recipients, submission


@pytest.fixture
def relay(cli: Cli, data: Path) -> None:
    """Three recipients wait, one more is being sent."""
    with_account(cli)
    with opened(data) as store:
        accept(store, submission(1, at=1.0))
        lease(store, add_worker(store), now=2.0)
        accept(store, submission(3, at=1.0))


def states(data: Path) -> list[str]:
    with opened(data) as store:
        return [one.state for one in recipients(store)][1:]


def test_the_number_is_told_before_anything_is_done(cli: Cli, data: Path, relay: None) -> None:
    asked = cli("queue", "hold", "domain:example.net", input="n\n")
    assert asked.exit_code == 1
    assert "hold: 3 recipients (1 more are being sent and are left alone)" in asked.stderr
    assert states(data) == [QUEUED] * 3
    done = cli("queue", "hold", "domain:example.net", input="y\n")
    assert done.stdout == "3 recipients are held; 1 were being sent and are as they were.\n"
    assert states(data) == [HELD] * 3


def test_scripts_say_yes(cli: Cli, data: Path, relay: None) -> None:
    done = printed(cli("queue", "cancel", "state:queued", "domain:example.net", "--yes", "--json"))
    assert (done["matched"], done["done"], done["left_out"], done["filter"]) == (
        3,
        3,
        0,
        "state:queued domain:example.net",
    )
    assert states(data) == [CANCELLED] * 3
    assert printed(cli("queue", "cancel", "all", "--json"))["done"] == 0


def test_what_a_verb_needs_besides_is_an_option(cli: Cli, data: Path, relay: None) -> None:
    assert "Missing option '--reply'" in cli("queue", "bounce", "all").stderr
    rerouted = printed(cli("queue", "reroute", "all", "--to", "Relay.example:2525", "--yes", "--json"))
    assert (rerouted["object"], rerouted["done"]) == ("relay.example:2525", 3)
    assert "now to relay.example:2525" in cli("queue").stdout
    with opened(data) as store:
        waiting = recipients(store)[1]
    assert "queued (to relay.example:2525)" in cli("message", "show", waiting.message_id).stdout
    assert told(cli("queue", "reroute", "all", "--to", "relay"), 2).startswith("'relay' is no next hop")
    done = cli("queue", "bounce", "route:relay.example:2525", "--reply", "The sender was hacked", input="y\n")
    assert done.stdout == "3 recipients are bounced.\n"
    assert states(data) == [BOUNCED] * 3
    assert "550 5.7.0 The sender was hacked" in cli("message", "show", waiting.message_id).stdout


def test_whose_provider_is_not_known_yet_is_told(cli: Cli, data: Path, relay: None) -> None:
    done = cli("queue", "hold", "provider:Google", "domain:example.net")
    assert done.stderr.startswith("3 more wait for their first attempt, which will tell their provider; they are left")
    assert done.stdout == "0 recipients are held.\n"
    assert "first attempt" not in cli("queue", "hold", "domain:example.org").stderr
    assert states(data) == [QUEUED] * 3


def test_wrong_filters_are_told_in_one_line(cli: Cli, relay: None) -> None:
    assert told(cli("queue", "cancel", "account:nobody"), 2) == "there is no account 'nobody'"
    assert told(cli("queue", "hold", "everything"), 2).startswith("'everything' is no condition; there are: account:…")


def test_the_overview_is_there_as_before(cli: Cli, relay: None) -> None:
    assert printed(cli("queue", "--json"))["total"] == 4
    assert printed(cli("queue", "--account", "acme", "--json"))["total"] == 4


def entries(store: Store) -> list[audit.Entry]:
    with store.read() as session:
        return audit.entries(session)


def test_the_audit_log_tells_what_was_changed_at_the_command_line(
    cli: Cli, data: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SUDO_USER", "ann")
    with_account(cli)
    printed(cli("account", "set", "acme", "--threshold", "50", "--json"))
    printed(cli("queue", "hold", "domain:example.org", "state:queued", "--yes", "--json"))
    assert cli("account", "set", "nobody", "--threshold", "1").exit_code == 2
    printed(cli("account", "show", "acme", "--json"))
    with opened(data) as store:
        held, changed, added = entries(store)
    assert (added.action, added.subject, added.account, added.actor) == ("account.add", "acme", "acme", "command line")
    assert added.facts == {"owner": "ann@acme.example", "user": "ann"}
    assert (changed.action, changed.account, changed.facts["threshold"]) == ("account.set", "acme", 50)
    assert (held.action, held.subject) == ("queue.hold", "domain:example.org state:queued")


def test_a_new_password_is_not_in_the_audit_log(cli: Cli, data: Path) -> None:
    with_account(cli)
    typed = "a long enough password"
    done = cli("user", "password", "ann@acme.example", "--ask", "--json", input=f"{typed}\n{typed}\n")
    assert done.exit_code == 0
    with opened(data) as store:
        changed = entries(store)[0]
    assert (changed.action, changed.subject) == ("user.password", "ann@acme.example")
    assert typed not in str(changed)
