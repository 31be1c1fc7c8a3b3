"""DANE on a network of our own: only authentic records count, and then nobody else gets a mail (D31)."""

from __future__ import annotations

from typing import Any

import pytest
import pytest_twisted

from support.authority import Authority
from support.dns_server import SERVFAIL
from support.tls_network import MX, WANTED, NewNetwork, policy, tlsa


@pytest_twisted.ensureDeferred
async def test_a_certificate_that_the_dns_names_is_right_whoever_has_issued_it_and_however_old_it_is(
    network: NewNetwork,
) -> None:
    net = network()
    credential = Authority("Foreign").issue("anything.test", days=-1)
    server = net.server(MX, credential)
    net.domain("good.test", MX, sts=policy("mx.other.test"), reports=WANTED)
    net.tlsa(MX, tlsa(credential.certificate))
    facts = await net.send("good.test")
    assert (facts["delivered"], facts["tls_policy"], facts["authenticated"]) == (True, "dane", True)
    assert facts["certificate"] != "verified"
    assert server.accepted[0].tls
    assert await net.counted() == {("good.test", "tlsa", ""): 1}


@pytest_twisted.ensureDeferred
async def test_a_certificate_that_the_dns_does_not_name_gets_nothing_however_good_it_is(network: NewNetwork) -> None:
    net = network()
    server = net.server(MX)
    net.domain("good.test", MX, sts=policy(MX), reports=WANTED)
    net.tlsa(MX, tlsa(net.authority.issue(MX).certificate))
    facts = await net.send("good.test")
    assert (facts["delivered"], facts["reply"][:9], facts["tls_policy"]) == (False, "451 4.7.5", "dane")
    assert not server.started
    assert await net.counted() == {("good.test", "tlsa", "validation-failure"): 1}


@pytest_twisted.ensureDeferred
async def test_a_mail_server_about_whose_certificate_the_dns_gives_no_answer_is_passed_over(
    network: NewNetwork,
) -> None:
    net = network()
    silent, good = net.server("mx.silent.test"), net.server(MX)
    net.zone[f"_{net.port}._tcp.mx.silent.test", "TLSA"] = SERVFAIL
    net.domain("both.test", "mx.silent.test", MX)
    net.domain("one.test", "mx.silent.test", reports=WANTED)
    assert (await net.send("both.test"))["remote"] == MX
    facts = await net.send("one.test")
    assert (facts["delivered"], facts["reply"][:9]) == (False, "451 4.7.5")
    assert (len(silent.sessions), len(good.accepted)) == (0, 1)
    assert await net.counted() == {("one.test", "tlsa", "dnssec-invalid"): 1}


@pytest_twisted.ensureDeferred
@pytest.mark.parametrize("insecure", ["everything", "MX", "A", "TLSA", "switched off"])
async def test_records_that_are_not_authentic_mean_nothing(network: NewNetwork, insecure: str) -> None:
    net = network(secure=insecure != "everything", dane=insecure != "switched off")
    server = net.server(MX, starttls="")
    net.domain("good.test", MX)
    net.tlsa(MX, tlsa(net.authority.root))
    names = {"MX": ("good.test", "MX"), "A": (MX, "A"), "TLSA": (f"_{net.port}._tcp.{MX}", "TLSA")}
    net.dns.insecure |= {names[insecure]} if insecure in names else set()
    facts = await net.send("good.test")
    assert (facts["delivered"], facts["tls_policy"]) == (True, "opportunistic")
    assert server.accepted


@pytest_twisted.ensureDeferred
async def test_records_of_which_none_can_be_used_ask_for_tls_with_anybody(network: NewNetwork) -> None:
    net = network()
    server = net.server(MX, Authority("Foreign").issue(MX))
    net.domain("good.test", MX)
    net.tlsa(MX, "0 1 1 " + "00" * 32, "1 0 1 " + "00" * 32, "3 9 1 " + "00" * 32)
    facts = await net.send("good.test")
    assert (facts["delivered"], facts["tls_policy"], facts["authenticated"]) == (True, "required", False)
    clear = net.server("mx.clear.test", starttls="")
    net.domain("clear.test", "mx.clear.test")
    net.tlsa("mx.clear.test", "0 1 1 " + "00" * 32)
    assert (await net.send("clear.test"))["reply"].startswith("451 4.7.10 ")
    assert len(server.accepted) == 1
    assert not clear.started


@pytest_twisted.ensureDeferred
async def test_a_domain_without_authentic_mx_records_shares_no_session_with_one_that_has_them(
    network: NewNetwork,
) -> None:
    net = network()
    server = net.server(MX)
    net.tlsa(MX, tlsa(net.authority.issue(MX).certificate))
    for name in ("signed.test", "unsigned.test"):
        net.domain(name, MX)
    net.dns.insecure.add(("unsigned.test", "MX"))
    assert (await net.send("unsigned.test"))["delivered"]
    assert not (await net.send("signed.test"))["delivered"]
    assert len(server.accepted) == 1


@pytest_twisted.ensureDeferred
async def test_a_trust_anchor_vouches_for_the_name_and_the_name_behind_an_alias_counts(network: NewNetwork) -> None:
    net = network()
    own = Authority("Own")
    net.server("real.good.test", own.issue("real.good.test"))
    net.zone[MX, "CNAME"] = ["real.good.test."]
    net.domain("good.test", MX)
    net.tlsa("real.good.test", tlsa(own.root, 2))
    facts = await net.send("good.test")
    assert (facts["delivered"], facts["tls_policy"], facts["authenticated"]) == (True, "dane", True)
    net.server("mx.wrong.test", own.issue("other.test"))
    net.domain("wrong.test", "mx.wrong.test")
    net.tlsa("mx.wrong.test", tlsa(own.root, 2))
    assert (await net.send("wrong.test"))["reply"].startswith("451 4.7.5 ")


@pytest_twisted.ensureDeferred
@pytest.mark.parametrize("name", [MX, "real.good.test"])
async def test_the_server_is_asked_for_the_certificate_of_the_name_that_has_the_records(
    network: NewNetwork, name: str
) -> None:
    net = network()
    credential = net.authority.issue(MX)
    options, asked = credential.options(), list[Any]()
    options.getContext().set_tlsext_servername_callback(lambda connection: asked.append(connection.get_servername()))
    net.server("real.good.test", options=options)
    net.zone[MX, "CNAME"] = ["real.good.test."]
    net.domain("good.test", MX)
    net.tlsa(name, tlsa(credential.certificate))
    assert (await net.send("good.test"))["tls_policy"] == "dane"
    assert asked == [name.encode()]
