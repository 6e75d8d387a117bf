"""Connecting to a host that has several addresses, and what it means that none of them takes the connection."""

from __future__ import annotations

import errno
from collections.abc import Callable, Sequence
from typing import TypeVar

from sshexec.connectors.deadline import Deadline
from sshexec.connectors.resolver import Address
from sshexec.errors import ConnectTimeoutError, NoRouteError, RefusedError, UnreachableError

Connected = TypeVar("Connected")

_NO_ROUTE = frozenset(
    {
        errno.EHOSTUNREACH,
        errno.ENETUNREACH,
        errno.EHOSTDOWN,
        errno.ENETDOWN,
        errno.EADDRNOTAVAIL,
        errno.EACCES,  # a route of the type "prohibit"
        errno.EINVAL,  # a route of the type "blackhole"; a link-local address without an interface
    }
)


def dial(
    addresses: Sequence[Address],
    where: str,
    limit: Deadline,
    guard: Callable[[], None],
    connect: Callable[[Address, Deadline], Connected],
) -> Connected:
    """Return what the first address that can be connected to gives.

    Args:
        addresses: to be tried in this order.
        where: the host for people.
        limit: by when.
        guard: raises where the caller shall wait no longer.
        connect: connects to one address by a deadline, or raises an OSError.

    Raises:
        UnreachableError: by its leaf, why the last one did not take the connection.
    """
    failure: OSError | None = None
    for number, address in enumerate(addresses):
        # Each address gets its share of the time: a dead IPv6 route must not keep the IPv4 address from its turn.
        left = limit.remaining()
        share = None if left is None else left / (len(addresses) - number)
        try:
            return connect(address, limit.sooner(share))
        except OSError as error:
            guard()
            failure = error
    raise unreachable(where, failure)


def unreachable(where: str, error: OSError | None) -> UnreachableError:
    """Return what it means that a connection failed.

    Args:
        where: the host for people.
        error: the system's; None where there was no address to try.
    """
    if isinstance(error, ConnectionRefusedError):
        return RefusedError(f"{where} refused the connection")
    if isinstance(error, TimeoutError):
        return ConnectTimeoutError(f"{where} did not answer in time")
    if error is not None and error.errno in _NO_ROUTE:
        return NoRouteError(f"no route to {where}: {error.strerror}")
    return UnreachableError(f"can't connect to {where}: {error.strerror or error if error else 'no address'}")
