"""ProxyCommand: a process of this machine whose standard input and output are the connection (ssh_config(5))."""

from __future__ import annotations

import _thread
import contextlib
import os
import signal
import socket
import subprocess
import threading

from sshexec.connectors.severed import keep_from_children
from sshexec.errors import UnreachableError

_KEPT = 4096
"""Bytes kept of what the command says on standard error; its last line tells why it failed."""

_LAST_WORDS = 0.5
"""Seconds that a command has to end by itself, for its last words and its exit status."""

_GRACE = 1.0
"""Seconds between TERM and KILL."""


class Proxy:
    """A running ProxyCommand.

    Args:
        command: for the shell, tokens filled in.

    Raises:
        UnreachableError: it can't be run.
    """

    def __init__(self, command: str) -> None:
        self._lock = threading.Lock()
        self._process: subprocess.Popen[bytes]
        self._said = b""
        self._silent = threading.Event()
        """Set once nothing more comes from standard error."""
        try:
            self.socket, far = socket.socketpair()
            try:
                # A socket for standard error too: reading from one blocks a thread or a greenlet alone.
                self._error, far_error = socket.socketpair()
            except BaseException:
                self.socket.close()
                far.close()
                raise
        except OSError as error:
            raise UnreachableError(f"can't run the ProxyCommand: {error.strerror}") from None
        try:
            with far, far_error:
                self._process = subprocess.Popen(
                    ["/bin/sh", "-c", f"exec {command}"],
                    stdin=far.fileno(),
                    stdout=far.fileno(),
                    stderr=far_error.fileno(),
                    start_new_session=True,
                )
        except (OSError, ValueError) as error:
            self.socket.close()
            self._error.close()
            raise UnreachableError(f"can't run the ProxyCommand: {error}") from None
        self._owner = os.getpid()
        keep_from_children(self.socket)
        keep_from_children(self._error)
        try:
            _thread.start_new_thread(self._listen, ())
        except RuntimeError as error:
            self.close()
            raise UnreachableError(f"can't run the ProxyCommand: {error}") from None

    def _listen(self) -> None:
        with contextlib.suppress(OSError):
            while piece := self._error.recv(_KEPT):
                self._said = (self._said + piece)[-_KEPT:]
        self._silent.set()

    def last_words(self) -> tuple[str, int | None]:
        """Return the last line that the command said on standard error, and its exit status (None: it runs on)."""
        with contextlib.suppress(subprocess.TimeoutExpired), self._lock:
            self._process.wait(_LAST_WORDS)
        if self._process.returncode is not None:
            self._silent.wait(_LAST_WORDS)
        lines = [line.strip() for line in self._said.decode("utf-8", "replace").splitlines()]
        return next((line for line in reversed(lines) if line), ""), self._process.returncode

    def close(self) -> None:
        """End the command with all it has started, and wait for it; safe to call twice."""
        for end in (self.socket, self._error):
            with contextlib.suppress(OSError):
                end.shutdown(socket.SHUT_RDWR)
            end.close()
        if os.getpid() != self._owner:
            return  # a forked child: the command is its parent's
        with self._lock:
            if self._process.returncode is not None:
                return  # its number may be another's by now
            for number in (signal.SIGTERM, signal.SIGKILL):
                with contextlib.suppress(ProcessLookupError, PermissionError):
                    os.killpg(self._process.pid, number)
                with contextlib.suppress(subprocess.TimeoutExpired):
                    self._process.wait(_GRACE)
                    return
