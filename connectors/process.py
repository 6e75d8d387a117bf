"""A process of this machine with its pipes: fed, read, and ended with everything that it has started."""

from __future__ import annotations

import contextlib
import io
import os
import selectors
import signal
import subprocess
import time
from pathlib import Path
from typing import IO

from sshexec.connectors.base import Command
from sshexec.connectors.posix import Frame
from sshexec.errors import ConnectionLostError

_PIECE = 2**16
_TICK = 0.1
"""Seconds between looks at the child, where the system has no pidfd to wait on."""
_LEFTOVER = 2**20
"""Bytes read from a pipe after the command has ended; what it wrote itself fits into the pipe."""
_GRACE = 2.0
"""Seconds a process group has to obey TERM, and to be gone after KILL."""


class Process:
    """A child process with its pipes, none of which ever blocks.

    Args:
        process: the child.
        command: what it reads.
        frame: where its output goes.
        wake: a descriptor that becomes readable when the wait shall end.
    """

    def __init__(self, process: subprocess.Popen[bytes], command: Command, frame: Frame, wake: int) -> None:
        self._process = process
        self._frame = frame
        self._wake = wake
        self._selector = selectors.DefaultSelector()
        self._input = io.BytesIO(command.stdin) if isinstance(command.stdin, bytes) else command.stdin
        self._unwritten = b""
        self._exited = False
        self._owner = os.getpid()
        self._pidfd = _pidfd(process.pid)
        for pipe in (process.stdin, process.stdout, process.stderr):
            if pipe is not None:
                os.set_blocking(pipe.fileno(), False)
                event = selectors.EVENT_WRITE if pipe is process.stdin else selectors.EVENT_READ
                self._selector.register(pipe, event)
        for descriptor in (wake, self._pidfd):
            if descriptor is not None:
                self._selector.register(descriptor, selectors.EVENT_READ)

    def _drop(self, pipe: IO[bytes]) -> None:
        if not pipe.closed:
            self._selector.unregister(pipe)
            pipe.close()

    @property
    def finished(self) -> bool:
        """Whether the command has ended and all that it wrote was read."""
        return self._exited

    @property
    def _inherited(self) -> bool:
        """Whether this is a forked child, where greenlets go on that are the parent's: so are its commands."""
        return os.getpid() != self._owner

    def step(self, timeout: float | None) -> None:
        """Wait until there is something to do, and do it.

        Args:
            timeout: seconds; None waits without limit.
        """
        process = self._process
        if self._pidfd is None:
            timeout = _TICK if timeout is None else min(timeout, _TICK)
        ready = self._selector.select(timeout)
        if self._inherited:
            raise ConnectionLostError("this process was forked off; the command is its parent's")
        for key, _ in ready:
            if key.fd == self._wake:
                with contextlib.suppress(BlockingIOError):
                    os.read(self._wake, 4096)
            elif key.fileobj is process.stdin:
                self._feed(process.stdin)
            elif key.fileobj is process.stdout or key.fileobj is process.stderr:
                self._read(key.fileobj)
        if process.poll() is not None:
            # Background children may hold the pipes open: what is in them now is read, the rest is not waited for.
            for pipe in (process.stdout, process.stderr):
                left = _LEFTOVER
                while left > 0 and pipe is not None and (size := self._read(pipe)):
                    left -= size
            self._exited = True

    def _read(self, pipe: IO[bytes]) -> int:
        """Take one piece; return its size, 0 where there is none."""
        if pipe.closed:
            return 0
        try:
            data = os.read(pipe.fileno(), _PIECE)
        except BlockingIOError:
            return 0
        if not data:
            self._drop(pipe)
        elif pipe is self._process.stderr:
            self._frame.feed(data)
        else:
            self._frame.feed_stdout(data)
        return len(data)

    def _feed(self, pipe: IO[bytes]) -> None:
        if not self._unwritten and self._input is not None:
            self._unwritten = self._input.read(_PIECE)
        if not self._unwritten:
            self._drop(pipe)
            return
        try:
            self._unwritten = self._unwritten[os.write(pipe.fileno(), self._unwritten) :]
        except BlockingIOError:
            return
        except BrokenPipeError:
            # The command does not want to read more; that is its own affair.
            self._drop(pipe)

    def wait(self) -> int:
        """Return the exit status of the ended command."""
        return self._process.wait()

    def kill(self) -> bool:
        """End the process group, TERM before KILL; return whether its death was confirmed."""
        if self._inherited:
            return False
        for number in (signal.SIGTERM, signal.SIGKILL):
            with contextlib.suppress(ProcessLookupError, PermissionError):
                os.killpg(self._process.pid, number)
            until = time.monotonic() + _GRACE
            while time.monotonic() < until:
                self._process.poll()
                if not lives(self._process.pid):
                    return True
                self.step(0.02)
        return False

    def close(self) -> None:
        """Close the pipes; kill what is not finished."""
        try:
            if self._process.poll() is None:
                self.kill()
        except BaseException:
            # What the command reads, or its output goes to, has failed again: then without last words.
            if not self._inherited:
                with contextlib.suppress(ProcessLookupError, PermissionError):
                    os.killpg(self._process.pid, signal.SIGKILL)
                with contextlib.suppress(subprocess.TimeoutExpired):
                    self._process.wait(_GRACE)
            raise
        finally:
            for pipe in (self._process.stdin, self._process.stdout, self._process.stderr):
                if pipe is not None:
                    self._drop(pipe)
            self._selector.close()
            if self._pidfd is not None:
                os.close(self._pidfd)


def _pidfd(pid: int) -> int | None:
    """Return a descriptor that becomes readable when the process ends (Linux 5.3); None where there is none."""
    if not hasattr(os, "pidfd_open"):
        return None
    try:
        return os.pidfd_open(pid)
    except OSError:
        return None


def lives(group: int) -> bool:
    """Return whether a process of the group still runs; zombies don't, and an init that reaps none leaves them."""
    try:
        os.killpg(group, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        return True
    stats = list(Path("/proc").glob("[0-9]*/stat"))
    if not stats:
        return True
    for path in stats:
        try:
            state, _, found = path.read_bytes().rpartition(b")")[2].split()[:3]
        except (OSError, ValueError):
            continue
        if int(found) == group and state not in (b"Z", b"X"):
            return True
    return False
