"""`postmeter user`: help for who locked himself out."""

from __future__ import annotations

import time
from pathlib import Path

from postmeter.store import accounts, audit, logins, second_factors
from postmeter.store.engine import Store
from postmeter.store.second_factors import address_of, new_secret
from postmeter.store.secrets import Secrets
from support.command import Cli, opened, printed, told
from support.people import code

ANN = "ann@acme.example"


def logged_in(store: Store, secrets: Secrets, now: float) -> int:
    """Ann, with a second factor and a browser in which she is logged in."""
    secret = new_secret()
    assert ANN.partition("@")[0] in address_of(secret, ANN, "relay")
    with store.write() as session:
        ann = accounts.known_user(session, ANN).id
        second_factors.set_up(session, secrets, ann, secret, code(secret, now), now)
        logins.begin(session, secrets, ann, "192.0.2.1", "", now)
    return ann


def test_a_lost_second_factor_is_reset_and_sessions_end(cli: Cli, data: Path) -> None:
    printed(cli("account", "add", "acme", "--owner", ANN, "--json"))
    with opened(data) as store:
        ann = logged_in(store, Secrets.open(data), time.time())
        assert printed(cli("user", "reset-second-factor", ANN, "--json")) == {"user": ANN}
        with store.read() as session:
            facts = accounts.user_facts(session, ann)
            assert facts is not None
            assert (facts.second_factor, facts.epoch) == (False, 1)
            assert logins.logins_of(session, ann, time.time()) == []
            entry = audit.entries(session)[0]
    assert (entry.actor, entry.action, entry.subject) == ("command line", "user.reset-second-factor", ANN)


def test_a_user_is_logged_out_and_keeps_the_second_factor(cli: Cli, data: Path) -> None:
    printed(cli("account", "add", "acme", "--owner", ANN, "--json"))
    with opened(data) as store:
        ann = logged_in(store, Secrets.open(data), time.time())
        assert "logged out everywhere" in cli("user", "logout", ANN).stdout
        with store.read() as session:
            facts = accounts.user_facts(session, ann)
            assert facts is not None
            assert facts.second_factor
            assert logins.logins_of(session, ann, time.time()) == []


def test_nobody_is_not_logged_out(cli: Cli) -> None:
    for command in ("logout", "reset-second-factor"):
        assert "there is no user" in told(cli("user", command, ANN), 2)
