"""The texts in German."""

from __future__ import annotations

import re

from postmeter_notify.case import Case, Language, Letter, utc

_INVOICED = (
    "Jede Mail über Ihre Blöcke hinaus steht auf der nächsten Rechnung, zum höchsten Preis der Preisliste; ein Block, "
    "den Sie später buchen, gleicht sie nicht aus."
)
_STOPS = (
    "Das Relay beantwortet die Mails des Shops mit einem vorübergehenden Fehler (450\u00a04.7.1), bis ein Block "
    "gebucht ist. Die meisten Shops heben solche Mails auf und versuchen es wieder; manche geben nach einer Weile auf."
)
_CHECK = (
    "Sehen Sie im Protokoll des Shops nach, ob er inzwischen Mails aufgegeben hat, und lassen Sie diese neu senden."
)
_BOOK_NOW = ("Buchen Sie jetzt einen neuen Block. Es geht sofort weiter.", _CHECK)
_FAULTS = (  # the core's sentences about a record, as patterns
    (r"There is no DKIM key for this domain\.", "Für diese Domain gibt es keinen DKIM-Schlüssel."),
    (r"There is no TXT record\.", "Es gibt keinen TXT-Eintrag."),
    (r"There are (\d+) TXT records; only one is allowed\.", r"Es gibt \1 TXT-Einträge; erlaubt ist nur einer."),
    (r"The record is not a DKIM key record\.", "Der Eintrag ist kein DKIM-Eintrag."),
    (r"The key was revoked: the record has an empty p=\.", "Der Schlüssel ist widerrufen: p= ist leer."),
    (r"The record is for another kind of key \(k=\)\.", "Der Eintrag ist für eine andere Art von Schlüssel (k=)."),
    (r"The record has another key \(p=\)\.", "Der Eintrag hat einen anderen Schlüssel (p=)."),
)


def number(n: int) -> str:
    """25.000."""
    return f"{n:,}".replace(",", ".")


def day(seconds: float) -> str:
    """23.11.2026."""
    return f"{utc(seconds):%d.%m.%Y}"


def moment(seconds: float) -> str:
    """23.11.2026, 14:05 Uhr (UTC)."""
    return f"{utc(seconds):%d.%m.%Y, %H:%M}\u00a0Uhr\u00a0(UTC)"


def mails(n: int) -> str:
    """1 Mail, 25.000 Mails."""
    return f"{number(n)}\u00a0{'Mail' if n == 1 else 'Mails'}"


def _are(n: int) -> str:
    return f"{'ist' if n == 1 else 'sind'} noch {mails(n)}"


def _lost(n: int, of: str) -> str:
    return (
        f" {mails(n)} {of} {'war' if n == 1 else 'waren'} nicht verbraucht und {'ist' if n == 1 else 'sind'} verfallen."
    )


def _block(case: Case) -> str:
    size = case.number("size")
    return "Ein Block" if size is None else f"Ein Block mit {mails(size)}"


def quota_low(case: Case) -> Letter:
    """Fewer mails are left than the threshold."""
    left, threshold = case.number("left"), case.number("threshold")
    left = case.left if left is None else left
    asked = "" if threshold is None else f" Sie wollten es erfahren, wenn es weniger als {number(threshold)} sind."
    pace = "" if case.runs_out is None else f" Im Tempo der letzten Tage reichen sie bis zum {day(case.runs_out)}."
    then = f"Nach der letzten geht es weiter. {_INVOICED}" if case.goes_on else f"Nach der letzten stockt es. {_STOPS}"
    return Letter(
        f"Nur noch {mails(left)} übrig",
        f"Im Konto „{case.account}“ {_are(left)} übrig.{asked}",
        f"Nichts ist stehen geblieben: Die Mails Ihres Shops gehen hinaus wie bisher.{pace} {then}",
        ("Buchen Sie rechtzeitig einen weiteren Block. Seine Mails stehen sofort zur Verfügung.",),
    )


