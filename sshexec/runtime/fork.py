"""What a forked child does with the executors that it inherits: it lets go of them; they are its parent's."""

from __future__ import annotations

import os
import weakref
from typing import Protocol


class Inherited(Protocol):
    """An executor that can be let go of."""

    def abandon(self) -> None:
        """In a forked child: start nothing more, and leave to the parent what is the parent's."""
        ...


_alive: weakref.WeakSet[Inherited] = weakref.WeakSet()


def abandon_in_children(executor: Inherited) -> None:
    """Have children which this process forks let go of an executor."""
    _alive.add(executor)


def _after_fork() -> None:
    for executor in list(_alive):
        executor.abandon()
    _alive.clear()


os.register_at_fork(after_in_child=_after_fork)
