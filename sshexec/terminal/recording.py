"""The recording of one session, written while it goes on."""

from __future__ import annotations

import contextlib
import errno
import fcntl
import logging
import os
import time
from collections.abc import Callable
from typing import Literal

from sshexec.connectors.terminal import Size
from sshexec.terminal.asciicast import Writer, header, line, size_text
from sshexec.terminal.commands import Command, Lines
from sshexec.terminal.folder import CAST, INDEX, Folder
from sshexec.terminal.observer import Observer, SessionInfo

log = logging.getLogger(__name__)

_COMMANDS = 2 * 1024 * 1024
"""Bytes that the index of one session's commands may have."""

_RESERVE = 512
"""Bytes that are kept free below the limit for the line that says that it was reached."""

Full = Literal["end", "stop"]


class RecordingFullError(OSError):
    """The recording is as large as it may be."""


class Recording(Observer):
    """Records a session; it is `required`, so that a session that can't be recorded any more ends.

    Each event is in the file before anybody sees what it tells of, so that whatever happens to this process loses
    nothing that was seen but the beginning of a character.

    Args:
        folder: where its files are made.
        name: without what stands behind it.
        info: of the session.
        format: of asciicast: 2 or 3.
        input: whether what is typed is recorded, where its echo is seen.
        limit: bytes that it may have.
        full: what happens then: ``end`` ends the session, ``stop`` ends the recording.

    Raises:
        OSError: it can't be written.
    """

    required = True

    def __init__(
        self, folder: Folder, name: str, info: SessionInfo, *, format: int, input: bool, limit: int, full: Full
    ) -> None:
        self.name = name
        self._folder = folder
        self._limit = limit
        self._full = full
        self._size = self._indexed = 0
        self._began: float | None = None
        self._stopped = self._unindexed = False
        self._sized = info.size
        self._format = format
        self._writer = Writer(format)
        typed: Callable[[bytes], None] | None = self._input if input else None
        self._lines = Lines(self._command, typed, info.size.columns)
        self._file = -1
        self._file = folder.create(name + CAST)
        try:
            # Whoever finds it free knows that nobody writes any more.
            fcntl.flock(self._file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            self._put(header(info, format))
        except BaseException:
            self._discard()
            raise

    def __repr__(self) -> str:
        return f"<Recording {self.name}>"

    def opened(self, info: SessionInfo) -> None:
        """See `Observer.opened`; the recording's time begins here."""
        self._began = time.monotonic()
        if info.size != self._sized:
            self.resized(info.size)

    def typed(self, data: bytes, user: str) -> None:
        """See `Observer.typed`."""
        if not self._stopped:
            self._lines.typed(data, user)

    def shown(self, data: bytes) -> None:
        """See `Observer.shown`.

        Raises:
            OSError: it can't be written.
            RecordingFullError: it is as large as it may be.
        """
        if self._stopped:
            return
        self._event(self._writer.output(self._now(), data))
        self._lines.shown(data)

    def resized(self, size: Size) -> None:
        """See `Observer.resized`."""
        self._lines.resized(size)
        if self._began is not None and not self._stopped:
            self._sized = size
            self._event(self._writer.event(self._now(), "r", size_text(size)))

    def ended(self, info: SessionInfo) -> None:
        """See `Observer.ended`; what never opened leaves no recording."""
        if self._file < 0:
            return
        if self._began is None:
            self._discard()
            return
        try:
            if not self._stopped:
                self._finish(info)
        finally:
            self._close()

    def _finish(self, info: SessionInfo) -> None:
        ended = info.ended
        seconds = round(self._now(), 3)
        with contextlib.suppress(OSError):
            self._event(self._writer.rest(seconds))
            if self._format == 3 and ended is not None and ended.exit_status is not None:
                self._event(self._writer.event(seconds, "x", str(ended.exit_status)))
        reason, status = (None, None) if ended is None else (ended.reason, ended.exit_status)
        self._index({"ended": {"seconds": seconds, "reason": reason, "exit_status": status}})

    def _now(self) -> float:
        return 0.0 if self._began is None else time.monotonic() - self._began

    def _input(self, data: bytes) -> None:
        text = data.decode("utf-8", "surrogateescape")
        self._event(self._writer.event(self._now(), "i", text))

    def _command(self, text: str, user: str) -> None:
        self._index({"command": {**Command(time.time(), user, text).to_dict(), "at": round(self._now(), 3)}})

    def _event(self, data: bytes) -> None:
        if self._stopped or not data:
            return
        if self._size + len(data) > self._limit - _RESERVE:
            self._stopped = True
            marker = self._writer.event(self._now(), "m", "the recording is as large as it may be")
            self._put(marker)
            log.warning("recording %s is as large as it may be (%d bytes)", self.name, self._limit)
            self._index({"ended": {"seconds": round(self._now(), 3), "reason": "full", "exit_status": None}})
            if self._full == "end":
                raise RecordingFullError(errno.EFBIG, self.name)
            return
        self._put(data)

    def _put(self, data: bytes) -> None:
        left = memoryview(data)
        try:
            while left:
                left = left[os.write(self._file, left) :]
        except OSError as error:
            log.warning("recording %s can't be written: %s", self.name, error.strerror)
            self._stopped = True
            with contextlib.suppress(OSError):
                os.ftruncate(self._file, self._size)  # half a line is of no use to anybody
            raise
        self._size += len(data)

    def _index(self, data: object) -> None:
        """Append a line to the index. It is opened for each: a descriptor for every session would be many."""
        text = line(data)
        if self._indexed + len(text) > _COMMANDS and not (isinstance(data, dict) and "ended" in data):
            return
        self._indexed += len(text)
        try:
            self._folder.append(self.name + INDEX, text)
        except OSError as error:
            if not self._unindexed:
                self._unindexed = True
                log.warning("recording %s: commands are missing from its index: %s", self.name, error.strerror)

    def _discard(self) -> None:
        with contextlib.suppress(OSError):
            self._folder.remove(self.name + CAST)
        self._close()

    def _close(self) -> None:
        if self._file >= 0:
            os.close(self._file)
        self._file = -1

    def __del__(self) -> None:
        # A session that was never started has no end to be told of.
        self._close()
