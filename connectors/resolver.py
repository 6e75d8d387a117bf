"""Names of hosts and their addresses."""

from __future__ import annotations

import socket
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, field

from sshexec.connectors.deadline import Deadline
from sshexec.errors import ResolveError

_RESOLVED_FOR = 60.0
"""Seconds for which a resolved name is used again."""

_LONG_AGO = float("-inf")
_MOST_NAMES = 10_000
"""Names that are remembered before the old ones are dropped."""


@dataclass(frozen=True, slots=True)
class Address:
    """Where to connect to.

    Args:
        family: address family of the socket.
        target: what `socket.connect` takes.
    """

    family: int
    target: tuple[str, int] | tuple[str, int, int, int]


@dataclass(slots=True)
class _Lookup:
    """The resolution of one name, shared by all who ask for it meanwhile."""

    done: threading.Event = field(default_factory=threading.Event)
    found: list[tuple[int, str, int]] = field(default_factory=list)
    error: str = ""
    at: float = 0.0

    @property
    def old(self) -> bool:
        """Whether the name has to be looked up anew; one that did not resolve always has."""
        return self.done.is_set() and time.monotonic() - self.at > _RESOLVED_FOR


class Resolver:
    """Names to addresses: each is asked for once a minute, and nobody waits longer than his deadline."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._lookups: dict[str, _Lookup] = {}
        self._most = _MOST_NAMES

    def resolve(self, host: str, port: int, deadline: Deadline, guard: Callable[[], None]) -> list[Address]:
        """Return the addresses of a name, in the system's order; a literal address is returned at once.

        Raises:
            ResolveError: the name does not resolve, or not in time.
        """
        for family in (socket.AF_INET, socket.AF_INET6):
            try:
                socket.inet_pton(family, host)
            except (OSError, ValueError):
                continue
            return [_address(family, host, 0, port)]
        try:
            # Asked for here: gevent's resolver prints a traceback where a name can't be encoded.
            host.encode("idna")
        except UnicodeError:
            raise ResolveError(f"{host!a} does not resolve: it is not a host name") from None
        with self._lock:
            lookup = self._lookups.get(host)
            if lookup is None or lookup.old:
                lookup = self._begin(host)
        while not lookup.done.wait(deadline.remaining(0.5)):
            guard()
            if deadline.expired:
                raise ResolveError(f"{host} did not resolve in time")
        if lookup.error:
            raise ResolveError(f"{host} does not resolve: {lookup.error}")
        return [_address(family, literal, scope, port) for family, literal, scope in lookup.found]

    def _begin(self, host: str) -> _Lookup:
        if len(self._lookups) >= self._most:
            self._lookups = {name: lookup for name, lookup in self._lookups.items() if not lookup.old}
            self._most = max(_MOST_NAMES, 2 * len(self._lookups))
        lookup = _Lookup()
        # getaddrinfo can't be interrupted: it gets a thread of its own, which nobody has to wait for.
        try:
            threading.Thread(target=self._look_up, args=(host, lookup), daemon=True).start()
        except RuntimeError as error:
            raise ResolveError(f"{host} can't be looked up: {error}") from error
        self._lookups[host] = lookup
        return lookup

    def _look_up(self, host: str, lookup: _Lookup) -> None:
        try:
            answers = socket.getaddrinfo(host, None, type=socket.SOCK_STREAM)
            lookup.found = [(int(a[0]), str(a[4][0]), int(a[4][3]) if len(a[4]) > 3 else 0) for a in answers]
            lookup.error = "" if lookup.found else "it has no address"
        except OSError as error:
            lookup.error = error.strerror or str(error)
        except Exception as error:  # noqa: BLE001 - handed on
            # Whatever a resolver of the system's raises: those who wait must hear of it.
            lookup.error = str(error) or type(error).__name__
        finally:
            lookup.at = time.monotonic() if lookup.found else _LONG_AGO
            lookup.done.set()


def _address(family: int, literal: str, scope: int, port: int) -> Address:
    return Address(family, (literal, port, 0, scope) if family == socket.AF_INET6 else (literal, port))
