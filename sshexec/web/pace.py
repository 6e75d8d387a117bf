"""How fast one client may send: whoever floods waits, and the others do not."""

from __future__ import annotations

import time

__all__ = ["Pace"]

TURN = 64
"""Messages in one go, after which others have a turn."""


class Pace:
    """Counts messages, and waits where they come too fast.

    gevent's sockets do not let others run while there is something to read, so that one client with much to say would
    have the process for itself.

    Args:
        rate: messages a second, for long.
        burst: how many may come at once.
    """

    __slots__ = ("_allowance", "_burst", "_count", "_last", "_rate")

    def __init__(self, rate: float = 1000.0, burst: int = 2000) -> None:
        self._rate = rate
        self._burst = burst
        self._allowance = float(burst)
        self._last = time.monotonic()
        self._count = 0

    def step(self) -> None:
        """Count one message; wait a moment if there were too many."""
        now = time.monotonic()
        self._allowance = min(self._burst, self._allowance + (now - self._last) * self._rate)
        self._last = now
        self._allowance -= 1
        self._count += 1
        if self._allowance < 0:
            time.sleep(TURN / self._rate)
        elif self._count % TURN == 0:
            time.sleep(0)
