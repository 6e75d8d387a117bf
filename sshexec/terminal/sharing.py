"""What one user's connections share, and never another's: unlocked keys, connections to jump hosts, known hosts."""

from __future__ import annotations

import threading
from dataclasses import dataclass, field

from sshexec.runtime.plan import Contexts


@dataclass(slots=True)
class _Share:
    contexts: Contexts = field(default_factory=Contexts)
    holders: int = 0


class Shares:
    """Contexts for each user. What one typed to log in stays among that user's sessions, and goes with the last one."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._shares: dict[str, _Share] = {}

    def __len__(self) -> int:
        """Return how many users have something to share."""
        return len(self._shares)

    def take(self, user: str) -> Contexts:
        """Return what a user's sessions share; `leave` has to follow.

        Args:
            user: whose.
        """
        with self._lock:
            share = self._shares.setdefault(user, _Share())
            share.holders += 1
            return share.contexts

    def leave(self, user: str) -> None:
        """Close what a user's sessions shared, unless another one of them goes on.

        Args:
            user: whose session has closed its connection.
        """
        with self._lock:
            share = self._shares[user]
            share.holders -= 1
            if share.holders:
                return
            del self._shares[user]
        share.contexts.close()
