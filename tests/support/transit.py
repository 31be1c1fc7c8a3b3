"""What may happen to a message on its way through the relay: compares what was handed over with what arrived."""

from __future__ import annotations

import hashlib
import re
from dataclasses import dataclass

import dkim

from support.relay import DOMAIN, HOSTNAME

_FIELD = re.compile(rb"[^\r\n:]+:[^\r\n]*\r\n(?:[ \t][^\r\n]*\r\n)*")
_TAKEN_OUT = re.compile(rb"(?:return-path|bcc|resent-bcc|feedback-id|x-csa-complaints|x-postmeter-[^:]*)[ \t]*:", re.I)
_ADDED = {b"dkim-signature", b"received", b"list-help", b"date", b"message-id"}


@dataclass(frozen=True)
class Parts:
    """A content cut into raw fields and body; ``end`` is the empty line between, if there is one."""

    fields: tuple[bytes, ...]
    end: bytes
    body: bytes

    @classmethod
    def of(cls, content: bytes) -> Parts:
        """Cut at the first empty line."""
        head, end, body = content.partition(b"\r\n\r\n")
        head = head + b"\r\n" if end else content
        fields = tuple(_FIELD.findall(head))
        assert b"".join(fields) == head, f"not a header section: {head[:200]!r}"
        return cls(fields, end[2:], body)

    def named(self, name: bytes) -> list[bytes]:
        """The raw fields of this name (in lower case)."""
        return [one for one in self.fields if _name(one) == name]


def _name(field: bytes) -> bytes:
    return field.partition(b":")[0].rstrip().lower()


def _hashes(fields: list[bytes]) -> list[str]:
    return [hashlib.sha256(one).hexdigest() for one in fields]


def check_transit(handed_over: bytes, arrived: bytes, records: dict[str, str]) -> None:
    """AssertionError unless only fields were added in front or taken out, and our signatures verify."""
    before, after = Parts.of(handed_over), Parts.of(arrived)
    assert hashlib.sha256(after.body).digest() == hashlib.sha256(before.body).digest()
    assert after.end == before.end
    kept = [one for one in before.fields if not _TAKEN_OUT.match(one)]
    if len(after.fields) < len(kept) or after.fields[-len(kept) :] != tuple(kept):
        kept = [one for one in kept if _name(one) != b"list-help"]  # not valid, so replaced
    front = after.fields[: len(after.fields) - len(kept)]
    assert _hashes(list(after.fields[len(front) :])) == _hashes(kept)
    assert {_name(one) for one in front} <= _ADDED
    assert sum(HOSTNAME.encode() in one for one in front if _name(one) == b"received") == 1
    for name in (b"list-help", b"date", b"message-id"):
        assert len(after.named(name)) == 1, name
    check_signatures(arrived, records)


def check_signatures(arrived: bytes, records: dict[str, str]) -> None:
    """AssertionError unless every signature of the domain verifies with dkimpy, and there is one per record."""

    def look_up(name: bytes, timeout: int = 5) -> bytes | None:
        record = records.get(name.decode().rstrip("."))
        return record.encode() if record else None

    message = dkim.DKIM(arrived)
    names = [field.lower() for field, _ in message.headers]
    ours = f"d={DOMAIN};".encode()
    signatures = [value for field, value in message.headers if field.lower() == b"dkim-signature"]
    checked = [message.verify(idx=n, dnsfunc=look_up) for n, value in enumerate(signatures) if ours in value]
    assert checked == [True] * len(records), f"{checked} of {names.count(b'dkim-signature')} signatures"
    assert all(re.search(rb"h=[^;]*List-Help", value) for value in signatures if ours in value)


def without_signatures(arrived: bytes) -> bytes:
    """The content as the relay has stored it: without the signatures in front."""
    while arrived.lower().startswith(b"dkim-signature:"):
        found = _FIELD.match(arrived)
        assert found is not None
        arrived = arrived[found.end() :]
    return arrived
