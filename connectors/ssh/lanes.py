"""A file on its way to the host over one SFTP session, or over several where the way is long.

A host takes no more than a window of data on a session before it has answered: 2 MiB with OpenSSH, whatever we do,
which at 20 ms is 100 MB/s. Where that, and not the line, holds a large file up, further sessions on the same connection
write other parts of the same file. They are opened while the first one goes on, and a host that refuses them
(MaxSessions) is served over those there are.
"""

from __future__ import annotations

import struct
import time
from collections.abc import Callable
from typing import BinaryIO

from sshexec.connectors.ssh import sftp
from sshexec.connectors.ssh.keys import strings
from sshexec.connectors.ssh.sftp import NoSftpError, Sftp, SftpError

FLIGHT = 2 * 2**20
"""Bytes of a session's requests under way: what the host's window holds."""

_MOST = 4
"""Sessions for one file."""

_LARGE = 8 * 2**20
"""Bytes that have to be on their way before a file counts as large."""

_LEAST_ROUND_TRIP = 0.002
_HEAD = 512
"""Bytes around the data of a request, at most."""


class _Lane:
    """One session with its own handle of the file."""

    def __init__(self, session: Sftp, handle: bytes | None = None) -> None:
        self.session = session
        self.handle = handle
        self.flight = 0
        self.refused = False
        self._opening: int | None = None

    def fits(self, size: int) -> bool:
        """Return whether so much data can be sent now, without waiting in mid-request."""
        return self.handle is not None and self.flight < FLIGHT and self.session.room >= size + _HEAD

    def advance(self, name: bytes) -> None:
        """Go a step further in opening it, if the host has answered the one before."""
        session = self.session
        if self.handle is not None or self.refused:
            return
        try:
            if self._opening is not None:
                session.absorb()
                answer = session.answer(self._opening)
                if answer is not None:
                    self.handle = sftp.handle_of(sftp.checked(answer))
            elif session.greet():
                opening = strings(name) + struct.pack(">I", sftp.FOR_GOING_ON) + sftp.permissions(None)
                self._opening = session.request(sftp.OPEN, opening)
        except (SftpError, NoSftpError):
            self.refused = True


class Lanes:
    """The sessions that write one file.

    Args:
        session: the first session.
        handle: the file there.
        name: the file, as the further sessions open it.
    """

    def __init__(self, session: Sftp, handle: bytes, name: bytes) -> None:
        self._first = session
        self._name = name
        self._lanes = [_Lane(session, handle)]
        self._failed: list[SftpError] = []
        self._done = 0
        self._widened = False

    def write(self, file: BinaryIO, offset: int, progress: Callable[[int], None] | None) -> int:
        """Write the rest of an open file from an offset on and return where it ended.

        Raises:
            SftpError: the host could not write some of it.
            LinkDownError, CommandTimeoutError, CancelledError: as `Sftp.wait`.
        """
        first = self._first
        begun, start = time.monotonic(), offset
        self._done = offset
        try:
            while not self._failed and (data := file.read(first.chunk)):
                first.guard()
                self._send(self._pick(len(data)), offset, data)
                offset += len(data)
                if not self._widened and offset - start >= _LARGE:
                    self._widen((self._done - start) / max(time.monotonic() - begun, 1e-6))
                if progress is not None and self._done > start:
                    progress(self._done)
            self._land()
            if self._failed:
                raise self._failed[0]
        finally:
            for lane in self._lanes[1:]:
                lane.session.close()
        if progress is not None:
            progress(offset)
        return offset

    def _widen(self, speed: float) -> None:
        """Open further sessions where the speed is that of a window a round trip."""
        trip = self._first.round_trip
        if trip < _LEAST_ROUND_TRIP or speed * trip < FLIGHT / 2:
            return
        self._widened = True
        for _ in range(_MOST - 1):
            session = self._first.another()
            self._lanes.append(_Lane(session))
            session.begin()

    def _pick(self, size: int) -> _Lane:
        """Return the session to write with, when there is one that takes so much."""
        if len(self._lanes) == 1:
            lane = self._lanes[0]
            while lane.flight > FLIGHT:
                lane.session.take_answer()
            return lane
        free: list[_Lane] = []

        def look() -> bool:
            for lane in self._lanes:
                if lane.handle is not None:
                    lane.session.absorb()
                else:
                    lane.advance(self._name)
            free[:] = [lane for lane in self._lanes if lane.fits(size)]
            # A first session that has ended says so when it is asked.
            return bool(free) or not all(lane.session.usable for lane in self._lanes if lane.handle is not None)

        if not look():
            self._first.pause(look)
        return min(free or self._lanes[:1], key=lambda lane: lane.flight)

    def _send(self, lane: _Lane, offset: int, data: bytes) -> None:
        size = len(data)

        def keep(answer: bytes) -> None:
            lane.flight -= size
            try:
                sftp.checked(answer)
                self._done += size
            except SftpError as error:
                self._failed.append(error)

        lane.flight += size
        head = strings(lane.handle or b"") + struct.pack(">QI", offset, size)
        lane.session.request(sftp.WRITE, head, keep, data)

    def _land(self) -> None:
        """Wait for all answers, and close the file on all sessions but the first."""
        for lane in self._lanes:
            while lane.flight:
                lane.session.take_answer()
        closing = [lane for lane in self._lanes[1:] if lane.handle is not None]
        numbers = [lane.session.request(sftp.CLOSE, strings(lane.handle or b"")) for lane in closing]
        for lane, number in zip(closing, numbers, strict=True):
            lane.session.wait(number)
