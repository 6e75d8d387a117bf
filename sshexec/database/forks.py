"""What a forked child may keep of its parent's databases: nothing.

A connection that both used would mix up their words. With SQLite there is more to it: locks belong to a process, and
SQLite remembers in memory which of them it holds. A child that inherits this memory believes to hold locks that only
its parent holds (https://www.sqlite.org/howtocorrupt.html, section 2.6). So a parent closes its files before it forks.
"""

from __future__ import annotations

import os
import sys
import threading
import time
import weakref
from collections import Counter
from typing import Protocol

PATIENCE = 2.0
"""Seconds that a fork waits for the transactions of other threads."""


class Forked(Protocol):
    """What has connections."""

    def let_go(self) -> None:
        """Close the connections that nobody uses; in the parent, before the fork."""
        ...

    def start_anew(self) -> None:
        """Forget all connections; in the child."""
        ...


_gate = threading.Lock()
_open: Counter[int] = Counter()
"""For each thread, how many transactions it is in."""
_known: weakref.WeakSet[Forked] = weakref.WeakSet()


def know(database: Forked) -> None:
    """Tell a database of forks from now on."""
    _known.add(database)


def enter() -> None:
    """Say that this thread begins a transaction; it waits for a fork that is going on."""
    with _gate:
        _open[threading.get_ident()] += 1


def leave() -> None:
    """Say that this thread's transaction is over."""
    own = threading.get_ident()
    _open[own] -= 1
    if _open[own] < 1:
        del _open[own]  # each greenlet has a number of its own, and there may be very many in time


_commands: set[int] = set()
"""Threads that are forking for a command."""


def _is_for_a_command() -> bool:
    """Return whether the fork that begins is one of `subprocess`: its child becomes another program at once.

    gevent's makes these calls for each command of this machine, which must not wait for a database, nor close it.
    """
    frame = sys._getframe(2)
    for _ in range(8):
        if frame.f_code.co_name == "_execute_child":
            return True
        if frame.f_back is None:
            return False
        frame = frame.f_back
    return False


def _before() -> None:
    own = threading.get_ident()
    if _is_for_a_command():
        _commands.add(own)
        return
    _gate.acquire()
    deadline = time.monotonic() + PATIENCE
    while any(count for ident, count in list(_open.items()) if ident != own) and time.monotonic() < deadline:
        time.sleep(0.001)
    for database in list(_known):
        database.let_go()


def _in_parent() -> None:
    own = threading.get_ident()
    if own in _commands:
        _commands.discard(own)
    else:
        _gate.release()


def _in_child() -> None:
    global _gate
    if threading.get_ident() in _commands:
        return
    _gate = threading.Lock()
    _open.clear()
    for database in list(_known):
        database.start_anew()


os.register_at_fork(before=_before, after_in_parent=_in_parent, after_in_child=_in_child)
