"""A process of this machine that sudo, su or doas start, by pipes or on a terminal."""

from __future__ import annotations

import contextlib
import errno
import os
import pty
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
from sshexec.connectors.process import Process, lives

_GRACE = 2.0
"""Seconds that processes have to obey TERM, and to be gone after KILL."""

Undo = Callable[[int, Iterable[int]], None]
"""Sends a signal to process groups as the user whose they are."""


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
                    self._selector.register(stdin, 2)
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
            if error.errno != errno.EIO:  # nobody has the other end of the terminal open any more
                raise
            self._drop(pipe)
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
