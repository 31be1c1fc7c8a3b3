"""Sends an order mail with Django's mail backend and writes what it handed over; the facts as JSON."""

import json
import os
import sys
from pathlib import Path

from django.conf import settings
from django.core.mail import EmailMultiAlternatives

facts = json.loads(sys.argv[1])
os.environ["SSL_CERT_FILE"] = facts["certificate"]
settings.configure(
    EMAIL_HOST=facts["host"],
    EMAIL_PORT=facts["port"],
    EMAIL_HOST_USER=facts["username"],
    EMAIL_HOST_PASSWORD=facts["password"],
    EMAIL_USE_TLS=not facts["implicit"],
    EMAIL_USE_SSL=facts["implicit"],
)
mail = EmailMultiAlternatives(
    "Ihre Bestellung über 12 €",
    "Vielen Dank für Ihre Bestellung.\n.\n..\n",
    "Müller & Söhne <shop@shop.example>",
    [facts["recipient"]],
)
mail.attach_alternative("<p>Vielen Dank für Ihre Bestellung.</p>\n.\n..\n", "text/html")
mail.attach("invoice.pdf", b"\0\r\n.\r\n\xff" * 1000, "application/pdf")
built = mail.message()
mail.message = lambda **_: built
Path(facts["handed_over"]).write_bytes(built.as_bytes(linesep="\r\n"))
mail.send()
