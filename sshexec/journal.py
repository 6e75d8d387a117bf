"""The file of a run's record on this machine: a line for the opening, each start, each result and the end.

It is written first, and the database is filled from it. Lines are JSON objects, appended by several processes with
single writes; each has a line end on both sides, so that one which was torn by a crash spoils nothing but itself.
"""

from __future__ import annotations

import contextlib
import errno
import fcntl
import json
import logging
import os
import time
from json.encoder import encode_basestring_ascii
from typing import Any

log = logging.getLogger("sshexec.history")

RECORDS = "records"
"""The file's name, in the run's own directory."""

_LONGEST = 2**28
"""Bytes of a line that are looked at for its end before the rest of the file is given up."""


def line(kind: str, value: str) -> bytes:
    """Return a line.

    Args:
        kind: what it tells: opening, start, result or end.
        value: JSON of ASCII characters, without line ends.
    """
    return f'\n{{"{kind}":{value}}}\n'.encode("ascii")


def append(descriptor: int, data: bytes) -> None:
    """Write a line at the end of a journal, whoever else writes there.

    Raises:
        OSError: it is not in there, or not whole: it has to be written again.
    """
    if os.write(descriptor, data) < len(data):
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))


class Marks:
    """Marks hosts in a journal before they are contacted; made by whoever contacts them, in his own process.

    As long as it is open, nobody takes the journal for that of a runner who is gone: a worker lives on for a moment.

    Args:
        path: the journal; None marks nothing.
    """

    def __init__(self, path: str | None) -> None:
        self._descriptor: int | None = None
        if path is None:
            return
        try:
            self._descriptor = os.open(path, os.O_RDWR | os.O_APPEND | os.O_CLOEXEC)
            # Of this process, and gone with it; the runner itself holds another file (sshexec/history/journals.py).
            fcntl.lockf(self._descriptor, fcntl.LOCK_SH | fcntl.LOCK_NB)
        except OSError as error:
            self._failed(error)

    def mark(self, host: str) -> bool:
        """Mark a host; False where that is not possible: it is contacted all the same."""
        if self._descriptor is None:
            return False
        try:
            append(self._descriptor, f'\n{{"start":{encode_basestring_ascii(host)},"time":{time.time()!r}}}\n'.encode())
        except OSError as error:
            self._failed(error)
            return False
        return True

    @staticmethod
    def _failed(error: OSError) -> None:
        # Whoever keeps the record finds that the mark is missing, and tells the user once.
        log.debug("a host can't be marked in the run's journal: %s", error)

    def close(self) -> None:
        """Let go of the journal."""
        descriptor, self._descriptor = self._descriptor, None
        if descriptor is not None:
            with contextlib.suppress(OSError):
                os.close(descriptor)


class Reader:
    """Reads a journal while others write it.

    Args:
        path: the journal.

    Raises:
        OSError: it can't be opened.
    """

    def __init__(self, path: str) -> None:
        self._descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
        self.position = 0
        """Where the next line begins; may be set back."""

    def read(self, limit: int) -> list[dict[str, Any]]:
        """Return the next lines that are whole, and move on; an empty list where there is none yet.

        Args:
            limit: bytes to read, about.

        Raises:
            OSError: the file can't be read.
        """
        while data := os.pread(self._descriptor, limit, self.position):
            end = data.rfind(b"\n") + 1
            if not end:
                if len(data) < limit or limit > _LONGEST:
                    break  # its writer is not done with it, or never will be
                limit *= 2
                continue
            self.position += end
            lines = [found for text in data[:end].split(b"\n") if text and (found := _parsed(text)) is not None]
            if lines:
                return lines
        return []

    @property
    def written(self) -> float:
        """When the journal was last written to, seconds since the epoch."""
        return os.fstat(self._descriptor).st_mtime

    def close(self) -> None:
        """Close the file."""
        descriptor, self._descriptor = self._descriptor, -1
        if descriptor >= 0:
            os.close(descriptor)


def _parsed(text: bytes) -> dict[str, Any] | None:
    """Return what a line holds; None for one that was torn, or is no line of ours."""
    try:
        found = json.loads(text)
    except (ValueError, RecursionError):  # UnicodeDecodeError too
        return None
    return found if isinstance(found, dict) else None
