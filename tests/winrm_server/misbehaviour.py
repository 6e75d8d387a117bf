"""What goes wrong on purpose."""

from __future__ import annotations

import threading
from dataclasses import dataclass, field
from typing import Any

KINDS = frozenset(
    {
        "cut",
        "drop",
        "close",
        "html",
        "empty200",
        "empty500",
        "503",
        "status",
        "slow",
        "relates_to",
        "truncated",
        "no_content_type",
        "gzip",
        "chunked",
        "forget",
        "fault",
        "unsealed",
        "undecryptable",
        "garbage",
        "denied",
    }
)
LOGIN = "Login"
"""The operation of a request that carries no message, such as a leg of a login."""
ANY = "any"
"""Every HTTP request."""


@dataclass
class Misbehaviour:
    """One thing that goes wrong.

    Args:
        kind: one of `KINDS`.
        op: for which operation; None for any WS-Man operation, `LOGIN`, or `ANY`.
        times: how often.
        detail: of this kind.
    """

    kind: str
    op: str | None
    times: int
    detail: dict[str, Any] = field(default_factory=dict)


class Misbehaviours:
    """What is to go wrong, in the order in which it was asked for."""

    def __init__(self) -> None:
        self._waiting: list[Misbehaviour] = []
        self._lock = threading.Lock()

    def add(self, kind: str, op: str | None, times: int, detail: dict[str, Any]) -> None:
        """Ask for one more.

        Raises:
            ValueError: there is no such kind.
        """
        if kind not in KINDS:
            raise ValueError(f"no such misbehaviour: {kind}; there are {', '.join(sorted(KINDS))}")
        with self._lock:
            self._waiting.append(Misbehaviour(kind, op, times, detail))

    def take(self, op: str, wanted: frozenset[str] | None = None) -> Misbehaviour | None:
        """Return what goes wrong with a request of this operation; None for nothing.

        Args:
            op: the operation.
            wanted: only of these kinds.
        """
        with self._lock:
            for each in self._waiting:
                fits = each.op in (op, ANY) or (each.op is None and op != LOGIN)
                if not fits or (wanted is not None and each.kind not in wanted):
                    continue
                each.times -= 1
                if each.times <= 0:
                    self._waiting.remove(each)
                return each
        return None

    def clear(self) -> None:
        """Behave from now on."""
        with self._lock:
            self._waiting.clear()
