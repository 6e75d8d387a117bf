"""The operator's own terminal while a session has it: raw, its size, and the escapes that are meant for us.

Every byte goes to the host as it is typed, Ctrl-C too, so that what is for this command itself needs a sign of its own.
It is that of ssh(1): a tilde at the beginning of a line.
"""

from __future__ import annotations

import contextlib
import os
import select
import signal
import termios
import threading
import tty
from collections.abc import Callable
from types import FrameType
from typing import Any, NamedTuple

from sshexec.cli.jobcontrol import Settings
from sshexec.connectors.terminal import LARGEST_SIDE, Size

_PIECE = 64 * 1024

HELP = b"""\r
Behind Enter:\r
  ~.   end the session\r
  ~?   show this\r
  ~~   send the tilde itself\r
"""


class Typed(NamedTuple):
    """What something typed means.

    Args:
        data: what is for the host.
        end: whether the session is to end.
        help: whether the escapes are to be shown.
    """

    data: bytes
    end: bool = False
    help: bool = False


class Escapes:
    """Finds the escapes in what is typed, however it is cut into pieces."""

    def __init__(self) -> None:
        self._at_start = True
        self._tilde = False

    def feed(self, data: bytes) -> Typed:
        """Take what was typed; what stands behind ``~.`` is dropped."""
        out = bytearray()
        wants_help = False
        for byte in data:
            if self._tilde:
                self._tilde = False
                if byte == ord("."):
                    return Typed(bytes(out), end=True, help=wants_help)
                if byte == ord("?"):
                    wants_help = True
                    continue
                out += b"~"
                self._at_start = False
                if byte == ord("~"):
                    continue
            elif self._at_start and byte == ord("~"):
                self._tilde = True
                continue
            out.append(byte)
            self._at_start = byte in b"\r\n"
        return Typed(bytes(out), help=wants_help)


class RawTerminal:
    """A terminal that is raw from `enter` to `restore`, but for while this command is stopped.

    Args:
        descriptor: of the terminal.
    """

    def __init__(self, descriptor: int = 0) -> None:
        self._descriptor = descriptor
        self._settings: Settings | None = None

    @property
    def size(self) -> Size:
        """How large it is; 80x24 where it does not say."""
        try:
            columns, rows = os.get_terminal_size(self._descriptor)
        except OSError:
            columns = rows = 0
        return Size(min(columns or 80, LARGEST_SIDE), min(rows or 24, LARGEST_SIDE))

    def enter(self) -> None:
        """Have every key arrive as it is; what was typed before is kept."""
        if self._settings is None:
            with contextlib.suppress(termios.error):
                settings = self._settings = Settings(self._descriptor)
                tty.setraw(self._descriptor, termios.TCSADRAIN)
                settings.changed()

    def restore(self) -> None:
        """Put it back as it was; safe to call twice, and from a signal handler."""
        settings, self._settings = self._settings, None
        if settings is not None:
            settings.end()


class Keys:
    """Reads what is typed, and notices other sizes, until it is closed.

    Both go to `on_keys` and `on_size`, each called on a thread of its own. `on_keys` may wait: a terminal that takes
    nothing must not keep ``~.`` from being heard.

    Args:
        terminal: of which size is looked at.
        descriptor: what is read.
        on_keys: gets what is for the host.
        on_size: gets another size.
        on_end: called once ``~.`` was typed, or the terminal is gone; tells which by True and False.
        on_help: called for ``~?``.
    """

    def __init__(
        self,
        terminal: RawTerminal,
        descriptor: int,
        *,
        on_keys: Callable[[bytes], None],
        on_size: Callable[[Size], None],
        on_end: Callable[[bool], None],
        on_help: Callable[[], None],
    ) -> None:
        self._terminal = terminal
        self._descriptor = descriptor
        self._on_keys, self._on_size, self._on_end, self._on_help = on_keys, on_size, on_end, on_help
        self._changed = threading.Condition()
        self._waiting = bytearray()
        self._size: Size | None = None
        self._closed = False
        self._bell = os.pipe()
        for end in self._bell:
            os.set_blocking(end, False)
        self._resized: Any = None
        self._threads = [
            threading.Thread(target=each, name=f"sshexec-{name}", daemon=True)
            for each, name in ((self._read, "keys"), (self._pass_on, "typing"))
        ]

    def __enter__(self) -> Keys:
        self._resized = signal.signal(signal.SIGWINCH, self._on_resize)
        self._known = self._terminal.size
        for thread in self._threads:
            thread.start()
        self._ring()  # it may have changed meanwhile
        return self

    def __exit__(self, *_: object) -> None:
        signal.signal(signal.SIGWINCH, self._resized or signal.SIG_DFL)
        with self._changed:
            self._closed = True
            self._changed.notify_all()
        self._ring()
        self._threads[0].join(5.0)
        if not self._threads[0].is_alive():
            for end in self._bell:
                os.close(end)

    def _on_resize(self, number: int, frame: FrameType | None) -> None:
        self._ring()  # between any two instructions: it must neither wait nor take a lock

    def _ring(self) -> None:
        with contextlib.suppress(OSError):
            os.write(self._bell[1], b"!")

    def _read(self) -> None:
        escapes = Escapes()
        while not self._closed:
            ready = select.select([self._descriptor, self._bell[0]], [], [])[0]
            if self._bell[0] in ready:
                with contextlib.suppress(BlockingIOError):
                    os.read(self._bell[0], 4096)
                self._look()
            if self._descriptor in ready and not self._closed and not self._take(escapes):
                return

    def _look(self) -> None:
        size = self._terminal.size
        with self._changed:
            if size != self._known:
                self._known = self._size = size
                self._changed.notify_all()

    def _take(self, escapes: Escapes) -> bool:
        """Take what was typed; return whether there is more to come."""
        try:
            data = os.read(self._descriptor, _PIECE)
        except OSError:
            data = b""
        typed = escapes.feed(data)
        if typed.help:
            self._on_help()
        if typed.end or not data:
            self._on_end(typed.end)
            return False
        with self._changed:
            self._waiting += typed.data
            self._changed.notify_all()
            while len(self._waiting) > 16 * _PIECE and not self._closed:
                self._changed.wait()
        return True

    def _pass_on(self) -> None:
        while True:
            with self._changed:
                while not (self._closed or self._waiting or self._size):
                    self._changed.wait()
                if self._closed:
                    return
                size, self._size = self._size, None
                data = bytes(self._waiting[:_PIECE])
                del self._waiting[:_PIECE]
                self._changed.notify_all()
            if size is not None:
                self._on_size(size)
            if data:
                self._on_keys(data)
