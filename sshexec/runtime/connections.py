"""Open connections that wait for their next task."""

from __future__ import annotations

import threading
import time
from collections import OrderedDict
from typing import Any

from sshexec.connectors.base import Connector
from sshexec.runtime.plan import Plan


class Connections:
    """Keeps idle connections for a while, at most one a host.

    Args:
        keep: seconds that an idle connection is kept; 0 closes it at once.
        limit: idle connections kept at most; the one idle for longest goes first.
    """

    def __init__(self, keep: float, limit: int) -> None:
        self.keep = keep
        self._limit = limit
        self._idle: OrderedDict[str, tuple[float, Connector[Any, Any]]] = OrderedDict()
        self._lock = threading.Lock()

    def __len__(self) -> int:
        return len(self._idle)

    def take(self, plan: Plan) -> Connector[Any, Any] | None:
        """Return an idle connection for this plan, or None."""
        with self._lock:
            found = self._idle.pop(plan.host, None)
        if found is None:
            return None
        connector = found[1]
        # Options are compared, not hashed: those of a plugin may hold anything.
        if connector.alive and type(connector) is plan.connector and connector.options == plan.options:
            return connector
        connector.close()
        return None

    def give(self, plan: Plan, connector: Connector[Any, Any]) -> None:
        """Keep a connection, or close it where it is not worth keeping."""
        surplus = []
        if self.keep > 0 and connector.worth_keeping:
            connector.on_phase = connector.on_answer = None
            with self._lock:
                if plan.host in self._idle:
                    surplus.append(self._idle.pop(plan.host)[1])
                self._idle[plan.host] = (time.monotonic(), connector)
                if len(self._idle) > self._limit:
                    surplus.append(self._idle.popitem(last=False)[1][1])
        else:
            surplus.append(connector)
        for each in surplus:
            each.close()

    def reap(self, everything: bool = False) -> None:
        """Close the connections that were idle for too long, or all."""
        now = time.monotonic()
        while True:
            with self._lock:
                if not self._idle:
                    return
                host, (since, connector) = next(iter(self._idle.items()))
                if not everything and now - since < self.keep:
                    return
                del self._idle[host]
            connector.close()
