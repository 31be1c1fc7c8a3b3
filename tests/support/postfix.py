"""Debian's Postfix at the recipients' end: `smtp-sink` with its mishaps, and a whole Postfix that takes mail."""

from __future__ import annotations

import contextlib
import shutil
import socket
import subprocess
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from email import message_from_bytes, policy
from email.message import EmailMessage
from pathlib import Path

from postmeter.testing.waiting import free_port, wait_until
from support.foreign import need, need_program
from support.mail_sink import certificate

PATIENCE = 20.0  # seconds for a start
DAEMONS = Path("/usr/lib/postfix/sbin")

# What a Postfix needs that takes mail, keeps it, and tells the sender of what it cannot keep.
_SERVICES = """\
127.0.0.1:{port} inet n - n - - smtpd
cleanup unix n - n - 0 cleanup
qmgr unix n - n 300 1 qmgr
tlsmgr unix - - n 1000? 1 tlsmgr
rewrite unix - - n - - trivial-rewrite
bounce unix - - n - 0 bounce
defer unix - - n - 0 bounce
trace unix - - n - 0 bounce
proxymap unix - - n - - proxymap
smtp unix - - n - - smtp
error unix - - n - - error
retry unix - - n - - error
virtual unix - n n - - virtual
anvil unix - - n - 1 anvil
scache unix - - n - 1 scache
postlog unix-dgram n - n - 1 postlogd
"""
_SETTINGS = """\
compatibility_level = 3.6
queue_directory = {folder}/queue
data_directory = {folder}/data
command_directory = /usr/sbin
daemon_directory = {daemons}
mail_owner = postfix
setgid_group = postdrop
inet_interfaces = 127.0.0.1
inet_protocols = ipv4
myhostname = mx.example
mydestination =
mynetworks =
alias_maps =
relayhost = {relayhost}
maillog_file = {folder}/log
maillog_file_prefixes = {folder}
message_size_limit = 100000
queue_run_delay = 1s
minimal_backoff_time = 1s
maximal_backoff_time = 2s
smtpd_tls_cert_file = {pem}
smtpd_tls_key_file = {pem}
smtpd_tls_security_level = may
smtpd_relay_restrictions = reject_unauth_destination
virtual_mailbox_domains = {domain}
virtual_mailbox_base = {folder}/mail
virtual_mailbox_maps = inline:{{ joe@{domain}=joe/, ann@{domain}=ann/ }}
virtual_alias_maps = inline:{{ moved@{domain}=gone@elsewhere.example }}
virtual_uid_maps = static:65534
virtual_gid_maps = static:65534
transport_maps = inline:{{ {{ elsewhere.example=error:5.1.1 There is nobody of that name any more }} }}
"""


@contextlib.contextmanager
def smtp_sink(*switches: str) -> Iterator[int]:
    """A server that takes all mail but for what its switches say (smtp-sink(1)); its port."""
    port = free_port()
    command = [need_program("smtp-sink"), "-u", "nobody", *switches, f"127.0.0.1:{port}", "100"]
    with subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE) as process:
        try:
            wait_until(lambda: _answers(port), PATIENCE, f"smtp-sink {' '.join(switches)}")
            yield port
        finally:
            process.kill()


@contextlib.contextmanager
def postfix(domain: str, relayhost: str = "") -> Iterator[Postfix]:
    """A running Postfix; in a folder that its processes may enter, who are not root's as those of pytest."""
    folder = Path(tempfile.mkdtemp(prefix="postfix-"))
    folder.chmod(0o755)
    made = Postfix(folder, domain, free_port(), relayhost)
    try:
        made.start()
        yield made
    finally:
        made.stop()
        shutil.rmtree(folder)


@dataclass(frozen=True)
class Postfix:
    """A Postfix that offers STARTTLS, and takes mail for joe, ann and moved (where that leads nobody is) at ``domain``.

    What it has to tell a sender goes to ``relayhost`` (``[127.0.0.1]:2526``).
    """

    folder: Path
    domain: str
    port: int
    relayhost: str = ""

    def start(self) -> None:
        """Begin to take mail."""
        need("Postfix", (DAEMONS / "smtpd").exists())
        etc = self.folder / "etc"
        for name in ("etc", "queue", "data", "mail"):
            (self.folder / name).mkdir()
            (self.folder / name).chmod(0o755)  # whatever the umask is
        shutil.chown(self.folder / "data", "postfix")
        shutil.chown(self.folder / "mail", 65534)
        pem = etc / "mx.pem"
        pem.write_bytes(b"".join(certificate("mx.example")))
        facts = {"folder": self.folder, "domain": self.domain, "relayhost": self.relayhost, "daemons": DAEMONS}
        (etc / "main.cf").write_text(_SETTINGS.format(**facts, pem=pem))
        (etc / "master.cf").write_text(_SERVICES.format(port=self.port))
        self._run("start")
        wait_until(lambda: _answers(self.port), PATIENCE, lambda: f"Postfix\n{self.log()}")

    def stop(self) -> None:
        """End it, if it runs."""
        if (self.folder / "queue" / "pid" / "master.pid").exists():
            self._run("stop")

    def mails(self, user: str) -> list[EmailMessage]:
        """What has come for a user."""
        found = sorted((self.folder / "mail" / user / "new").glob("*"))
        return [message_from_bytes(path.read_bytes(), policy=policy.default) for path in found]

    def log(self) -> str:
        """What it has said."""
        path = self.folder / "log"
        return path.read_text() if path.exists() else ""

    def _run(self, verb: str) -> None:
        command = [need_program("postfix"), "-c", str(self.folder / "etc"), verb]
        done = subprocess.run(command, capture_output=True, text=True, timeout=PATIENCE, check=False)
        assert done.returncode == 0, f"postfix {verb}: {done.stderr}\n{self.log()}"


def _answers(port: int) -> bool:
    with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", port), timeout=1) as link:
        return link.recv(3) == b"220"
    return False
