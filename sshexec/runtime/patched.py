"""Whether blocking calls of this process are greenlets' calls, and how they become so in processes of our own."""

from __future__ import annotations

import sys
from typing import Any

NEEDED = ("socket", "threading", "time", "select", "subprocess")
"""Modules that must all be patched; with fewer, greenlets over blocking calls would run one after another."""


def is_patched() -> bool:
    """Return whether gevent has patched this process; does not import gevent to find out."""
    monkey = sys.modules.get("gevent.monkey")
    return monkey is not None and all(monkey.is_module_patched(name) for name in NEEDED)


def patch() -> None:
    """Patch a process that is sshexec's own from its first line; nobody else's is ever patched.

    gevent looks for plugins in every installed package, once for each module that it patches (`gevent.events`). Among
    platform code with its hundreds of packages that takes longer than all imports together, and a process of our own
    has no use for them.
    """
    from gevent import events, monkey

    home: Any = events  # the stubs leave these names out
    search, home.notify_and_call_entry_points = home.notify_and_call_entry_points, home.notify
    try:
        monkey.patch_all()
    finally:
        home.notify_and_call_entry_points = search