def quota_exhausted(case: Case) -> Letter:
    """Nothing is left."""
    happened = f"Das Konto „{case.account}“ hat alle Mails seiner Blöcke verbraucht."
    title = "Keine Mails mehr übrig"
    if case.goes_on:
        meaning = f"Die Mails Ihres Shops gehen weiter hinaus. {_INVOICED}"
        return Letter(title, happened, meaning, ("Buchen Sie einen neuen Block. Von da an bezahlt er die Mails.",))
    meaning = f"Ihr Shop kann zurzeit keine Mails senden. {_STOPS} Was vorher angenommen war, wird noch zugestellt."
    return Letter(title, happened, meaning, _BOOK_NOW)


def quota_overdraft(case: Case) -> Letter:
    """The first mail beyond all blocks."""
    taken = case.number("overdraft")
    so_far = "" if taken is None else f" Bis jetzt {'ist es' if taken == 1 else 'sind es'} {mails(taken)}."
    return Letter(
        "Die Mails gehen jetzt über Ihre Blöcke hinaus",
        f"Im Konto „{case.account}“ gehen seit Kurzem Mails über alle gebuchten Blöcke hinaus.{so_far}",
        f"Nichts ist stehen geblieben: Die Mails Ihres Shops gehen hinaus wie bisher. {_INVOICED}",
        ("Buchen Sie einen neuen Block. Von da an bezahlt er die Mails.",),
    )


def quota_expiring(case: Case) -> Letter:
    """A block that is not renewed ends in three days."""
    left, ends = case.number("left"), case.moment("expires_at")
    when = "in den nächsten drei Tagen" if ends is None else f"am {moment(ends)}"
    rest = "Was dann übrig ist, verfällt."
    rest = rest if left is None else f"Davon {_are(left)} übrig; was dann übrig ist, verfällt."
    title = "Ein Block läuft bald ab"
    title = title if left is None or ends is None else f"{mails(left)} nur noch bis zum {day(ends)}"
    return Letter(
        title,
        f"{_block(case)} des Kontos „{case.account}“ läuft {when} ab und wird nicht verlängert. {rest}",
        f"Bis dahin ändert sich nichts. {_afterwards(case)}",
        ("Buchen Sie vorher einen neuen Block, oder lassen Sie die Verlängerung wieder einschalten.",),
    )


def _afterwards(case: Case) -> str:
    others = case.left - (case.number("left") or 0)
    if others > 0:
        return f"Danach geht es mit Ihren anderen Blöcken weiter; in ihnen {_are(others)} übrig."
    return f"Danach geht es weiter. {_INVOICED}" if case.goes_on else f"Danach stockt es. {_STOPS}"


def quota_renewed(case: Case) -> Letter:
    """A block has ended and the next one has begun."""
    size, ends, lost = case.number("size"), case.moment("expires_at"), case.number("lost")
    new = "An seine Stelle ist ein neuer getreten" + ("" if size is None else f", mit {mails(size)}")
    until = "" if ends is None else f"; er gilt bis zum {moment(ends)}"
    unused = _lost(lost, "des alten") if lost else ""
    cancel = "" if ends is None else f" vor dem {day(ends)}"
    return Letter(
        "Ein Block wurde verlängert" if size is None else f"Ein Block mit {mails(size)} wurde verlängert",
        f"Ein Block des Kontos „{case.account}“ ist abgelaufen. {new}{until}.{unused}",
        "Die Mails Ihres Shops gehen ohne Unterbrechung weiter. Der neue Block steht auf der nächsten Rechnung.",
        (f"Nichts. Brauchen Sie danach keinen weiteren Block, so lassen Sie die Verlängerung{cancel} kündigen.",),
    )


