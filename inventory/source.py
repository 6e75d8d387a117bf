"""How a platform with tables of its own plugs in: a class that says which groups and hosts there are.

::

    class Assets(Source):
        name = "assets"

        def hosts(self):
            for asset in session.scalars(select(Asset)):
                yield HostEntry(asset.hostname, {"ansible_host": asset.ip}, groups=[asset.role])

    inventory = Inventory.load(Assets())

Nothing is copied: the inventory is what the class says when it is loaded.
"""

from __future__ import annotations

import os
from abc import ABC, abstractmethod
from collections.abc import Iterable, Mapping, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass, field
from typing import Any

from sshexec.errors import InputError, InventoryError
from sshexec.inventory.draft import Draft


@dataclass(frozen=True, slots=True)
class GroupEntry:
    """A group as a source has it.

    Args:
        name: its name.
        variables: its own; ``ansible_group_priority`` among them is its priority.
        children: names of the groups below it; a group is made where it is first named.
        hosts: names of its hosts, where it is the group that knows them, or their order; the hosts may as well name
            their groups.
        kind: ``group``, or for a CMDB's pages and spreadsheets ``site``, ``region`` or ``tag``.
    """

    name: str
    variables: Mapping[str, Any] = field(default_factory=dict)
    children: Sequence[str] = ()
    hosts: Sequence[str] = ()
    kind: str = "group"


@dataclass(frozen=True, slots=True)
class HostEntry:
    """A host as a source has it.

    Args:
        name: the inventory name.
        variables: its own, such as ``ansible_host``.
        groups: names of the groups that hold it; a group is made where it is first named.
    """

    name: str
    variables: Mapping[str, Any] = field(default_factory=dict)
    groups: Sequence[str] = ()


class Source(ABC):
    """Groups and hosts of somewhere else; their order is the order of the inventory."""

    name: str = ""
    """What messages and the origins of variables call it; without one, its class."""

    def reading(self) -> AbstractContextManager[Source]:
        """Return what is entered around one reading, and gives the source to read from: a transaction, say."""
        return nullcontext(self)

    def groups(self) -> Iterable[GroupEntry]:
        """Return the groups; one that only hosts or other groups name needs no entry."""
        return ()

    @abstractmethod
    def hosts(self) -> Iterable[HostEntry]:
        """Return the hosts."""


KINDS = ("group", "site", "region", "tag")
"""What a group may be."""
Location = str | os.PathLike[str] | Source
"""What `Inventory.load` reads: a path, a URL, a list of names, or an object."""


def read_source(draft: Draft, source: Source, shown: str | None = None) -> None:
    """Add what a source says, in its order: groups, hosts, the hosts of each group, the groups below each group.

    Args:
        draft: the inventory in the making.
        source: the source.
        shown: what messages and origins call it, where that is not its name.

    Raises:
        InventoryError: it says something that no inventory holds, or it failed; it is named.
    """
    name = shown or source.name or type(source).__name__
    draft.path, draft.line, draft.source = name, None, None
    try:
        with source.reading() as reading:
            _read(draft, reading)
    except InputError as error:
        if error.path is None and isinstance(error, InventoryError):
            error.path = name
        raise
    except Exception as error:
        raise InventoryError(f"can't be read: {said(error)}", path=name) from error


def said(error: Exception) -> str:
    """Return what an exception of somebody else's says; of a missing key that is but the key."""
    kind = type(error).__name__
    return f"{kind}: {error}" if isinstance(error, KeyError) else str(error) or kind


def _read(draft: Draft, source: Source) -> None:
    groups = []
    for entry in source.groups():
        if not isinstance(entry, GroupEntry):
            raise draft.error(f"groups() must return GroupEntry objects, not {type(entry).__name__}")
        groups.append(entry)
        draft.assign(draft.group(entry.name), _variables(draft, entry))
        if entry.kind not in KINDS:
            raise draft.error(f"{entry.kind!r} is no kind of group; there are {', '.join(KINDS)}")
        if entry.kind != "group":
            draft.kinds[entry.name] = entry.kind
        _names(draft, entry, "children")
        _names(draft, entry, "hosts")
    own: set[str] = set()
    for host in source.hosts():
        if not isinstance(host, HostEntry):
            raise draft.error(f"hosts() must return HostEntry objects, not {type(host).__name__}")
        if host.name in own:
            raise draft.error(f"the host {host.name!r} is given twice")
        draft.assign(draft.host(host.name), _variables(draft, host))
        own.add(host.name)
        for group in _names(draft, host, "groups"):
            draft.host(host.name, draft.group(group))
    for entry in groups:
        parent = draft.groups[entry.name]
        for name in entry.hosts:
            if name not in own:
                raise draft.error(f"group {entry.name!r} names the host {name!r}, which is not among the hosts")
            # As `Draft.host` does; there may be very many.
            member = parent.hosts[name] = draft.hosts[name]
            member.groups[entry.name] = parent
        for name in entry.children:
            draft.adopt(parent, draft.group(name))


def _variables(draft: Draft, entry: GroupEntry | HostEntry) -> Mapping[str, Any]:
    if not isinstance(entry.variables, Mapping):
        raise draft.error(f"the variables of {entry.name!r} must be a mapping, not {type(entry.variables).__name__}")
    return entry.variables


def _names(draft: Draft, entry: GroupEntry | HostEntry, what: str) -> Sequence[str]:
    names: Sequence[str] = getattr(entry, what)
    if isinstance(names, str) or not isinstance(names, (list, tuple)):
        raise draft.error(f"the {what} of {entry.name!r} must be a list of names, not {type(names).__name__}")
    return names
