"""A response of the DNS, of which no more is read than is of use: it may come from whoever the name belongs to."""

from __future__ import annotations

import logging
import struct

import dns.exception
import dns.message
import dns.name
import dns.rdatatype

log = logging.getLogger(__name__)

MOST_READ = (128, 4, 4)  # records of a response that are read: answers, authority, additional
MOST_LABELS = 20  # of a name in the answers
_NAME_AT = dict.fromkeys((dns.rdatatype.CNAME, dns.rdatatype.DNAME, dns.rdatatype.NS), 0) | {dns.rdatatype.MX: 2}
_COUNTS = struct.Struct("!6x3H")  # of a header: those of the same (RFC 1035, 4.1.1)


def matching(query: dns.message.Message, data: bytes, most_labels: int = MOST_LABELS) -> dns.message.Message | None:
    """The response in these bytes; None when it is none, or not one to this query, or would take long to read.

    ``most_labels``: of each name in its answers.
    """
    try:
        if (most := _most_labels(data := bounded(data))) > most_labels:
            log.info("a response of the DNS has a name of %d labels; it is not read", most)
            return None
        response = dns.message.from_wire(data, ignore_trailing=True)
    except (dns.exception.DNSException, ValueError, IndexError, struct.error):
        return None
    return response if query.is_response(response) else None


def bounded(data: bytes) -> bytes:
    """A response that claims to have no more records than are of use.

    In 64 kB there is room for 4,000, for which dnspython takes some 200 ms, and 20 s if they have names of many labels.
    """
    if len(data) < _COUNTS.size:
        return data
    kept, complete = [], True
    for count, most in zip(_COUNTS.unpack_from(data), MOST_READ, strict=True):
        kept.append(min(count, most) if complete else 0)
        complete = complete and count <= most
    return data[:6] + struct.pack("!3H", *kept) + data[_COUNTS.size :]


def _most_labels(data: bytes) -> int:
    """How many labels the longest name in the answers has: the time for each record grows with their square."""
    questions, answers = struct.unpack_from("!4x2H", data)
    most, place = 0, 12
    for number in range(questions + answers):
        name, length = dns.name.from_wire(data, place)
        most, place = max(most, len(name)), place + length + 4
        if number < questions:
            continue
        type, length = struct.unpack_from("!H6xH", data, place - 4)
        place += 6
        if type in _NAME_AT:
            name, _ = dns.name.from_wire(data, place + _NAME_AT[type])
            most = max(most, len(name))
        place += length
    return most
