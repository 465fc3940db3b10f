"""What an alert says, and its words for a mail. Nothing here is kept or sent, and nothing knows a clock."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, date, datetime

from lightkeeper.errors import BadDeclaration

__all__ = ["LONGEST", "ROLES", "SOLVED", "Alert", "body", "role_name", "title"]

ROLES = ("it", "data_scientist", "domain_expert", "reader")
LONGEST = 80  # a symptom is shorter than so many characters: it is the subject of a mail
SOLVED = "Solved: "


@dataclass(frozen=True, slots=True, kw_only=True)
class Alert:
    """Something that one person should know, once an episode.

    Raises BadDeclaration when one is made without a cause, asset, episode, symptom or why, for nobody that is known, or with
    a symptom that is no subject of a mail.

    Attributes:
        cause: what was noticed, as one word: a check, such as accuracy, or what became of something, such as failure or suspect.
        asset: the table, model or run that it is about.
        episode: which time, such as the first bad day; the same again is not told again.
        role: whom it is for, one of ROLES.
        symptom: one line, under 80 characters.
        since: the day, or the moment (with a time zone), it began; None where that is not known.
        why: in a sentence, with the numbers.
        effect: on the forecast, in pieces; empty where there is none.
        done: what the platform did of itself; empty for nothing.
        to_do: what the person can do; empty for nothing.
        links: where there is more.
        owners: of the asset, as it is declared.
    """

    cause: str
    asset: str
    episode: str
    role: str
    symptom: str
    since: date | datetime | None
    why: str
    effect: str = ""
    done: str = ""
    to_do: str = ""
    links: tuple[str, ...] = ()
    owners: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        for name in ("cause", "asset", "episode", "symptom", "why"):
            if not getattr(self, name).strip():
                raise BadDeclaration(f"alert {self.key}: its {name} is empty.")
        if self.role not in ROLES:
            raise BadDeclaration(f"alert {self.key} is for {self.role!r}: one of {', '.join(ROLES)}.")
        if len(self.symptom) >= LONGEST or not self.symptom.isprintable():
            long = f"the symptom {self.symptom!r} has {len(self.symptom)} characters"
            raise BadDeclaration(f"alert {self.key}: {long}. Make it one line of fewer than {LONGEST}.")
        if isinstance(self.since, datetime) and self.since.utcoffset() is None:
            raise BadDeclaration(f"alert {self.key}: since {self.since} has no time zone.")

    @property
    def key(self) -> str:
        """What it is known by: suspect:sales:2026-11-20."""
        return f"{self.cause}:{self.asset}:{self.episode}"


def role_name(role: str) -> str:
    """The role as one says it: IT, the data scientist."""
    return "IT" if role == "it" else f"the {role.replace('_', ' ')}"


def title(alert: Alert, *, solved: bool = False) -> str:
    """The subject: the symptom, or `Solved: ` and the symptom."""
    return f"{SOLVED if solved else ''}{alert.symptom}"


def body(alert: Alert, solved: str | None = None) -> str:
    """The text of a mail, a line a fact, without those that are empty.

    Args:
        alert: what is told.
        solved: why it is over; then nothing is left to do.
    """
    return "\n".join(_lines(alert, solved))


def _lines(alert: Alert, solved: str | None) -> Iterator[str]:
    yield title(alert, solved=solved is not None)
    yield ""
    facts = [
        ("Solved", solved or ""),
        ("Since", _said(alert.since)),
        ("Why", alert.why),
        ("Effect on the forecast", alert.effect),
        ("What was done", alert.done),
        ("What to do", "" if solved is not None else alert.to_do),
        ("Owners", ", ".join(alert.owners)),
        *(("See", link) for link in alert.links),
    ]
    yield from (f"{name}: {said}" for name, said in facts if said)
    yield ""
    yield f"For {role_name(alert.role)}. {alert.key}"
    if solved is None:
        yield f'Seen to it? lightkeeper alert ack "{alert.key}" --why "..."'


def _said(since: date | datetime | None) -> str:
    if isinstance(since, datetime):
        return f"{since.astimezone(UTC):%Y-%m-%d %H:%M} UTC"
    return "" if since is None else since.isoformat()
