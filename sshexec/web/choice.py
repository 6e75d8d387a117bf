"""Which hosts of the inventory a user means, and which of them that user may run something on."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from sshexec.errors import PatternError
from sshexec.inventory.model import Inventory
from sshexec.inventory.patterns import split_pattern

LONGEST = 4096
"""Characters of a pattern."""

MOST_BROAD = 50
"""Parts of a pattern that may mean many hosts: a thousand would keep whoever has a large inventory busy."""

May = Callable[[str], bool]
"""Says of a host's name whether the user may do something there."""


@dataclass(frozen=True, slots=True)
class Choice:
    """The hosts of a pattern.

    Args:
        hosts: those that the user may run something on, in order.
        locked: those that the user may see and not run anything on.
    """

    hosts: tuple[str, ...]
    locked: tuple[str, ...]


def choose(inventory: Inventory, pattern: str, sees: May, runs: May) -> Choice:
    """Return the hosts that a pattern means, of those that a user may know of.

    Patterns come from a browser. So there are none here that read a file of this machine (``@hosts.txt``), or that may
    take for ever (regular expressions, ``~web.*``), and this machine is no host unless the inventory says so.

    Args:
        inventory: the hosts there are.
        pattern: in Ansible's grammar.
        sees: whether the user may know that a host is there.
        runs: whether the user may run something on it.

    Raises:
        PatternError: the pattern is wrong, or means no host that the user may know of. It names no other.
    """
    if len(pattern) > LONGEST:
        raise PatternError(f"the host pattern is longer than {LONGEST} characters")
    parts = split_pattern(pattern)
    if sum(not _is_host(part.lstrip("&!"), inventory, sees) for part in parts) > MOST_BROAD:
        raise PatternError(f"the host pattern has more than {MOST_BROAD} parts that are no names of hosts")
    for part in parts:
        kind = part.lstrip("&!")[:1]
        if kind == "@":
            raise PatternError("a host pattern that is read from a file (@...) is not taken here")
        if kind == "~":
            raise PatternError("a regular expression (~...) is not taken here; use names, groups, * and [0:2]")
    try:
        found = [host.name for host in inventory.select(pattern)]
    except PatternError as error:
        # It may suggest a host, or tell how many there are.
        if all(sees(name) for name in inventory.hosts):
            raise
        raise _nothing(pattern) from error
    visible = [name for name in found if name in inventory.hosts and sees(name)]
    if not visible or not all(_is_known(inventory, part.lstrip("&!"), sees) for part in parts):
        # Else `web:!NAME` would tell whether there is a host or a group of that name.
        raise _nothing(pattern)
    allowed = {name for name in visible if runs(name)}
    return Choice(
        tuple(name for name in visible if name in allowed), tuple(name for name in visible if name not in allowed)
    )


def _is_known(inventory: Inventory, part: str, sees: May) -> bool:
    """Return whether a user may know what a part of a pattern means; who sees all hosts may."""
    try:
        meant = [host.name for host in inventory.select(part)]
    except PatternError:  # a group without hosts
        meant = []
    return any(name in inventory.hosts and sees(name) for name in meant) or all(map(sees, inventory.hosts))


def _is_host(name: str, inventory: Inventory, sees: May) -> bool:
    # A group of the same name stands before the host behind & and !; of one that is hidden nothing is said.
    return name in inventory.hosts and name not in inventory.groups and sees(name)


def _nothing(pattern: str) -> PatternError:
    return PatternError(f"the host pattern {pattern!r:.200} matches nothing")
