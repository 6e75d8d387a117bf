"""Changes to single hosts and groups."""

from __future__ import annotations

import time
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from sqlalchemy import Connection, Row, Table, delete, func, insert, select, update

from sshexec.errors import InventoryError
from sshexec.inventory.cmdb.adding import FIXED, address_of, check_length
from sshexec.inventory.cmdb.secrets import KeyringSecrets
from sshexec.inventory.cmdb.stored import read_ids, rows
from sshexec.inventory.cmdb.tables import children, groups, hosts, members
from sshexec.inventory.cmdb.values import encode
from sshexec.inventory.draft import Draft
from sshexec.inventory.source import KINDS


class Changes:
    """Changes within one transaction.

    Args:
        connection: writes, and nobody else does meanwhile.
        secrets: seals secrets among variables.
    """

    def __init__(self, connection: Connection, secrets: KeyringSecrets) -> None:
        self._connection = connection
        self._secrets = secrets
        self._now = time.time()

    def put_host(
        self,
        name: str,
        variables: Mapping[str, Any] | None,
        lists: Mapping[str, Sequence[str] | None],
    ) -> None:
        """Insert or change a host.

        Args:
            name: its name.
            variables: all of its own; None leaves them.
            lists: for each kind the names of the groups that list it; None leaves those of that kind.
        """
        draft = Draft()
        host = draft.host(name)
        draft.assign(host, variables or {})
        check_length("host", name)
        row = self._row(hosts, name)
        values: dict[str, Any] = {"updated": self._now}
        if variables is not None or row is None:
            text = encode(host.vars, self._secrets, f"host {name!r}")
            values |= {"variables": text, "address": address_of(host.vars)}
        key = self._put(hosts, row, {"name": name, **values})
        for kind, names in lists.items():
            if names is not None:
                self._enlist(key, kind, [self._group(each, kind).id for each in _texts(f"{kind}s", names)])

    def put_group(
        self,
        name: str,
        kind: str | None,
        variables: Mapping[str, Any] | None,
        below: Sequence[str] | None,
        listed: Sequence[str] | None,
    ) -> None:
        """Insert or change a group; what is None is left as it is."""
        draft = Draft()
        group = draft.group(name)
        # With its priority, which a draft keeps elsewhere.
        draft.assign(group, variables or {})
        check_length("group", name)
        if kind is not None and kind not in KINDS:
            raise InventoryError(f"{kind!r} is no kind of group; there are {', '.join(KINDS)}")
        if kind not in (None, "group") and name in FIXED:
            raise InventoryError(f"the group {name!r} can't be a {kind}: every inventory has it")
        row = self._row(groups, name)
        values: dict[str, Any] = {"updated": self._now}
        if kind is not None or row is None:
            values["kind"] = kind or "group"
        if variables is not None or row is None:
            values["variables"] = encode(variables or {}, self._secrets, f"group {name!r}")
        key = self._put(groups, row, {"name": name, **values})
        if below is not None:
            inner = "site" if (kind or (row and row.kind)) == "region" else "group"
            self._set_children(name, key, [self._group(each, None, inner) for each in _texts("children", below)])
        if listed is not None:
            keys = read_ids(self._connection, hosts, _texts("hosts", listed))
            self._link(members, (members.c.group_id, key), members.c.host_id, keys)

    def tag(self, name: str, tags: Sequence[str], *, on: bool) -> None:
        """Give a host tags, or take them from it."""
        row = self._known(hosts, name)
        for tag in _texts("tags", tags):
            if on:
                group = self._group(tag, "tag").id
                known = select(members.c.host_id).where(members.c.group_id == group, members.c.host_id == row.id)
                if self._connection.scalar(known) is None:
                    self._append(group, row.id)
            else:
                found = self._row(groups, tag)
                if found is None or found.kind != "tag":
                    raise InventoryError(f"there is no tag {tag!r}")
                self._connection.execute(
                    delete(members).where(members.c.group_id == found.id, members.c.host_id == row.id)
                )
        self._connection.execute(update(hosts).where(hosts.c.id == row.id).values(updated=self._now))

    def rename(self, table: Table, name: str, new: str) -> None:
        """Give a host or group another name; what it is listed in stays."""
        kind = _kind(table)
        row = self._known(table, name)
        self._refuse_fixed(table, name, "renamed")
        draft = Draft()
        if table is hosts:
            draft.host(new)
        else:
            draft.group(new)
        check_length(kind, new)
        if new == name:
            return
        if self._row(table, new) is not None:
            raise InventoryError(f"there is a {kind} {new!r} already")
        self._connection.execute(update(table).where(table.c.id == row.id).values(name=new, updated=self._now))

    def remove(self, table: Table, name: str) -> None:
        """Remove a host or group; hosts and groups below it stay."""
        row = self._known(table, name)
        self._refuse_fixed(table, name, "removed")
        self._connection.execute(delete(table).where(table.c.id == row.id))

    def ensure_fixed(self) -> None:
        """Make the groups that every inventory has."""
        there = set(self._connection.scalars(select(groups.c.name).where(groups.c.name.in_(FIXED))))
        for name in FIXED:
            if name not in there:
                self._group(name, "group")

    def _refuse_fixed(self, table: Table, name: str, what: str) -> None:
        if table is groups and name in FIXED:
            raise InventoryError(f"the group {name!r} can't be {what}: every inventory has it")

    def _row(self, table: Table, name: str) -> Row[Any] | None:
        return self._connection.execute(select(table).where(table.c.name == name)).first()

    def _known(self, table: Table, name: str) -> Row[Any]:
        row = self._row(table, name)
        if row is None:
            raise InventoryError(f"there is no {_kind(table)} {name!r}")
        return row

    def _put(self, table: Table, row: Row[Any] | None, values: dict[str, Any]) -> int:
        if row is not None:
            self._connection.execute(update(table).where(table.c.id == row.id).values(values))
            found: int = row.id
            return found
        position = self._connection.execute(select(func.coalesce(func.max(table.c.position), -1))).scalar_one() + 1
        values = values | {"position": position, "created": self._now}
        made = self._connection.execute(insert(table).values(values)).inserted_primary_key
        assert made is not None  # noqa: S101 - of one row there is one
        key: int = made[0]
        return key

    def _group(self, name: str, kind: str | None, new: str = "group") -> Row[Any]:
        """Return the group of a name, a new one where there is none.

        Args:
            name: its name.
            kind: which it has to be; None takes any.
            new: what a new one is, where any may be.
        """
        row = self._row(groups, name)
        if row is None:
            Draft().group(name)
            check_length("group", name)
            text = encode({}, self._secrets, "")
            values = {"name": name, "kind": kind or new, "variables": text, "updated": self._now}
            self._put(groups, None, values)
            row = self._known(groups, name)
        if kind is not None and row.kind != kind:
            raise InventoryError(f"{name!r} is a {row.kind}, not a {kind}")
        return row

    def _enlist(self, host: int, kind: str, wanted: Iterable[int]) -> None:
        """Have a host listed by these groups, and by no others of their kind."""
        query = select(members.c.group_id).join_from(members, groups)
        query = query.where(members.c.host_id == host, groups.c.kind == kind)
        present = set(self._connection.scalars(query))
        wanted = list(wanted)
        for group in present.difference(wanted):
            self._connection.execute(delete(members).where(members.c.group_id == group, members.c.host_id == host))
        for group in dict.fromkeys(wanted):
            if group not in present:
                self._append(group, host)

    def _append(self, group: int, host: int) -> None:
        last = select(func.coalesce(func.max(members.c.position), -1)).where(members.c.group_id == group)
        position = self._connection.execute(last).scalar_one() + 1
        self._connection.execute(insert(members).values(group_id=group, host_id=host, position=position))

    def _set_children(self, name: str, key: int, below: Sequence[Row[Any]]) -> None:
        """Set a group's children, once it is sure that there is no circle."""
        names: dict[int, str] = dict(rows(self._connection, select(groups.c.id, groups.c.name)))
        draft = Draft()
        for parent, child in self._connection.execute(select(children.c.parent_id, children.c.child_id)):
            if parent != key:
                draft.adopt(draft.group(names[parent]), draft.group(names[child]))
        for row in below:
            draft.adopt(draft.group(name), draft.group(row.name))
        keys = [row.id for row in below]
        self._link(children, (children.c.parent_id, key), children.c.child_id, keys)
        if name != "all":
            # It is above them anyway.
            top = select(groups.c.id).where(groups.c.name == "all").scalar_subquery()
            self._connection.execute(delete(children).where(children.c.parent_id == top, children.c.child_id.in_(keys)))

    def _link(self, table: Table, outer: tuple[Any, int], inner: Any, wanted: Sequence[int]) -> None:
        column, key = outer
        self._connection.execute(delete(table).where(column == key))
        rows = [
            {column.name: key, inner.name: each, "position": position}
            for position, each in enumerate(dict.fromkeys(wanted))
        ]
        if rows:
            self._connection.execute(insert(table), rows)


def _kind(table: Table) -> str:
    return "host" if table is hosts else "group"


def _texts(what: str, names: Sequence[str]) -> list[str]:
    if isinstance(names, str) or not all(isinstance(name, str) for name in names):
        raise InventoryError(f"{what}: expected a list of names, got {names!r}")
    return list(names)
