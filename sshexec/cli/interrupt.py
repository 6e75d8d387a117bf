"""Ctrl-C and SIGTERM: the first one stops the hosts and lets them report, the second one stops at once."""

from __future__ import annotations

import os
import signal
from collections.abc import Callable
from types import FrameType, TracebackType
from typing import Any

import gevent

_SIGNALS = (signal.SIGINT, signal.SIGTERM)


class Interrupts:
    """Handles both signals while a run is in progress.

    Args:
        cancel: called once, on a greenlet of its own, at the first signal.
        restore: called before the process ends at the second one; puts the terminal back.
    """

    def __init__(self, cancel: Callable[[], object], restore: Callable[[], None]) -> None:
        self._cancel = cancel
        self._restore = restore
        self._before: dict[int, Any] = {}
        self._signal: int | None = None

    @property
    def exit_code(self) -> int | None:
        """130 after Ctrl-C, 143 after SIGTERM, None where no signal came."""
        return None if self._signal is None else 128 + self._signal

    def __enter__(self) -> Interrupts:
        # A shell has its background jobs ignore Ctrl-C, and nohup is no different: what is ignored stays so.
        heeded = [number for number in _SIGNALS if signal.getsignal(number) is not signal.SIG_IGN]
        self._before = {number: signal.signal(number, self._handle) for number in heeded}
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        for number, handler in self._before.items():
            signal.signal(number, handler)

    def _handle(self, number: int, frame: FrameType | None) -> None:
        # This runs between any two instructions, perhaps on gevent's hub: it must neither wait nor take a lock.
        if self._signal is not None:
            self._restore()
            os._exit(128 + number)
        self._signal = number
        gevent.spawn(self._cancel)
