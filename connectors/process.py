"""A process of this machine with its pipes: fed, read, and ended with everything that it has started.

One that sudo, su or doas start speaks to them first, by pipes or on a terminal.
"""

from __future__ import annotations

import contextlib
import errno
import io
import os
import pty
import selectors
import shlex
import signal
import subprocess
import termios
import time
import tty
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import IO, BinaryIO, cast

from sshexec.connectors.base import Command
from sshexec.connectors.escalation import Dialogue
from sshexec.connectors.posix import Frame, Pumped
from sshexec.errors import ConnectionLostError

_PIECE = 2**16
_TICK = 0.1
"""Seconds between looks at the child, where the system has no pidfd to wait on."""
_LEFTOVER = 2**20
"""Bytes read from a pipe after the command has ended; what it wrote itself fits into the pipe."""
_GRACE = 2.0
"""Seconds a process group has to obey TERM, and to be gone after KILL."""


Undo = Callable[[int, Iterable[int]], None]
"""Sends a signal to process groups as the user whose they are."""


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


class Escalated(Process):
    """A child process that runs as another user once its dialogue has come to an end.

    Args:
        process: the child; on a terminal, as `on_terminal` has started it.
        command: what it reads.
        frame: where its output goes.
        wake: a descriptor that becomes readable when the wait shall end.
        dialogue: what is said until the command begins.
        undo: signals what this process may not.
    """

    def __init__(
        self,
        process: subprocess.Popen[bytes],
        command: Command,
        frame: Frame,
        wake: int,
        dialogue: Dialogue,
        undo: Undo,
    ) -> None:
        super().__init__(process, command, frame, wake)
        self._dialogue = dialogue
        self._undo = undo
        if dialogue.tty and command.stdin is not None:
            self._input = cast(BinaryIO, Pumped(command.stdin))
        if process.stdin is not None:
            self._selector.unregister(process.stdin)  # until the command has begun

    def step(self, timeout: float | None) -> None:
        """Wait until there is something to do, and do it (see `Process.step`).

        Raises:
            BecomeError: the command may not begin.
        """
        dialogue = self._dialogue
        if dialogue.begun:
            super().step(timeout)
            return
        super().step(dialogue.limit.remaining(timeout))
        frame, stdin = self._frame, self._process.stdin
        if frame.pid is not None:
            dialogue.succeed()
            if stdin is not None and not stdin.closed:
                if self._input is None and not dialogue.tty:
                    stdin.close()
                else:
                    self._selector.register(stdin, selectors.EVENT_WRITE)
        elif self._exited:
            raise dialogue.refusal(self._process.wait(), *frame.said)
        else:
            reply = dialogue.reply(*frame.said)
            if reply is not None and stdin is not None:
                with contextlib.suppress(BrokenPipeError, BlockingIOError):
                    os.write(stdin.fileno(), reply)

    def _drop(self, pipe: IO[bytes]) -> None:
        if not pipe.closed:
            with contextlib.suppress(KeyError):  # standard input before the command has begun
                self._selector.unregister(pipe)
            pipe.close()

    def _read(self, pipe: IO[bytes]) -> int:
        try:
            return super()._read(pipe)
        except OSError as error:
            if error.errno != errno.EIO:
                raise
            # Nobody has the other end of the terminal open any more. To close ours would send SIGHUP to a command that
            # has let go of it and not yet ended, as programs do that close their output before they exit.
            with contextlib.suppress(KeyError):
                self._selector.unregister(pipe)
            return 0

    def kill(self) -> bool:
        """End the command and what it has started, TERM before KILL; return whether its death was confirmed."""
        if self._inherited:
            return False
        if self._frame.pid is None and self._process.stdin is not None:
            # What still asks ends with its input, and may be nobody's to kill.
            self._drop(self._process.stdin)
        groups = _groups_below(self._process.pid)
        for number in (signal.SIGTERM, signal.SIGKILL):
            self._signal(number, groups)
            until = time.monotonic() + _GRACE
            while time.monotonic() < until:
                self._process.poll()
                if not any(map(lives, groups)):
                    with contextlib.suppress(subprocess.TimeoutExpired):
                        self._process.wait(_GRACE)
                    return True
                super().step(0.02)
        return False

    def _signal(self, number: int, groups: Iterable[int]) -> None:
        """Signal the groups as the user whose they are.

        sudo itself may be ours to signal: it would be gone, and the command still there.
        """
        if self._frame.pid is not None and os.geteuid() != 0:
            self._undo(number, groups)
            return
        for group in groups:
            with contextlib.suppress(ProcessLookupError, PermissionError):
                os.killpg(group, number)


def on_terminal(words: list[bytes | str], environment: Mapping[str, str]) -> subprocess.Popen[bytes]:
    """Start a shell's command on a terminal of its own that changes and echoes nothing.

    Args:
        words: the shell, ``-c`` and the command.
        environment: of the process.

    Raises:
        OSError: it can't be started.
    """
    ours, theirs = pty.openpty()
    try:
        tty.setraw(theirs, termios.TCSANOW)
        # The first terminal that the leader of a session opens is the one that /dev/tty means.
        shell, option, line = words
        start = f": <{shlex.quote(os.ttyname(theirs))}\n".encode()
        process = subprocess.Popen(
            [shell, option, start + (line if isinstance(line, bytes) else os.fsencode(line))],
            stdin=theirs,
            stdout=theirs,
            stderr=theirs,
            env=environment,
            start_new_session=True,
        )
        process.stdin = os.fdopen(os.dup(ours), "wb", 0)
        process.stdout = os.fdopen(ours, "rb", 0)
        return process
    except BaseException:
        os.close(ours)
        raise
    finally:
        os.close(theirs)


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


def _groups_below(root: int) -> set[int]:
    """Return the process groups of a process and of all that descend from it or share its session."""
    parents: dict[int, tuple[int, int, int]] = {}
    for path in Path("/proc").glob("[0-9]*/stat"):
        try:
            parent, group, session = path.read_bytes().rpartition(b")")[2].split()[1:4]
        except (OSError, ValueError):
            continue
        parents[int(path.parent.name)] = int(parent), int(group), int(session)
    members, more = {root}, True
    while more:
        found = {pid for pid, (parent, _, session) in parents.items() if parent in members or session == root}
        more = not found <= members
        members |= found
    return {root} | {parents[pid][1] for pid in members if pid in parents and parents[pid][1] > 1}
