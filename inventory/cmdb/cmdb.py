"""The inventory in a database, and every change to it."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from types import TracebackType
from typing import Any

from sshexec.credentials.keyring import Keyring
from sshexec.credentials.providers import Provider, Providers
from sshexec.credentials.vault import VaultPasswords
from sshexec.database.database import Database
from sshexec.errors import InventoryError
from sshexec.inventory.cmdb.adding import Added, add
from sshexec.inventory.cmdb.changes import Changes
from sshexec.inventory.cmdb.credentials import Credentials
from sshexec.inventory.cmdb.records import GroupRecord, HostRecord, Kind, Wanted, group_records, host_records
from sshexec.inventory.cmdb.secrets import KeyringSecrets
from sshexec.inventory.cmdb.stored import CmdbSource
from sshexec.inventory.cmdb.tables import SCHEMA, groups, hosts
from sshexec.inventory.draft import Draft
from sshexec.inventory.model import Inventory
from sshexec.inventory.source import Source

__all__ = ["Added", "Cmdb", "GroupRecord", "HostRecord"]


class Cmdb:
    """Hosts, groups and their variables in a database; threads and greenlets may share it.

    Sites, regions and tags are groups, each of its kind: patterns, variables and precedence work as with any other. A
    region's children are its sites. Every change is one transaction: it is done as a whole or not at all, and what
    would leave no valid inventory is an InventoryError.

    Args:
        url: of the database, such as ``sqlite:///cmdb.db`` or ``postgresql+psycopg://user@host/name``.
        keyring: the keys that secrets are sealed with; None takes those at their usual place once there is a secret.
        vault: the passwords of ansible-vault's values.
        providers: callables that fetch the secrets which credentials refer to as ``NAME:...``.
        create: whether the tables, and SQLite's file, are made where there are none.

    Raises:
        DatabaseError: the URL is wrong.
    """

    def __init__(
        self,
        url: str,
        keyring: Keyring | None = None,
        *,
        vault: VaultPasswords | None = None,
        providers: Providers | Mapping[str, Provider] | None = None,
        create: bool = True,
    ) -> None:
        self.database = Database(url, SCHEMA, create=create)
        self.secrets = KeyringSecrets(keyring or Keyring.load(), vault, providers)
        self.credentials = Credentials(self.database, self.secrets)

    def __repr__(self) -> str:
        return f"<Cmdb {self.database.url}>"

    def __enter__(self) -> Cmdb:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """Close the connections; they are opened again when it is used again."""
        self.database.close()

    def source(self) -> Source:
        """Return what `Inventory.load` takes: the whole database as it is at that time, read in a few queries."""
        return CmdbSource(self.database.url.removeprefix("sqlite:///"), self.database, self.secrets)

    def hosts(
        self,
        *,
        search: str | None = None,
        address: str | None = None,
        group: str | None = None,
        limit: int | None = None,
        offset: int | None = None,
    ) -> list[HostRecord]:
        """Return hosts in their order.

        Args:
            search: only those with this in their name or address, whatever the case.
            address: only those with this ``ansible_host``, or of this name where they have none.
            group: only those in this group, site, region or tag, or in one below it.
            limit: how many at most.
            offset: how many to leave out before them.

        Raises:
            InventoryError: there is no such group.
        """
        wanted = Wanted(search=search, address=address, group=group, limit=limit, offset=offset)
        with self.database.reading() as connection:
            return host_records(connection, wanted, self.secrets)

    def host(self, name: str) -> HostRecord:
        """Return one host.

        Raises:
            InventoryError: there is none of this name.
        """
        with self.database.reading() as connection:
            found = host_records(connection, Wanted(name=name), self.secrets)
        if not found:
            raise InventoryError(f"there is no host {name!r}")
        return found[0]

    def groups(self, kind: Kind | None = None) -> list[GroupRecord]:
        """Return groups in their order.

        Args:
            kind: only those of this kind.
        """
        with self.database.reading() as connection:
            return group_records(connection, self.secrets, *([groups.c.kind == kind] if kind else []))

    def group(self, name: str) -> GroupRecord:
        """Return one group; `hosts` with its name returns its hosts.

        Raises:
            InventoryError: there is none of this name.
        """
        with self.database.reading() as connection:
            found = group_records(connection, self.secrets, groups.c.name == name)
        if not found:
            raise InventoryError(f"there is no group {name!r}")
        return found[0]

    def put_host(
        self,
        name: str,
        *,
        variables: Mapping[str, Any] | None = None,
        groups: Sequence[str] | None = None,
        tags: Sequence[str] | None = None,
        site: str | None = None,
    ) -> None:
        """Insert a host, or change what is given of it.

        As in a file, a group, tag or site is made where it is first named.

        Args:
            name: its name.
            variables: all of its own variables; secrets among them are sealed.
            groups: all groups of the kind ``group`` that list it.
            tags: all of its tags.
            site: its site; an empty text is none.

        Raises:
            InventoryError: something of it is not what an inventory holds, or a name is that of another kind of group.
            CredentialError: a variable holds a secret, and there is no key.
        """
        sites = None if site is None else [site] if site else []
        with self._changing() as changes:
            changes.put_host(name, variables, {"group": groups, "tag": tags, "site": sites})

    def put_group(
        self,
        name: str,
        *,
        kind: Kind | None = None,
        variables: Mapping[str, Any] | None = None,
        children: Sequence[str] | None = None,
        hosts: Sequence[str] | None = None,
    ) -> None:
        """Insert a group, or change what is given of it.

        Args:
            name: its name.
            kind: ``group``, ``site``, ``region`` or ``tag``; a new one is a group.
            variables: all of its own variables, ``ansible_group_priority`` among them.
            children: all groups that it lists, in their order; they are made where there are none.
            hosts: all hosts that it lists, in their order.

        Raises:
            InventoryError: something of it is not what an inventory holds, it would be above itself, or there is no
                such host.
            CredentialError: a variable holds a secret, and there is no key.
        """
        with self._changing() as changes:
            changes.put_group(name, kind, variables, children, hosts)

    def tag(self, name: str, *tags: str) -> None:
        """Give a host tags, beside those that it has.

        Raises:
            InventoryError: there is no such host, or a tag has the name of another kind of group.
        """
        with self._changing() as changes:
            changes.tag(name, tags, on=True)

    def untag(self, name: str, *tags: str) -> None:
        """Take tags from a host.

        Raises:
            InventoryError: there is no such host or tag.
        """
        with self._changing() as changes:
            changes.tag(name, tags, on=False)

    def rename_host(self, name: str, new: str) -> None:
        """Give a host another name.

        Raises:
            InventoryError: there is no such host, or one of the new name, or that can't be a name.
        """
        with self._changing() as changes:
            changes.rename(hosts, name, new)

    def rename_group(self, name: str, new: str) -> None:
        """Give a group, site, region or tag another name.

        Raises:
            InventoryError: there is no such group, or one of the new name, or that can't be a name.
        """
        with self._changing() as changes:
            changes.rename(groups, name, new)

    def remove_host(self, name: str) -> None:
        """Remove a host.

        Raises:
            InventoryError: there is no such host.
        """
        with self._changing() as changes:
            changes.remove(hosts, name)

    def remove_group(self, name: str) -> None:
        """Remove a group, site, region or tag; its hosts, and groups below it, stay.

        Raises:
            InventoryError: there is no such group, or it is one that every inventory has.
        """
        with self._changing() as changes:
            changes.remove(groups, name)

    def add(
        self,
        inventory: Inventory | Draft,
        *,
        replace: bool = False,
        dry_run: bool = False,
    ) -> Added:
        """Take in an inventory as if it were read after what is there, as a whole or not at all.

        The files in ``group_vars`` and ``host_vars`` are taken in, too: each host has the same variables as before.
        Groups of the database stay sites, regions or tags where the inventory does not say what they are.

        Args:
            inventory: what to take in.
            replace: whether hosts and groups that it does not have are removed.
            dry_run: change nothing, and return what would be changed.

        Raises:
            InventoryError: together with what is there it is no valid inventory.
            CredentialError: a variable holds a secret, and there is no key.
        """
        added = Added()
        try:
            with self.database.writing(alone=True) as connection:
                added = add(connection, inventory, self.secrets, replace=replace)
                if dry_run:
                    raise _TakeBack
        except _TakeBack:
            pass
        return added

    @contextmanager
    def _changing(self) -> Iterator[Changes]:
        with self.database.writing(alone=True) as connection:
            changes = Changes(connection, self.secrets)
            changes.ensure_fixed()
            yield changes


class _TakeBack(Exception):
    """Rolls a transaction back."""
