"""Standard output that never holds up the hosts.

A reader that stops reading (``| less``) blocks whoever writes. Under gevent that would be every host of the run at
once, so writing happens on a thread of gevent's pool, and only the greenlet that has something to say waits.
"""

from __future__ import annotations

import os
import stat
import sys
from collections.abc import Callable

import gevent
import gevent.event
import gevent.socket

_ENOUGH = 4 * 2**20


class StdoutLostError(Exception):
    """Standard output can't be written to any more.

    Args:
        error: what the system said.
    """

    def __init__(self, error: OSError) -> None:
        super().__init__(f"standard output: {error.strerror}")
        self.reader_left = isinstance(error, BrokenPipeError)
        """Whether it was a pipe whose reader has closed it (``| head``)."""


class Stdout:
    """Standard output.

    Args:
        descriptor: where to write.
    """

    def __init__(self, descriptor: int = 1) -> None:
        self.terminal = os.isatty(descriptor)
        """Whether a person reads it directly."""
        self.on_loss: Callable[[], object] | None = None
        """Called once when it turns out that nothing can be written any more."""
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
            StdoutLostError: an earlier text could not be written.
        """
        self.write_bytes(text.encode(self._encoding, "backslashreplace"))

    def write_bytes(self, data: bytes) -> None:
        """Take some bytes as they are, and wait likewise.

        Raises:
            StdoutLostError: what came before could not be written.
        """
        if self._error is not None:
            raise StdoutLostError(self._error)
        self._pieces.append(data)
        self._size += len(data)
        if self._idle.is_set():
            self._idle.clear()
            gevent.spawn(self._drain)
        if self._size > _ENOUGH:
            self.flush()

    def flush(self, timeout: float | None = None) -> bool:
        """Wait until everything is written; return whether it is.

        Args:
            timeout: seconds to wait; None for as long as it takes.

        Raises:
            StdoutLostError: it could not be.
        """
        written = self._idle.wait(timeout)
        if self._error is not None:
            raise StdoutLostError(self._error)
        return written

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
            if self.on_loss is not None:
                self.on_loss()
        finally:
            self._idle.set()

    def _put(self, data: memoryview) -> int:
        if self._direct:
            return os.write(self._descriptor, data)
        done = gevent.get_hub().threadpool.apply(_write, (self._descriptor, data))
        if isinstance(done, BlockingIOError):
            # Somebody who shares this terminal or pipe has made it non-blocking.
            gevent.socket.wait_write(self._descriptor)
            return 0
        if isinstance(done, OSError):
            raise done
        return done


def _write(descriptor: int, data: memoryview) -> int | OSError:
    """Write, on a thread; an error is returned, since gevent would print a traceback for one that is raised."""
    try:
        return os.write(descriptor, data)
    except OSError as error:
        return error
