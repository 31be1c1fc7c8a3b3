"""Every dialogue script holds, unchanged, with the whole running relay: its processes, its store, its policy."""

from __future__ import annotations

import sqlite3
import ssl
from collections.abc import Iterator
from contextlib import closing

import pytest

from postmeter.store.secrets import Secrets
from support.dialogue import Credentials, Script, load_scripts, play_on_socket
from support.mail_sink import MailSink
from support.relay import Relay

# All scripts come from one address, one after the other, and some of them fail to log in on purpose.
SETTINGS = """\
max_new_sessions_per_second = 100000
max_login_failures_per_user = 100000
max_login_failures_per_network = 100000
"""


@pytest.fixture(scope="module")
def relay(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Relay]:
    """A relay whose customer has the scripts' access data."""
    sink = MailSink(tmp_path_factory.mktemp("sink"))
    made = Relay(tmp_path_factory.mktemp("relay"), f"127.0.0.1:{sink.port}", settings={"smtp": SETTINGS})
    try:
        made.start()
        made.set_up()
        _rename(made, Credentials())
        yield made
    finally:
        made.kill()
        sink.close()


def _rename(relay: Relay, credentials: Credentials) -> None:
    secret = Secrets.open(relay.data).hash_token(credentials.password)
    with closing(sqlite3.connect(relay.database, timeout=10)) as connection, connection:
        connection.execute("UPDATE connection SET username = ?, secret = ?", (credentials.username, secret))


@pytest.mark.parametrize("script", load_scripts(), ids=lambda script: script.name)
def test_dialogue(relay: Relay, script: Script) -> None:
    trusted = ssl.create_default_context(cafile=str(relay.certificate))
    play_on_socket(script, relay.tls_port if script.secure else relay.port, trusted)


def test_no_dialogue_has_made_a_defect(relay: Relay) -> None:
    assert "Traceback" not in relay.log()
    assert "defect" not in relay.log()
