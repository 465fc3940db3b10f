"""One message to one address by apprise, and the name of an address without its secrets. Nothing is kept or repeated here.

Most of apprise's addresses are secrets from end to end (`slack://token/...`), so only a few schemes show their host, and what
apprise says of a failure goes through `_without` before anybody keeps it.
"""

from __future__ import annotations

import logging
import re
from collections.abc import Iterable, Iterator
from contextlib import suppress
from typing import Any
from urllib.parse import SplitResult, unquote, urlsplit

__all__ = ["named", "ready", "send"]

_WITH_HOST = {"json", "jsons", "xml", "xmls", "form", "forms", "mailto", "mailtos", "syslog", "rsyslog"}
_SCHEME = re.compile(r"([A-Za-z][A-Za-z0-9+.-]{0,30})://")
_SHORTEST = 3  # characters of a piece of an address that is taken out of what is said
_LONGEST = 300  # characters of what is kept of a failure


def named(addresses: Iterable[str]) -> dict[str, str]:
    """Addresses by a name each that shows scheme and host at most: `json://10.0.0.7:8080`, `slack://`, `slack:// (2)`."""
    found: dict[str, str] = {}
    for address in dict.fromkeys(addresses):
        name, number = _shown(address), 1
        while name in found:
            number += 1
            name = f"{_shown(address)} ({number})"
        found[name] = address
    return found


def _shown(address: str) -> str:
    scheme = _SCHEME.match(address)
    if scheme is None:
        return "no address"
    name, parts = scheme[1].lower(), _split(address)
    if name not in _WITH_HOST or parts is None or not parts.hostname or "@" in parts.path:
        return f"{name}://"
    return f"{name}://{parts.hostname}" + (f":{parts.port}" if parts.port else "")


def _split(address: str) -> SplitResult | None:
    """The parts of an address; None where it has none that can be told apart."""
    try:
        parts = urlsplit(address)
        _ = parts.port
    except ValueError:
        return None
    return parts


def ready() -> None:
    """Load apprise with all its services, half a second that is no address's fault; where it is not installed, `send` says so."""
    with suppress(ImportError):
        import apprise

        _keep_quiet()
        apprise.Apprise.instantiate("json://localhost")


def send(address: str, title: str, text: str, seconds: float) -> str | None:
    """Send a message; None when it was taken, else why not, in a sentence without the address's secrets.

    Args:
        address: an apprise URL.
        title: the subject.
        text: plain text.
        seconds: how long a connection may take, and the wait for an answer; neither bounds the call for certain.
    """
    try:
        return _sent(address, title, text, seconds)
    except Exception as error:  # noqa: BLE001 - a service's code may raise anything, and the others are sent to nevertheless
        return _without(f"{type(error).__name__}: {error}", address)


def _sent(address: str, title: str, text: str, seconds: float) -> str | None:
    import apprise

    _keep_quiet()
    service = apprise.Apprise.instantiate(address, asset=apprise.AppriseAsset(async_mode=False))
    if service is None:
        return f"The address ({_shown(address)}) is none that apprise can read: compare it with apprise's page on that service."
    service.socket_connect_timeout = min(service.socket_connect_timeout, seconds)
    service.socket_read_timeout = min(service.socket_read_timeout, seconds)
    sender = apprise.Apprise()
    sender.add(service)
    result: Any = sender.notify(body=text, title=title, body_format=apprise.NotifyFormat.TEXT)
    if result:
        return None
    said = " ".join(str(entry.message) for entry in result.logs())
    return _without(said or "It was not taken, and apprise does not say why.", address)


def _keep_quiet() -> None:
    """Apprise logs addresses with their tokens where they cannot be read: what it says is kept in the ledger, without them."""
    logger = logging.getLogger("apprise")
    if logger.propagate:
        logger.addHandler(logging.NullHandler())
        logger.propagate = False


def _without(said: str, address: str) -> str:
    """What was said, in one line, with every piece of the address that is not shown anyhow taken out."""
    for piece in sorted({one for one in _pieces(address) if len(one) >= _SHORTEST}, key=len, reverse=True):
        said = said.replace(piece, "...")
    line = " ".join("".join(c if c.isprintable() else " " for c in said).split())
    return line if len(line) <= _LONGEST else f"{line[: _LONGEST - 3]}..."


def _pieces(address: str) -> Iterator[str]:
    shown = _shown(address).partition("://")[2]
    rest = address.partition("://")[2] or address
    for piece in (rest, *re.split(r"[/?&#@:=]", rest)):
        if piece and piece not in {shown, *shown.split(":")}:
            yield from (piece, unquote(piece))
