"""What the settings cards say, tried with the real clients, by a user name and a password that are hard to quote."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from postmeter.store import accounts, connections
from postmeter.store.engine import Store
from postmeter.store.secrets import Secrets
from postmeter.store.tables import Connection
from postmeter_web.account import cards
from support.foreign import need, need_program
from support.mail_sink import MailSink
from support.node import node_modules
from support.relay import ACCOUNT, DOMAIN, Access, Relay, wait_until

SCRIPTS = Path(__file__).parent / "scripts"
PATIENCE = 60.0  # seconds for one client
USERNAME = r"""web "shop" 'x' \n $HOME %41 #;@/{port}"""
PASSWORD = r"""p"a'ss:\w$ord%20 {password} &;#<>|!`~\\"""
MAIL = b"From: shop@shop.example\r\nSubject: Ihre Bestellung\r\n\r\nDanke.\r\n"
NODE = """
const nodemailer = require('nodemailer');
%s
transport
  .sendMail({ from: 'shop@shop.example', to: process.argv[2], subject: 'Ihre Bestellung', text: 'Danke.' })
  .then(() => transport.close(), (failure) => { console.error(failure); process.exit(1); });
"""
DJANGO = """
import sys
from django.conf import settings
from django.core.mail import send_mail
facts = {}
exec(open(sys.argv[1]).read(), facts)
settings.configure(**{name: value for name, value in facts.items() if name.isupper()})
send_mail("Ihre Bestellung", "Danke.", None, [sys.argv[2]])
"""


@pytest.fixture(scope="module")
def difficult(relay: Relay, access: Access) -> cards.Access:
    """A connection whose user name and password nobody would choose."""
    data = relay.folder / "data"
    secrets, store = Secrets.open(data), Store.open(f"sqlite:///{data / 'postmeter.db'}")
    with store.write() as session:
        account = accounts.account_by_name(session, ACCOUNT)
        added = connections.add_connection(session, secrets, account, "difficult", [DOMAIN], 1.0)
        session.get_one(Connection, added.connection_id).username = USERNAME
        session.get_one(Connection, added.connection_id).secret = secrets.hash_token(PASSWORD)
    store.close()
    return cards.Access(access.host, access.port, USERNAME, PASSWORD, DOMAIN)


def run(*command: str | Path, folder: Path, stdin: bytes = b"", **env: str) -> None:
    done = subprocess.run(
        [need_program(str(command[0])), *map(str, command[1:])],
        cwd=folder,
        input=stdin,
        capture_output=True,
        timeout=PATIENCE,
        env={**os.environ, **env},
        check=False,
    )
    assert done.returncode == 0, (done.stdout + done.stderr).decode("utf-8", "replace")


def with_php(system: str, snippet: Path, to: str, certificate: Path) -> None:
    need("PHPMailer", Path("/usr/share/php/libphp-phpmailer/src/PHPMailer.php").exists())
    if system == "symfony":
        need("Symfony Mailer", Path("/usr/share/php/Symfony/Component/Mailer/autoload.php").exists())
    options = ("-d", f"openssl.cafile={certificate}")
    run("php", *options, SCRIPTS / "card.php", system, snippet, to, folder=snippet.parent)


def with_django(_system: str, snippet: Path, to: str, certificate: Path) -> None:
    run(sys.executable, "-c", DJANGO, snippet, to, folder=snippet.parent, SSL_CERT_FILE=str(certificate))


def with_node(_system: str, snippet: Path, to: str, certificate: Path) -> None:
    modules = node_modules()
    need("Nodemailer", modules is not None)
    script = snippet.with_suffix(".js")
    script.write_text(NODE % snippet.read_text())
    run("node", script, to, folder=snippet.parent, NODE_PATH=str(modules), NODE_EXTRA_CA_CERTS=str(certificate))


def with_msmtp(_system: str, snippet: Path, to: str, certificate: Path) -> None:
    snippet.chmod(0o600)
    stdin = MAIL.replace(b"\r\n", b"\n")
    run("msmtp", f"--file={snippet}", f"--tls-trust-file={certificate}", to, folder=snippet.parent, stdin=stdin)


def with_shell(system: str, snippet: Path, to: str, certificate: Path) -> None:
    need_program(system)
    (snippet.parent / "mail.eml").write_bytes(MAIL)
    more = f" --tls-verify --tls-ca-path {certificate}" if system == "swaks" else ""
    command = snippet.read_text().replace("you@example.org", to) + more
    run("sh", "-c", command, folder=snippet.parent, CURL_CA_BUNDLE=str(certificate))


CLIENTS: dict[str, Callable[[str, Path, str, Path], None]] = {
    **dict.fromkeys(("wp-mail-smtp", "wordpress", "symfony", "shopware", "typo3"), with_php),
    "django": with_django,
    "nodemailer": with_node,
    "msmtp": with_msmtp,
    **dict.fromkeys(("swaks", "curl"), with_shell),
}


@pytest.mark.parametrize("system", CLIENTS)
def test_what_a_card_says_sends_mail(
    system: str, relay: Relay, difficult: cards.Access, sink: MailSink, tmp_path: Path
) -> None:
    snippet, to = tmp_path / "snippet", f"{system}@kunde.example"
    snippet.write_text(cards.card(system, difficult, "en").snippet)
    kind = "symfony" if system == "shopware" else system
    CLIENTS[system](kind, snippet, to, Path(relay.certificate))
    [arrived] = wait_until(lambda: sink.to(to), 20, "delivery")
    assert arrived.mail_from.startswith(b"<shop@shop.example>")
