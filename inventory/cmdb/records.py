"""Hosts and groups as the pages of a platform show them."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

from sqlalchemy import BindParameter, ColumnElement, Connection, Row, Select, bindparam, func, or_, select

from sshexec.errors import InventoryError
from sshexec.inventory.cmdb.stored import rows
from sshexec.inventory.cmdb.tables import children, groups, hosts, members
from sshexec.inventory.cmdb.values import Secrets, decode_all
from sshexec.inventory.source import KINDS

Kind = Literal["group", "site", "region", "tag"]


@dataclass(frozen=True, slots=True)
class HostRecord:
    """A host.

    Args:
        name: its inventory name.
        address: its ``ansible_host``, where that is a plain text.
        variables: its own; secrets among them are opened once they are asked for.
        groups: the groups of the kind ``group`` that list it, by name.
        site: the site that lists it.
        region: the region above that site, or the one that lists the host.
        tags: its tags, by name.
        created: seconds since the epoch.
        updated: likewise, when it, or what lists it, was changed last.
    """

    name: str
    address: str | None
    variables: Mapping[str, Any]
    groups: tuple[str, ...]
    site: str | None
    region: str | None
    tags: tuple[str, ...]
    created: float
    updated: float


@dataclass(frozen=True, slots=True)
class GroupRecord:
    """A group, site, region or tag.

    Args:
        name: its name.
        kind: ``group``, ``site``, ``region`` or ``tag``.
        variables: its own.
        parents: the groups that list it, by name.
        children: the groups that it lists, in their order.
        size: how many hosts it lists itself.
        created: seconds since the epoch.
        updated: likewise, when it was changed last.
    """

    name: str
    kind: Kind
    variables: Mapping[str, Any]
    parents: tuple[str, ...]
    children: tuple[str, ...]
    size: int
    created: float
    updated: float


@dataclass(frozen=True, slots=True)
class Wanted:
    """Which hosts are wanted; what is None does not matter.

    Args:
        name: its name.
        search: a part of its name or address, whatever the case.
        address: its ``ansible_host``, or its name where it has none.
        group: a group, site, region or tag that lists it, or one above that.
        limit: how many at most.
        offset: how many are left out before them.
    """

    name: str | None = None
    search: str | None = None
    address: str | None = None
    group: str | None = None
    limit: int | None = None
    offset: int | None = None


def host_records(connection: Connection, wanted: Wanted, secrets: Secrets) -> list[HostRecord]:
    """Return hosts in their order: three queries, and one more where a group is wanted.

    Raises:
        InventoryError: there is no such group.
    """
    query = select(hosts).order_by(hosts.c.position, hosts.c.id).limit(wanted.limit).offset(wanted.offset)
    query = query.where(*_conditions(connection, wanted))
    found = list(connection.execute(query))
    listed = select(members.c.host_id, groups.c.id, groups.c.name, groups.c.kind).join_from(members, groups)
    listed = listed.order_by(groups.c.position, groups.c.id)
    if wanted != Wanted():
        page = query.with_only_columns(hosts.c.id).subquery()
        listed = listed.join(page, members.c.host_id == page.c.id)
    lists: dict[int, list[tuple[int, str, str]]] = {}
    for host_id, group_id, name, kind in connection.execute(listed):
        lists.setdefault(host_id, []).append((group_id, name, kind))
    regions = _regions(connection)
    decoded = decode_all(((f"host {row.name!r}", row.variables) for row in found), secrets)
    return [
        _host(row, variables, lists.get(row.id, []), regions) for row, variables in zip(found, decoded, strict=True)
    ]


def group_records(connection: Connection, secrets: Secrets, *condition: ColumnElement[bool]) -> list[GroupRecord]:
    """Return groups in their order: four queries.

    Args:
        connection: where they are.
        secrets: makes the secrets.
        condition: which of them.
    """
    found = list(connection.execute(select(groups).where(*condition).order_by(groups.c.position, groups.c.id)))
    names: dict[int, str] = dict(rows(connection, select(groups.c.id, groups.c.name)))
    above: dict[int, list[str]] = {}
    below: dict[int, list[str]] = {}
    for parent, child in connection.execute(
        select(children.c.parent_id, children.c.child_id).order_by(children.c.position)
    ):
        above.setdefault(child, []).append(names[parent])
        below.setdefault(parent, []).append(names[child])
    count = select(members.c.group_id, func.count()).group_by(members.c.group_id)
    sizes: dict[int, int] = dict(rows(connection, count))
    decoded = decode_all(((f"group {row.name!r}", row.variables) for row in found), secrets)
    return [
        GroupRecord(
            name=row.name,
            kind=row.kind,
            variables=variables,
            parents=tuple(sorted(above.get(row.id, ()))),
            children=tuple(below.get(row.id, ())),
            size=sizes.get(row.id, 0),
            created=row.created,
            updated=row.updated,
        )
        for row, variables in zip(found, decoded, strict=True)
    ]


def below(connection: Connection, group_id: int) -> set[int]:
    """Return the ids of a group and of all below it."""
    listed: dict[int, list[int]] = {}
    for parent, child in connection.execute(select(children.c.parent_id, children.c.child_id)):
        listed.setdefault(parent, []).append(child)
    found = {group_id}
    waiting = [group_id]
    while waiting:
        for child in listed.get(waiting.pop(), ()):
            if child not in found:
                found.add(child)
                waiting.append(child)
    return found


def _conditions(connection: Connection, wanted: Wanted) -> Iterable[ColumnElement[bool]]:
    if wanted.name is not None:
        yield hosts.c.name == wanted.name
    if wanted.address is not None:
        yield or_(hosts.c.address == wanted.address, hosts.c.address.is_(None) & (hosts.c.name == wanted.address))
    if wanted.search:
        yield or_(*(column.icontains(wanted.search, autoescape=True) for column in (hosts.c.name, hosts.c.address)))
    if wanted.group is not None and wanted.group != "all":
        key = connection.scalar(select(groups.c.id).where(groups.c.name == wanted.group))
        if key is None:
            raise InventoryError(f"there is no group {wanted.group!r}")
        # Written into the statement: SQLite takes no more than 32,766 parameters.
        keys: BindParameter[int] = bindparam(
            "below", sorted(below(connection, key)), expanding=True, literal_execute=True
        )
        among: Select[Any] = select(members.c.host_id).where(members.c.group_id.in_(keys))
        yield hosts.c.id.in_(among)


def _regions(connection: Connection) -> dict[int, str]:
    """Return the region of each site, by the site's id."""
    region = groups.alias("region")
    query = select(children.c.child_id, region.c.name).join_from(children, region, children.c.parent_id == region.c.id)
    query = query.where(region.c.kind == "region").order_by(region.c.position.desc())
    return dict(rows(connection, query))


def _host(
    row: Row[Any], variables: dict[str, Any], lists: Sequence[tuple[int, str, str]], regions: Mapping[int, str]
) -> HostRecord:
    named = {kind: [name for _, name, each in lists if each == kind] for kind in KINDS}
    above = [regions[key] for key, _, kind in lists if kind == "site" and key in regions]
    return HostRecord(
        name=row.name,
        address=row.address,
        variables=variables,
        groups=tuple(sorted(named["group"])),
        site=next(iter(named["site"]), None),
        region=next(iter(above or named["region"]), None),
        tags=tuple(sorted(named["tag"])),
        created=row.created,
        updated=row.updated,
    )
