"""The bench on which plugin authors test: what happens there is what the relay writes, and the plugin is told it."""

from __future__ import annotations

import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator, Sequence
from email.message import EmailMessage
from pathlib import Path

import click
import pytest
from sqlalchemy import Connection, text

from postmeter import Core, Event, Job, Message, Refused, Reply, UsageError, hookimpl, pass_core
from postmeter.config import Server, Settings
from postmeter.hooks import Plugins, new_manager
from postmeter.store.quota import set_renewal
from postmeter.testing import CUSTOMER, NOW, Bench, Clock

REFUSAL = Reply(550, "5.7.1", "Not today")


class Diary:
    """Writes down what it is told, refuses mail to refused@..., and fails when it is told to."""

    def __init__(self) -> None:
        self.told: list[Event] = []
        self.flushed = 0
        self.jobs_done: list[float] = []
        self.trouble: Exception | None = None

    @hookimpl
    def on_start(self, core: Core) -> None:
        self.core = core

    @hookimpl
    def migrations(self) -> Sequence[Callable[[Connection], None]]:
        return [lambda connection: connection.execute(text("CREATE TABLE diary_page (n INTEGER)")) and None]

    @hookimpl
    def on_accept(self, message: Message) -> list[tuple[str, str]]:
        if any(one.forward_path.startswith("refused@") for one in message.recipients):
            raise Refused(REFUSAL)
        return [("X-Diary", "yes"), ("X-Postmeter-Ref", "order:7")]

    @hookimpl
    def on_sign(self, message: Message) -> list[tuple[str, str]]:
        return [("Subject", "another")]

    @hookimpl
    def on_deliver(self, event: Event) -> None:
        if self.trouble:
            raise self.trouble
        self.told.append(event)

    on_bounce = hookimpl(lambda self, event: self.told.append(event), specname="on_bounce")
    on_quota_low = hookimpl(lambda self, event: self.told.append(event), specname="on_quota_low")

    @hookimpl
    def flush(self) -> None:
        self.flushed += 1

    @hookimpl
    def jobs(self) -> list[Job]:
        return [Job("tidy", 3600.0, self.jobs_done.append)]

    @hookimpl
    def commands(self) -> list[click.Command]:
        @click.command("diary")
        @click.argument("account")
        @pass_core
        def diary(core: Core, account: str) -> None:
            with core.read() as session:
                click.echo(core.account(session, account).admins[0])

        return [diary]


@pytest.fixture
def diary() -> Diary:
    return Diary()


@pytest.fixture
def bench(diary: Diary, tmp_path: Path, sqlite_template: Path) -> Iterator[Bench]:
    shutil.copy(sqlite_template, tmp_path / "postmeter.db")
    manager = new_manager()
    manager.register(diary, "diary")
    settings = Settings(server=Server(hostname="mail.test", data=str(tmp_path)))
    made = Bench(settings, Plugins(manager), "diary", Clock())
    yield made
    made.close()


def test_an_accepted_message_has_what_the_plugin_adds_and_is_in_the_database(bench: Bench) -> None:
    message = bench.accept(bench.message("joe@kunde.example", text="Hello\r\n"))
    assert message.header.startswith(b"X-Diary: yes\r\n")
    assert b"Subject: Your order\r\n" in message.header
    assert b"List-Help: <https://shop.example/help>\r\n" in message.header
    assert (message.body, message.reference) == (b"Hello\r\n", "order:7")
    with bench.core.read() as session:
        facts = bench.core.message(session, message.id)
    assert facts is not None
    assert (facts.size, facts.accepted_at) == (len(message.header + message.body), NOW)
    assert [(one.forward_path, one.state) for one in facts.recipients] == [("joe@kunde.example", "queued")]


def test_a_refusal_reaches_the_test_and_nothing_is_stored(bench: Bench) -> None:
    with pytest.raises(Refused) as refused:
        bench.accept(bench.message("refused@kunde.example"))
    assert refused.value.reply == REFUSAL
    assert bench.tell() == []


def test_the_quota_refuses_as_it_does_in_the_relay(bench: Bench) -> None:
    account = bench.account("poor")
    connection = bench.connection(account)
    with bench.core.write() as session:
        set_renewal(session, account.id, None, False, bench.clock())
    bench.clock.advance(40 * 86_400)  # the block has expired
    with pytest.raises(Refused, match="450"):
        bench.accept(bench.message(connection=connection))


