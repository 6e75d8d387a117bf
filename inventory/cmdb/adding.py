"""Taking a whole inventory into the database: what differs is written."""

from __future__ import annotations

import time
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from sqlalchemy import Connection, Executable, Table, bindparam, delete, insert, select, update

from sshexec.database.types import NAME_LENGTH
from sshexec.errors import InventoryError
from sshexec.inventory.cmdb.secrets import KeyringSecrets, KnownSecrets
from sshexec.inventory.cmdb.stored import Row, Stored, StoredSource, read_stored, rows
from sshexec.inventory.cmdb.tables import children, groups, hosts, members
from sshexec.inventory.cmdb.values import encode
from sshexec.inventory.draft import PRIORITY, Draft
from sshexec.inventory.folded import Folded, explicit_children, explicit_hosts
from sshexec.inventory.members import Group, Scope
from sshexec.inventory.model import Inventory
from sshexec.inventory.source import read_source

FIXED = ("all", "ungrouped")
"""Groups that every inventory has."""


@dataclass(frozen=True, slots=True)
class Added:
    """What taking in an inventory did to the database.

    Args:
        new_hosts: hosts that were not there.
        changed_hosts: those whose variables or groups are others now.
        removed_hosts: those that the inventory does not have.
        new_groups: groups that were not there; not the two that every inventory has.
        changed_groups: those whose variables, kind or children are others now.
        removed_groups: those that the inventory does not have.
    """

    new_hosts: int = 0
    changed_hosts: int = 0
    removed_hosts: int = 0
    new_groups: int = 0
    changed_groups: int = 0
    removed_groups: int = 0

    def __bool__(self) -> bool:
        """Tell whether anything was changed."""
        return any(getattr(self, name) for name in self.__slots__)


def add(
    connection: Connection,
    inventory: Inventory | Draft,
    secrets: KeyringSecrets,
    *,
    replace: bool,
) -> Added:
    """Take an inventory in, as if it were read after what the database holds.

    Args:
        connection: writes, and nobody else does meanwhile.
        inventory: the inventory.
        secrets: seals its secrets.
        replace: whether what it does not have is removed.

    Raises:
        InventoryError: together with what is there it makes a circle, or a name is too long.
        CredentialError: it holds a secret, and there is no key.
    """
    stored = read_stored(connection)
    draft = Draft()
    if not replace:
        read_source(draft, StoredSource("the database", stored, secrets))
    given = Folded(inventory if isinstance(inventory, Inventory) else Inventory(inventory))
    read_source(draft, given)
    draft.finish()
    return _Writer(connection, stored, draft, secrets, touched=given.names).write()


def check_length(kind: str, name: str) -> None:
    """Refuse a name that no column holds.

    Raises:
        InventoryError: it is too long.
    """
    if len(name) > NAME_LENGTH:
        raise InventoryError(f"the {kind} name {name[:40] + '…'!r} has over {NAME_LENGTH} characters")


def address_of(variables: Mapping[str, Any]) -> str | None:
    """Return the address to find a host by."""
    address = variables.get("ansible_host")
    plain = isinstance(address, str) and len(address) <= NAME_LENGTH and address.isprintable()
    return address if plain else None


@dataclass
class _Table:
    """What is to be written to the hosts or the groups."""

    table: Table
    kind: str
    stored: Mapping[str, Row]
    new: list[dict[str, Any]] = field(default_factory=list)
    changes: dict[str, dict[str, Any]] = field(default_factory=dict)
    """By name; without columns where only what is about it in other tables has changed."""
    ids: dict[str, int] = field(default_factory=dict)


