"""Invoices as files that a browser keeps."""

from __future__ import annotations

import re
from collections.abc import Iterable

from flask import Response

from postmeter_billing.export import FORMATS
from postmeter_billing.invoice import Invoice

TYPES = {  # of each format: content type, and how its files' names end
    "pdf": ("application/pdf", "pdf"),
    "zugferd": ("application/pdf", "pdf"),
    "xrechnung": ("application/xml", "xml"),
    "csv": ("text/csv; charset=utf-8", "csv"),
    "json": ("application/json", "json"),
}


def invoice_file(of: Invoice, kind: str) -> Response:
    """An invoice in one of its formats."""
    return attachment(FORMATS[kind](of), of.number if kind != "zugferd" else f"{of.number}-zugferd", kind)


def attachment(content: bytes | Iterable[bytes], name: str, kind: str) -> Response:
    """What is not shown but kept, under a name that is one on every system."""
    content_type, ending = TYPES[kind]
    answer = Response(content, content_type=content_type)
    file = f"{re.sub(r'[^A-Za-z0-9._-]+', '-', name)}.{ending}"
    answer.headers.set("Content-Disposition", "attachment", filename=file)
    return answer
