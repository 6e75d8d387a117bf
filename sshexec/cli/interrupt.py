"""Ctrl-C, SIGTERM and SIGHUP: the first one stops the hosts and lets them report, the second one stops at once."""

from __future__ import annotations

import contextlib
import os
import signal
from collections.abc import Callable, Collection
from types import FrameType, TracebackType
from typing import Any, NoReturn

import gevent

SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)


class InterruptedBySignal(SystemExit):
    """A signal asked the command to end while no run was in progress.

    Not a KeyboardInterrupt: gevent prints a traceback of one before it hands it on, and click a line of its own.

    Args:
        number: the signal.
    """

    def __init__(self, number: int) -> None:
        super().__init__(128 + number)
        self.exit_code = 128 + number


def heeded() -> list[int]:
    """Return those of the signals that are not ignored.

    A shell has its background jobs ignore Ctrl-C, and nohup has its command ignore SIGHUP: what is ignored stays so.
    """
    return [number for number in SIGNALS if signal.getsignal(number) is not signal.SIG_IGN]


def end_on_signals() -> None:
    """Have the signals end the command outside of runs: whoever waits, for an inventory script say, cleans up first."""
    for number in heeded():
        signal.signal(number, _interrupt)


def _interrupt(number: int, frame: FrameType | None) -> NoReturn:
    raise InterruptedBySignal(number)


class Interrupts:
    """Handles the signals while a run is in progress.

    Args:
        cancel: called once, on a greenlet of its own, at the first signal.
        restore: called before the process ends at the second one; puts the terminal back.
        at_work: the hosts whose commands may still run then.
    """

    def __init__(
        self, cancel: Callable[[], object], restore: Callable[[], None], at_work: Collection[str] = ()
    ) -> None:
        self._cancel = cancel
        self._restore = restore
        self._at_work = at_work
        self._before: dict[int, Any] = {}
        self._signal: int | None = None

    @property
    def exit_code(self) -> int | None:
        """130 after Ctrl-C, 143 after SIGTERM, 129 after SIGHUP, None where no signal came."""
        return None if self._signal is None else 128 + self._signal

    def __enter__(self) -> Interrupts:
        self._before = {number: signal.signal(number, self._handle) for number in heeded()}
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        for number, handler in self._before.items():
            signal.signal(number, handler)

    def _handle(self, number: int, frame: FrameType | None) -> None:
        # This runs between any two instructions, perhaps on gevent's hub: it must neither wait nor take a lock.
        if self._signal is None:
            self._signal = number
            gevent.spawn(self._cancel)
        elif number != signal.SIGHUP:
            # A terminal that goes away sends SIGHUP more than once, from the kernel and from the shell: nobody hurries.
            self._restore()
            self._tell()
            os._exit(128 + number)

    def _tell(self) -> None:
        """Say what is left behind; not where that would have to wait."""
        count = len(self._at_work)
        if not count:
            return
        one = "1 host was not waited for: its command may still run"
        text = one if count == 1 else f"{count} hosts were not waited for: their commands may still run"
        with contextlib.suppress(OSError):
            blocking = os.get_blocking(2)
            os.set_blocking(2, False)
            try:
                os.write(2, f"sshexec: {text}\n".encode())
            finally:
                os.set_blocking(2, blocking)  # others may have the same terminal
