"""Nobody waits behind another's pile: at the signer, in the window, and when the store is asked for more."""

from __future__ import annotations

import pytest
import pytest_twisted
from twisted.internet import reactor
from twisted.internet.task import deferLater

from postmeter.delivery.pool import STOPPING
from postmeter.delivery.scheduler import AT_SIGNER, LARGE, PICK, POLL
from postmeter.hookspecs import Message, hookimpl
from postmeter.smtp.reply import Refused, Reply
from postmeter.store.picking import Load, Pick
from support.scheduling import DONE, SIGNED, Bench, delivery, leased, route


@pytest.fixture
def bench() -> Bench:
    """A scheduler whose signer answers when the test says."""
    made = Bench()
    made.router.known = {"example.org": route("static")}
    made.signer.answer = None
    return made


def sign(bench: Bench, number: int) -> None:
    """The signer answers the next ones."""
    for _ in range(number):
        bench.signer.orders.pop(0).done(SIGNED)


def test_a_single_mail_waits_for_a_few_at_the_signer_and_not_for_anothers_pile(bench: Bench) -> None:
    for n in range(300):
        bench.take(leased(message_id=f"pile {n}"))
    bench.take(leased(message_id="single", account=2))
    assert len(bench.signer.orders) == AT_SIGNER
    sign(bench, 2)
    assert [order.message.id for order in bench.signer.orders[-2:]] == [f"pile {AT_SIGNER}", "single"]
    while bench.signer.orders:
        sign(bench, 1)
    assert len(bench.pool.sent) == 301


def test_an_urgent_mail_passes_all_others_of_its_account(bench: Bench) -> None:
    for n in range(300):
        bench.take(leased(message_id=f"pile {n}", priority=2))
    bench.take(leased(message_id="urgent", priority=0))
    sign(bench, 1)
    assert bench.signer.orders[-1].message.id == "urgent"


def test_an_account_fills_its_share_of_the_window_and_leaves_the_rest_to_others() -> None:
    bench = Bench(window=100)
    load = Load.of(leased())
    while bench.scheduler.reserve(load):
        pass
    assert bench.window.recipients < 50
    assert bench.scheduler.reserve(Load.of(leased(account=2)))


def test_what_had_not_reached_the_signer_at_the_end_goes_back_as_it_was(bench: Bench) -> None:
    for n in range(AT_SIGNER + 20):
        bench.take(leased(message_id=str(n)))
    idle: list[None] = []
    bench.scheduler.stop().addCallback(idle.append)
    sign(bench, AT_SIGNER)
    assert bench.signer.orders == []
    for _, _, sent in bench.pool.sent:
        sent.callback(delivery(STOPPING, stage="connect"))
    assert idle == [None]
    assert bench.gather() == {}
    assert bench.empty


def test_who_waits_for_room_does_not_keep_others_in_the_store() -> None:
    bench = Bench(octets=1000)
    bench.router.known = {"example.org": route("static")}
    bench.writer.held = []
    bench.scheduler.start()  # the first pick is under way
    assert bench.scheduler.reserve(Load.of(leased(size=900)))
    picks, bench.writer.held = bench.writer.held, None
    bench.writer.due = [[leased(message_id="large", size=900)], [leased(message_id="single", account=2)]]
    for pick in picks:
        pick()
    first, second = bench.writer.picks
    assert (first.limit, second.limit) == (PICK, PICK - 1)
    assert not second.room.fits(Load.of(leased()))
    assert second.room.fits(Load.of(leased(account=2)))
    assert [order.message.id for order in bench.signer.orders] == ["single"]
    bench.scheduler.give_up(Load.of(leased(size=900)))
    assert [order.message.id for order in bench.signer.orders] == ["single", "large"]
    for _, _, sent in bench.pool.sent:
        sent.callback(delivery(DONE))
    bench.gather()
    assert bench.empty


def test_what_a_pick_finds_is_asked_for_with_a_copy_of_the_window() -> None:
    bench = Bench(window=10)
    bench.scheduler.start()
    bench.clock.advance(POLL)
    for wish in bench.writer.picks:
        wish.room.enter(Load.of(leased("1@example.org", "2@example.org")))
    assert bench.window.recipients == 0


def test_what_is_left_in_the_store_is_asked_for_when_enough_has_left() -> None:
    bench = Bench(window=10_000)
    bench.router.known = {"example.org": route("static")}
    piles = [[leased(*["joe@example.org"] * 40, message_id=f"{pick} {n}") for n in range(2)] for pick in range(2)]
    bench.writer.due = [piles[0]]
    bench.scheduler.start()
    bench.scheduler._picked(Pick(tuple(piles[1]), left=True, more=False))
    for n, asked in enumerate((1, 1, 2, 2)):
        bench.pool.sent[n][2].callback(delivery(*[DONE] * 40))
        bench.gather()
        assert len(bench.writer.picks) == asked
    assert bench.empty


def test_one_large_message_that_leaves_is_enough_to_ask_for_the_next() -> None:
    bench = Bench(octets=64 << 20)
    bench.router.known = {"example.org": route("static")}
    bench.scheduler.start()
    bench.scheduler._picked(Pick((leased(size=LARGE),), left=True, more=False))
    bench.pool.sent[0][2].callback(delivery(DONE))
    bench.gather()
    assert len(bench.writer.picks) == 2


class Refusing:
    """Refuses every message at once."""

    @hookimpl
    def on_sign(self, message: Message) -> None:
        """The hook."""
        raise Refused(Reply(451, "4.7.1", "not now"))


@pytest_twisted.ensureDeferred
async def test_messages_that_a_plugin_refuses_make_way_for_the_others() -> None:
    bench = Bench(plugins=(Refusing(),))
    bench.asking.start()
    for n in range(3 * AT_SIGNER):
        bench.take(leased(message_id=str(n)))
    while len(bench.scheduler._settler._waiting) < 3 * AT_SIGNER:
        await deferLater(reactor, 0.005, lambda: None)
    bench.asking.stop()
    assert set(bench.gather().values()) == {"deferred"}
    assert bench.empty
