"""Recordings as asciinema has them: asciicast, versions 2 and 3.

A header, then an event a line: when, what kind, what. Times are since the beginning in version 2, since the event
before in version 3. Sources: https://docs.asciinema.org/manual/asciicast/v2/ and .../v3/.

Bytes that are no UTF-8 are kept: each becomes the lone surrogate that Python's ``surrogateescape`` has for it, written
as JSON's ``\\udcXX``. Players show a replacement character, and `data_of` gives the byte back.
"""

from __future__ import annotations

import codecs
import json
import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, BinaryIO

from sshexec.connectors.terminal import Size
from sshexec.terminal.observer import SessionInfo

FORMATS = (2, 3)

LONGEST_LINE = 1024 * 1024
"""Bytes that one line may have; 64 KiB of control characters, six bytes each, are less."""

_HALVES = re.compile("[\ud800-\udc7f\udd00-\udfff]")
"""What `data_of` has no byte for; another program may have written it."""


@dataclass(frozen=True, slots=True)
class CastEvent:
    """One event.

    Args:
        time: seconds since the recording's beginning.
        kind: ``o`` output, ``i`` input, ``r`` resize, ``m`` marker, ``x`` exit status.
        data: as text; see `data_of`.
    """

    time: float
    kind: str
    data: str


def header(info: SessionInfo, format: int, term: str | None = None) -> bytes:
    """Return a recording's first line.

    Args:
        info: of the session; what players do not know is below ``sshexec``.
        format: 2 or 3.
        term: the terminal's type.
    """
    ours = {"session": info.id, "host": info.host, "owner": info.owner, "started": info.started}
    if info.command is not None:
        ours["command"] = info.command
    data: dict[str, Any] = {"version": format}
    if format == 2:
        data.update(width=info.size.columns, height=info.size.rows)
        if term is not None:
            data["env"] = {"TERM": term}
    else:
        data["term"] = {"cols": info.size.columns, "rows": info.size.rows}
        if term is not None:
            data["term"]["type"] = term
    data.update(timestamp=int(info.started), title=f"{info.owner or 'terminal'} on {info.host}", sshexec=ours)
    return line(data)


def line(data: Any) -> bytes:
    """Return data as a line of JSON in UTF-8."""
    # backslashreplace writes a lone surrogate as JSON does.
    return json.dumps(data, ensure_ascii=False, separators=(",", ":")).encode("utf-8", "backslashreplace") + b"\n"


def data_of(text: str) -> bytes:
    """Return the bytes that a text of a recording stands for; of what is neither bytes nor text, a question mark."""
    try:
        return text.encode("utf-8", "surrogateescape")
    except UnicodeEncodeError:
        return _HALVES.sub("?", text).encode("utf-8", "surrogateescape")


class Writer:
    """Makes a recording's lines.

    Args:
        format: 2 or 3.
    """

    def __init__(self, format: int) -> None:
        self._format = format
        self._last = 0.0
        self._decoder = codecs.getincrementaldecoder("utf-8")("surrogateescape")

    def output(self, time: float, data: bytes) -> bytes:
        """Return the line for what a program wrote; b"" where that is only the beginning of a character.

        Args:
            time: seconds since the recording's beginning.
            data: any piece of it.
        """
        text = self._decoder.decode(data)
        return self.event(time, "o", text) if text else b""

    def rest(self, time: float) -> bytes:
        """Return the line for a character that did not come to its end; b"" where there is none."""
        text = self._decoder.decode(b"", final=True)
        return self.event(time, "o", text) if text else b""

    def event(self, time: float, kind: str, data: str) -> bytes:
        """Return the line of any event; times never go back.

        Args:
            time: seconds since the recording's beginning.
            kind: as `CastEvent` has it.
            data: its text.
        """
        time = max(round(time, 6), self._last)
        shown = time if self._format == 2 else round(time - self._last, 6)
        self._last = time
        return line([shown, kind, data])


def size_text(size: Size) -> str:
    """Return a size as ``r`` events have it."""
    return f"{size.columns}x{size.rows}"


def read_header(file: BinaryIO) -> dict[str, Any] | None:
    """Return a recording's header; None where the file does not begin with one.

    Args:
        file: at its beginning; afterwards at the first event.
    """
    try:
        data = json.loads(file.readline(LONGEST_LINE))
    except (ValueError, RecursionError):
        return None
    return data if isinstance(data, dict) and data.get("version") in FORMATS else None


def read_events(file: BinaryIO, format: int) -> Iterator[CastEvent]:
    """Yield a recording's events; what is broken off at its end, or is no event, is left out.

    Args:
        file: behind the header.
        format: 2 or 3.
    """
    now = 0.0
    while True:
        text = file.readline(LONGEST_LINE)
        if not text.endswith(b"\n"):
            return
        try:
            data = json.loads(text)
        except (ValueError, RecursionError):
            continue
        if not isinstance(data, list) or len(data) != 3 or not isinstance(data[1], str) or not isinstance(data[2], str):
            continue
        if isinstance(data[0], bool) or not isinstance(data[0], (int, float)) or not 0 <= data[0] < 1e9:
            continue
        now = now + data[0] if format == 3 else max(now, data[0])
        yield CastEvent(now, data[1], data[2])
