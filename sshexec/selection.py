"""Which hosts of an inventory a run is for."""

from __future__ import annotations

from collections.abc import Sequence

from sshexec.errors import InputError, PatternError
from sshexec.inventory.model import Inventory
from sshexec.inventory.patterns import LOCALHOST
from sshexec.recorder import Resumption


def selected(
    inventory: Inventory,
    pattern: str | Sequence[str],
    *,
    limit: str | None = None,
    earlier: Resumption | None = None,
    unknown: bool = False,
) -> list[str]:
    """Return the names of the hosts to run on, in order.

    Args:
        inventory: the hosts there are.
        pattern: a pattern, or names.
        limit: of them, only those that this pattern selects too.
        earlier: the run that is gone on with: of the hosts, only those that are left of it.
        unknown: those of which nothing is known among them.

    Raises:
        PatternError: a pattern is wrong, or no host is within the limit.
        InputError: the inventory does not have a host of the earlier run any more.
    """
    if isinstance(pattern, str):
        hosts = [host.name for host in inventory.select(pattern)]
    else:
        hosts = list(dict.fromkeys(pattern))
        if earlier is not None:
            _check_there(inventory, hosts, earlier)
    if limit is not None:
        allowed = {host.name for host in inventory.select(limit)}
        hosts = [host for host in hosts if host in allowed]
        if not hosts and earlier is None:
            raise PatternError(f"no host of {pattern!r} is within the limit {limit!r}")
    if earlier is None:
        return hosts
    again = set(earlier.hosts(unknown=unknown))
    return [host for host in hosts if host in again]


def described(pattern: str | Sequence[str], limit: str | None, earlier: Resumption | None) -> str | Sequence[str]:
    """Return how hosts were chosen, for the record: names that are left of an earlier run were chosen as that run's."""
    if earlier is not None and not isinstance(pattern, str):
        pattern = earlier.pattern
    return f"{pattern}:&{limit}" if limit is not None and isinstance(pattern, str) else pattern


def _check_there(inventory: Inventory, hosts: Sequence[str], earlier: Resumption) -> None:
    known = set(inventory.hosts)
    known.update(host.name for name in hosts if name in LOCALHOST for host in inventory.select(name))
    gone = [host for host in hosts if host not in known]
    if gone:
        shown = ", ".join(gone[:10]) + (f" and {len(gone) - 10} more" if len(gone) > 10 else "")
        raise InputError(
            f"resume: run {earlier.run[:8]} has hosts that the inventory does not have any more: {shown}; a pattern"
            " that leaves them out goes on with the others"
        )
