"""DKIM: every signature verifies with dkimpy and with Mail::DKIM, and nothing can be added afterwards."""

from __future__ import annotations

import re
import subprocess
import time
from pathlib import Path

import dkim
import pytest
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import rsa

from postmeter.message.editing import prepare
from postmeter.message.header import HeaderSection, split
from postmeter.message.signature import ED25519, OVERSIGNED, RSA, SigningKey, generate, sign
from postmeter.smtp.reply import Refused
from support import corpus
from support.corpus import MESSAGES, NEEDS_SMTPUTF8
from support.foreign import need_mail_dkim

NOW = 1_700_000_000
SHOP_PEM = generate(RSA)
SHOP = SigningKey.load("shop.example", "pm1", RSA, SHOP_PEM)
SHOP_ED25519 = SigningKey.load("shop.example", "pm2", ED25519, generate(ED25519))
OPERATOR = SigningKey.load("operator.example", "relay", RSA, generate(RSA))
KEYS = (SHOP, OPERATOR, SHOP_ED25519)
RECORDS = {key.dns_name: key.dns_value() for key in KEYS}
VERIFIER = Path(corpus.__file__).with_name("verify_dkim.pl")


def record_of(name: bytes, timeout: int = 5) -> bytes | None:
    record = RECORDS.get(name.decode().rstrip("."))
    return record.encode() if record else None


def verifies(content: bytes, index: int) -> bool:
    """Whether dkimpy accepts the signature that stands at this place; its InvalidTag and other errors are a no."""
    try:
        return bool(dkim.DKIM(content).verify(idx=index, dnsfunc=record_of))
    except dkim.DKIMException:
        return False


def signed(name: str) -> bytes:
    head, body = split(MESSAGES[name])
    section = prepare(
        HeaderSection.parse(head, smtputf8=name in NEEDS_SMTPUTF8),
        identifier="0ID",
        connection="0CONNECTION",
        hostname="mail.example.net",
        seconds=NOW,
        list_help="<https://shop.example/help>",
    ).section
    return sign(section, body, KEYS, NOW) + section.raw + body


SIGNED = {name: signed(name) for name in MESSAGES}


@pytest.fixture(scope="module")
def second_opinion(tmp_path_factory: pytest.TempPathFactory) -> list[list[str]]:
    """What Mail::DKIM says, as rows of message, selector, result and detail."""
    folder = tmp_path_factory.mktemp("signed")
    records = folder / "records"
    records.write_text("".join(f"{name}\t{value}\n" for name, value in RECORDS.items() if "k=rsa" in value))
    paths = {str(folder / f"{number}.eml"): name for number, name in enumerate(SIGNED)}
    for path, name in paths.items():
        Path(path).write_bytes(SIGNED[name])
    return [[paths[path], *rest] for path, *rest in mail_dkim(records, *paths)]


def mail_dkim(records: Path, *messages: str | Path) -> list[list[str]]:
    """What Mail::DKIM says of messages in files, with the DNS records in a file."""
    need_mail_dkim()
    run = subprocess.run(["perl", VERIFIER, records, *messages], capture_output=True, check=True, text=True, timeout=60)
    return [line.split("\t") for line in run.stdout.splitlines()]


@pytest.mark.parametrize("name", MESSAGES)
def test_every_signature_of_the_corpus_verifies_with_dkimpy(name: str) -> None:
    assert [verifies(SIGNED[name], index) for index in range(len(KEYS))] == [True, True, True]


def test_every_rsa_signature_of_the_corpus_verifies_with_mail_dkim(second_opinion: list[list[str]]) -> None:
    bad = [row for row in second_opinion if row[2] != "pass"]
    assert bad == []
    assert sorted(row[:2] for row in second_opinion) == sorted(
        [name, key] for name in SIGNED for key in ("pm1", "relay")
    )


def test_the_fields_that_nobody_may_add_are_these() -> None:
    names = """
        From Subject Date To Cc Reply-To Message-ID MIME-Version Content-Type Content-Transfer-Encoding
        List-Help List-Unsubscribe List-Unsubscribe-Post Feedback-ID X-CSA-Complaints CFBL-Address
    """
    assert [name.decode() for name in OVERSIGNED] == names.split()


