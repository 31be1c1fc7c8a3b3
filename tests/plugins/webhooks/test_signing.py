"""What is signed is what the reference implementation of Standard Webhooks verifies."""

from __future__ import annotations

import base64
import time
from typing import Any

import pytest
import standardwebhooks
from hypothesis import given
from hypothesis import strategies as st
from standardwebhooks import WebhookVerificationError

from postmeter_webhooks.signing import new_secret, secret_text, signature, signed_fields


def verify(secret: bytes, body: bytes, fields: dict[str, str]) -> Any:
    return standardwebhooks.Webhook(secret_text(secret)).verify(body, fields, json_parse=False)


@given(st.binary(min_size=24, max_size=64), st.binary())
def test_the_reference_implementation_verifies_it(secret: bytes, body: bytes) -> None:
    text = body.decode("latin-1").encode("utf-8")
    verify(secret, text, signed_fields([secret], "msg_1_2", int(time.time()), text))


def test_it_is_what_the_reference_implementation_signs() -> None:
    secret = base64.b64decode("MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw")
    signed = "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE="  # the example of the specification
    body = b'{"test": 2432232314}'
    assert signature(secret, "msg_p5jXN8AQM9LWM0D4loKWxJek", 1_614_265_330, body) == signed


def test_while_a_secret_is_renewed_each_of_both_verifies_it() -> None:
    new, old, other = new_secret(), new_secret(), new_secret()
    fields = signed_fields([new, old], "msg_1_2", int(time.time()), b"{}")
    verify(new, b"{}", fields)
    verify(old, b"{}", fields)
    with pytest.raises(WebhookVerificationError):
        verify(other, b"{}", fields)


@pytest.mark.parametrize("change", ["webhook-id", "webhook-timestamp", "body"])
def test_a_change_is_seen(change: str) -> None:
    secret, now = new_secret(), int(time.time())
    fields = signed_fields([secret], "msg_1_2", now, b"{}")
    body = b"[]" if change == "body" else b"{}"
    fields |= {"webhook-id": "msg_1_3"} if change == "webhook-id" else {}
    fields |= {"webhook-timestamp": str(now + 1)} if change == "webhook-timestamp" else {}
    with pytest.raises(WebhookVerificationError):
        verify(secret, body, fields)


def test_secrets_are_long_and_no_two_are_the_same() -> None:
    secrets = {new_secret() for _ in range(100)}
    assert len(secrets) == 100
    assert all(24 <= len(secret) <= 64 and secret_text(secret).startswith("whsec_") for secret in secrets)
