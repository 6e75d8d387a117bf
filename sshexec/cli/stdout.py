"""Standard output that never holds up the hosts.

A reader that stops reading (``| less``) blocks whoever writes. Under gevent that would be every host of the run at
once, so writing happens on a thread of gevent's pool, and only the greenlet that has something to say waits.
"""

from __future__ import annotations

import os
import stat
import sys

import gevent
import gevent.event
import gevent.os

_ENOUGH = 4 * 2**20


class Stdout:
    """Standard output.

    Args:
        descriptor: where to write.
    """

    def __init__(self, descriptor: int = 1) -> None:
        self.terminal = os.isatty(descriptor)
        """Whether a person reads it directly."""
        self._descriptor = descriptor
        self._encoding = getattr(sys.stdout, "encoding", None) or "utf-8"
        # A write to a file does not wait for anybody.
        self._direct = stat.S_ISREG(os.fstat(descriptor).st_mode)
        self._pieces: list[bytes] = []
        self._size = 0
        self._error: OSError | None = None
        self._idle = gevent.event.Event()
        self._idle.set()

    def write(self, text: str) -> None:
        """Take a text, and wait only where the reader is megabytes behind.

        Raises:
            OSError: an earlier text could not be written; BrokenPipeError where the reader has gone.
        """
        if self._error is not None:
            raise self._error
        data = text.encode(self._encoding, "backslashreplace")
        self._pieces.append(data)
        self._size += len(data)
        if self._idle.is_set():
            self._idle.clear()
            gevent.spawn(self._drain)
        if self._size > _ENOUGH:
            self.flush()

    def flush(self) -> None:
        """Wait until everything is written.

        Raises:
            OSError: it could not be; BrokenPipeError where the reader has gone.
        """
        self._idle.wait()
        if self._error is not None:
            raise self._error

    def _drain(self) -> None:
        try:
            while self._pieces:
                data = memoryview(b"".join(self._pieces))
                self._pieces.clear()
                self._size = 0
                while data:
                    data = data[self._put(data) :]
        except OSError as error:
            self._error = error
            self._pieces.clear()
        finally:
            self._idle.set()

    def _put(self, data: memoryview) -> int:
        if self._direct:
            return os.write(self._descriptor, data)
        written: int = gevent.os.tp_write(self._descriptor, data)
        return written
