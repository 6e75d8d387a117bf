"""Inventories without files beside them: what ``group_vars`` and ``host_vars`` say stands with the groups and hosts."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from sshexec.inventory.draft import PRIORITY, Draft
from sshexec.inventory.levels import Levels, own_variables
from sshexec.inventory.members import Group
from sshexec.inventory.model import Inventory
from sshexec.inventory.source import GroupEntry, HostEntry, Source


class Folded(Source):
    """What an inventory holds, each variable with the host or group that it is set for.

    What follows from the rest by itself is left out: that ``all`` is above a group, that a host is ``ungrouped``.

    Args:
        inventory: the inventory.
    """

    name = "inventory"

    def __init__(self, inventory: Inventory) -> None:
        self._inventory = inventory

    @property
    def names(self) -> frozenset[str]:
        """The names of all hosts and groups."""
        return frozenset([*self._inventory.hosts, *self._inventory.groups])

    @contextmanager
    def reading(self) -> Iterator[Source]:
        """Read the files in ``group_vars`` and ``host_vars``."""
        yield _Levelled(self._inventory, own_variables(self._inventory))

    def groups(self) -> Iterator[GroupEntry]:
        """Yield the groups; their priority is a variable again."""
        with self.reading() as reading:
            yield from reading.groups()

    def hosts(self) -> Iterator[HostEntry]:
        """Yield the hosts."""
        with self.reading() as reading:
            yield from reading.hosts()


class _Levelled(Source):
    def __init__(self, inventory: Inventory, levels: Levels) -> None:
        self._inventory = inventory
        self._levels = levels

    def groups(self) -> Iterator[GroupEntry]:
        inventory = self._inventory
        for group in inventory.groups.values():
            variables = self._levels.groups[group.name]
            if group.priority != 1:
                variables = {**variables, PRIORITY: group.priority}
            listed = explicit_hosts(group, inventory) if group.name == "ungrouped" else list(group.hosts)
            kind = inventory.kinds.get(group.name, "group")
            yield GroupEntry(group.name, variables, explicit_children(group, inventory), listed, kind)

    def hosts(self) -> Iterator[HostEntry]:
        return (HostEntry(name, self._levels.hosts[name]) for name in self._inventory.hosts)


def explicit_children(group: Group, members: Inventory | Draft) -> list[str]:
    """Return the groups below a group; of those below ``all`` only as many as their order hangs on."""
    if group.name != "all":
        return list(group.children)
    orphans = [each.name for each in members.groups.values() if each is not group and each.parents.keys() <= {"all"}]
    # Where every draft begins: `ungrouped` is its first.
    return _prefix([*group.children, *(name for name in orphans if name not in group.children)], orphans)


def explicit_hosts(ungrouped: Group, members: Inventory | Draft) -> list[str]:
    """Return the hosts of ``ungrouped``, only as many as their order hangs on."""
    loose = [host.name for host in members.hosts.values() if host.groups.keys() <= {"all", "ungrouped"}]
    among = set(loose)
    named = [name for name in ungrouped.hosts if name in among]
    return _prefix([*named, *(name for name in loose if name not in ungrouped.hosts)], loose)


def _prefix(names: list[str], rest: list[str]) -> list[str]:
    """Return the fewest names from the beginning after which the rest follows in its own order."""
    places = {name: place for place, name in enumerate(rest)}
    size = len(names)
    last = len(rest)
    while size and places.get(names[size - 1], -1) >= 0 and places[names[size - 1]] < last:
        size -= 1
        last = places[names[size]]
    return names[:size]
