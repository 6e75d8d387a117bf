"""A terminal on this machine: a program on a pseudo-terminal, as sshd gives it one."""

from __future__ import annotations

import contextlib
import errno
import fcntl
import os
import pty
import pwd
import select
import signal
import struct
import subprocess
import termios
import threading
from collections.abc import Callable, Mapping
from pathlib import Path

from sshexec.connectors.base import Phase
from sshexec.connectors.deadline import Deadline
from sshexec.connectors.terminal import KEYS, PIECE, Size, Terminal, check_signal
from sshexec.errors import ConnectionLostError, UnreachableError

_KEY_LIMIT = 1.0
_GRACE = 1.0
"""Seconds that the shell has to end after its hangup, and what it leaves after being killed."""

_LAST_WORDS = 5.0
"""Seconds that a program may still take to end once nobody holds its terminal."""

_LONGEST_WAIT = 86_400.0
"""Seconds that one wait may take."""

# The first terminal that the leader of a session opens is its own, the one of Ctrl-C (see `process.on_terminal`).
_START = ': <"$1"; shift; exec "$@"'

_POLL = select.POLLIN | select.POLLHUP | select.POLLERR


class LocalTerminal(Terminal):
    """See `Terminal`.

    Args:
        host: inventory name.
        shell: a POSIX shell, which starts the program.
        size: how large it is at first.
        term: its type.
        environment: of the program, as it is.
        command: a text for the user's shell; None is the shell itself, as a login shell.
        on_end: called once it is closed.

    Raises:
        UnreachableError: nothing can be started here.
    """

    def __init__(
        self,
        host: str,
        shell: str,
        size: Size,
        term: str,
        environment: Mapping[str, str],
        command: str | None,
        on_end: Callable[[LocalTerminal], None],
    ) -> None:
        self.host = host
        self._owner = os.getpid()
        self._on_end = on_end
        self._reading, self._writing, self._closing = threading.Lock(), threading.Lock(), threading.Lock()
        self._over = False
        self._ours = -1
        self._bells: list[tuple[int, int]] = []
        """Pipes that end a wait: of who reads, and of who writes."""
        try:
            self._process = self._start(shell, size, term, environment, command)
        except BaseException as error:
            self._free()
            if not isinstance(error, OSError):
                raise
            raise UnreachableError(
                f"can't start a terminal here: {error.strerror}", host=host, phase=Phase.RUNNING
            ) from error

    def _start(
        self, shell: str, size: Size, term: str, environment: Mapping[str, str], command: str | None
    ) -> subprocess.Popen[bytes]:
        for _ in range(2):
            self._bells.append(os.pipe())
            for end in self._bells[-1]:
                os.set_blocking(end, False)
        self._ours, theirs = pty.openpty()
        try:
            os.set_blocking(self._ours, False)
            self._set_size(theirs, size)
            modes = termios.tcgetattr(theirs)
            modes[0] |= getattr(termios, "IUTF8", 0o40000)  # erasing takes back a character and not a byte
            termios.tcsetattr(theirs, termios.TCSANOW, modes)
            home, program = _account(shell)
            words = [program, "-l"] if command is None else [program, "-c", command]
            return subprocess.Popen(
                [shell, "-c", _START, shell, os.ttyname(theirs), *words],
                stdin=theirs,
                stdout=theirs,
                stderr=theirs,
                cwd=home,
                env={**environment, "TERM": term, "SHELL": program},
                start_new_session=True,
                preexec_fn=_hearing(),
            )
        finally:
            os.close(theirs)

    def read(self, timeout: float | None = None) -> bytes | None:
        """Return what the program has written (see `Terminal.read`)."""
        deadline = Deadline.after(timeout)
        with self._reading:
            while True:
                if self._over:
                    return b""
                try:
                    data = os.read(self._ours, PIECE)
                except BlockingIOError:
                    if self._wait(0, _POLL, deadline):
                        continue
                    return b"" if self._over else None
                except OSError as error:
                    if error.errno != errno.EIO:
                        raise self._lost(error) from None
                    data = b""  # nobody holds the other end any more
                return self._with_more(data) if data else self._end()

    def _with_more(self, data: bytes) -> bytes:
        """Add what else is there: Linux hands out 4 KiB at once, and each piece costs whoever deals with it."""
        pieces, size = [data], len(data)
        with contextlib.suppress(OSError):
            while size < PIECE and (data := os.read(self._ours, PIECE - size)):
                pieces.append(data)
                size += len(data)
        return b"".join(pieces)

    def _end(self) -> bytes:
        try:
            status = self._process.wait(_LAST_WORDS)
        except subprocess.TimeoutExpired:
            return b""  # it has let go of its terminal and goes on
        if status >= 0:
            self.exit_status = status
        else:
            self.exit_signal = _name(-status)
        return b""

    def write(self, data: bytes, timeout: float | None = None) -> int:
        """Send as much as the terminal takes (see `Terminal.write`)."""
        deadline = Deadline.after(timeout)
        left = deadline.remaining()
        if not self._writing.acquire(timeout=-1 if left is None else min(left, threading.TIMEOUT_MAX)):
            return 0
        try:
            while True:
                if self._over or self._process.poll() is not None:
                    raise ConnectionLostError(
                        "the program on the terminal has ended", host=self.host, phase=Phase.RUNNING
                    )
                try:
                    return os.write(self._ours, data)
                except BlockingIOError:
                    if not self._wait(1, select.POLLOUT, deadline) and not self._over:
                        return 0
                except OSError as error:
                    raise self._lost(error) from None
        finally:
            self._writing.release()

    def _wait(self, bell: int, events: int, deadline: Deadline) -> bool:
        """Wait until the terminal is ready; return False where the time is over, or `wake` was called."""
        poll = select.poll()
        poll.register(self._ours, events)
        ring = self._bells[bell][0]
        poll.register(ring, select.POLLIN)
        left = deadline.remaining()
        # poll(2) takes 24 days at most; whoever waits longer calls again.
        ready = dict(poll.poll(None if left is None else min(left, _LONGEST_WAIT) * 1000))
        if ring in ready:
            with contextlib.suppress(BlockingIOError):
                os.read(ring, 4096)
            return False
        return self._ours in ready

    def _lost(self, error: OSError) -> ConnectionLostError:
        return ConnectionLostError(f"the terminal broke: {error.strerror}", host=self.host, phase=Phase.RUNNING)

    def resize(self, size: Size) -> None:
        """Set the new size; the kernel tells what runs in the foreground (see `Terminal.resize`)."""
        with self._closing:
            if not self._over:
                self._set_size(self._ours, size)

    @staticmethod
    def _set_size(descriptor: int, size: Size) -> None:
        fcntl.ioctl(descriptor, termios.TIOCSWINSZ, struct.pack("HHHH", size.rows, size.columns, 0, 0))

    def signal(self, name: str) -> None:
        """Send a signal to what runs in the foreground (see `Terminal.signal`)."""
        check_signal(name)
        if name in KEYS and self.write(KEYS[name], _KEY_LIMIT):
            return
        with self._closing:
            if not self._over:
                self._send(getattr(signal, f"SIG{name}"))

    def _send(self, number: int) -> None:
        """Signal the group in the foreground; another user's processes hear of it by the hangup only."""
        with contextlib.suppress(OSError):
            group = os.tcgetpgrp(self._ours)
            if group > 1:
                os.killpg(group, number)

    def wake(self) -> None:
        """Have whoever waits return (see `Terminal.wake`)."""
        with self._closing:
            self._ring()

    def _ring(self) -> None:
        for _, end in self._bells:
            with contextlib.suppress(OSError):  # full: it rings already
                os.write(end, b"!")

    def close(self) -> None:
        """Hang up, and kill the shell where that does not end it; what it has detached from the terminal goes on."""
        with self._closing:
            if self._over:
                return
            self._over = True
            if os.getpid() == self._owner:
                self._send(signal.SIGHUP)
                self._send(signal.SIGCONT)
            self._ring()
        # Nobody waits on the descriptors any more, nor rings: a number that is free may be another file's at once.
        with self._reading, self._writing, self._closing:
            self._free()
        try:
            if os.getpid() == self._owner:
                self._reap()
        finally:
            self._on_end(self)

    def _reap(self) -> None:
        for number in (signal.SIGHUP, signal.SIGKILL):
            if self._process.poll() is not None:
                return
            with contextlib.suppress(ProcessLookupError, PermissionError):
                os.killpg(self._process.pid, number)
            with contextlib.suppress(subprocess.TimeoutExpired):
                self._process.wait(_GRACE)

    def _free(self) -> None:
        bells, self._bells = self._bells, []
        for descriptor in (self._ours, *(end for bell in bells for end in bell)):
            if descriptor >= 0:
                os.close(descriptor)
        self._ours = -1


