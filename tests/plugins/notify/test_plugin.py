"""The notices: to every admin once, never about the relay's own mail, never late, in the account's language."""

from __future__ import annotations

import logging
from email import message_from_bytes
from typing import Any

import pytest
from sqlalchemy import select

from postmeter.config import Settings
from postmeter.hooks import new_manager
from postmeter.store import tables as core_tables
from postmeter.store.connections import add_connection
from postmeter.store.engine import Store
from postmeter.store.tables import Account, User
from postmeter_notify import tables
from postmeter_notify.plugin import LATE, MOST, Notify
from postmeter_notify.settings import KINDS
from support.postage import at_once, audit
from support.tenants import NOW, SECRETS, make_account, make_domain

from .conftest import Post, event

OWNER, ADMIN = "owner@acme.example", "ann@acme.example"
LOW = "acme: Only 10 mails are left"


def test_every_admin_and_nobody_else_is_told(post: Post) -> None:
    post.tell(event("quota_low", left=10, threshold=20))
    assert post.subjects() == [(ADMIN, LOW), (OWNER, LOW)]
    for to, mail in post.mails():
        assert mail["To"] == to
        assert mail["From"] == "Postmeter <postmaster@mail.test>"
        assert mail["Auto-Submitted"] == "auto-generated"
        assert "fewer than 20" in mail.get_content()
    audit(post.store)


def test_an_event_that_is_told_again_sends_nothing_more(post: Post) -> None:
    low = event("quota_low", left=10)
    post.tell(low)
    post.tell(low, low)
    post.start()
    post.tell(low)
    assert len(post.mails()) == 2


def test_another_event_of_the_same_kind_is_another_mail(post: Post) -> None:
    post.tell(event("quota_low", left=10), event("quota_low", left=10))
    assert len(post.mails()) == 4


def test_who_became_admin_before_an_event_is_told_again_gets_the_mail_that_is_missing(post: Post) -> None:
    low = event("quota_low", left=10)
    post.tell(low)
    with post.store.write() as session:
        core_tables_user = session.scalars(select(User).where(User.email == "vic@acme.example")).one()
        session.get_one(core_tables.Membership, (1, core_tables_user.id)).role = "admin"
    post.tell(low)
    assert [to for to, _ in post.subjects()] == [ADMIN, OWNER, "vic@acme.example"]


def test_several_processes_that_are_told_at_once_send_one_mail(post: Post) -> None:
    low = event("quota_low", left=10)

    def tell(_: int) -> None:
        other = Post(post.store).start()
        other.tell(low)

    at_once(tell, 6)
    assert len(post.mails()) == 2


def test_note_and_mail_are_written_together_or_not_at_all(post: Post, monkeypatch: pytest.MonkeyPatch) -> None:
    low = event("quota_low", left=10)
    real = type(post.core).send

    def fail(core: Any, session: Any, mail: Any, to: str) -> str:
        identifier = real(core, session, mail, to)
        if to == OWNER:
            raise OSError("the disk is full")
        return identifier

    monkeypatch.setattr(type(post.core), "send", fail)
    with pytest.raises(OSError, match="full"):
        post.tell(low)
    assert post.mails() == []
    monkeypatch.undo()
    post.tell(low)
    assert len(post.mails()) == 2


def test_nothing_is_told_about_the_relays_own_mail(post: Post) -> None:
    post.tell(
        *(event(kind, account=0, left=1, domain="mail.test", connection="x") for kind in KINDS if kind != "notice")
    )
    assert post.mails() == []


def test_old_events_are_not_mailed(post: Post) -> None:
    post.now = NOW + LATE
    post.tell(event("quota_low", at=NOW - 1, left=10))
    assert post.mails() == []
    post.tell(event("quota_low", at=NOW, left=10))
    assert len(post.mails()) == 2


def test_what_is_good_news_or_not_wanted_is_not_mailed(post: Post) -> None:
    quiet = ("quota_booked", "connection_resumed", "domain_verified")
    post.tell(*(event(kind, connection="x", domain="shop.example") for kind in quiet))
    post.start(events=("quota_exhausted",))
    post.tell(event("quota_low", left=10))
    assert post.mails() == []
    post.tell(event("quota_exhausted", left=0))
    assert len(post.mails()) == 2


def test_an_account_that_is_not_there_or_has_nobody_keeps_nobody_from_being_told(
    post: Post, caplog: pytest.LogCaptureFixture
) -> None:
    with post.store.write() as session:
        session.add(Account(id=99, name="empty", created_at=NOW))
    post.tell(event("quota_low", account=77, left=1), event("quota_low", account=99), event("quota_low", left=10))
    assert post.subjects() == [(ADMIN, LOW), (OWNER, LOW)]
    assert "there is no account with the number 77" in caplog.text


def test_an_address_that_cannot_be_sent_to_keeps_nobody_from_being_told(
    post: Post, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.WARNING)
    with post.store.write() as session:
        session.scalars(select(User).where(User.email == ADMIN)).one().email = "a..b@acme.example"
    post.tell(event("quota_low", left=10))
    assert post.subjects() == [(OWNER, LOW)]
    assert "an admin of account 1 is not told: 'a..b@acme.example' is not an address" in caplog.text


