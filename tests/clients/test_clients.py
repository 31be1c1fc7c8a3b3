"""The mail clients that shops really use, through the running relay: on both ports, the certificate verified."""

from __future__ import annotations

import email
import email.policy
import json
import os
import smtplib
import ssl
import subprocess
import sys
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path

import pytest

from support.corpus import MESSAGES
from support.foreign import need, need_program
from support.mail_sink import MailSink, Received
from support.node import node_modules
from support.relay import Access, Relay, wait_until
from support.transit import check_transit

SCRIPTS = Path(__file__).parent / "scripts"
RAW = MESSAGES["order confirmation with an inline image"]
DOTS = MESSAGES["a dot at every line start"]
ATTACHMENT = b"\0\r\n.\r\n\xff" * 1000
PATIENCE = 60.0  # seconds for one client


@dataclass(frozen=True)
class Facts:
    """What a client is told; it writes the content that it hands over to ``handed_over``."""

    host: str
    port: int
    implicit: bool
    username: str
    password: str
    certificate: str
    recipient: str
    handed_over: str

    def write(self, content: bytes) -> None:
        """For clients that take a whole message."""
        Path(self.handed_over).write_bytes(content)


def run(program: str, *arguments: str, stdin: bytes = b"", env: dict[str, str] | None = None) -> None:
    """Run a client; AssertionError with what it said when it fails."""
    program = need_program(program)
    environment = {**os.environ, **(env or {})}
    done = subprocess.run(
        [program, *arguments], input=stdin, capture_output=True, timeout=PATIENCE, env=environment, check=False
    )
    assert done.returncode == 0, f"{program}: {(done.stdout + done.stderr).decode('utf-8', 'replace')}"


def with_smtplib(facts: Facts) -> None:
    facts.write(RAW)
    trusted = ssl.create_default_context(cafile=facts.certificate)
    if facts.implicit:
        client: smtplib.SMTP = smtplib.SMTP_SSL(facts.host, facts.port, context=trusted)
    else:
        client = smtplib.SMTP(facts.host, facts.port)
    with client:
        if not facts.implicit:
            client.starttls(context=trusted)
        client.login(facts.username, facts.password)
        refused = client.sendmail("shop@shop.example", [facts.recipient], RAW, mail_options=["BODY=8BITMIME"])
    assert refused == {}


def with_swaks(facts: Facts) -> None:
    facts.write(DOTS)
    stuffed = DOTS.replace(b"\r\n.", b"\r\n..") + b".\r\n"
    run(
        "swaks",
        *("--server", facts.host, "--port", str(facts.port), "--tls-on-connect" if facts.implicit else "--tls"),
        *("--tls-verify", "--tls-ca-path", facts.certificate),
        *("--auth", "LOGIN", "--auth-user", facts.username, "--auth-password", facts.password),
        *("--from", "shop@shop.example", "--to", facts.recipient, "--no-data-fixup", "--data", "-"),
        stdin=stuffed,
    )


def with_msmtp(facts: Facts) -> None:
    facts.write(RAW)
    run(
        "msmtp",
        *("--file=/dev/null", f"--host={facts.host}", f"--port={facts.port}", "--tls=on"),
        *(f"--tls-starttls={'off' if facts.implicit else 'on'}", f"--tls-trust-file={facts.certificate}"),
        *("--auth=plain", f"--user={facts.username}", f"--passwordeval=echo {facts.password}"),
        *("--from=shop@shop.example", facts.recipient),
        stdin=RAW.replace(b"\r\n", b"\n"),
    )


def with_curl(facts: Facts) -> None:
    facts.write(RAW)
    run(
        "curl",
        *("--silent", "--show-error", "--ssl-reqd", "--cacert", facts.certificate),
        *("--user", f"{facts.username}:{facts.password}", "--upload-file", facts.handed_over),
        *("--mail-from", "shop@shop.example", "--mail-rcpt", facts.recipient),
        f"{'smtps' if facts.implicit else 'smtp'}://{facts.host}:{facts.port}/shop.example",
    )


