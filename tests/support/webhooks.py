"""The webhooks plugin on a database of its own, with a clock that the test moves and endpoints that it plays."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from postmeter import Core, Event, Fetched, FetchError, Settings
from postmeter.store import plugin_steps
from postmeter.store.connections import add_connection
from postmeter.store.engine import Store
from postmeter.telling import HOOKS
from postmeter_webhooks import endpoints
from postmeter_webhooks.deliveries import DeliveryFacts, recent
from postmeter_webhooks.plugin import Webhooks
from postmeter_webhooks.sending import Sender
from postmeter_webhooks.settings import WebhookSettings
from support.tenants import NOW, SECRETS, make_account, make_domain

URL = "https://shop.example/hook"
OK = Fetched(204, {}, b"")
MESSAGE = "01M845D52EFTKSJPV36DHCW3RR"


def failing(status: int = 500, **headers: str) -> Fetched:
    """An answer that is none."""
    return Fetched(status, {name.replace("_", "-"): value for name, value in headers.items()}, b"oh\n dear\x07")


@dataclass(frozen=True)
class Call:
    """What an endpoint was sent."""

    url: str
    headers: dict[str, str]
    body: bytes
    options: dict[str, Any]

    @property
    def id(self) -> str:
        """Its webhook-id."""
        return self.headers["webhook-id"]


@dataclass
class Endpoints:
    """Stands in for ``fetch``. ``answers`` are given in turn, then ``always``; ``meanwhile`` happens before each."""

    always: Fetched | FetchError = OK
    answers: list[Fetched | FetchError] = field(default_factory=list)
    calls: list[Call] = field(default_factory=list)
    meanwhile: Callable[[], None] = lambda: None

    def __call__(self, method: str, url: str, *, headers: dict[str, str], body: bytes, **options: Any) -> Fetched:
        assert method == "POST"
        self.calls.append(Call(url, headers, body, options))
        self.meanwhile()
        answer = self.answers.pop(0) if self.answers else self.always
        if isinstance(answer, FetchError):
            raise answer
        return answer

    @property
    def ids(self) -> list[str]:
        """The webhook-id of each call."""
        return [call.id for call in self.calls]


class Bench:
    """The plugin of an account acme with the connections web (1) and till (2)."""

    def __init__(self, store: Store, own: WebhookSettings | None = None) -> None:
        self.now = NOW
        self.store = store
        plugin_steps.migrate(store, {"webhooks": Webhooks().migrations()})
        self.core = Core(
            "webhooks", Settings(), own or WebhookSettings(), store.lend("webhooks"), SECRETS, lambda: self.now
        )
        with store.write() as session:
            account = make_account(session)
            make_domain(session, account)
            names = ("web", "till")
            added = [add_connection(session, SECRETS, account, name, ["shop.example"], NOW) for name in names]
        self.account_id = account.id
        self.web, self.till = (one.connection_id for one in added)
        self.played = Endpoints()
        self.start()

    def start(self) -> None:
        """As after a start of the relay: nothing is in memory."""
        self.plugin = Webhooks()
        self.plugin.on_start(self.core)
        self.sender = Sender(self.core, fetch=self.played, random=lambda: 0.0, start=lambda work: work())

    def add(self, url: str = URL, connection: int | None = None, *types: str, account: int | None = None) -> int:
        """Add an endpoint; its number."""
        with self.core.write() as session:
            added = endpoints.add(session, self.core, account or self.account_id, connection, url, types, 1000)
        return added.endpoint

    def event(self, number: int, kind: str = "delivered", *, message: str | None = MESSAGE, **facts: Any) -> Event:
        """An event about mail of the connection web; without message one about the account."""
        connection, recipient = (self.web, "joe@kunde.example") if message else (None, None)
        return Event(number, kind, self.account_id, message, recipient, self.now, facts, connection, "")

    def tell(self, *told: Event) -> None:
        """Tell the plugin a run of events."""
        for event in told:
            getattr(self.plugin, HOOKS[event.kind])(event)
        self.plugin.flush()

    def send(self, later: float = 0.0) -> None:
        """Have what is due sent, after so many seconds."""
        self.now += later
        self.sender.dispatch(self.now)

    def facts(self, endpoint: int) -> list[DeliveryFacts]:
        """The deliveries of an endpoint, oldest first."""
        with self.core.read() as session:
            return recent(session, endpoint, 1000)[::-1]

    def endpoint(self, number: int) -> endpoints.Endpoint:
        """The endpoint as it is now."""
        with self.core.read() as session:
            return endpoints.find(session, self.core, number)

    def secrets(self, number: int) -> list[bytes]:
        """The endpoint's secret, and the one before it while that is valid."""
        return [self.core.unseal(sealed) for sealed in self.endpoint(number).sealed]
