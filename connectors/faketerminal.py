"""A scripted terminal: lines that are typed get the answers that commands get (`sshexec.connectors.fake`)."""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import Any, NamedTuple

from sshexec.connectors.deadline import Deadline
from sshexec.connectors.terminal import PIECE, Size, Terminal, check_signal
from sshexec.errors import ConnectionLostError

_LONGEST_LINE = 4096
"""Bytes of a line, as the terminals of Linux have it; what is typed beyond is dropped."""

_FULL = 256 * 1024
"""Bytes that wait to be read before nothing more is taken, as the window of an SSH connection."""

_INTERRUPT, _END, _QUIT, _ERASE, _KILL = 0x03, 0x04, 0x1C, (0x08, 0x7F), 0x15


class Said(NamedTuple):
    """What a line is answered with.

    Args:
        text: what the program prints, with plain line ends.
        rc: its exit status.
        delay: seconds that it takes; None never ends, but for Ctrl-C.
        lost: whether the connection breaks after it.
    """

    text: str
    rc: int = 0
    delay: float | None = 0.0
    lost: bool = False


class FakeTerminal(Terminal):
    """See `Terminal`.

    It echoes what is typed, erases (Backspace, Ctrl-U), interrupts (Ctrl-C) and ends (``exit``, Ctrl-D). ``stty size``
    tells the size.

    Args:
        host: inventory name.
        size: how large it is at first.
        prompt: what stands before each line.
        command: what runs instead of the shell; None for that.
        answer: returns what a line is answered with.
        record: takes note of a call, by its name and what belongs to it.
    """

    def __init__(
        self,
        host: str,
        size: Size,
        prompt: str,
        command: str | None,
        answer: Callable[[str], Said],
        record: Callable[..., Any],
    ) -> None:
        self.host = host
        self._size = size
        self._prompt = prompt.encode()
        self._answer = answer
        self._record = record
        self._alone = command is not None
        self._changed = threading.Condition()
        self._out = bytearray()
        self._line = bytearray()
        self._typed = bytearray()
        """What was typed while a command ran."""
        self._running: tuple[Deadline, Said] | None = None
        self._ended = self._lost = self._over = False
        self._read_woken = self._write_woken = False
        self._status = 0
        with self._changed:
            if command is None:
                self._out += self._prompt
            else:
                self._run(command)

    def read(self, timeout: float | None = None) -> bytes | None:
        """Return what was printed (see `Terminal.read`)."""
        deadline = Deadline.after(timeout)
        with self._changed:
            while True:
                if self._over:
                    return b""
                self._proceed()
                if self._out:
                    data = bytes(self._out[:PIECE])
                    del self._out[:PIECE]
                    self._changed.notify_all()
                    return data
                if self._lost:
                    raise ConnectionLostError("fake: the connection broke", host=self.host)
                if self._ended:
                    self.exit_status = self._status
                    return b""
                if self._read_woken or deadline.expired:
                    self._read_woken = False
                    return None
                due = self._running[0] if self._running is not None else Deadline()
                self._changed.wait(deadline.earlier(due).remaining())

    def write(self, data: bytes, timeout: float | None = None) -> int:
        """Type (see `Terminal.write`)."""
        deadline = Deadline.after(timeout)
        with self._changed:
            while True:
                self._proceed()
                if self._over or self._ended or self._lost:
                    raise ConnectionLostError("the program on the terminal has ended", host=self.host)
                if len(self._out) < _FULL and len(self._typed) < _LONGEST_LINE:
                    taken = data[:_LONGEST_LINE]
                    self._type(taken)
                    self._changed.notify_all()
                    return len(taken)
                if self._write_woken or deadline.expired:
                    self._write_woken = False
                    return 0
                self._changed.wait(deadline.remaining())

    def resize(self, size: Size) -> None:
        """Take the new size (see `Terminal.resize`)."""
        with self._changed:
            self._size = size
            self._record("resize", columns=size.columns, rows=size.rows)

    def signal(self, name: str) -> None:
        """End what runs, or with HUP, KILL and TERM the shell (see `Terminal.signal`)."""
        check_signal(name)
        with self._changed:
            self._record("signal", name=name)
            if name in ("INT", "QUIT"):
                self._type(bytes((_INTERRUPT,)))
            elif name in ("HUP", "KILL", "TERM") and not self._ended:
                self._finish(0)
                self.exit_signal = name
            self._changed.notify_all()

    def wake(self) -> None:
        """Have whoever waits return (see `Terminal.wake`)."""
        with self._changed:
            self._read_woken = self._write_woken = True
            self._changed.notify_all()

    def close(self) -> None:
        """Hang up."""
        with self._changed:
            self._over = True
            self._changed.notify_all()

    # What it plays; all of it with the lock held.

    def _type(self, data: bytes) -> None:
        for byte in data:
            if self._ended or self._lost:
                return
            if byte in (_INTERRUPT, _QUIT):
                self._interrupt()
            elif self._running is not None:
                self._typed.append(byte)
            else:
                self._key(byte)

    def _interrupt(self) -> None:
        self._line.clear()
        self._typed.clear()
        self._out += b"^C\r\n"
        if self._running is not None and self._alone:
            self._finish(130)
            return
        self._running = None
        self._out += self._prompt

    def _key(self, byte: int) -> None:
        if byte in b"\r\n":
            line = self._line.decode("utf-8", "surrogateescape")
            self._line.clear()
            self._out += b"\r\n"
            self._run(line)
        elif byte == _END and not self._line:
            self._out += b"\r\n"
            self._finish(self._status)
        elif byte in _ERASE and self._line:
            while self._line and self._line.pop() & 0xC0 == 0x80:
                pass  # the rest of a character
            self._out += b"\b \b"
        elif byte == _KILL:
            self._out += b"\b \b" * len(self._line.decode("utf-8", "replace"))
            self._line.clear()
        elif (byte >= 0x20 or byte == 0x09) and byte != 0x7F and len(self._line) < _LONGEST_LINE:
            self._line.append(byte)
            self._out.append(byte)

    def _run(self, line: str) -> None:
        words = line.split()
        if not words:
            self._out += self._prompt
            return
        self._record("typed", line=line)
        if words[0] in ("exit", "logout") and len(words) <= 2:
            self._finish(int(words[1]) & 0xFF if words[1:] and words[1].isdecimal() else self._status)
            return
        said = Said(f"{self._size.rows} {self._size.columns}\n") if words == ["stty", "size"] else self._answer(line)
        self._running = (Deadline.after(said.delay), said)
        self._proceed()

    def _proceed(self) -> None:
        """Print what is due, and go on with what was typed meanwhile."""
        while self._running is not None and self._running[0].expired:
            said = self._running[1]
            self._running = None
            self._out += said.text.replace("\n", "\r\n").encode("utf-8", "surrogateescape")
            self._status = said.rc
            if said.lost:
                self._lost = True
                return
            if self._alone:
                self._finish(said.rc)
                return
            self._out += self._prompt
            typed, self._typed = bytes(self._typed), bytearray()
            self._type(typed)

    def _finish(self, status: int) -> None:
        self._running = None
        self._status = status
        self._ended = True
