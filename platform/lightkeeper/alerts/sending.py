"""Who is named for each role, and the round in which all that is due goes out: each address by itself, within a deadline.

A message is claimed before it is sent, and each outcome becomes a row at once, so that a process that dies sends at most its last
message twice, and two processes at once send nothing twice. An address that never answers holds up nobody.
"""

from __future__ import annotations

import os
import queue
import threading
import time
from collections import defaultdict
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field

import polars as pl

from lightkeeper.alerts import kept
from lightkeeper.alerts.alert import ROLES, body, title
from lightkeeper.alerts.messages import Due
from lightkeeper.alerts.post import named, ready, send
from lightkeeper.errors import Refused
from lightkeeper.lake.table import Lake

__all__ = ["VARIABLES", "Delivered", "deliver", "targets"]

VARIABLES = {role: f"LIGHTKEEPER_ALERT_{role.upper()}" for role in ROLES}


@dataclass(frozen=True, slots=True)
class Delivered:
    """What a round did: messages by outcome, one for each target; alerts that nobody is named for; why some failed.

    `left` counts those that a slow address had no time for: they are not failures, and go out in the next round.
    """

    sent: int = 0
    failed: int = 0
    nobody: int = 0
    given_up: int = 0
    left: int = 0
    said: tuple[str, ...] = ()


@dataclass(eq=False, slots=True)
class _Letter:
    """One message to one target. Where it stands is changed under the round's lock."""

    due: Due
    target: str
    address: str
    started: bool = False
    over: bool = False


@dataclass(slots=True)
class _Round:
    """What the threads of one round share."""

    lake: Lake
    by: str
    seconds: float
    lock: threading.Lock = field(default_factory=threading.Lock)
    closed: bool = False
    results: queue.SimpleQueue[tuple[_Letter, str | None]] = field(default_factory=queue.SimpleQueue)


def targets(role: str, environ: Mapping[str, str]) -> list[str]:
    """The apprise URLs of a role, in the order in which they are named; those of IT where the role names none.

    Raises Refused: no such role.
    """
    if role not in ROLES:
        raise Refused(f"{role!r} is nobody who is told: one of {', '.join(ROLES)}.")
    mine = environ.get(VARIABLES[role], "").split() or environ.get(VARIABLES["it"], "").split()
    return list(dict.fromkeys(mine))


def deliver(lake: Lake, environ: Mapping[str, str], *, deadline_seconds: float = 10.0) -> Delivered:
    """Send what is due, to each address in a thread of its own; what did not end in time has failed, and is tried later.

    Args:
        lake: where the ledger stands; its clock says what is due.
        environ: names the addresses, see `targets`.
        deadline_seconds: for the whole round, whatever the addresses do; writing the outcomes comes on top.
    """
    names = {role: named(targets(role, environ)) for role in ROLES}
    this = _Round(lake, f"process {os.getpid()}", deadline_seconds)
    claims, rows = kept.claimed(lake, {role: list(mine) for role, mine in names.items()}, this.by)
    letters = [_Letter(one, target, names[one.alert.role][target]) for one, target in claims]
    if letters:
        ready()
    return _counted([rows, *_round(this, letters)])


def _round(this: _Round, letters: Sequence[_Letter]) -> list[pl.DataFrame]:
    """Send all letters; the rows that tell what became of them."""
    end = time.monotonic() + this.seconds
    by_address: dict[str, list[_Letter]] = defaultdict(list)
    for letter in letters:
        by_address[letter.address].append(letter)
    for mine in by_address.values():
        threading.Thread(target=_post, args=(this, mine), name="lightkeeper alerts", daemon=True).start()
    made: list[pl.DataFrame] = []
    while not all(letter.over for letter in letters):
        done = _answers(this, end)
        if not done:
            break
        made.append(_keep(this, done))
    return [*made, *_close(this, letters)]


def _answers(this: _Round, end: float) -> list[tuple[_Letter, str | None]]:
    """The next outcomes, at least one; none when the time is up."""
    try:
        found = [this.results.get(timeout=max(end - time.monotonic(), 0.0))]
        while not this.results.empty():
            found.append(this.results.get_nowait())
    except queue.Empty:
        return []
    for letter, _ in found:
        letter.over = True
    return found


def _close(this: _Round, letters: Sequence[_Letter]) -> list[pl.DataFrame]:
    """The end of the round: what answered just now, what did not, and what nobody had time to start."""
    with this.lock:
        this.closed = True
        done = [] if this.results.empty() else _answers(this, 0.0)
    late = [letter for letter in letters if not letter.over]
    silent = [(letter, f"No answer within {this.seconds:g} seconds.") for letter in late if letter.started]
    back = [(one.due, one.target, "put_back", None) for one in late if not one.started]
    made = [_keep(this, [*done, *silent])] if done or silent else []
    return [*made, kept.ended(this.lake, back, this.by)] if back else made


def _post(this: _Round, letters: Sequence[_Letter]) -> None:
    """The thread of one address: its letters in their order, until the round is closed."""
    for letter in letters:
        if not _started(this, letter):
            return
        solved = letter.due.why if letter.due.message == "solved" else None
        words = title(letter.due.alert, solved=solved is not None), body(letter.due.alert, solved)
        error = send(letter.address, *words, this.seconds)
        if not _answered(this, letter, error) and error is None:
            with suppress(Exception):  # nobody hears this thread: what it cannot keep goes out once more
                _keep(this, [(letter, None)])


def _started(this: _Round, letter: _Letter) -> bool:
    """Mark a letter as tried; False when the round is closed."""
    with this.lock:
        letter.started = not this.closed
        return letter.started


def _answered(this: _Round, letter: _Letter, error: str | None) -> bool:
    """Hand an outcome to the round; False when it is closed, and has told already that no answer came."""
    with this.lock:
        if not this.closed:
            this.results.put((letter, error))
        return not this.closed


def _keep(this: _Round, done: Sequence[tuple[_Letter, str | None]]) -> pl.DataFrame:
    outcomes = [(one.due, one.target, "sent" if error is None else "failed", error) for one, error in done]
    return kept.ended(this.lake, outcomes, this.by)


def _counted(frames: Sequence[pl.DataFrame]) -> Delivered:
    rows = [row for frame in frames for row in frame.iter_rows(named=True)]
    events = [row["event"] for row in rows]
    said = [f"{row['target']}: {row['said']}" for row in rows if row["event"] in {"failed", "given_up"}]
    return Delivered(
        events.count("sent"), events.count("failed"), events.count("nobody"), events.count("given_up"), events.count("put_back"),
        tuple(dict.fromkeys(said)),
    )  # fmt: skip
