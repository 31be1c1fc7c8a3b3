"""Standard Webhooks 1.0: the secret, and the three header fields by which a receiver knows the sender."""

from __future__ import annotations

import base64
import hashlib
import hmac
import os
from collections.abc import Sequence

SECRET_SIZE = 32  # octets; 24 to 64 are allowed
PREFIX = "whsec_"


def new_secret() -> bytes:
    """A random secret."""
    return os.urandom(SECRET_SIZE)


def secret_text(secret: bytes) -> str:
    """The secret as the receiver enters it."""
    return PREFIX + base64.b64encode(secret).decode("ascii")


def signature(secret: bytes, webhook_id: str, timestamp: int, body: bytes) -> str:
    """One signature: version, comma, HMAC-SHA256 in base64."""
    signed = b"%s.%d.%s" % (webhook_id.encode("ascii"), timestamp, body)
    return "v1," + base64.b64encode(hmac.digest(secret, signed, hashlib.sha256)).decode("ascii")


def signed_fields(secrets: Sequence[bytes], webhook_id: str, timestamp: int, body: bytes) -> dict[str, str]:
    """The header fields of an attempt at ``timestamp`` (seconds since the epoch), signed with each of the secrets."""
    return {
        "webhook-id": webhook_id,
        "webhook-timestamp": str(timestamp),
        "webhook-signature": " ".join([signature(secret, webhook_id, timestamp, body) for secret in secrets]),
    }
