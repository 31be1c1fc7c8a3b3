"""Runs the panel in its own process on Twisted, on an address of its own or on a socket that was handed over."""

from __future__ import annotations

import socket
from typing import TYPE_CHECKING, Any

from flask import Flask
from twisted.python.threadpool import ThreadPool
from twisted.web.server import Request, Site
from twisted.web.wsgi import WSGIResource

from postmeter.config import Settings, address
from postmeter.hooks import Plugins
from postmeter.store.engine import Store
from postmeter.store.secrets import Secrets
from postmeter_web import warming
from postmeter_web.app import create_app

if TYPE_CHECKING:
    from _typeshed.wsgi import WSGIApplication

MIN_THREADS, MAX_THREADS = 2, 8
MAX_BODY = 2 << 20  # octets; below it Flask answers 413 to what is too large, beyond it nobody listens
IDLE = 60  # seconds until a quiet connection is closed


class BoundedRequest(Request):
    """A request whose body cannot fill the disk: Twisted takes a body of any size before the application sees it."""

    def handleContentChunk(self, data: bytes) -> None:
        """Keep what came, up to the limit; beyond it the connection is cut."""
        body: Any = self.content
        if body.tell() + len(data) > MAX_BODY:
            self.channel.forceAbortClient()  # type: ignore[no-untyped-call]
        else:
            body.write(data)


class QuietSite(Site):
    """A site without an access log."""

    def log(self, request: Any) -> None:
        """Say nothing: the pages that people look at are their own business."""


def site(reactor: Any, app: WSGIApplication) -> QuietSite:
    """The factory that answers HTTP with ``app`` in threads of its own, which end with the reactor."""
    pool = ThreadPool(MIN_THREADS, MAX_THREADS, "panel")
    reactor.callWhenRunning(pool.start)
    reactor.addSystemEventTrigger("after", "shutdown", pool.stop)
    resource = WSGIResource(reactor, pool, app)  # type: ignore[no-untyped-call]
    return QuietSite(resource, requestFactory=BoundedRequest, timeout=IDLE)  # type: ignore[no-untyped-call]


def serve(settings: Settings, listening_socket_fd: int | None = None) -> None:
    """Answer until SIGTERM or SIGINT: on the listening socket handed over, else on ``settings.web.listen``."""
    from twisted.internet import reactor as installed  # this installs it: only in a process that is the panel

    reactor: Any = installed

    store = Store.open(settings.store_url)
    try:
        app = _panel(settings, store)
        _listen(reactor, site(reactor, app), settings, listening_socket_fd)
        reactor.callWhenRunning(warming.begin, app.extensions["postmeter"])
        reactor.run()
    finally:
        store.close()


def _panel(settings: Settings, store: Store) -> Flask:
    secrets, plugins = Secrets.open(settings.data), Plugins.load(settings)
    plugins.attach(settings, store, secrets)
    return create_app(settings, store, secrets, plugins=plugins)


def _listen(reactor: Any, factory: Site, settings: Settings, fd: int | None) -> None:
    if fd is None:
        host, port = address("web.listen", settings.web.listen)
        reactor.listenTCP(port, factory, interface=host)
        return
    with socket.socket(fileno=fd) as handed:  # Twisted listens on a copy
        handed.setblocking(False)
        reactor.adoptStreamPort(handed.fileno(), handed.family, factory)
