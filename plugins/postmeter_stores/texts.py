"""What an account's admins are told, in both languages."""

from __future__ import annotations


def paused_texts(connection: str, title: str, url: str, reason: str) -> dict[str, tuple[str, str]]:
    """A shop has refused the log-in for so long that it is not asked any more."""
    return {
        "en": (
            f"Order notes of {connection} are paused",
            f"{title} at {url} cannot be used any more: {reason}\n\n"
            "Bounces are not written into its orders until this is mended. Mend the key in the shop and ask your "
            "provider to try it (`postmeter store test`), or ask your provider to connect the shop anew with another "
            "key or address (`postmeter store connect`). Mail is not affected.",
        ),
        "de": (
            f"Bestellnotizen von {connection} sind angehalten",
            f"{title} unter {url} ist nicht mehr benutzbar: {reason}\n\n"
            "Bis das behoben ist, werden Rückläufer nicht in die Bestellungen geschrieben. Berichtigen Sie den "
            "Schlüssel im Shop und bitten Sie Ihren Anbieter, ihn zu prüfen (`postmeter store test`), oder bitten Sie "
            "Ihren Anbieter, den Shop mit einem anderen Schlüssel oder einer anderen Adresse neu zu verbinden "
            "(`postmeter store connect`). Der Mailversand ist nicht betroffen.",
        ),
    }
