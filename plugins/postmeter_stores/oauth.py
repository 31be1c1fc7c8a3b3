"""OAuth 1.0a: the signature of a request by a client that has its tokens already (RFC 5849, 3.4), pure."""

from __future__ import annotations

import base64
import hmac
from collections.abc import Sequence
from urllib.parse import quote, urlsplit

Parameters = Sequence[tuple[str, str]]
PORTS = {"https": 443, "http": 80}


def encode(text: str) -> str:
    """Percent-encoded as only OAuth does it: all but letters, digits and ``-._~`` (RFC 5849, 3.6)."""
    return quote(text, safe="~")


def base_string(method: str, url: str, parameters: Parameters) -> str:
    """What is signed (RFC 5849, 3.4.1); ``parameters`` are those of query, form body and OAuth, decoded."""
    parts = urlsplit(url)
    host = parts.netloc.lower().removesuffix(f":{PORTS.get(parts.scheme)}")
    pairs = sorted((encode(name), encode(value)) for name, value in parameters)
    normalised = "&".join([f"{name}={value}" for name, value in pairs])
    return "&".join(map(encode, (method.upper(), f"{parts.scheme.lower()}://{host}{parts.path or '/'}", normalised)))


def signature(
    method: str, url: str, parameters: Parameters, secret: str, token_secret: str, digest: str = "sha256"
) -> str:
    """HMAC with the secrets of the client and of its token, in base64 (RFC 5849, 3.4.2)."""
    key = f"{encode(secret)}&{encode(token_secret)}".encode()
    signed = hmac.digest(key, base_string(method, url, parameters).encode(), digest)
    return base64.b64encode(signed).decode("ascii")


def authorization(parameters: Parameters) -> str:
    """The value of the field Authorization (RFC 5849, 3.5.1)."""
    return "OAuth " + ", ".join([f'{encode(name)}="{encode(value)}"' for name, value in parameters])