def test_a_field_that_is_not_a_plugins_to_add_is_an_error(bench: Bench) -> None:
    message = bench.accept()
    with pytest.raises(ValueError, match="plugins may not add Subject"):
        bench.ask("on_sign", message)


def test_what_happens_is_told_in_order_and_flushed_once(bench: Bench, diary: Diary) -> None:
    message = bench.accept(bench.message("a@kunde.example", "b@kunde.example", "c@kunde.example"))
    bench.bounce(message, "b@kunde.example")
    bench.defer(message, "c@kunde.example")
    bench.clock.advance(60)
    bench.deliver(message)
    told = [(event.kind, event.recipient, event.at) for event in bench.tell()]
    assert told == [
        ("bounced", "b@kunde.example", NOW),
        ("delivered", "a@kunde.example", NOW + 60),
        ("delivered", "c@kunde.example", NOW + 60),
    ]
    assert diary.flushed == 1
    event = diary.told[0]
    assert (event.message_id, event.reference, event.connection_id) == (message.id, "order:7", bench.shop.id)
    assert event.facts["reply"] == "550 5.1.1 No such user"
    assert bench.tell() == []
    assert diary.flushed == 1


def test_all_can_be_told_again(bench: Bench, diary: Diary) -> None:
    bench.deliver(bench.accept())
    assert bench.tell() == bench.tell(again=True) == diary.told[:1]
    assert diary.told[0] == diary.told[1]


def test_what_the_plugin_raises_is_raised_and_the_events_are_told_again(bench: Bench, diary: Diary) -> None:
    bench.deliver(bench.accept())
    diary.trouble = RuntimeError("not now")
    with pytest.raises(RuntimeError, match="not now"):
        bench.tell()
    diary.trouble = None
    assert [event.recipient for event in bench.tell()] == [CUSTOMER]


def test_a_recipient_that_does_not_wait_cannot_be_delivered(bench: Bench) -> None:
    message = bench.accept()
    bench.deliver(message)
    with pytest.raises(LookupError):
        bench.deliver(message, CUSTOMER)


def test_things_happen_to_accounts_too(bench: Bench, diary: Diary) -> None:
    account = bench.account("acme")
    bench.happen("quota_low", account, left=7)
    bench.tell()
    assert [(event.kind, event.account_id, event.facts) for event in diary.told] == [
        ("quota_low", account.id, {"left": 7})
    ]


def test_jobs_are_done_at_the_time_of_the_test(bench: Bench, diary: Diary) -> None:
    bench.clock.advance(5)
    bench.run_jobs()
    assert diary.jobs_done == [NOW + 5]


def test_commands_are_run_with_the_core(bench: Bench) -> None:
    bench.account("acme")
    assert bench.invoke("diary", "acme").output == "owner@acme.example\n"
    with pytest.raises(UsageError, match="there is no account 'nobody'"):
        bench.invoke("diary", "nobody")


def test_mails_that_the_plugin_sends_can_be_read(bench: Bench) -> None:
    for subject in ("One", "Two"):
        mail = EmailMessage()
        mail["Subject"] = subject
        mail.set_content("Hello Jörg")
        with bench.core.write() as session:
            bench.core.send(session, mail, "owner@shop.example")
    assert [(one.message["Subject"], one.recipients) for one in bench.sent()] == [
        ("One", ("owner@shop.example",)),
        ("Two", ("owner@shop.example",)),
    ]
    assert bench.sent()[0].message.get_content() == "Hello Jörg\n"


def test_the_plugins_own_tables_are_there(bench: Bench) -> None:
    with bench.core.write() as session:
        session.execute(text("INSERT INTO diary_page VALUES (1)"))


def test_the_relay_itself_knows_nothing_of_pytest() -> None:
    code = "import sys, postmeter, postmeter.cli; sys.exit(bool({'pytest', 'postmeter.testing'} & set(sys.modules)))"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


def test_a_bench_needs_no_reactor() -> None:
    code = "import sys, postmeter.testing; sys.exit('twisted.internet.reactor' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
