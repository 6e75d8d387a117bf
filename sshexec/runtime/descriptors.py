"""How many files this process may have open, and how many hosts that is enough for."""

from __future__ import annotations

import resource

_MOST = 65536
"""More is never needed, and some systems hand out limits in the billions that older programs loop over."""

_OWN = 64
_PER_HOST = 3
"""A connection of its own, and its share of those that are kept and of what commands of this machine need."""


def limit() -> int:
    """Return how many files this process may have open."""
    soft = resource.getrlimit(resource.RLIMIT_NOFILE)[0]
    return _MOST if soft == resource.RLIM_INFINITY else min(soft, _MOST)


def raise_limit() -> None:
    """Allow as many open files as the system lets this user have; only in a process of our own."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = _MOST if hard == resource.RLIM_INFINITY else min(hard, _MOST)
    if soft != resource.RLIM_INFINITY and soft < wanted:
        resource.setrlimit(resource.RLIMIT_NOFILE, (wanted, hard))


def most_hosts() -> int:
    """Return how many hosts may be worked on at once."""
    return max(1, (limit() - _OWN) // _PER_HOST)


def most_idle() -> int:
    """Return how many connections may be kept beside those that are in use."""
    return max(1, min(limit() // 4, 5000))