def test_an_account_has_a_language_of_its_own(post: Post) -> None:
    post.start(language="de")
    post.tell(event("quota_low", left=10))
    with post.core.write() as session:
        tables.set_language(session, 1, "en")
    post.tell(event("quota_low", left=10))
    with post.core.write() as session:
        tables.set_language(session, 1, "de")
        tables.set_language(session, 1, None)
    post.tell(event("quota_exhausted", left=0))
    assert [subject for to, subject in post.subjects() if to == OWNER] == [
        "acme: Keine Mails mehr übrig",
        "acme: Nur noch 10 Mails übrig",
        LOW,
    ]
    assert {mail["Content-Language"] for _, mail in post.mails()} == {"de", "en"}


def test_sender_and_panel_are_as_set(post: Post) -> None:
    post.start(sender="help@operator.example", panel="https://panel.operator.example/")
    post.tell(event("quota_low", left=10))
    _, mail = post.mails()[0]
    assert mail["From"] == "Postmeter <help@operator.example>"
    assert "The panel: https://panel.operator.example/" in mail.get_content()


@pytest.mark.parametrize(
    ("policy", "agreement", "goes_on"),
    [
        ("agreement", False, False),
        ("agreement", True, True),
        ("always", False, True),
        ("never", True, False),
    ],
)
def test_whether_mail_goes_on_follows_the_rules_of_the_overdraft(
    post: Post, policy: str, agreement: bool, goes_on: bool
) -> None:
    with post.store.write() as session:
        session.get_one(Account, 1).agreement = agreement
    post.start(policy=policy)
    post.tell(event("quota_exhausted", left=0))
    text = post.mails()[0][1].get_content()
    assert ("mail goes on" in text.replace("\n", " "), "cannot send" in text) == (goes_on, not goes_on)


def test_a_broken_domain_names_the_connections_that_it_stops(post: Post) -> None:
    with post.store.write() as session:
        account = session.get_one(Account, 1)
        make_domain(session, account)
        make_domain(session, account, "other.example")
        add_connection(session, SECRETS, account, "Web shop", ["shop.example"], NOW)
        add_connection(session, SECRETS, account, "Forum", ["other.example"], NOW)
    post.tell(event("domain_broken", domain="shop.example", problems=["s1._domainkey.shop.example: It is gone."]))
    text = " ".join(post.mails()[0][1].get_content().split())
    assert "“Web shop” uses it" in text
    assert "Forum" not in text
    assert "s1._domainkey.shop.example: It is gone." in text


def test_the_notices_of_other_plugins_are_passed_on(post: Post) -> None:
    texts = {"en": ["Your hook is off", "It has failed for a day.\n\nSwitch it on again."]}
    post.tell(event("notice", plugin="webhooks", texts=texts))
    _, mail = post.mails()[0]
    assert mail["Subject"] == "acme: Your hook is off"
    text = mail.get_content().replace("\r\n", "\n")
    assert text.startswith("Hello,\n\nIt has failed for a day.\n\nSwitch it on again.\n\n-- \n")


def test_a_notice_without_words_keeps_nobody_from_being_told(post: Post) -> None:
    post.tell(event("notice", plugin="odd", texts={}), event("quota_low", left=10))
    assert post.subjects() == [(ADMIN, LOW), (OWNER, LOW)]


@pytest.mark.parametrize("name", ["a\u2028Bcc: evil@example.net", "=?utf-8?q?x=0D=0ABcc=3A_evil?=", "📯 & <Söhne>"])
def test_the_name_of_an_account_adds_no_header_field(post: Post, name: str) -> None:
    with post.store.write() as session:
        session.get_one(Account, 1).name = name
    post.tell(event("quota_low", left=10))
    assert len(post.mails()) == 2
    for _, mail in post.mails():
        assert (mail["Bcc"], len(mail.get_all("Subject"))) == (None, 1)
        again = message_from_bytes(mail.as_bytes())
        assert set(again.keys()) == set(mail.keys())


def test_many_events_of_many_accounts_are_told_whole(post: Post) -> None:
    with post.store.write() as session:
        numbers = [make_account(session, f"shop-{n}").id for n in range(MOST + 5)]
    post.tell(*(event("quota_renewed", account=number, size=25_000) for number in numbers))
    assert len(post.mails()) == MOST + 5


def test_what_was_sent_is_forgotten_when_it_cannot_be_told_again(post: Post, store: Store) -> None:
    post.tell(event("quota_low", left=10))
    (job,) = post.plugin.jobs()
    job.run(NOW + LATE)
    with store.read() as session:
        assert len(session.execute(select(tables.SENT)).all()) == 2
    job.run(NOW + LATE + 2 * job.every)
    with store.read() as session:
        assert session.execute(select(tables.SENT)).all() == []


def test_it_has_only_hooks_that_there_are() -> None:
    manager = new_manager()
    manager.register(Notify(), "notify")
    manager.check_pending()
    assert "notify" in Settings().plugins.enabled
