"""Postfix as a peer, alone or with OpenDKIM: submission with STARTTLS and AUTH, everything relayed to the sink."""

from __future__ import annotations

import os
import shutil
import subprocess
import time
from collections.abc import Sequence
from pathlib import Path

from peer import Access, Peer, Ports, end, wait_for_port

USER, PASSWORD = "shop1", "secret"

MAIN = """\
compatibility_level = 3.6
queue_directory = {folder}/queue
data_directory = {folder}/data
command_directory = /usr/sbin
daemon_directory = /usr/lib/postfix/sbin
mail_owner = postfix
setgid_group = postdrop
inet_interfaces = 127.0.0.1
inet_protocols = ipv4
myhostname = relay.example
mydestination =
mynetworks = 127.0.0.0/8
relayhost = [127.0.0.1]:{sink}
maillog_file = {folder}/maillog
maillog_file_prefixes = {folder}
message_size_limit = 41943040
smtpd_sasl_auth_enable = yes
smtpd_sasl_local_domain = localhost
cyrus_sasl_config_path = {folder}/etc/sasl
smtpd_tls_cert_file = {certificate}
smtpd_tls_key_file = {key}
smtpd_tls_security_level = encrypt
smtpd_tls_auth_only = yes
smtpd_relay_restrictions = permit_sasl_authenticated, reject
smtp_tls_security_level = may
alias_maps =
"""

MILTER = """\
smtpd_milters = unix:{folder}/milter/socket
milter_default_action = tempfail
"""

# Debian's master.cf without the daemons that a relay never uses, and outside of the chroot.
MASTER = """\
127.0.0.1:{port} inet n - n - - smtpd
pickup unix n - n 60 1 pickup
cleanup unix n - n - 0 cleanup
qmgr unix n - n 300 1 qmgr
tlsmgr unix - - n 1000? 1 tlsmgr
rewrite unix - - n - - trivial-rewrite
bounce unix - - n - 0 bounce
defer unix - - n - 0 bounce
trace unix - - n - 0 bounce
verify unix - - n - 1 verify
flush unix n - n 1000? 0 flush
proxymap unix - - n - - proxymap
proxywrite unix - - n - 1 proxymap
smtp unix - - n - - smtp
relay unix - - n - - smtp
showq unix n - n - - showq
error unix - - n - - error
retry unix - - n - - error
discard unix - - n - - discard
anvil unix - - n - 1 anvil
scache unix - - n - 1 scache
postlog unix-dgram n - n - 1 postlogd
"""

SASL = """\
pwcheck_method: auxprop
auxprop_plugin: sasldb
sasldb_path: {folder}/sasldb2
mech_list: PLAIN LOGIN
"""

OPENDKIM = """\
Syslog no
UserID opendkim
Mode s
Canonicalization relaxed/relaxed
Domain sender.example
Selector s1
KeyFile {folder}/dkim.pem
Socket local:{folder}/milter/socket
UMask 000
InternalHosts 127.0.0.0/8
RequireSafeKeys no
"""


class Postfix(Peer):
    """Postfix as Debian ships it; `settings` are further lines of main.cf."""

    name = "postfix"
    signs = False
    place = 1  # of its port, from the base

    def __init__(self, folder: Path, ports: Ports, settings: Sequence[str] = ()) -> None:
        super().__init__(folder, ports)
        self.port = ports.base + self.place
        self.settings = settings
        self._signer: subprocess.Popen[bytes] | None = None

    def start(self) -> Access:
        """A new queue, user database and configuration."""
        if os.geteuid() != 0:
            raise PermissionError("Postfix can be started by root only")
        shutil.rmtree(self.folder, ignore_errors=True)
        for folder in ("etc/sasl", "queue", "data", "milter"):
            (self.folder / folder).mkdir(parents=True)
        shutil.chown(self.folder / "data", "postfix")
        self._write_configuration()
        self._add_user()
        return self.restart()

    def restart(self) -> Access:
        """Postfix on its queue as it is; OpenDKIM first, since a missing milter answers with 451."""
        if self.signs:
            end(self._signer)
            self._start_signer()
        pid_file = self.folder / "queue/pid/master.pid"
        pid_file.unlink(missing_ok=True)  # of a killed one
        self._postfix("start")
        wait_for_port(self.port)
        pids = [int(pid_file.read_text())] + ([self._signer.pid] if self._signer else [])
        return Access(self.name, self.port, "starttls", USER, PASSWORD, tuple(pids))

    def stop(self) -> None:
        """`postfix stop`, and the signer."""
        if (self.folder / "queue/pid/master.pid").exists():
            self._postfix("stop", check=False)  # it may have been killed
        end(self._signer)

    def _postfix(self, action: str, check: bool = True) -> None:
        done = subprocess.run(["postfix", "-c", str(self.folder / "etc"), action], capture_output=True, text=True)
        if check and done.returncode:
            raise RuntimeError(f"postfix {action}:\n{done.stdout}{done.stderr}")

    def _write_configuration(self) -> None:
        values = {"folder": self.folder, "sink": self.ports.sink, "port": self.port}
        values |= {"certificate": self.certificate, "key": self.key}
        main = (MAIN + MILTER if self.signs else MAIN).format(**values)
        (self.folder / "etc/main.cf").write_text(main + "".join(f"{line}\n" for line in self.settings))
        (self.folder / "etc/master.cf").write_text(MASTER.format(**values))
        (self.folder / "etc/sasl/smtpd.conf").write_text(SASL.format(**values))
        (self.folder / "opendkim.conf").write_text(OPENDKIM.format(**values))

    def _add_user(self) -> None:
        database = self.folder / "sasldb2"
        command = ["saslpasswd2", "-p", "-c", "-f", str(database), "-u", "localhost", USER]
        subprocess.run(command, input=PASSWORD.encode(), check=True)
        shutil.chown(database, "postfix")

    def _start_signer(self) -> None:
        key, socket = self.folder / "dkim.pem", self.folder / "milter/socket"
        if not key.exists():
            subprocess.run(
                ["openssl", "genrsa", "-traditional", "-out", str(key), "2048"], check=True, capture_output=True
            )
            key.chmod(0o600)
            shutil.chown(key, "opendkim")
            shutil.chown(socket.parent, "opendkim")
        socket.unlink(missing_ok=True)
        with (self.folder / "opendkim.log").open("wb") as log:
            command = ["opendkim", "-f", "-x", str(self.folder / "opendkim.conf")]
            self._signer = subprocess.Popen(command, stdout=log, stderr=log, start_new_session=True)
        deadline = time.monotonic() + 10
        while not socket.exists():
            if time.monotonic() > deadline:
                raise TimeoutError((self.folder / "opendkim.log").read_text())
            time.sleep(0.1)


class SigningPostfix(Postfix):
    """The same with OpenDKIM signing RSA-2048, relaxed/relaxed, as Postmeter does."""

    name = "postfix-dkim"
    signs = True
    place = 2
