"""What a program writes, on its way from the host to the viewers."""

from __future__ import annotations

import time

from sshexec.connectors.terminal import PIECE, Terminal
from sshexec.terminal.line import Line
from sshexec.terminal.observers import Observers
from sshexec.terminal.stage import Stage

_REDRAWING = 0.1
"""Seconds for which a full-screen program believes in another size: long enough that it sees it."""

_SIGN = 25.0
"""Seconds between signs of life while a session is paused: nothing is read, and what connects us forgets who is silent.

It is the size that the terminal has already: of that the host's programs hear nothing.
"""

_ALONE = 2 * 2**20
"""Bytes that are read in a second while nobody is the owner: a flood that nobody sees takes no time of other sessions.

It does not stop: whoever comes back is to find the program further on.
"""


class Pump:
    """Run by a session's own thread, once its terminal is open.

    Args:
        stage: the session's.
        line: what is read.
        observers: who is told before any viewer is.
    """

    def __init__(self, stage: Stage, line: Line, observers: Observers) -> None:
        self._stage = stage
        self._line = line
        self._observers = observers
        self._restore: float | None = None
        """When the program is to get its true size back."""
        self._read = 0
        """Bytes since the pace was looked at."""

    def run(self, terminal: Terminal) -> None:
        """Bring what the program writes to the viewers until it ends.

        Raises:
            SessionOverError: the session was ended.
            RequiredObserverError: an observer failed that it may not go on without.
            ConnectionLostError: the connection broke.
        """
        stage = self._stage
        while True:
            rest = stage.await_room(terminal.wake, self._most())
            if self._redraw():
                continue
            if stage.paused is not None:
                self._line.send_size()
                continue
            data = terminal.read(rest)
            stage.wake = None
            if data:
                stage.await_resumption()
                self._observers.shown(data)
                stage.show(data)
                self._pace(len(data))
            elif data is not None:
                return

    def _pace(self, size: int) -> None:
        """Read a flood slowly where there is no owner to set the pace."""
        self._read += size
        if self._read >= PIECE:
            self._stage.await_owner(self._read / _ALONE)
            self._read = 0

    def _most(self) -> float | None:
        """Return the seconds until there is something else to do than reading; None where there is nothing."""
        if self._restore is not None:
            return self._restore - time.monotonic()
        return _SIGN if self._stage.paused is not None else None

    def _redraw(self) -> bool:
        """Have a full-screen program draw anew, by another size for a moment; return whether there was a reason."""
        if self._stage.redraw:
            self._stage.redraw = False
            self._restore = time.monotonic() + _REDRAWING
            self._line.send_size(by=1)
            return True
        if self._restore is not None and time.monotonic() >= self._restore:
            self._restore = None
            self._line.send_size()
            return True
        return False
