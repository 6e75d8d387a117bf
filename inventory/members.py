"""What an inventory is made of: hosts and groups, each with variables of its own."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any, ClassVar

Origin = tuple["str | None", "int | None"]
"""The file (or other source) and the line, counted from 1, that set a variable."""


MAX_DEPTH = 100
"""How deep lists and mappings in a variable may be nested: what copies, templates or prints them recurses."""


def is_too_deep(value: Any) -> bool:
    """Return whether the value of a variable is nested deeper than `MAX_DEPTH`."""
    level = [value] if isinstance(value, (dict, list, tuple)) else []
    for _ in range(MAX_DEPTH):
        if not level:
            return False
        inner = [each for outer in level for each in (outer.values() if isinstance(outer, dict) else outer)]
        # Each once, however many aliases it has.
        level = list({id(each): each for each in inner if isinstance(each, (dict, list, tuple))}.values())
    return bool(level)


class Scope:
    """A named set of variables that knows where each came from.

    Args:
        name: what the variables belong to.
        variables: the first of them.
    """

    __slots__ = ("name", "origin_of_rest", "origins", "vars")
    kind: ClassVar[str] = ""

    def __init__(self, name: str, variables: Mapping[str, Any] | None = None) -> None:
        self.name = name
        self.vars: dict[str, Any] = dict(variables or {})
        self.origins: dict[str, Origin] = {}
        self.origin_of_rest: Origin = (None, None)
        """Where those variables were set that `origins` does not know."""

    def origin(self, variable: str) -> str:
        """Return where a variable was set: ``file:line``, or the source and the member where no line is known."""
        path, line = self.origins.get(variable, self.origin_of_rest)
        if path is not None and line is not None:
            return f"{path}:{line}"
        return " ".join(part for part in (path, self.kind, self.kind and self.name) if part)

    def __repr__(self) -> str:
        """Name the member, and show no variable: there may be passwords among them."""
        return f"{type(self).__name__}({self.name!r})"


class Host(Scope):
    """One host and its own variables.

    Args:
        name: the inventory name (``inventory_hostname``).
        variables: its variables, e.g. ``{"ansible_host": "10.0.0.1"}``; those of its groups are merged in by
            `Inventory.variables`.
    """

    __slots__ = ("groups", "implicit", "source")
    kind = "host"

    def __init__(self, name: str, variables: Mapping[str, Any] | None = None) -> None:
        super().__init__(name, variables)
        self.groups: dict[str, Group] = {}
        """The groups that list this host, by name; not their parents."""
        self.source: str | None = None
        """Absolute path of the file that named the host first."""
        self.implicit = False
        """Whether it is the localhost that no source names."""


class Group(Scope):
    """A named set of hosts and of other groups.

    Args:
        name: the group's name.
    """

    __slots__ = ("children", "depth", "hosts", "parents", "priority")
    kind = "group"

    def __init__(self, name: str) -> None:
        super().__init__(name)
        self.hosts: dict[str, Host] = {}
        """The hosts that it lists itself, by name."""
        self.children: dict[str, Group] = {}
        self.parents: dict[str, Group] = {}
        self.priority = 1
        """``ansible_group_priority``: which of two groups of one depth wins."""
        self.depth = 0
        """The longest way down from ``all``; a deeper group's variables win."""

    def descendants(self) -> list[Group]:
        """Return this group and all below it, level by level, each once."""
        return _walk(self, "children")

    def ancestors(self) -> list[Group]:
        """Return this group and all above it, level by level, each once."""
        return _walk(self, "parents")

    def all_hosts(self) -> list[Host]:
        """Return the hosts of this group and of all below it, each once, in the order of the sources."""
        return list(hosts_below([self]).values())


def hosts_below(groups: Iterable[Group]) -> dict[str, Host]:
    """Return the hosts of some groups and of all below them by name, in the order of the groups and sources.

    A group that several of them have in common is walked once: ``*`` over a long chain of groups would take for ever.
    """
    walked: dict[str, Group] = {}
    found: dict[str, Host] = {}
    for start in groups:
        for group in _walk(start, "children", walked):
            for name, host in group.hosts.items():
                found.setdefault(name, host)
    return found


def _walk(start: Group, relation: str, found: dict[str, Group] | None = None) -> list[Group]:
    """Return a group and its relatives level by level, without those found already; level by level needs no stack."""
    found = {} if found is None else found
    if start.name in found:
        return []
    found[start.name] = start
    walk = [start]
    level = [start]
    while level:
        following: list[Group] = []
        for group in level:
            relatives: dict[str, Group] = getattr(group, relation)
            for name, relative in relatives.items():
                if name not in found:
                    found[name] = relative
                    following.append(relative)
        level = following
        walk.extend(level)
    return walk