def quota_expired(case: Case) -> Letter:
    """A block has ended for good."""
    lost = case.number("lost")
    unused = "" if lost is None else " Alle seine Mails waren verbraucht."
    unused = _lost(lost, "davon") if lost else unused
    steps: tuple[str, ...]
    if case.left:
        meaning = f"Es geht mit Ihren anderen Blöcken weiter; in ihnen {_are(case.left)} übrig."
        steps = ("Nichts, wenn das reicht. Sonst buchen Sie einen neuen Block.",)
    elif case.goes_on:
        meaning = f"Die Mails Ihres Shops gehen weiter hinaus. {_INVOICED}"
        steps = ("Buchen Sie einen neuen Block. Von da an bezahlt er die Mails.",)
    else:
        meaning = f"Einen anderen Block gibt es nicht; Ihr Shop kann also zurzeit keine Mails senden. {_STOPS}"
        steps = _BOOK_NOW
    return Letter(
        f"{_block(case)} ist abgelaufen",
        f"{_block(case)} des Kontos „{case.account}“ ist am {moment(case.at)} abgelaufen.{unused}",
        meaning,
        steps,
    )


def domain_broken(case: Case) -> Letter:
    """The DKIM record is gone: for a day, or for good."""
    domain, problems = case.text("domain"), " ".join(map(_fault, case.texts("problems")))
    publish = f"Tragen Sie den Eintrag dort wieder ein, wo das DNS von {domain} gepflegt wird. {problems}".strip()
    if case.facts.get("warning"):
        ends = case.moment("off_at")
        by = "morgen um diese Zeit" if ends is None else f"am {moment(ends)}"
        return Letter(
            f"Der DKIM-Eintrag von {domain} fehlt im DNS",
            f"Das Relay hat den DKIM-Eintrag von {domain} seit einem Tag nicht so gefunden, wie er sein soll.",
            "Mails von dieser Domain gehen noch hinaus, aber die Server der Empfänger können die Signatur nicht "
            "prüfen: Sie lehnen sie vielleicht ab oder halten sie für Spam. "
            f"Ist der Eintrag {by} nicht wieder da, nimmt das Relay von ihr keine Mails mehr an.",
            (publish, "Dann warten Sie: Das Relay sieht jede Stunde nach und wird ihn finden."),
        )
    return Letter(
        f"Keine Mails mehr von {domain}: Der DKIM-Eintrag fehlt",
        f"Der DKIM-Eintrag von {domain} ist nicht so im DNS, wie er sein soll. Darum ist die Domain inaktiv.",
        f"Das Relay nimmt von dieser Domain keine Mails an, bis der Eintrag wieder da ist.{_inactive(case)} Was vorher "
        "angenommen war, wird noch zugestellt.",
        (
            publish,
            "Dann warten Sie: Das Relay sieht jede Stunde nach und nimmt wieder Mails an, sobald es ihn findet.",
            _CHECK,
        ),
    )


def _fault(problem: str) -> str:
    for pattern, german in _FAULTS:
        problem = re.sub(f"{pattern}$", german, problem)
    return problem


def _inactive(case: Case) -> str:
    if not case.connections:
        return ""
    names = ", ".join(f"„{name}“" for name in case.connections)
    if len(case.connections) == 1:
        return f" Die Verbindung {names} nutzt sie: Ihre Anmeldungen werden abgelehnt."
    return f" Die Verbindungen {names} nutzen sie: Ihre Anmeldungen werden abgelehnt."


def domain_refused(case: Case) -> Letter:
    """A provider does not believe that mail is from the domain."""
    domain, provider = case.text("domain"), case.text("provider")
    who = provider if provider not in ("", "other") else "Ein Mailserver von Empfängern"
    return Letter(
        f"{who} glaubt nicht, dass Mails von {domain} stammen",
        f"{who} hat Mails von {domain} abgelehnt, weil SPF, DKIM oder DMARC nicht belegen, dass sie von dieser Domain "
        f"stammen. Die Antwort am {moment(case.at)}: {case.text('reply')}",
        "Solche Mails kommen dort nicht an, und andere Anbieter lehnen sie vielleicht bald ebenso ab. Die Adressen der "
        "Empfänger sind in Ordnung; es wird weiter versucht, an sie zuzustellen.",
        (
            f"Vergleichen Sie die Einträge von {domain} mit denen auf der Seite Domains des Panels und bringen Sie in "
            "Ordnung, was abweicht.",
            "Lassen Sie dann erneut senden, was abgelehnt wurde.",
        ),
    )


