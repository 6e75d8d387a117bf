"""``/api/recordings``: which there are, what was typed in them, and themselves."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, BinaryIO

from werkzeug.wrappers import Response

from sshexec.errors import TerminalError
from sshexec.web.files import disposition
from sshexec.web.routes import Call, Endpoint, answer

if TYPE_CHECKING:
    from sshexec.terminal.recordings import Recorded, Recordings
    from sshexec.terminal.sessions import TerminalManager

MOST = 500
"""Recordings that one call answers with."""

_SHOWN = 20
"""Commands that are shown of one recording where many have what was searched for."""

_PIECE = 64 * 1024
_ONE = "/api/recordings/<name>"


class RecordingsApi:
    """The recordings that a user may see: those of hosts where ``replay`` is permitted.

    Args:
        manager: has them, and asks whether the user may.

    Raises:
        TerminalError: it records nothing.
    """

    def __init__(self, manager: TerminalManager) -> None:
        if manager.recordings is None:
            raise TerminalError("nothing is recorded here")
        self._manager = manager
        self._recordings: Recordings = manager.recordings

    def endpoints(self) -> Mapping[tuple[str, str], Endpoint]:
        """Return what is answered here."""
        return {
            ("GET", "/api/recordings"): self._list,
            ("GET", _ONE): self._get,
            ("GET", f"{_ONE}/commands"): self._commands,
        }

    def _list(self, call: Call) -> Response:
        search = call.text("search", longest=200, optional=True).strip()
        may: dict[str, bool] = {}
        listed: list[dict[str, object]] = []
        for recorded, commands in self._found(search):
            host = recorded.host
            if host not in may:
                may[host] = self._manager.allowed(call.user, "replay", host)
            if may[host]:
                if len(listed) == MOST:
                    return answer({"recordings": listed, "more": True})
                listed.append({**recorded.to_dict(), "commands": commands})
        return answer({"recordings": listed, "more": False})

    def _found(self, search: str) -> Iterator[tuple[Recorded, list[dict[str, object]]]]:
        """Yield the recordings whose host, owner or commands have a text in them, and those commands."""
        wanted = search.casefold()
        for recorded in self._recordings.each():
            commands = self._recordings.matching(recorded.name, search) if search else []
            if commands or not search or wanted in f"{recorded.host}\n{recorded.owner}".casefold():
                yield recorded, [each.to_dict() for each in commands[:_SHOWN]]

    def _looked_at(self, call: Call) -> Recorded:
        """Return a recording that the user may see; of another one nobody is told that it is there."""
        return self._manager.replay(call.user, call.arguments["name"], address=call.address or None)

    def _get(self, call: Call) -> Response:
        recorded = self._looked_at(call)
        file = self._recordings.open(recorded.name)
        try:
            size = whole(file)
        except BaseException:
            file.close()
            raise
        response = Response(_pieces(file, size), mimetype="application/x-asciicast")
        response.call_on_close(file.close)
        response.headers["Content-Length"] = str(size)
        response.headers["Content-Disposition"] = disposition(f"{recorded.name}.cast")
        return response

    def _commands(self, call: Call) -> Response:
        recorded = self._looked_at(call)
        commands = self._recordings.commands(recorded.name)
        return answer({**recorded.to_dict(), "commands": [each.to_dict() for each in commands]})


def whole(file: BinaryIO) -> int:
    """Return how many bytes of a recording are whole lines; it may be written this moment, or broken off.

    Args:
        file: the recording; afterwards at its beginning.
    """
    size = os.fstat(file.fileno()).st_size
    end = size
    while end > 0:
        start = max(0, end - _PIECE)
        file.seek(start)
        last = file.read(end - start).rfind(b"\n")
        if last >= 0:
            end = start + last + 1
            break
        end = start
    file.seek(0)
    return end


def _pieces(file: BinaryIO, size: int) -> Iterator[bytes]:
    left = size
    while left and (piece := file.read(min(left, _PIECE))):
        left -= len(piece)
        yield piece
