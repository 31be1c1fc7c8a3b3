"""Signing in its thread: keys and contents from the store, the same bytes each time, never without a signature."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from queue import Queue
from types import SimpleNamespace
from typing import Any

import dkim
import pytest
from sqlalchemy import update

from postmeter.config import Overdraft
from postmeter.delivery import signing as signing_module
from postmeter.delivery.signing import KeyRing, NoKey, Order, Signed, Signer
from postmeter.delivery.source import PoolNames
from postmeter.message.envelope import Envelope, Recipient
from postmeter.store import accept, rotation, tables
from postmeter.store.connections import add_connection
from postmeter.store.domain_checks import take_over
from postmeter.store.domains import add_operator_key
from postmeter.store.engine import Store
from postmeter.store.own_mail import OPERATOR
from postmeter.store.queue import QueuedMessage
from support.accepting import IDENTIFIER, NOW, Bench, storing
from support.reception import ACCESS
from support.tenants import SECRETS, make_account, make_domain, new_key, rsa_key

Result = Signed | Exception
THEN = 1_700_000_000.7  # the verifier takes no signature from the future
CONTENT = b"From: a@shop.example\r\nSubject: x\r\n\r\nHello\r\n"


@pytest.fixture
def store(sqlite_url: str) -> Iterator[Store]:
    """A store with the account 1 and its domain shop.example."""
    opened = Store.open(sqlite_url)
    with opened.write() as session:
        make_domain(session, make_account(session))
    yield opened
    opened.close()


@pytest.fixture
def sign(store: Store) -> Iterator[Callable[..., Result]]:
    """Signs and waits for the result."""
    signer = Signer(store, KeyRing(store, SECRETS), lambda function: function())
    signer.start()

    def make(content: bytes | None = CONTENT, added: bytes = b"", domain: str = "shop.example") -> Result:
        results: Queue[Result] = Queue()
        message = QueuedMessage(IDENTIFIER, 1, 1, domain, Envelope("a@shop.example", ()), THEN, 100)
        signer.sign(Order(message, content, added, results.put))
        return results.get(timeout=10)

    yield make
    signer.stop()


def verifies(result: Result) -> bool:
    """Whether an independent verifier accepts the first signature."""
    assert isinstance(result, Signed)
    record = rsa_key_record()
    return bool(dkim.verify(b"".join(result.chunks), dnsfunc=lambda *_args, **_options: record))


def rsa_key_record() -> bytes:
    """What the domain publishes."""
    return rsa_key().dns_value.encode()


def test_what_is_signed_verifies_and_signing_again_gives_the_same_bytes(sign: Callable[..., Result]) -> None:
    first, second = sign(), sign()
    assert first == second
    assert isinstance(first, Signed)
    assert first.chunks[1:] == (b"", CONTENT)
    assert f"t={int(THEN)};".encode() in first.chunks[0]
    assert verifies(first)


def test_added_fields_come_between_and_do_not_break_the_signature(sign: Callable[..., Result]) -> None:
    result = sign(added=b"List-Unsubscribe: <https://shop.example/u>\r\n")
    assert isinstance(result, Signed)
    assert b"".join(result.chunks).endswith(b"\r\nList-Unsubscribe: <https://shop.example/u>\r\n" + CONTENT)
    assert verifies(result)


@pytest.mark.parametrize(
    ("content", "eight_bit", "utf8_header"),
    [
        (CONTENT, False, False),
        (CONTENT + "ü".encode(), True, False),
        ("From: ü <a@shop.example>\r\n\r\nx".encode(), True, True),
        (b"From: a@shop.example\r\n", False, False),
    ],
)
def test_what_the_message_needs_is_found(
    sign: Callable[..., Result], content: bytes, eight_bit: bool, utf8_header: bool
) -> None:
    result = sign(content)
    assert isinstance(result, Signed)
    assert (result.eight_bit, result.utf8_header) == (eight_bit, utf8_header)
    assert verifies(result)


def test_what_is_signed_knows_its_pool_if_there_are_pools(store: Store, sign: Callable[..., Result]) -> None:
    results: Queue[Result] = Queue()
    signer = Signer(store, KeyRing(store, SECRETS), lambda function: function(), PoolNames(store, {"probation"}))
    signer.start()
    message = QueuedMessage(IDENTIFIER, 1, 1, "shop.example", Envelope("a@shop.example", ()), THEN, 100)
    signer.sign(Order(message, CONTENT, b"", results.put))
    signed, without = results.get(timeout=10), sign()
    signer.stop()
    assert isinstance(signed, Signed)
    assert isinstance(without, Signed)
    assert (signed.pool, without.pool) == ("probation", "")


def test_without_a_key_there_is_no_result_to_send(sign: Callable[..., Result]) -> None:
    result = sign(domain="other.example")
    assert isinstance(result, NoKey)
    assert str(result) == "There is no signing key for other.example"


def test_the_operators_key_alone_does_not_sign_for_a_customer(store: Store, sign: Callable[..., Result]) -> None:
    with store.write() as session:
        session.execute(update(tables.SigningKey).values(account_id=None, domain="operator.example"))
    assert isinstance(sign(), NoKey)


def test_a_key_that_is_made_later_is_found_at_once_and_a_withdrawn_one_is_forgotten_soon(
    store: Store, sign: Callable[..., Result], monkeypatch: pytest.MonkeyPatch
) -> None:
    _activate(store, False)
    assert isinstance(sign(), NoKey)
    _activate(store, True)
    assert isinstance(sign(), Signed)
    _activate(store, False)
    assert isinstance(sign(), Signed)  # remembered for a few seconds
    monkeypatch.setattr(signing_module, "time", _LaterClock)
    assert isinstance(sign(), NoKey)


def _activate(store: Store, active: bool) -> None:
    with store.write() as session:
        session.execute(update(tables.SigningKey).values(active=active))


class _LaterClock:
    """Time, long after."""

    @staticmethod
    def monotonic() -> float:
        """Seconds."""
        return 1e12


def test_a_large_content_is_read_from_the_store(store: Store, sign: Callable[..., Result], tmp_path: Path) -> None:
    with store.write() as session:
        account = make_account(session, "other")
        connection = add_connection(session, SECRETS, account, "web", [], NOW).connection_id
        session.execute(update(tables.Connection).values(account_id=1))
    access = type(ACCESS)(connection, 1, "shop", b"", "", ACCESS.domains)
    bench = Bench(tmp_path, outcome=storing(store, accept.Acceptance(Overdraft("always"))))
    bench.delivery.room = False
    body = b"x" * 70 + b"\r\n" + b"line\r\n" * 500_000
    envelope = Envelope("a@shop.example", (Recipient("joe@example.org"),))
    assert bench.reply(b"From: a@shop.example\r\n\r\n" + body, access, envelope).code == 250
    result = sign(None)
    assert isinstance(result, Signed)
    assert result.chunks[2] == bench.contents[0]
    assert verifies(result)


def test_a_content_that_is_gone_is_an_error_of_this_message_alone(sign: Callable[..., Result]) -> None:
    assert isinstance(sign(None), LookupError)
    assert isinstance(sign(), Signed)


def test_a_content_that_cannot_be_read_any_more_is_no_refusal(sign: Callable[..., Result]) -> None:
    result = sign(b"no header\r\n\r\n")
    assert type(result) is ValueError


def test_a_store_that_fails_is_an_error_of_these_messages_alone(
    store: Store, sign: Callable[..., Result], monkeypatch: pytest.MonkeyPatch
) -> None:
    def broken(*_: object) -> Any:
        raise OSError("the database is gone")

    with monkeypatch.context() as patch:
        patch.setattr(signing_module, "keys_for", broken)
        assert isinstance(sign(), OSError)
    assert isinstance(sign(), Signed)


def test_one_result_that_meets_a_defect_does_not_keep_the_others(store: Store) -> None:
    batches: list[Callable[[], None]] = []
    signer = Signer(store, KeyRing(store, SECRETS), batches.append)
    message = QueuedMessage(IDENTIFIER, 1, 1, "shop.example", Envelope("a@shop.example", ()), THEN, 100)
    results: list[Result] = []

    def broken(_result: Result) -> None:
        raise RuntimeError("a defect")

    signer._work([Order(message, CONTENT, b"", broken), Order(message, CONTENT, b"", results.append)])
    batches[0]()
    assert isinstance(results[0], Signed)


def test_mail_of_the_relays_own_is_signed_with_what_keys_the_operator_has(store: Store) -> None:
    assert KeyRing(store, SECRETS).sender(OPERATOR, "mail.test").keys == ()
    with store.write() as session:
        add_operator_key(session, SECRETS, "operator.example", new_key(), NOW)
    assert [key.domain for key in KeyRing(store, SECRETS).sender(OPERATOR, "mail.test").keys] == ["operator.example"]


def test_a_key_that_takes_over_signs_within_seconds(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    now = 100.0
    monkeypatch.setattr(signing_module, "time", SimpleNamespace(monotonic=lambda: now))
    ring = KeyRing(store, SECRETS)
    [old] = ring.sender(1, "shop.example").keys
    with store.write() as session:
        rotation.rotate(session, SECRETS, 1, "shop.example", new := new_key(), NOW)
        take_over(session, 1, "shop.example", [new.selector], NOW)
    now += signing_module.KEYS_REMEMBERED - 0.1
    assert ring.sender(1, "shop.example").keys == (old,)  # whose record stays for days
    now += 0.2
    assert [key.selector for key in ring.sender(1, "shop.example").keys] == [new.selector]
