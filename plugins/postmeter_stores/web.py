"""How a shop's API is asked, and what its answers mean: done, wrong log-in, try again later, or never."""

from __future__ import annotations

import base64
import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any
from urllib.parse import quote, urlencode

from postmeter import Fetched, FetchError, UsageError, check_url
from postmeter_stores.note import printable
from postmeter_stores.settings import Settings

MAX_ANSWER = 1 << 20  # octets
MAX_SAID = 200  # characters of a shop's own words
LONGEST_WAIT = 86_400.0  # seconds that a shop may ask for
BUSY = (408, 425, 429)

Fetch = Callable[..., Fetched]
Query = Sequence[tuple[str, str]]


class ShopError(Exception):
    """A shop did not do what it was asked; the text says so in plain words."""


class Unusable(ShopError):
    """Log-in, permission or address are wrong: nothing can be written until somebody mends it."""

    def __init__(self, text: str, status: int = 0) -> None:
        super().__init__(text)
        self.status = status


class Absent(Unusable):
    """404: there is nothing at this address. ``data`` is the answer's JSON, None when it has none."""

    def __init__(self, text: str, data: Any = None) -> None:
        super().__init__(text, 404)
        self.data = data


class Later(ShopError):
    """The shop is busy, down or out of reach; ``wait`` seconds are what it has asked for (0: nothing)."""

    def __init__(self, text: str, wait: float = 0.0) -> None:
        super().__init__(text)
        self.wait = wait


class Missing(ShopError):
    """There is no such order, or not yet."""


class Rejected(ShopError):
    """The shop does not want this request, however often it comes."""


@dataclass(frozen=True)
class Client:
    """Asks one shop at ``base``; ``fetch`` is postmeter's or one that stands for it, ``clock`` gives the time."""

    fetch: Fetch
    base: str
    own: Settings
    clock: Callable[[], float]

    def url(self, path: str, query: Query = ()) -> str:
        """The address of something below ``base``."""
        return self.base + path + (f"?{urlencode(query, quote_via=quote, safe='')}" if query else "")

    def ask(
        self, method: str, url: str, headers: Mapping[str, str], body: Any = None, kind: str = "application/json"
    ) -> Any:
        """The JSON of a good answer (None without any); ShopError else. ``body`` is octets, or data for JSON."""
        octets = body if isinstance(body, bytes) else b"" if body is None else json.dumps(body).encode()
        fields = {"Accept": "application/json", **headers, **({"Content-Type": kind} if octets else {})}
        try:
            answer = self.fetch(
                method,
                url,
                headers=fields,
                body=octets,
                timeout=float(self.own.timeout),
                allow_private=self.own.allow_private,
                ca_file=self.own.ca_file,
                max_body=MAX_ANSWER,
            )
        except FetchError as error:
            raise Later(str(error)) from None
        return self._judge(answer)

    def _judge(self, answer: Fetched) -> Any:
        status, data = answer.status, _json(answer.body)
        if 200 <= status < 300:
            if data is None and answer.body.strip():
                raise Later(f"the answer ({status}) is not in JSON; is this the shop's address?")
            return data
        said = f"{status}{_said(data)}"
        if status in BUSY or status >= 500:
            raise Later(f"the shop has trouble: {said}", answer.retry_after(self.clock(), LONGEST_WAIT))
        if status == 404:
            raise Absent(f"the shop has no such API at this address: {said}", data)
        if status < 400:
            place = printable(answer.headers.get("location", "another address"), MAX_SAID)
            raise Unusable(f"the shop redirects ({status}) to {place}; connect it with the address where it is")
        if status in (401, 403, 405):
            raise Unusable(f"the shop refuses the log-in or the permission: {said}", status)
        raise Rejected(f"the shop does not take the request: {said}")


def clean_base(url: str, own: Settings) -> str:
    """A shop's address as it is asked, without a slash at its end; UsageError when it is none that can be asked."""
    if set(url) & set("?#"):
        raise UsageError(f"{printable(url, 200)!r} is not a shop's address: it has a query or a fragment")
    try:
        return check_url(url.strip(), allow_private=own.allow_private).rstrip("/")
    except FetchError as error:
        raise UsageError(str(error)) from None


def basic(user: str, password: str) -> dict[str, str]:
    """The header field of Basic authentication (RFC 7617)."""
    return {"Authorization": "Basic " + base64.b64encode(f"{user}:{password}".encode()).decode("ascii")}


def iso(at: float) -> str:
    """A point in time as the APIs write it."""
    return datetime.fromtimestamp(at, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def _json(body: bytes) -> Any:
    try:
        return json.loads(body)
    except (ValueError, RecursionError):
        return None


def _said(data: Any) -> str:
    """What an error of WordPress, Shopware, Magento or PrestaShop says, for people."""
    errors = data.get("errors") if isinstance(data, dict) else None
    one = errors[0] if isinstance(errors, list) and errors else data
    if not isinstance(one, dict):
        return ""
    text = str(one.get("detail") or one.get("message") or one.get("title") or "")
    parameters = one.get("parameters")
    for name, value in parameters.items() if isinstance(parameters, dict) else ():
        text = text.replace(f"%{name}", str(value))
    return f" ({printable(text, MAX_SAID)})" if text else ""
