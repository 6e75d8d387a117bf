"""The control messages of `sshexec.term.v1`: what clients may say, checked, and what is said to them."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

from sshexec.connectors.terminal import LARGEST_SIDE, SIGNALS, Size
from sshexec.terminal.events import (
    Answered,
    Asked,
    Detached,
    Ended,
    Noticed,
    Opened,
    Paused,
    Phased,
    Reset,
    Resized,
    ViewerEvent,
    Watching,
)

__all__ = [
    "Acknowledged",
    "Answers",
    "Bare",
    "ControlMessage",
    "Give",
    "Hello",
    "MessageError",
    "Ping",
    "Resize",
    "Signal",
    "Unknown",
    "parse",
    "render",
    "tell",
]

LARGEST_NUMBER = 2**53 - 1
"""The largest whole number that JavaScript has."""
MOST_ANSWERS = 32
LONGEST_ANSWER = 8192


class MessageError(Exception):
    """A message is not what the protocol has.

    Args:
        code: to close with: 1007 where it is no JSON, 1008 where something in it is wrong.
        text: what is wrong, one line; nothing of what was sent is in it.
    """

    def __init__(self, code: int, text: str) -> None:
        super().__init__(text)
        self.code = code
        self.text = text


@dataclass(frozen=True, slots=True)
class Hello:
    """The first message: what the client wants.

    Args:
        token: what opens a session, or shows one.
        size: of its terminal.
        term: what the terminal is (``TERM``).
        since: the number of the next byte that it lacks; None where it has none.
    """

    token: str = field(repr=False)
    size: Size
    term: str
    since: int | None


@dataclass(frozen=True, slots=True)
class Resize:
    """Its terminal has another size."""

    size: Size


@dataclass(frozen=True, slots=True)
class Acknowledged:
    """It has worked off so many bytes of output."""

    size: int


@dataclass(frozen=True, slots=True)
class Ping:
    """It asks how long the way is."""

    number: int


@dataclass(frozen=True, slots=True)
class Answers:
    """What its user answers to a question."""

    question: str
    values: tuple[str, ...] = field(repr=False)


@dataclass(frozen=True, slots=True)
class Signal:
    """A signal for the program."""

    name: str


@dataclass(frozen=True, slots=True)
class Give:
    """Another viewer is to be the owner."""

    viewer: str


@dataclass(frozen=True, slots=True)
class Bare:
    """``detach``: it goes, the session stays. ``close``: the session is to end."""

    kind: Literal["detach", "close"]


@dataclass(frozen=True, slots=True)
class Unknown:
    """A message of a later version of the protocol, perhaps."""


ControlMessage = Hello | Resize | Acknowledged | Ping | Answers | Signal | Give | Bare | Unknown


def parse(text: str) -> ControlMessage:
    """Read what a client says.

    Args:
        text: one JSON object, with its kind in "t".

    Raises:
        MessageError: it is none, or a value of a kind that is known is wrong.
    """
    plain = _load(text)
    kind = plain.get("t")
    if not isinstance(kind, str):
        raise MessageError(1008, "t: expected a text")
    read = _KINDS.get(kind)
    return Unknown() if read is None else read(plain)


def _load(text: str) -> dict[str, Any]:
    try:
        plain = json.loads(text, object_pairs_hook=_unique, parse_constant=_refuse)
    except (ValueError, RecursionError):
        raise MessageError(1007, "a text message has to be a JSON object") from None
    if not isinstance(plain, dict):
        raise MessageError(1008, "a text message has to be a JSON object")
    return plain


def _unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    """Refuse a key that is there twice: two readers would not agree on what was said."""
    plain = dict(pairs)
    if len(plain) != len(pairs):
        raise MessageError(1008, "a key is there twice")
    return plain


def _refuse(name: str) -> None:
    raise MessageError(1007, "a text message has to be a JSON object")


def _whole(plain: Mapping[str, Any], name: str, least: int = 0) -> int:
    value = plain.get(name)
    if isinstance(value, bool) or not isinstance(value, int) or not least <= value <= LARGEST_NUMBER:
        raise MessageError(1008, f"{name}: expected a whole number from {least}")
    return value


def _text(plain: Mapping[str, Any], name: str, longest: int) -> str:
    value = plain.get(name)
    if not isinstance(value, str) or not 0 < len(value) <= longest:
        raise MessageError(1008, f"{name}: expected a text of 1 to {longest} characters")
    return value


def _size(plain: Mapping[str, Any]) -> Size:
    # A window of many thousands of pixels in tiny letters is nobody's fault.
    columns, rows = (min(_whole(plain, name, 1), LARGEST_SIDE) for name in ("columns", "rows"))
    return Size(columns, rows)


def _hello(plain: Mapping[str, Any]) -> Hello:
    since = None if plain.get("since") is None else _whole(plain, "since")
    term = "xterm-256color" if plain.get("term") is None else _text(plain, "term", 64)
    if not term.replace("-", "").replace("+", "").replace(".", "").replace("_", "").isalnum() or not term.isascii():
        raise MessageError(1008, "term: expected a terminal's name")
    return Hello(_text(plain, "token", 512), _size(plain), term, since)


def _answers(plain: Mapping[str, Any]) -> Answers:
    values = plain.get("values")
    if not isinstance(values, list) or len(values) > MOST_ANSWERS:
        raise MessageError(1008, f"values: expected a list of at most {MOST_ANSWERS} texts")
    if not all(isinstance(value, str) and len(value) <= LONGEST_ANSWER for value in values):
        raise MessageError(1008, f"values: expected texts of at most {LONGEST_ANSWER} characters")
    if any("\ud800" <= character <= "\udfff" for value in values for character in value):
        # No host could be told, and an error that says so would carry the whole answer with it.
        raise MessageError(1008, "values: expected texts of whole characters")
    return Answers(_text(plain, "id", 128), tuple(values))


def _signal(plain: Mapping[str, Any]) -> Signal:
    name = _text(plain, "name", 16)
    if name not in SIGNALS:
        raise MessageError(1008, f"name: expected one of {', '.join(SIGNALS)}")
    return Signal(name)


_KINDS: dict[str, Callable[[Mapping[str, Any]], ControlMessage]] = {
    "hello": _hello,
    "resize": lambda plain: Resize(_size(plain)),
    "ack": lambda plain: Acknowledged(_whole(plain, "bytes")),
    "ping": lambda plain: Ping(_whole(plain, "n")),
    "answers": _answers,
    "signal": _signal,
    "give": lambda plain: Give(_text(plain, "viewer", 128)),
    "detach": lambda plain: Bare("detach"),
    "close": lambda plain: Bare("close"),
}


def tell(kind: str, /, **values: Any) -> str:
    """Return a message to a client as its JSON text."""
    return json.dumps({"t": kind, **values}, separators=(",", ":"))


def render(event: ViewerEvent) -> str:
    """Return what a viewer is told as the message of a client."""
    match event:
        case Opened():
            return tell("opened")
        case Phased(phase):
            return tell("phase", phase=phase)
        case Asked():
            fields = [{"text": each.text, "echo": each.echo} for each in event.fields]
            return tell("ask", id=event.id, kind=event.kind, title=event.title, fields=fields, attempt=event.attempt)
        case Answered(identifier):
            return tell("answered", id=identifier)
        case Reset(seq):
            return tell("reset", seq=seq)
        case Resized(size):
            return tell("resized", columns=size.columns, rows=size.rows)
        case Noticed(level, code, text):
            return tell("notice", level=level, code=code, text=text)
        case Paused(by):
            return tell("paused", by=by)
        case Watching(viewers, mine, role):
            shown = [{"id": identifier, "user": user, "role": each} for identifier, user, each in viewers]
            return tell("viewers", viewers=shown, mine=mine, role=role)
        case Ended():
            return tell(
                "ended",
                reason=event.reason,
                text=event.text,
                cause=event.cause,
                exit_status=event.exit_status,
                exit_signal=event.exit_signal,
            )
        case Detached(reason):
            return tell("detached", reason=reason)
