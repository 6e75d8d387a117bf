"""Whether blocking calls of this process are greenlets' calls."""

from __future__ import annotations

import sys

NEEDED = ("socket", "threading", "time", "select", "subprocess")
"""Modules that must all be patched; with fewer, greenlets over blocking calls would run one after another."""


def is_patched() -> bool:
    """Return whether gevent has patched this process; does not import gevent to find out."""
    monkey = sys.modules.get("gevent.monkey")
    return monkey is not None and all(monkey.is_module_patched(name) for name in NEEDED)
