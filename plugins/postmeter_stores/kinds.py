"""The kinds of shops: what they are called, what they need for a log-in, and who speaks their API."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass

from postmeter import UsageError
from postmeter_stores.api import Shop
from postmeter_stores.magento import Magento
from postmeter_stores.prestashop import PrestaShop
from postmeter_stores.shopware import Shopware
from postmeter_stores.web import Client
from postmeter_stores.woocommerce import WooCommerce


@dataclass(frozen=True)
class Kind:
    """A kind of shop: ``needs`` are its credentials with the names they have there, ``may`` those beyond.

    ``where`` is where they are made, and with which permissions.
    """

    title: str
    open: Callable[[Client, Mapping[str, str]], Shop]
    needs: Mapping[str, str]
    where: str
    may: Mapping[str, str]

    def complete(self, given: Mapping[str, str]) -> dict[str, str]:
        """The credentials; UsageError names what is missing or not of this kind."""
        names = {**self.needs, **self.may}
        credentials = {name: value for name, value in given.items() if value}
        if unknown := sorted(set(credentials) - set(names)):
            raise UsageError(f"{self.title} has no {', '.join(map(option, unknown))}")
        wanted = names if set(credentials) & set(self.may) else self.needs
        if missing := [f"{option(name)} ({wanted[name]})" for name in wanted if name not in credentials]:
            raise UsageError(f"{self.title} needs {', '.join(missing)}")
        if odd := [
            option(name) for name, value in credentials.items() if not (value.isascii() and value.isprintable())
        ]:
            raise UsageError(f"{', '.join(odd)} has characters that no log-in has")
        return credentials


def N_(text: str) -> str:
    """Mark a text for translation."""
    return text


def option(name: str) -> str:
    """The option of `store connect` for a credential."""
    return "--" + name.replace("_", "-")


KINDS = {
    "woocommerce": Kind(
        "WooCommerce",
        WooCommerce,
        {"key": N_("consumer key"), "secret": N_("consumer secret")},
        N_("WooCommerce, Settings, Advanced, REST API: a key with Read/Write of a user who may edit orders"),
        {},
    ),
    "shopware": Kind(
        "Shopware",
        Shopware,
        {"key": N_("access key ID"), "secret": N_("secret access key")},
        N_("Settings, System, Integrations: an integration that may read and edit orders and create custom field sets"),
        {},
    ),
    "magento": Kind(
        "Magento",
        Magento,
        {"token": N_("access token")},
        N_("System, Extensions, Integrations: an integration with the resources Sales, Orders, View and Comment"),
        {"key": N_("consumer key"), "secret": N_("consumer secret"), "token_secret": N_("access token secret")},
    ),
    "prestashop": Kind(
        "PrestaShop",
        PrestaShop,
        {"key": N_("webservice key")},
        N_("Advanced Parameters, Webservice: a key that may GET orders, customers and messages and POST messages"),
        {},
    ),
}
