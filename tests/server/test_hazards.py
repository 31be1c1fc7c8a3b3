"""What twisted.mail.smtp does wrong (RELIABILITY.md, section 3, T8 to T10), the server does not: and see each guard.

What is for the session alone is in ../test_hazards.py.
"""

from __future__ import annotations

import errno
import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from unittest.mock import patch

import pytest
from sqlalchemy.exc import OperationalError
from twisted.internet.defer import fail
from twisted.internet.task import Clock

from postmeter.message.envelope import Envelope, Recipient
from postmeter.server.spool import Spool
from postmeter.store import events
from postmeter.store.accept import Acceptance
from postmeter.store.base import Base
from postmeter.store.engine import Store
from postmeter.store.quota_tables import Ledger
from postmeter.store.tables import Content, Event, Message
from support.accepting import Bench, storing
from support.mutant import Guard, fails_without
from support.postage import audit, funded, recipients, rows
from support.reception import ACCESS, Client, FakeAcceptance, logged_in, reception
from support.submission import BODY, ENVELOPE, codes

MAIL = ENVELOPE + b"DATA\r\n"
LOCKED = OperationalError("insert", {}, sqlite3.OperationalError("database is locked"))
CONTENT = b"From: orders@shop.example\r\n\r\nHello\r\n"
FIFTY = Envelope("orders@shop.example", tuple(Recipient(f"c{n}@example.org") for n in range(50)))


@contextmanager
def stored(folder: Path) -> Iterator[Store]:
    """A store whose account 7 can pay."""
    store = Store.open(f"sqlite:///{folder / 'postmeter.db'}")
    Base.metadata.create_all(store.engine)
    funded(store, 1000, ACCESS.account_id)
    yield store
    store.close()


def test_t8_trouble_at_the_end_of_the_content_is_never_permanent(folder: Path) -> None:
    full, broken = OSError(errno.ENOSPC, "No space left on device"), OSError(errno.EIO, "Input/output error")
    for trouble, code in ((full, 452), (broken, 451), (LOCKED, 451), (RuntimeError("a defect"), 451)):

        def outcome(_submission: object, trouble: Exception = trouble) -> Any:
            raise trouble

        assert Bench(folder, outcome=outcome).reply(CONTENT).code == code


def test_t8_a_defect_before_the_commit_is_never_permanent(folder: Path) -> None:
    with patch.object(Spool, "head", side_effect=RuntimeError("a defect")):
        assert Bench(folder).reply(CONTENT).code == 451


def test_t8_an_acceptance_that_fails_is_told_as_trouble_of_ours() -> None:
    acceptance = FakeAcceptance()
    acceptance.accept = lambda *_: fail(RuntimeError("a defect"))  # type: ignore[method-assign]
    client = logged_in(reception(Clock(), acceptance))
    assert codes(client.send(MAIL + BODY + b"NOOP\r\n")) == [250, 250, 354, 451, 250]


def test_t9_all_recipients_share_one_content_and_one_acceptance() -> None:
    acceptance = FakeAcceptance()
    client = logged_in(reception(Clock(), acceptance))
    with patch.object(Spool, "write", autospec=True, side_effect=Spool.write) as write:
        client.send(b"MAIL FROM:<>\r\n" + b"".join(b"RCPT TO:<c%d@example.org>\r\n" % n for n in range(50)))
        assert codes(client.send(b"DATA\r\n" + BODY)) == [354, 250]
    assert [len(taken.envelope.recipients) for taken in acceptance.taken] == [50]
    assert write.call_count == 1


