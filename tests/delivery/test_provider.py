"""Providers by the host names of their mail servers."""

from __future__ import annotations

import tomllib
from importlib import resources

import pytest
from hypothesis import given
from hypothesis import strategies as st

from postmeter.delivery.provider import Providers
from postmeter.delivery.provider_file import DEFAULT, OTHER
from postmeter.smtp.domain import can_exist

TABLE = tomllib.loads(resources.files("postmeter.delivery").joinpath("providers.toml").read_text("utf-8"))
SUFFIXES = [(suffix, name) for name, table in TABLE.items() for suffix in table.get("mx", ())]
provider = Providers().of


@pytest.mark.parametrize(
    ("host", "name"),
    [
        ("gmail-smtp-in.l.google.com", "Google"),
        ("aspmx2.googlemail.com", "Google"),
        ("mta5.am0.yahoodns.net", "Yahoo"),
        ("hotmail-com.olc.protection.outlook.com", "Outlook.com"),
        ("shop-example.mail.protection.outlook.com", "Microsoft 365"),
        ("shop-example.k-v1.mx.microsoft", "Microsoft 365"),
        ("mx01.mail.icloud.com", "Apple"),
        ("mx00.emig.gmx.net", "GMX and WEB.DE"),
        ("mx-ha02.web.de", "GMX and WEB.DE"),
        ("mx00.t-online.de", "T-Online"),
        ("emig.freenet.de", "freenet"),
        ("mx2.zoho.eu", "Zoho"),
        ("mailsec.protonmail.ch", "Proton"),
        ("in1-smtp.messagingengine.com", "Fastmail"),
        ("mxs.mail.ru", "mail.ru"),
        ("mx.yandex.ru", "Yandex"),
        ("mx00.ionos.de", "IONOS"),
        ("smtpin.rzone.de", "Strato"),
        ("mx1.mail.ovh.net", "OVH"),
        ("de-smtp-inbound-1.mimecast.com", "Mimecast"),
        ("mxa-0001.gslb.pphosted.com", "Proofpoint"),
        ("d1.ess.de.barracudanetworks.com", "Barracuda"),
        ("MX1.GMX.NET.", "GMX and WEB.DE"),
        ("gmx.net", "GMX and WEB.DE"),
        ("mx.shop.example", OTHER),
        ("notgoogle.com", OTHER),
        ("google.com.shop.example", OTHER),
        ("localhost", OTHER),
    ],
)
def test_a_host_name_tells_its_provider(host: str, name: str) -> None:
    assert provider(host) == name


@pytest.mark.parametrize("host", ["", ".", "127.0.0.1", "192.0.2.25", "2001:db8::1", "2001:db8::a"])
def test_what_is_no_name_tells_none(host: str) -> None:
    assert provider(host) == ""


@given(st.text())
def test_any_text_has_an_answer(host: str) -> None:
    assert provider(host) in {"", OTHER, *TABLE}


@pytest.mark.parametrize(("suffix", "name"), SUFFIXES)
def test_each_suffix_is_a_domain_and_names_one_provider(suffix: str, name: str) -> None:
    assert suffix == suffix.lower()
    assert can_exist(suffix)
    assert provider(f"mx1.{suffix}") == name
    assert [other for other, _ in SUFFIXES].count(suffix) == 1


def test_no_provider_has_a_name_that_means_another_thing() -> None:
    assert not {"", OTHER} & set(TABLE)
    assert Providers().names == set(TABLE) - {DEFAULT} | {OTHER}
