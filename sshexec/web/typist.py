"""What a client types, on its way to the host, which may take its time."""

from __future__ import annotations

import threading
import time
from collections import deque
from collections.abc import Callable
from typing import TYPE_CHECKING

from sshexec.errors import SshexecError, TerminalError
from sshexec.web.connection import ConnectionClosed

if TYPE_CHECKING:
    from sshexec.terminal.viewer import Viewer

__all__ = ["INPUT_WINDOW", "Typist"]

INPUT_WINDOW = 256 * 1024
"""Bytes that a client may have typed without being told that they were taken."""

TOLD = INPUT_WINDOW // 4
"""Bytes after which it is told."""

LARGEST = 4 * INPUT_WINDOW
"""Bytes that are held for one that does not keep to it; then it is not read from."""

PATIENCE = 60.0
"""Seconds that one which is not read from may wait for the host."""

IDLE = 10.0
"""Seconds after which the thread of one who does not type ends."""


class Typist:
    """Writes on a thread of its own, so that what else the client says is heard meanwhile.

    A program that reads its input only while its output is taken (`cat`, and a large paste) would otherwise wait for
    acknowledgements that stand behind the paste. What is typed before the program has its terminal waits for that.

    Args:
        viewer: who types.
        taken: called with how many bytes went since it was called last.
        refused: called with why something was not sent.
    """

    def __init__(self, viewer: Viewer, taken: Callable[[int], None], refused: Callable[[TerminalError], None]) -> None:
        self._viewer = viewer
        self._taken = taken
        self._refused = refused
        self._changed = threading.Condition()
        self._pieces: deque[bytes] = deque()
        self._pending = 0
        self._untold = 0
        self._begun = False
        self._busy = False
        self._closed = False

    def begin(self) -> None:
        """Have it known that the program has its terminal."""
        with self._changed:
            self._begun = True
            self._start()

    def put(self, data: bytes) -> None:
        """Have something written; waits while too much is.

        Raises:
            ConnectionClosed: the host has taken nothing for too long.
        """
        deadline = time.monotonic() + PATIENCE
        with self._changed:
            while self._pending >= LARGEST and not self._closed:
                if not self._changed.wait(deadline - time.monotonic()):
                    raise ConnectionClosed(1008, "more was typed than the host takes")
            if self._closed or not data:
                return
            self._pieces.append(data)
            self._pending += len(data)
            self._start()

    def close(self) -> None:
        """Forget what waits; whoever waits goes on."""
        with self._changed:
            self._closed = True
            self._pieces.clear()
            self._changed.notify_all()

    def _start(self) -> None:
        """Have somebody write what is there; called with the lock."""
        if self._busy:
            self._changed.notify_all()
        elif self._begun and self._pieces and not self._closed:
            self._busy = True
            threading.Thread(target=self._write, name="sshexec-typist", daemon=True).start()

    def _write(self) -> None:
        while data := self._next():
            try:
                self._viewer.write(data)
            except TerminalError as error:
                self._refused(error)
            except SshexecError:
                return self.close()  # the connection broke: the session says so
            with self._changed:
                self._pending -= len(data)
                self._changed.notify_all()
            self._untold += len(data)
            if self._untold >= TOLD:
                self._taken(self._untold)
                self._untold = 0
        return None

    def _next(self) -> bytes:
        """Return what is to be written; nothing where the thread may end."""
        with self._changed:
            if not self._pieces:
                self._changed.wait_for(lambda: self._pieces or self._closed, IDLE)
            data = bytearray()
            while self._pieces and len(data) < TOLD:
                data += self._pieces.popleft()
            self._busy = bool(data)
            return bytes(data)
