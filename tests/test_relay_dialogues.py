"""Every dialogue script holds, unchanged, with the whole running relay: its processes, its store, its policy.

And what arrives behind a relay that makes line ends right has no wrong one, and a good signature.
"""

from __future__ import annotations

import re
import sqlite3
import ssl
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path

import pytest

from postmeter.store.secrets import Secrets
from support.dialogue import Credentials, Script, load_scripts, play_on_socket
from support.mail_sink import MailSink
from support.relay import Access, Relay, wait_until
from support.transit import check_signatures

# All scripts come from one address, one after the other, and some of them fail to log in on purpose.
SETTINGS = """\
max_new_sessions_per_second = 100000
max_login_failures_per_user = 100000
max_login_failures_per_network = 100000
"""
NORMALISING = 'bare_line_endings = "normalise"'


@contextmanager
def running(folder: Path, sink: MailSink, smtp: str) -> Iterator[tuple[Relay, Access]]:
    """A relay whose customer has the scripts' access data."""
    made = Relay(folder, f"127.0.0.1:{sink.port}", settings={"smtp": smtp})
    try:
        made.start()
        access = made.set_up()
        _rename(made, Credentials())
        yield made, access
    finally:
        made.kill()


@pytest.fixture(scope="module")
def relay(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Relay]:
    """One for all scripts."""
    folder = tmp_path_factory.mktemp("relay")
    with closing(MailSink(folder)) as sink, running(folder, sink, SETTINGS) as (made, _):
        yield made


def _rename(relay: Relay, credentials: Credentials) -> None:
    secret = Secrets.open(relay.data).hash_token(credentials.password)
    with closing(sqlite3.connect(relay.database, timeout=10)) as connection, connection:
        connection.execute("UPDATE connection SET username = ?, secret = ?", (credentials.username, secret))


@pytest.mark.parametrize("script", load_scripts(), ids=lambda script: script.name)
def test_dialogue(relay: Relay, script: Script) -> None:
    trusted = ssl.create_default_context(cafile=str(relay.certificate))
    play_on_socket(script, relay.tls_port if script.secure else relay.port, trusted)


def test_what_a_relay_normalises_arrives_with_right_line_ends_and_signed(tmp_path: Path) -> None:
    with closing(MailSink(tmp_path)) as sink, running(tmp_path, sink, f"{SETTINGS}{NORMALISING}") as (made, access):
        trusted = ssl.create_default_context(cafile=str(made.certificate))
        for script in load_scripts("normalise"):
            play_on_socket(script, made.tls_port if script.secure else made.port, trusted)
        accepted = made.stats()["arrived"]
        assert accepted >= 10
        wait_until(lambda: len(sink.received) == accepted, 20, made.log)
        for mail in sink.received:
            assert not re.search(rb"(?<!\r)\n|\r(?!\n)|\0", mail.content)
            check_signatures(mail.content, access.records)
            assert mail.mail_from.startswith(b"<orders@shop.example>")


def test_no_dialogue_has_made_a_defect(relay: Relay) -> None:
    assert "Traceback" not in relay.log()
    assert "defect" not in relay.log()
