"""A customer's system that takes webhooks as the standard wants it: it verifies before it believes."""

from __future__ import annotations

import json
from typing import Any

import standardwebhooks
from twisted.internet.defer import maybeDeferred
from twisted.web.resource import Resource
from twisted.web.server import NOT_DONE_YET, Request, Site


class Receiver(Resource):
    """Takes what is signed with ``secret``; answers with ``statuses`` in turn, then 204. ``silent``: never answers."""

    isLeaf = True

    def __init__(self, reactor: Any) -> None:
        super().__init__()
        self.secret = ""
        self.statuses: list[int] = []
        self.silent = False
        self.taken: list[tuple[str, Any]] = []  # webhook-id and body
        self._open: list[Request] = []
        self._port = reactor.listenTCP(0, Site(self), interface="127.0.0.1")
        self.url = f"http://127.0.0.1:{self._port.getHost().port}/hook"

    def render_POST(self, request: Request) -> bytes | int:
        """A webhook; 401 when it is not from whom it should be."""
        if self.silent:
            self._open.append(request)
            request.notifyFinish().addErrback(lambda _: self._open.remove(request))
            return NOT_DONE_YET
        fields = {
            name.decode().lower(): values[0].decode() for name, values in request.requestHeaders.getAllRawHeaders()
        }
        body = request.content.read()
        try:
            standardwebhooks.Webhook(self.secret).verify(body, fields)
        except standardwebhooks.WebhookVerificationError:
            request.setResponseCode(401)
            return b"I do not know you"
        request.setResponseCode(self.statuses.pop(0) if self.statuses else 204)
        if fields["content-type"] == "application/json":
            self.taken.append((fields["webhook-id"], json.loads(body)))
        return b""

    async def stop(self) -> None:
        """Close the port and what still waits for an answer."""
        for request in list(self._open):
            request.loseConnection()
        await maybeDeferred(self._port.stopListening)
