"""Settings of the operator's terminal that are this command's while it runs, and not while it is stopped.

A shell puts its own settings back when a job is stopped, and leaves them when the job goes on: a password that is typed
then would be shown, and Ctrl-C would end the command instead of going to the host.
"""

from __future__ import annotations

import contextlib
import signal
import termios
from types import FrameType
from typing import Any


def put(descriptor: int, settings: list[Any]) -> None:
    """Set a terminal, from a signal handler too; not even where another command has it by now are we stopped at it.

    Args:
        descriptor: the terminal's.
        settings: as `termios.tcgetattr` has them.
    """
    ignored: Any = None
    with contextlib.suppress(ValueError):  # not on the main thread
        ignored = signal.signal(signal.SIGTTOU, signal.SIG_IGN)
    try:
        with contextlib.suppress(termios.error):
            termios.tcsetattr(descriptor, termios.TCSANOW, settings)
    finally:
        if ignored is not None:
            signal.signal(signal.SIGTTOU, ignored)


class Settings:
    """Takes a terminal's settings back when the command is stopped, and sets them when it goes on.

    What it has before that is kept from the beginning, so that `end` may come at any moment.

    Args:
        descriptor: the terminal's.
    """

    def __init__(self, descriptor: int) -> None:
        self._descriptor = descriptor
        self.before = termios.tcgetattr(descriptor)
        """What it had, for whoever has it meanwhile and afterwards."""
        self._during: list[Any] | None = None
        self._handlers: dict[int, Any] = {}
        for number, handler in ((signal.SIGTSTP, self._stop), (signal.SIGCONT, self._go_on)):
            with contextlib.suppress(ValueError):
                if signal.getsignal(number) is not signal.SIG_IGN:
                    self._handlers[number] = signal.signal(number, handler)

    def changed(self) -> None:
        """Note what it has now."""
        self._during = termios.tcgetattr(self._descriptor)

    def end(self) -> None:
        """Put back what it had before; safe to call twice, and from a signal handler."""
        handlers, self._handlers = self._handlers, {}
        for number, handler in handlers.items():
            with contextlib.suppress(ValueError):
                signal.signal(number, handler)
        put(self._descriptor, self.before)

    def _stop(self, number: int, frame: FrameType | None) -> None:
        put(self._descriptor, self.before)
        signal.signal(number, signal.SIG_DFL)
        signal.raise_signal(number)
        # Here it goes on; at once where nobody could make it go on, who has no job control.
        if number in self._handlers:
            signal.signal(number, self._stop)
            self._set()

    def _go_on(self, number: int, frame: FrameType | None) -> None:
        self._set()

    def _set(self) -> None:
        # In the background this stops us, as it should, until we have the terminal.
        if self._during is not None:
            with contextlib.suppress(termios.error):
                termios.tcsetattr(self._descriptor, termios.TCSANOW, self._during)