_REMEDIES = {
    "bounces": "Streichen Sie unzustellbare Adressen aus Ihren Listen, und klären Sie, woher die falschen kommen.",
    "complaints": "Senden Sie nur, was jemand bestellt hat oder erwartet, und machen Sie das Abbestellen leicht.",
}


def _too_many(case: Case) -> str:
    """What the guard has counted; empty when it was not the guard."""
    count, recipients, days, allowed = (case.number(name) for name in ("count", "recipients", "days", "permille"))
    if count is None or recipients is None or days is None or allowed is None:
        return ""
    did = "waren unzustellbar" if case.text("cause") == "bounces" else "haben sich beschwert"
    where = f" bei {case.text('provider')}" if case.text("provider") else ""
    share = f"{allowed / 10:g}".replace(".", ",")
    return f"{number(count)} von {number(recipients)} Empfängern{where} in {days} Tagen {did}, mehr als {share}\u00a0%."


def connection_warned(case: Case) -> Letter:
    """Too much of a connection's mail bounces or is complained about."""
    name, cause = case.text("connection"), case.text("cause")
    are = "werden beanstandet" if cause == "complaints" else "sind unzustellbar"
    return Letter(
        f"Zu viele Mails von „{name}“ {are}",
        f"Zu viele Mails der Verbindung „{name}“ des Kontos „{case.account}“ {are}. {_too_many(case)}".strip(),
        "Die Mails Ihres Shops gehen weiter hinaus. Aber Mailserver halten bald für Spam, was von so einem Absender "
        "kommt, und wenn es mehr wird, hält das Relay die Verbindung an.",
        (_REMEDIES.get(cause, _REMEDIES["bounces"]),),
    )


def connection_paused(case: Case) -> Letter:
    """Somebody, or the guard, has paused a connection."""
    name, reason = case.text("connection"), _too_many(case) or case.text("reason")
    why = f" Der Grund: {reason}" if reason else ""
    remedy = _REMEDIES.get(case.text("cause"))
    waiting = "wird bis dahin zurückgehalten, und seine Zeit läuft weiter" if remedy else "wird noch zugestellt"
    return Letter(
        f"Die Verbindung „{name}“ ist angehalten",
        f"Die Verbindung „{name}“ des Kontos „{case.account}“ wurde am {moment(case.at)} angehalten.{why}",
        "Die Anmeldungen dieses Shops werden abgelehnt; er kann also keine Mails senden. Was vorher angenommen war, "
        f"{waiting}. Andere Verbindungen sind nicht betroffen.",
        (
            *([remedy] if remedy else []),
            "Bitten Sie Ihren Anbieter, sie wieder freizugeben, sobald der Grund erledigt ist.",
            _CHECK,
        ),
    )


def test(case: Case) -> Letter:
    """What the command `postmeter notify test` sends."""
    return Letter(
        "Dies ist ein Test",
        f"Diese Mail zeigt, dass Nachrichten über das Konto „{case.account}“ bei Ihnen ankommen.",
        "Alles ist wie zuvor.",
        ("Nichts.",),
    )


LANGUAGE = Language(
    greeting="Guten Tag,",
    meaning="Was das bedeutet",
    steps="Was jetzt zu tun ist",
    panel="Zum Panel: {url}",
    footer=(
        "Das Relay {hostname} schickt diese Nachricht an alle Administratoren des Kontos „{account}“. Sie ist "
        "automatisch geschrieben und kostenlos."
    ),
    texts={
        "quota_low": quota_low,
        "quota_exhausted": quota_exhausted,
        "quota_overdraft": quota_overdraft,
        "quota_expiring": quota_expiring,
        "quota_renewed": quota_renewed,
        "quota_expired": quota_expired,
        "domain_broken": domain_broken,
        "domain_refused": domain_refused,
        "connection_paused": connection_paused,
        "connection_warned": connection_warned,
        "test": test,
    },
)
