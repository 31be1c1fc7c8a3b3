"""What an account's admins read when an endpoint was switched off."""

from __future__ import annotations

from collections.abc import Mapping

from postmeter_webhooks.body import rfc3339
from postmeter_webhooks.endpoints import Endpoint


def switched_off(endpoint: Endpoint, answer: str, gone: bool, now: float) -> Mapping[str, tuple[str, str]]:
    """Title and text by language; ``answer`` is the last one, which came just now."""
    replay = f"postmeter webhook replay {endpoint.id}"
    since = rfc3339(now)
    return {
        "en": (
            f"Webhook {endpoint.id} has been switched off",
            f"Postmeter no longer calls {endpoint.url}: "
            + (
                "it answered that it is gone for good (410)."
                if gone
                else "for more than a day it has not taken a single event, in spite of all retries."
            )
            + f"\n\nThe last answer was: {answer}\n\n"
            "Your mail is not affected; only your system is not told any more what became of it. When the address "
            "answers again, switch it on in the panel, under Webhooks, and have sent again there what it has missed. "
            f"Without a panel, ask your provider to run `postmeter webhook enable {endpoint.id}`, then "
            f"`{replay} --failed` for what it did not take, and `{replay} --since {since}` for what has happened "
            "since it was switched off.",
        ),
        "de": (
            f"Der Webhook {endpoint.id} wurde abgeschaltet",
            f"Postmeter ruft {endpoint.url} nicht mehr auf: "
            + (
                "Die Adresse hat geantwortet, dass es sie nicht mehr gibt (410)."
                if gone
                else "Seit mehr als einem Tag hat sie trotz aller Wiederholungen kein Ereignis angenommen."
            )
            + f"\n\nDie letzte Antwort war: {answer}\n\n"
            "Ihre Mails sind davon nicht betroffen; Ihr System erfährt nur nicht mehr, was aus ihnen geworden ist. "
            "Wenn die Adresse wieder antwortet, schalten Sie sie im Panel unter Webhooks ein und lassen Sie dort "
            "erneut senden, was sie verpasst hat. Ohne Panel bitten Sie Ihren Anbieter um "
            f"`postmeter webhook enable {endpoint.id}`, danach um `{replay} --failed` für das, was sie nicht "
            f"angenommen hat, und um `{replay} --since {since}` für das, was seit der Abschaltung geschehen ist.",
        ),
    }