def _hearing() -> Callable[[], None] | None:
    """Return what has a program hear the signals that this process ignores; None where there are none.

    A shell without job control has a command behind ``&`` ignore INT and QUIT, `nohup` has it ignore HUP. A program on
    a terminal would inherit that, and no shell undoes it (POSIX, `trap`): neither Ctrl-C nor a hangup would end it.
    What is returned runs between fork and exec, where little is safe beside threads; so it does nothing else, and most
    often there is none.
    """
    # Those that Python itself ignores `Popen` restores.
    known = (signal.SIGPIPE, signal.SIGXFSZ)
    ignored = [each for each in signal.valid_signals() if signal.getsignal(each) is signal.SIG_IGN]
    unheard = [each for each in ignored if each not in known]

    def hear() -> None:
        for number in unheard:
            signal.signal(number, signal.SIG_DFL)

    return hear if unheard else None


def _name(number: int) -> str:
    """Return a signal's name without ``SIG``; its number where it has none, as most real-time signals."""
    try:
        return signal.Signals(number).name.removeprefix("SIG")
    except ValueError:
        return str(number)


def _account(shell: str) -> tuple[str, str]:
    """Return home and login shell of this process's user; a container's user may have neither."""
    try:
        entry = pwd.getpwuid(os.getuid())
    except KeyError:
        return "/", shell
    home = entry.pw_dir if Path(entry.pw_dir).is_dir() else "/"
    usable = entry.pw_shell and os.access(entry.pw_shell, os.X_OK)
    return home, entry.pw_shell if usable else shell