@pytest.mark.parametrize("name", [name.decode() for name in OVERSIGNED])
def test_no_field_of_the_list_can_be_added_after_signing(name: str) -> None:
    extra = f"{name}: <other@evil.example>\r\n".encode()
    content = SIGNED["order confirmation with an inline image"]
    head, body = split(content)
    for changed in (extra + content, head[:-2] + extra + b"\r\n" + body):
        assert [verifies(changed, index) for index in range(len(KEYS))] == [False, False, False]


def test_mail_dkim_sees_the_added_fields_too(tmp_path: Path) -> None:
    (tmp_path / "records").write_text(
        "".join(f"{name}\t{value}\n" for name, value in RECORDS.items() if "k=rsa" in value)
    )
    paths = []
    for name in ("From", "Subject", "List-Help", "To", "Reply-To"):
        paths.append(tmp_path / name)
        paths[-1].write_bytes(f"{name}: <a@evil.example>\r\n".encode() + SIGNED["invoice with a PDF"])
    assert [row[2] for row in mail_dkim(tmp_path / "records", *paths)] == ["fail"] * 10


@pytest.mark.parametrize("change", [(b"4711", b"4712"), (b"bestellung", b"bestechung"), (b"Bestellung", b"Bestechung")])
def test_a_changed_message_does_not_verify(change: tuple[bytes, bytes]) -> None:
    content = SIGNED["order confirmation with an inline image"]
    changed = content.replace(*change)
    assert changed == content or not verifies(changed, 0)
    assert verifies(content, 0)


def test_signing_again_gives_the_same_bytes_whole_or_in_blocks() -> None:
    head, body = split(MESSAGES["larger than a block"])
    once = sign(head, body, KEYS, NOW)
    assert once == sign(HeaderSection.parse(head), (body[at : at + 999] for at in range(0, len(body), 999)), KEYS, NOW)
    assert once != sign(head, body, KEYS, NOW + 1)


def test_the_tags_are_those_agreed_upon_and_lines_are_short() -> None:
    for field in HeaderSection.read(sign(*split(MESSAGES["several To lines"]), KEYS, NOW)).fields:
        tags = dict(tag.strip().split("=", 1) for tag in re.sub(r"\s+", " ", field.value.decode()).split(";"))
        assert list(tags) == ["v", "a", "c", "t", "d", "s", "h", "bh", "b"]
        assert (tags["c"], tags["t"]) == ("relaxed/relaxed", str(NOW))
        names = tags["h"].lower().replace(" ", "").split(":")
        assert (names.count("to"), names.count("from"), names.count("list-help")) == (4, 2, 1)
        assert all(names.count(name.decode().lower()) >= 1 for name in OVERSIGNED)
        assert max(map(len, field.raw.split(b"\r\n"))) < 79
        assert not re.search(rb"-\r\n", field.raw)


def test_long_domains_and_selectors_still_verify() -> None:
    key = SigningKey.load(("x" * 60 + ".") * 3 + "example", "selector-" + "s" * 50, RSA, SHOP_PEM)
    head, body = split(MESSAGES["only From"])
    content = sign(head, body, [key], NOW) + head + body
    assert dkim.verify(content, dnsfunc=lambda name, timeout=5: key.dns_value().encode())


def test_more_hops_and_fields_than_a_client_may_send_can_still_be_signed() -> None:
    head = b"From: a@shop.example\r\n" + b"Received: by x; y\r\n" * 60 + b"X: y\r\n" * 1000 + b"\r\n"
    assert verifies(sign(head, b"", [SHOP], NOW) + head, 0)


@pytest.mark.parametrize(
    "head", [b" folded: x\r\n\r\n", b"no colon\r\n\r\n", b"Bad name: x\r\n\r\n", b"X: \0\r\n\r\n", b"X: y"]
)
def test_a_folded_first_line_and_other_poison_is_refused_and_does_not_crash_the_signer(head: bytes) -> None:
    with pytest.raises(Refused):
        sign(head, b"text\r\n", [SHOP], NOW)


