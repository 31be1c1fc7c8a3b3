"""The sections of the configuration file: each key with its default, its bounds and what it means."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import attrs
from attrs import frozen

from postmeter.quota.block import MOST_MAILS
from postmeter.setting import setting


@frozen
class Server:
    """The machine and its processes."""

    hostname: str = setting(
        "", "the name in greetings, Received fields and the certificate; empty: this machine's name"
    )
    data: str = setting("./data", "folder of the database, keys and certificates")
    workers: int = setting(0, "processes that receive and deliver; 0: one per core", least=0)
    drain_timeout: int = setting(
        30, "seconds a stopping worker gives mail under way before it hands it back", least=1, most=30
    )
    min_free_percent: int = setting(
        10,
        "per cent of the data folder's disk, and of its files; with less free, mail is answered 452",
        least=0,
        most=99,
    )
    min_free_bytes: int = setting(1_000_000_000, "octets of the data folder's disk; with less free, 452", least=0)


@frozen
class Store:
    """The database."""

    url: str = setting("", 'empty: SQLite under data; or "postgresql+psycopg://user@host/db"')


@frozen
class Smtp:
    """Reception."""

    submission: tuple[str, ...] = setting(("127.0.0.1:2587",), "addresses with STARTTLS")
    submissions: tuple[str, ...] = setting(("127.0.0.1:2465",), "addresses with implicit TLS")
    reports: tuple[str, ...] = setting((), "addresses for inbound bounces and complaints (port 25)")
    return_path: str = setting(
        "",
        "the relay's own domain for bounces, such as bounce.example.net: with smtp.reports set, those of mail whose "
        "sending domain has no return path of its own come back there; empty: to the sender",
    )
    postmaster: str = setting("", "where mail to abuse@ and postmaster@ is passed on; empty: to all operators")
    certificate: str = setting("", "PEM file with the chain; empty: data/certificate.pem is made, self-signed")
    private_key: str = setting("", "PEM file with the key of the certificate")
    certificates: tuple[str, ...] = setting(
        (),
        "certificates for further host names, chosen by the name a client asks for (SNI): PEM files with chain and "
        "key, or folders with fullchain.pem and privkey.pem",
    )
    proxies: tuple[str, ...] = setting(
        (), "addresses or networks of proxies that begin every session with a PROXY protocol header (v1 or v2)"
    )
    max_message_size: int = setting(31_457_280, "octets of one message", least=1024)
    max_recipients: int = setting(100, "recipients of one message; more are answered 452", least=100, most=999_999)
    max_messages_per_session: int = setting(100_000, "messages of one session; then 421", least=1, most=999_999)
    max_sessions: int = setting(
        10_000, "sessions of this machine in all, a tenth of them for reports; over it 421", least=1
    )
    max_sessions_per_ip: int = setting(200, "sessions with one address (IPv6: one /64)", least=1)
    max_sessions_per_connection: int = setting(100, "sessions logged in as one connection", least=1)
    max_new_sessions_per_second: int = setting(
        10, "new sessions per second of an address whose sessions never log in; more are held, then 421", least=1
    )
    max_errors: int = setting(20, "refused commands of one session; then 421", least=1)
    max_junk_commands: int = setting(100, "commands in a row that are not about a message; then 421", least=10)
    max_login_failures: int = setting(5, "failed log-ins of one session; then 421", least=1)
    max_login_failures_per_user: int = setting(
        5, "failed log-ins with one user name in the window; then 454 to who has not logged in from there", least=1
    )
    max_login_failures_per_network: int = setting(
        20, "user names that fail to log in from one network (IPv4: /24, IPv6: /64) in the window; then 454", least=1
    )
    login_failure_window: int = setting(900, "seconds in which failed log-ins are counted, and refused then", least=1)
    max_command_line: int = setting(512, "octets of a command; MAIL and RCPT may have 2048", least=512, most=2048)
    max_login_line: int = setting(12_288, "octets of a line of AUTH", least=1024, most=65_536)
    max_header_size: int = setting(131_072, "octets of a message's header section", least=4096)
    max_header_fields: int = setting(1_000, "fields of a message's header section", least=50)
    max_received: int = setting(50, "Received fields of a message; with more it goes round in a loop", least=10)
    bare_line_endings: str = setting(
        "refuse",
        "what becomes of a message with a bare CR or LF: refused, or its line ends made CR LF before it is signed",
        choices=("refuse", "normalise"),
    )
    long_lines: str = setting(
        "refuse", "what becomes of a message with a line of more than 998 octets", choices=("refuse", "accept")
    )
    handshake_timeout: int = setting(30, "seconds for a TLS handshake", least=1)
    login_timeout: int = setting(60, "seconds from the beginning of a session to its log-in", least=1)
    command_timeout: int = setting(300, "seconds for the next command to be complete", least=10)
    content_timeout: int = setting(1_800, "seconds for all of a message's content", least=60)
    min_data_rate: int = setting(500, "octets of content per second, on the average, after its first minute", least=0)
    suppressed: str = setting(
        "refuse",
        "what becomes of a recipient whose address is suppressed: it is answered 550, or accepted, shown and not sent",
        choices=("refuse", "accept"),
    )
    list_help: str = setting(
        "keep", "keep a message's own valid List-Help field, or replace it", choices=("keep", "replace")
    )


@frozen
class Delivery:
    """Sending."""

    routes: dict[str, str] = setting(
        {}, 'next hops instead of MX: { "*" = "127.0.0.1:2525", "example.org" = "10.0.0.5:25" }'
    )
    resolver: str = setting("", 'DNS server "127.0.0.1:5353"; empty: the system\'s')
    allow_private: bool = setting(False, "may connect to non-public addresses that MX records name")
    port: int = setting(25, "port of the mail servers that MX records name", least=1)
    probe: str = setting(
        "", "a mail server that `check` and the panel may connect to, to see whether port 25 is open; empty: none"
    )
    pools: dict[str, str] = setting(
        {},
        'addresses that mail leaves from, each with its EHLO name: { transactional = "203.0.113.5=mx1.example.net '
        '2001:db8::5=mx1.example.net" }; without pools the system chooses, and server.hostname is said',
    )
    warm_up: bool = setting(True, "whether new addresses of the pools are used for few mails a day at first")
    window: int = setting(10_000, "recipients that one worker holds in memory", least=1)
    providers: str = setting(
        "", "file with limits of receiving providers of your own, relative to the data folder; empty: none"
    )
    lifetime_days: int = setting(
        4, "days until an undelivered recipient expires, unless its message says otherwise", least=1
    )
    notifications: str = setting(
        "always",
        "when a sender is written to about his mail (RFC 3464): when it failed, unless he said otherwise; only as he "
        "asked for by NOTIFY; or never",
        choices=("always", "requested", "never"),
    )
    tls_required: tuple[str, ...] = setting(
        (), 'recipients\' domains that mail goes to by TLS only, or waits; "*": all'
    )
    mta_sts: bool = setting(True, "whether the policies that domains publish about TLS count (MTA-STS)")
    dane: bool = setting(True, "whether TLSA records count, if the resolver is on this machine and validates (DANE)")
    tls_reports: bool = setting(True, "whether domains that ask for it get a daily report about TLS (TLS-RPT)")
    suppress_days: int = setting(
        30, "days for which an address that does not exist is not tried again, at most; 0: it always is", least=0
    )
    bounce_rules: str = setting(
        "", "file of your own rules that tell what replies mean, before those of message/bounces.toml; empty: none"
    )


@frozen
class Demo:
    """The quota every new account starts with."""

    size: int = setting(1_000, "mails, once per account", least=0, most=MOST_MAILS)
    days: int = setting(30, "days until they expire", least=1)
    per_hour: int = setting(
        25, "recipients per rolling hour of an account that never had a paid block; 0: no limit", least=0
    )
    on_excess: str = setting(
        "queue",
        "what becomes of more: it is accepted and waits for its turn, or is answered 450",
        choices=("queue", "refuse"),
    )


@frozen
class Block:
    """Booked quota."""

    min: int = setting(25_000, "mails of the smallest block", least=1)
    step: int = setting(25_000, "larger blocks are multiples of this", least=1)
    days: int = setting(30, "days until a block expires", least=1)


@frozen
class Overdraft:
    """Mails beyond all blocks."""

    policy: str = setting("agreement", "who may send beyond all blocks", choices=("agreement", "always", "never"))
    cap: int = setting(0, "mails beyond all blocks, not invoiced yet, that an account may reach; 0: any", least=0)


@frozen
class Web:
    """The panel."""

    listen: str = setting("127.0.0.1:8025", "address of the panel; empty: no panel")
    url: str = setting("", 'where people reach it, for links in mails: "https://panel.example.net"; empty: web.listen')
    timezone: str = setting("UTC", "time zone of those who have chosen none, such as Europe/Berlin")
    requests: bool = setting(True, "whether everybody may ask for an account")
    second_factor: str = setting(
        "nobody", "who cannot go on without a second factor", choices=("nobody", "operators", "everybody")
    )


@frozen
class Plugins:
    """Third-party and shipped plugins.

    ``tables`` has the tables ``[plugins.NAME]`` of the file and ``texts`` what the environment says below
    POSTMETER_PLUGINS: which keys there are is known once the plugins are loaded (``plugin_settings``).
    """

    enabled: tuple[str, ...] = setting(("billing", "notify", "stores"), "names of the plugins to load")
    tables: Mapping[str, Mapping[str, Any]] = attrs.Factory(dict)
    texts: Mapping[str, str] = attrs.Factory(dict)
