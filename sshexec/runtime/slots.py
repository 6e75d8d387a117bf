"""How many hosts are worked on at once, and who lends his slot to others while he waits for a first answer.

A host that is switched off costs nothing while its connection is waited for, and must not keep living hosts from their
turn: 500 dead ones among 1000 would fill every slot until their limits pass.
"""

from __future__ import annotations

import time
from collections.abc import Iterable
from typing import Protocol

GRACE = 0.3
"""Seconds that a host has to answer before its slot is lent to another: longer than the way round the world takes."""

SILENT_GRACE = 3.0
"""The same for its first words once it has answered: a busy machine takes its time, and costs it anyway."""

LOOK = 0.1
"""Seconds between two looks at who waits for too long."""


class NoSlotError(Exception):
    """A host has answered after all, and others have its slot (never leaves this room)."""


class Waiter(Protocol):
    """A turn, as far as slots go."""

    waiting_since: float | None
    """Since when it has waited for the host to answer, on the monotonic clock; None where it does not."""
    answered: bool
    """Whether the host has taken the connection."""
    patient: bool
    """Whether it keeps its slot: it has lost it before."""


class Slots:
    """Counts those who work.

    Args:
        limit: hosts that are worked on at once.
        most: those that wait for an answer included.
    """

    def __init__(self, limit: int, most: int) -> None:
        self.limit = limit
        self._most = max(limit, most)
        self._lent: set[Waiter] = set()
        self._workers = 0

    @property
    def free(self) -> int:
        """How many more workers may begin."""
        return min(self.limit - self._workers + len(self._lent), self._most - self._workers)

    def begin(self) -> None:
        """Count one more worker."""
        self._workers += 1

    def end(self) -> None:
        """Count one worker less."""
        self._workers -= 1

    @property
    def overdrawn(self) -> bool:
        """Whether more work than shall: who has just finished a turn takes no other one."""
        return self._workers - len(self._lent) > self.limit

    def lend(self, turns: Iterable[Waiter]) -> None:
        """Take the slots of those that have waited for too long for an answer."""
        now = time.monotonic()
        for turn in turns:
            since = turn.waiting_since
            if since is not None and not turn.patient and now - since > (SILENT_GRACE if turn.answered else GRACE):
                self._lent.add(turn)

    def claim(self, turn: Waiter) -> None:
        """Take back the slot of a turn whose host has answered.

        Raises:
            NoSlotError: all are taken; the turn has to come again, and then keeps its slot.
        """
        if turn in self._lent:
            self._lent.discard(turn)
            if self.overdrawn:
                turn.patient = True
                raise NoSlotError

    def forget(self, turn: Waiter) -> None:
        """Drop a turn that is over."""
        self._lent.discard(turn)
