"""Reply rules: what a provider says when it has had enough of us for a while, and what we do then."""

from __future__ import annotations

from dataclasses import dataclass

from postmeter.smtp.mail import Stage
from postmeter.smtp.reply import Reply


@dataclass(frozen=True, slots=True)
class Rule:
    """Which replies it is about (what is empty is about all), and what follows for ``seconds``.

    ``texts``: one of them (in lower case) is in the reply's text; ``status``: what the enhanced status begins with, or
    the code, where the server gives none.
    It fires at the ``times``-th of them within an hour. Then the provider gets no more than ``connections`` at a time
    and ``per_minute`` mails; nothing at all when both are None. ``alarm``: the operator has to do something.
    """

    name: str
    texts: tuple[str, ...] = ()
    code: int = 0
    status: str = ""
    stages: tuple[str, ...] = ()
    times: int = 1
    seconds: float = 0.0
    connections: int | None = None
    per_minute: int | None = None
    alarm: bool = False

    def matches(self, reply: Reply, stage: Stage) -> bool:
        """Whether it is about this reply, which came at that stage. Takes a time that grows with the text's length."""
        if (self.code and reply.code != self.code) or (self.stages and stage not in self.stages):
            return False
        if self.status and not f"{reply.status or reply.code // 100}.".startswith(f"{self.status}."):
            return False
        said = reply.text.lower()
        return not self.texts or any(text in said for text in self.texts)


def about(rules: tuple[Rule, ...], reply: Reply, stage: Stage) -> Rule | None:
    """The first rule that is about this reply."""
    return next((rule for rule in rules if rule.matches(reply, stage)), None)
