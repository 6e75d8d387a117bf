"""An interactive terminal on one host, as `Connector.terminal` opens it."""

from __future__ import annotations

import re
from abc import ABC, abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass

from sshexec.errors import ArgumentError

__all__ = [
    "KEYS",
    "LARGEST_SIDE",
    "PIECE",
    "SIGNALS",
    "Size",
    "Terminal",
    "check_program",
    "check_signal",
    "check_term",
]

LARGEST_SIDE = 1000
"""Columns or rows that a terminal has at most."""

PIECE = 64 * 1024
"""Bytes that one `Terminal.read` returns at most."""

SIGNALS = ("HUP", "INT", "QUIT", "KILL", "TERM", "USR1", "USR2", "TSTP", "CONT", "WINCH")
"""Names that `Terminal.signal` takes, without ``SIG``."""

KEYS = {"INT": b"\x03", "QUIT": b"\x1c", "TSTP": b"\x1a"}
"""Keys that send signals, on a terminal whose program has not changed that."""

_TERM = re.compile(r"[A-Za-z0-9][A-Za-z0-9.+_-]{0,63}")
_VARIABLE = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")


@dataclass(frozen=True, slots=True)
class Size:
    """How large a terminal is, in characters.

    Args:
        columns: 1 to 1000.
        rows: 1 to 1000.

    Raises:
        ArgumentError: one is no whole number between them.
    """

    columns: int = 80
    rows: int = 24

    def __post_init__(self) -> None:
        for name in ("columns", "rows"):
            value: object = getattr(self, name)
            if isinstance(value, bool) or not isinstance(value, int) or not 1 <= value <= LARGEST_SIDE:
                raise ArgumentError(f"{name}: expected a whole number from 1 to {LARGEST_SIDE}, got {value!r:.40}")


class Terminal(ABC):
    """A program on a host that has a terminal, most often a login shell.

    One thread reads; any thread may write (one at a time), resize, signal, wake and close meanwhile. It lives on its
    connector's connection: who closes the connector closes it too. The connector may serve one other caller meanwhile
    (`Connector.put`, `Connector.get`).
    """

    host: str
    """Inventory name of the host, for messages."""
    exit_status: int | None = None
    """How the program ended, once `read` has returned b""; None where it did not say."""
    exit_signal: str | None = None
    """What ended it, without ``SIG``, or its number where it has no name; None where no signal did."""

    @abstractmethod
    def read(self, timeout: float | None = None) -> bytes | None:
        """Return what the program has written, `PIECE` bytes at most; b"" at its end; None where nothing came in time.

        What is not read stays with the host, beyond a window of 256 KiB (1 MiB on a long way): that is what keeps a
        flood bounded.

        Args:
            timeout: seconds to wait; None waits until something comes, the connection breaks, or `wake` is called.

        Raises:
            ConnectionLostError: the connection broke.
        """

    @abstractmethod
    def write(self, data: bytes, timeout: float | None = None) -> int:
        """Send as much as the host takes, waiting until it takes something; return how many bytes went.

        Args:
            data: what is typed.
            timeout: seconds to wait, while others write too; None as in `read`.

        Raises:
            ConnectionLostError: the connection broke, or the program has ended.
        """

    @abstractmethod
    def resize(self, size: Size) -> None:
        """Tell the host how large the terminal is now.

        Raises:
            ConnectionLostError: the connection broke.
        """

    @abstractmethod
    def signal(self, name: str) -> None:
        """Send a signal to what runs in the foreground: INT, QUIT and TSTP as the keys that send them.

        Args:
            name: one of `SIGNALS`. OpenSSH's server delivers the others to the shell (RFC 4254 §6.9), and to root's
                none at all.

        Raises:
            ArgumentError: there is no such signal.
            ConnectionLostError: the connection broke.
        """

    @abstractmethod
    def wake(self) -> None:
        """Have a `read` or `write` that waits, or else the next ones, return at once; from any thread."""

    @abstractmethod
    def close(self) -> None:
        """End it; safe to call twice, from any thread. Whoever reads gets b"", whoever writes ConnectionLostError."""


def check_signal(name: str) -> None:
    """Check what `Terminal.signal` was given.

    Raises:
        ArgumentError: there is no such signal.
    """
    if name not in SIGNALS:
        raise ArgumentError(f"signal: expected one of {', '.join(SIGNALS)}, got {name!r:.40}")


def check_term(term: object) -> None:
    """Check a terminal's type.

    Raises:
        ArgumentError: it is no plain word.
    """
    if not isinstance(term, str) or not _TERM.fullmatch(term):
        raise ArgumentError(f"term: expected a terminal's type such as xterm-256color, got {term!r:.40}")


def check_program(term: str, environment: Mapping[str, str], command: str | None) -> None:
    """Check what `Connector.terminal` was given, before a host or a system call takes it amiss.

    Raises:
        ArgumentError: a terminal's type or a variable's name is no plain word, or a text has a NUL or half of a
            surrogate pair, which no host can be sent.
    """
    check_term(term)
    for name, value in environment.items():
        if not isinstance(name, str) or not _VARIABLE.fullmatch(name):
            raise ArgumentError(f"environment: {name!r:.40} is no name of a variable")
        if not _is_text(value):
            raise ArgumentError(f"environment: {name}: expected a text without NUL")  # which may be a secret
    if command is not None and (not _is_text(command) or not command):
        raise ArgumentError("command: expected a text without NUL, or None for the login shell")


def _is_text(value: object) -> bool:
    """Return whether it is a text that can be sent: bytes that are no UTF-8 may be in it, as the system hands them."""
    try:
        return isinstance(value, str) and b"\0" not in value.encode("utf-8", "surrogateescape")
    except UnicodeEncodeError:
        return False
