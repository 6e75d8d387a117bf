"""What the tables hold of hosts and groups, read in a fixed number of queries."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any, NamedTuple

from sqlalchemy import Connection, Select, Table, literal, select

from sshexec.database.database import Database
from sshexec.errors import InventoryError
from sshexec.inventory.cmdb.scopes import Scoped, read_scoped
from sshexec.inventory.cmdb.secrets import KeyringSecrets
from sshexec.inventory.cmdb.tables import children, groups, hosts, members
from sshexec.inventory.cmdb.values import Secrets, decode_all
from sshexec.inventory.source import GroupEntry, HostEntry, Source


class Row(NamedTuple):
    """A row of the hosts or of the groups.

    Args:
        id: its key.
        position: its place among its like.
        variables: as the column has them.
        kind: of a group.
    """

    id: int
    position: int
    variables: str
    kind: str


@dataclass(frozen=True)
class Stored:
    """Every host and group.

    Args:
        hosts: by name, in their order.
        groups: by name, in their order.
        members: for each group, by its id, the ids of its hosts in their order, each with its position.
        children: for each group, by its id, the ids of the groups below it in their order, each with its position.
    """

    hosts: dict[str, Row] = field(default_factory=dict)
    groups: dict[str, Row] = field(default_factory=dict)
    members: dict[int, dict[int, int]] = field(default_factory=dict)
    children: dict[int, dict[int, int]] = field(default_factory=dict)


def read_stored(connection: Connection) -> Stored:
    """Return what the tables hold: four queries."""
    named: list[dict[str, Row]] = []
    for table, kind in ((hosts, literal("")), (groups, groups.c.kind)):
        columns = (table.c.name, table.c.id, table.c.position, table.c.variables, kind)
        found_rows = rows(connection, select(*columns).order_by(table.c.position, table.c.id))
        named.append({values[0]: Row._make(values[1:]) for values in found_rows})
    links: list[dict[int, dict[int, int]]] = []
    for table, outer, inner in (
        (members, members.c.group_id, members.c.host_id),
        (children, children.c.parent_id, children.c.child_id),
    ):
        found: dict[int, dict[int, int]] = {}
        for parent, child, position in rows(
            connection, select(outer, inner, table.c.position).order_by(outer, table.c.position, inner)
        ):
            found.setdefault(parent, {})[child] = position
        links.append(found)
    return Stored(named[0], named[1], links[0], links[1])


def rows(connection: Connection, statement: Select[Any]) -> list[Any]:
    """Return all rows of a query, as the driver has them."""
    result = connection.execute(statement)
    cursor = result.cursor
    assert cursor is not None  # noqa: S101 - a SELECT has one
    return list(cursor.fetchall())


class StoredSource(Source):
    """An inventory of what the tables hold.

    Args:
        name: what messages call it.
        stored: what they hold.
        secrets: makes secrets of their tokens.
        credentials: what credentials say of hosts and groups.
    """

    def __init__(self, name: str, stored: Stored, secrets: Secrets, credentials: Scoped | None = None) -> None:
        self.name = name
        self._stored = stored
        self._secrets = secrets
        self._credentials = credentials or Scoped({}, {})

    def groups(self) -> Iterator[GroupEntry]:
        """Yield the groups, each with its hosts and children."""
        stored = self._stored
        host_names = {row.id: name for name, row in stored.hosts.items()}
        group_names = {row.id: name for name, row in stored.groups.items()}
        decoded = decode_all(((f"group {name!r}", row.variables) for name, row in stored.groups.items()), self._secrets)
        for (name, row), variables in zip(stored.groups.items(), decoded, strict=True):
            try:
                inner = [host_names[key] for key in stored.members.get(row.id, ())]
                below = [group_names[key] for key in stored.children.get(row.id, ())]
            except KeyError as error:
                # SQLite looks after that only where it is told to, as `engines` does.
                raise InventoryError(f"group {name!r} lists a host or group of the id {error} that is gone") from None
            variables = self._credentials.below(self._credentials.groups, row.id, variables)
            yield GroupEntry(name, variables, below, inner, row.kind)

    def hosts(self) -> Iterator[HostEntry]:
        """Yield the hosts; the groups name theirs."""
        stored = self._stored.hosts
        decoded = decode_all(((f"host {name!r}", row.variables) for name, row in stored.items()), self._secrets)
        scoped = self._credentials
        if scoped.hosts:
            keys = [row.id for row in stored.values()]
            decoded = (scoped.below(scoped.hosts, key, own) for key, own in zip(keys, decoded, strict=True))
        return map(HostEntry, stored, decoded)


class CmdbSource(Source):
    """The inventory in a database, read in one transaction whenever it is loaded.

    Args:
        name: what messages and origins call it.
        database: where it is.
        secrets: makes secrets of their tokens.
    """

    def __init__(self, name: str, database: Database, secrets: KeyringSecrets) -> None:
        self.name = name
        self._database = database
        self._secrets = secrets

    @contextmanager
    def reading(self) -> Iterator[Source]:
        """Read the tables, and give what they hold."""
        with self._database.reading() as connection:
            stored = read_stored(connection)
            scoped = read_scoped(connection, self._secrets)
        yield StoredSource(self.name, stored, self._secrets, scoped)

    def hosts(self) -> Iterator[HostEntry]:
        """Yield the hosts as they are now."""
        with self.reading() as reading:
            yield from reading.hosts()

    def groups(self) -> Iterator[GroupEntry]:
        """Yield the groups as they are now."""
        with self.reading() as reading:
            yield from reading.groups()


def read_ids(connection: Connection, table: Table, names: Sequence[str]) -> list[int]:
    """Return the ids of hosts or groups, in the order of their names.

    Raises:
        InventoryError: one is not there.
    """
    found: dict[str, int] = {}
    for start in range(0, len(names), 500):
        query = select(table.c.name, table.c.id).where(table.c.name.in_(names[start : start + 500]))
        found.update(rows(connection, query))
    for name in names:
        if name not in found:
            raise InventoryError(f"there is no {'host' if table is hosts else 'group'} {name!r}")
    return [found[name] for name in names]