def test_a_megabyte_of_lines_of_16_kilobytes_of_blanks_is_signed_in_less_than_a_second() -> None:
    head = split(MESSAGES["only From"])[0]
    begin = time.process_time()
    assert sign(head, (b"x" + b" " * 16_000 + b"\r\n") * 63, [SHOP], NOW).startswith(b"DKIM-Signature: v=1;")
    assert time.process_time() - begin < 1


def test_keys_in_both_pem_forms_are_the_same_key() -> None:
    private = SHOP.private
    assert isinstance(private, rsa.RSAPrivateKey)
    form = serialization.PrivateFormat.TraditionalOpenSSL
    pem = private.private_bytes(serialization.Encoding.PEM, form, serialization.NoEncryption())
    assert b"BEGIN RSA PRIVATE KEY" in pem
    assert SigningKey.load("shop.example", "pm1", RSA, pem).dns_value() == SHOP.dns_value()


def pem_of(bits: int, passphrase: bytes = b"") -> bytes:
    how = serialization.BestAvailableEncryption(passphrase) if passphrase else serialization.NoEncryption()
    private = rsa.generate_private_key(65537, bits)
    return private.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, how)


@pytest.mark.parametrize(
    ("domain", "selector", "algorithm", "pem", "sentence"),
    [
        ("shop.example", "s", RSA, pem_of(1024), "has 1024 bits; 2048 to 4096 are needed"),
        ("shop.example", "s", RSA, pem_of(2048, b"secret"), "is encrypted"),
        ("shop.example", "s", RSA, b"", "not a private key in PEM form"),
        ("shop.example", "s", RSA, SHOP_PEM[:400], "not a private key in PEM form"),
        ("shop.example", "s", ED25519, SHOP_PEM, "not one for ed25519-sha256"),
        ("shop.example", "s", RSA, generate(ED25519), "not one for rsa-sha256"),
        ("shop.example", "s", "rsa-sha1", SHOP_PEM, "not one for rsa-sha1"),
        ("shop.example; l=0", "s", RSA, SHOP_PEM, "not a domain or selector"),
        ("Shop.example", "s", RSA, SHOP_PEM, "not a domain or selector"),
        ("shop.example", "s\r\n", RSA, SHOP_PEM, "not a domain or selector"),
        ("shop.example", "", RSA, SHOP_PEM, "not a domain or selector"),
    ],
)
def test_bad_keys_are_refused_with_a_sentence(
    domain: str, selector: str, algorithm: str, pem: bytes, sentence: str
) -> None:
    with pytest.raises(ValueError, match=sentence) as error:
        SigningKey.load(domain, selector, algorithm, pem)
    assert str(error.value).endswith(".")


def test_only_known_algorithms_are_generated() -> None:
    with pytest.raises(ValueError, match="No such algorithm"):
        generate("rsa-sha1")


def test_a_key_does_not_show_itself() -> None:
    assert repr(SHOP) == "SigningKey(domain='shop.example', selector='pm1', algorithm='rsa-sha256')"


def test_the_record_to_publish_holds_the_public_key() -> None:
    assert SHOP.dns_name == "pm1._domainkey.shop.example"
    assert SHOP.dns_value().startswith("v=DKIM1; k=rsa; p=MII")
    assert re.fullmatch(r"v=DKIM1; k=ed25519; p=[A-Za-z0-9+/]{43}=", SHOP_ED25519.dns_value())


@pytest.mark.parametrize(
    ("record", "sentence"),
    [
        (SHOP.dns_value(), ""),
        (SHOP.dns_value().removeprefix("v=DKIM1; k=rsa; "), ""),
        (SHOP.dns_value()[:200] + " " + SHOP.dns_value()[200:] + ";", ""),
        ("v=DKIM1; p=", "The key was revoked: the record has an empty p=."),
        (OPERATOR.dns_value(), "The record has another key (p=)."),
        (SHOP_ED25519.dns_value(), "The record is for another kind of key (k=)."),
        ("v=spf1 -all", "The record is not a DKIM key record."),
        ("", "The record is not a DKIM key record."),
        ("ü;;=", "The record is not a DKIM key record."),
    ],
    ids=["same", "short", "cut", "revoked", "another", "other-kind", "spf", "empty", "nonsense"],
)
def test_a_published_record_is_compared_with_the_key(record: str, sentence: str) -> None:
    assert SHOP.fault_in(record) == sentence