def test_t9_a_message_is_stored_for_all_its_recipients_or_for_none(folder: Path) -> None:
    with stored(folder) as store:
        bench = Bench(folder, outcome=storing(store, Acceptance()))
        with patch.object(events, "record", side_effect=LOCKED):
            assert bench.reply(CONTENT, envelope=FIFTY).code == 451
        assert [rows(store, table) for table in (Message, Content, Event)] == [[], [], []]
        assert recipients(store) == []
        assert [entry.kind for entry in rows(store, Ledger)] == ["book"]
        assert bench.reply(CONTENT, envelope=FIFTY).code == 250
        assert len(recipients(store)) == 50
        assert len(rows(store, Content)) == 1
        audit(store)


def test_t10_octets_beyond_ascii_in_a_verb_do_not_end_the_session() -> None:
    client = Client(reception(Clock()), implicit_tls=False)
    assert codes(client.send(b"\xff\xfe\xe4\r\nNOOP\r\n")) == [500, 250]


def test_t10_commands_do_not_stretch_the_time_until_login() -> None:
    clock = Clock()
    client = Client(reception(clock))
    for _ in range(11):
        clock.advance(5)
        assert codes(client.send(b"NOOP\r\n")) == [250]
    clock.advance(5)
    assert codes(client.take()) == [421]
    assert client.closing


def test_t10_octets_one_by_one_do_not_stretch_the_time_of_a_content() -> None:
    clock = Clock()
    client = logged_in(reception(clock))
    client.send(MAIL)
    for _ in range(61):
        clock.advance(1)
        client.send(b"x")
    assert client.closing


GUARDS = (
    Guard(
        "T8 commit", test_t8_trouble_at_the_end_of_the_content_is_never_permanent, "server/acceptance.py",
        "    return DISK_FULL if disk_is_full(error) else LOCAL_ERROR\n",
        '    return Reply(550, "5.3.0", "Could not send e-mail")\n',
    ),
    Guard(
        "T8 defect", test_t8_a_defect_before_the_commit_is_never_permanent, "server/acceptance.py",
        '    log.error("refused a message because of a defect", exc_info=error)\n    return LOCAL_ERROR\n',
        '    return Reply(550, "5.3.0", "Could not send e-mail")\n',
    ),
    Guard(
        "T8 failure", test_t8_an_acceptance_that_fails_is_told_as_trouble_of_ours, "server/protocol.py",
        "        d.addErrback(refusal_of)\n        d.addCallback(self._accepted, spool)",
        "        d.addCallback(self._accepted, spool)",
    ),
    Guard(
        "T9 one content", test_t9_all_recipients_share_one_content_and_one_acceptance, "server/visit.py",
        "            self._spool.write(event.block)\n",
        "            for _ in self._session._transaction.recipients:\n                self._spool.write(event.block)\n",
    ),
    Guard(
        "T9 one commit", test_t9_a_message_is_stored_for_all_its_recipients_or_for_none, "store/accept.py",
        "    _RECIPIENT.run(\n",
        "    session.connection().exec_driver_sql('COMMIT')\n    session.connection().exec_driver_sql('BEGIN')\n"
        "    _RECIPIENT.run(\n",
    ),
    Guard(
        "T10 octets beyond ASCII", test_t10_octets_beyond_ascii_in_a_verb_do_not_end_the_session, "smtp/session.py",
        '"surrogateescape"',
        '"strict"',
    ),
    Guard(
        "T10 time until login", test_t10_commands_do_not_stretch_the_time_until_login, "server/deadline.py",
        "        elif self._logged_in:\n",
        "        else:\n",
    ),
    Guard(
        "T10 time of a content", test_t10_octets_one_by_one_do_not_stretch_the_time_of_a_content, "server/deadline.py",
        "            return min(self._fixed, slow, self._heard_at + self._limits.command_timeout)\n",
        "            return self._fixed\n",
    ),
)  # fmt: skip


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """The argument of those tests that are also run without pytest."""
    return tmp_path


@pytest.mark.parametrize("guard", GUARDS, ids=lambda guard: guard.hazard)
def test_the_guard_is_what_holds(guard: Guard, tmp_path: Path) -> None:
    assert fails_without(guard, tmp_path)