class _Writer:
    """Writes what differs between the tables and a draft."""

    def __init__(
        self,
        connection: Connection,
        stored: Stored,
        draft: Draft,
        secrets: KeyringSecrets,
        *,
        touched: frozenset[str],
    ) -> None:
        self._connection = connection
        self._stored = stored
        self._draft = draft
        self._secrets = secrets
        self._touched = touched
        self._now = time.time()
        self._hosts = _Table(hosts, "host", stored.hosts)
        self._groups = _Table(groups, "group", stored.groups)

    def write(self) -> Added:
        draft = self._draft
        removed = [
            self._remove(table, members.keys())
            for table, members in ((self._hosts, draft.hosts), (self._groups, draft.groups))
        ]
        self._compare(self._groups, draft.groups.values())
        self._compare(self._hosts, draft.hosts.values())
        for table in (self._groups, self._hosts):
            self._insert(table)
        self._link_all()
        for table in (self._groups, self._hosts):
            self._update(table)
        return Added(
            new_hosts=len(self._hosts.new),
            changed_hosts=len(self._hosts.changes),
            removed_hosts=removed[0],
            new_groups=sum(row["name"] not in FIXED for row in self._groups.new),
            changed_groups=len(self._groups.changes),
            removed_groups=removed[1],
        )

    def _remove(self, table: _Table, wanted: Iterable[str]) -> int:
        gone = [(row.id,) for name, row in table.stored.items() if name not in wanted]
        _each(self._connection, delete(table.table).where(table.table.c.id == bindparam("key")), ("key",), gone)
        return len(gone)

    def _compare(self, table: _Table, wanted: Iterable[Scope]) -> None:
        last = -1
        for scope in wanted:
            row = table.stored.get(scope.name)
            last = row.position if row is not None and row.position > last else last + 1
            if row is None:
                check_length(table.kind, scope.name)
                table.new.append(self._values(scope, last, None) | {"name": scope.name, "created": self._now})
            elif scope.name in self._touched or row.position != last:
                found = self._values(scope, last, row)
                if (found["variables"], found["position"], found.get("kind", "")) != (
                    row.variables,
                    row.position,
                    row.kind,
                ):
                    table.changes[scope.name] = found

    def _values(self, scope: Scope, position: int, row: Row | None) -> dict[str, Any]:
        owner = f"{scope.kind} {scope.name!r}"
        secrets = self._secrets if row is None else KnownSecrets(self._secrets, row.variables, owner)
        variables = scope.vars
        more: dict[str, Any] = {"address": address_of(variables)}
        if isinstance(scope, Group):
            more = {"kind": self._kind(scope.name, row)}
            if scope.priority != 1:
                variables = {**variables, PRIORITY: scope.priority}
        text = encode(variables, secrets, owner)
        return {"position": position, "variables": text, "updated": self._now, **more}

    def _kind(self, name: str, row: Row | None) -> str:
        if name in FIXED:
            return "group"
        return self._draft.kinds.get(name, row.kind if row else "group")

    def _insert(self, table: _Table) -> None:
        if table.new:
            self._connection.execute(insert(table.table), table.new)
        table.ids = dict(rows(self._connection, select(table.table.c.name, table.table.c.id)))

    def _update(self, table: _Table) -> None:
        changed = [{"key": table.ids[name], "updated": self._now, **values} for name, values in table.changes.items()]
        statement = update(table.table).where(table.table.c.id == bindparam("key"))
        # One statement has the same columns for all.
        for names in {tuple(values) for values in changed}:
            self._connection.execute(statement, [values for values in changed if tuple(values) == names])

    def _link_all(self) -> None:
        draft = self._draft
        hosts_of: dict[int, list[int]] = {}
        groups_of: dict[int, list[int]] = {}
        for group in draft.groups.values():
            key = self._groups.ids[group.name]
            listed = explicit_hosts(group, draft) if group.name == "ungrouped" else group.hosts
            hosts_of[key] = [self._hosts.ids[name] for name in listed]
            groups_of[key] = [self._groups.ids[name] for name in explicit_children(group, draft)]
        # What lists a host is said of the host; a group's children are its own.
        alive = [self._kept(self._groups, draft.groups), self._kept(self._hosts, draft.hosts)]
        changed = self._link(members, ("group_id", "host_id"), _among(self._stored.members, *alive), hosts_of)
        self._mark(self._hosts, {inner for _, inner in changed})
        alive = [alive[0], alive[0]]
        changed = self._link(children, ("parent_id", "child_id"), _among(self._stored.children, *alive), groups_of)
        self._mark(self._groups, {outer for outer, _ in changed})

    def _link(
        self,
        table: Table,
        columns: tuple[str, str],
        stored: Mapping[int, Mapping[int, int]],
        wanted: Mapping[int, Sequence[int]],
    ) -> list[tuple[int, int]]:
        """Write the links that differ, and return those that are new or gone."""
        new: list[tuple[int, int, int]] = []
        moved: list[tuple[int, int, int]] = []
        gone: list[tuple[int, int, int]] = []
        for outer, listed in wanted.items():
            known = stored.get(outer, {})
            last = -1
            for inner in listed:
                position = known.get(inner)
                last = position if position is not None and position > last else last + 1
                if position is None:
                    new.append((outer, inner, last))
                elif position != last:
                    moved.append((outer, inner, last))
            if known:
                gone += [(outer, inner, 0) for inner in known.keys() - set(listed)]
        both = (table.c[columns[0]] == bindparam("outer")) & (table.c[columns[1]] == bindparam("inner"))
        _each(self._connection, delete(table).where(both), ("outer", "inner"), gone)
        _each(self._connection, update(table).where(both), ("outer", "inner", "position"), moved)
        _each(self._connection, insert(table), (*columns, "position"), new)
        return [(outer, inner) for outer, inner, _ in [*new, *gone]]

    def _kept(self, table: _Table, wanted: Mapping[str, Scope]) -> set[int]:
        return {row.id for name, row in table.stored.items() if name in wanted}

    def _mark(self, table: _Table, changed: set[int]) -> None:
        fresh = {row["name"] for row in table.new}
        for name, key in table.ids.items() if changed else ():
            if key in changed and name not in fresh:
                table.changes.setdefault(name, {})


def _among(links: Mapping[int, Mapping[int, int]], outer: set[int], inner: set[int]) -> dict[int, dict[int, int]]:
    """Return the links between rows that are still there: SQLite gives the key of a removed row to a new one."""
    return {
        key: {each: position for each, position in listed.items() if each in inner}
        for key, listed in links.items()
        if key in outer
    }


def _each(connection: Connection, statement: Executable, names: Sequence[str], values: Iterable[Sequence[int]]) -> None:
    parameters = [dict(zip(names, each, strict=False)) for each in values]
    if parameters:
        connection.execute(statement, parameters)