def with_phpmailer(facts: Facts) -> None:
    need("PHPMailer", Path("/usr/share/php/libphp-phpmailer/src/PHPMailer.php").exists())
    run("php", str(SCRIPTS / "phpmailer.php"), json.dumps(asdict(facts)))


def with_symfony_mailer(facts: Facts) -> None:
    need("Symfony Mailer", Path("/usr/share/php/Symfony/Component/Mailer/autoload.php").exists())
    run("php", str(SCRIPTS / "symfony.php"), json.dumps(asdict(facts)))


def with_nodemailer(facts: Facts) -> None:
    modules = node_modules()
    need("Nodemailer", modules is not None)
    run("node", str(SCRIPTS / "nodemailer.js"), json.dumps(asdict(facts)), env={"NODE_PATH": str(modules)})


def with_django(facts: Facts) -> None:
    run(sys.executable, str(SCRIPTS / "django_mail.py"), json.dumps(asdict(facts)))


TAKE_A_MESSAGE: list[Callable[[Facts], None]] = [with_smtplib, with_swaks, with_msmtp, with_curl]
BUILD_A_MESSAGE: list[Callable[[Facts], None]] = [with_phpmailer, with_symfony_mailer, with_nodemailer, with_django]


@pytest.fixture(params=[False, True], ids=["STARTTLS", "implicit TLS"])
def facts(request: pytest.FixtureRequest, relay: Relay, access: Access, tmp_path: Path) -> Facts:
    """What the client of this test is told."""
    return Facts(
        access.host,
        access.tls_port if request.param else access.port,
        request.param,
        access.username,
        access.password,
        str(relay.certificate),
        f"{tmp_path.name.replace('_', '-').lower()}@kunde.example",
        str(tmp_path / "handed-over"),
    )


def delivered(facts: Facts, sink: MailSink, access: Access) -> bytes:
    """The content that arrived, once, by TLS, for the right recipient, and compared with what was handed over."""
    arrived: Received
    (arrived,) = wait_until(lambda: sink.to(facts.recipient), 20, "delivery")
    check_transit(Path(facts.handed_over).read_bytes(), arrived.content, access.records)
    assert arrived.recipients == [facts.recipient]
    assert arrived.mail_from.startswith(b"<shop@shop.example>")
    assert arrived.tls
    return arrived.content


@pytest.mark.parametrize("client", TAKE_A_MESSAGE)
def test_a_client_hands_a_whole_message_over(
    client: Callable[[Facts], None], facts: Facts, sink: MailSink, access: Access
) -> None:
    client(facts)
    assert delivered(facts, sink, access).endswith(Path(facts.handed_over).read_bytes())


@pytest.mark.parametrize("client", BUILD_A_MESSAGE)
def test_a_client_builds_an_order_mail(
    client: Callable[[Facts], None], facts: Facts, sink: MailSink, access: Access
) -> None:
    client(facts)
    mail = email.message_from_bytes(delivered(facts, sink, access), policy=email.policy.default)
    assert mail["Subject"] == "Ihre Bestellung über 12 €"
    assert mail["From"].addresses[0].display_name == "Müller & Söhne"
    assert mail["To"].addresses[0].addr_spec == facts.recipient
    plain, html = mail.get_body(("plain",)), mail.get_body(("html",))
    assert plain is not None
    assert html is not None
    assert plain.get_content().splitlines() == ["Vielen Dank für Ihre Bestellung.", ".", ".."]
    assert "<p>Vielen Dank für Ihre Bestellung.</p>" in html.get_content()
    assert [part.get_content() for part in mail.iter_attachments()] == [ATTACHMENT]


def test_a_client_that_does_not_know_the_certificate_goes_away(access: Access) -> None:
    with smtplib.SMTP(access.host, access.port) as client, pytest.raises(ssl.SSLCertVerificationError):
        client.starttls(context=ssl.create_default_context())
