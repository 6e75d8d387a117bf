"""Which hosts there are, how they are grouped, and the variables of each."""

from __future__ import annotations

import ipaddress
import os
from collections.abc import Iterable, Iterator, Mapping
from types import MappingProxyType
from typing import TYPE_CHECKING, Any

from sshexec.errors import InventoryError
from sshexec.inventory.draft import Draft
from sshexec.inventory.members import Group, Host, Scope
from sshexec.inventory.patterns import LOCALHOST, Selector
from sshexec.secret import Secret

if TYPE_CHECKING:
    from sshexec.credentials.keyring import Keyring
    from sshexec.credentials.providers import Provider, Providers
    from sshexec.credentials.vault import VaultPassword, VaultPasswords
    from sshexec.inventory.source import Location
    from sshexec.inventory.vars_files import VariableFiles

__all__ = ["Group", "Host", "Inventory"]

_MAGIC = "inventory"
"""The origin of variables that no source sets."""


class Inventory:
    """Hosts, groups and variables as Ansible sees them.

    Make one with `load` or `from_hosts`.
    """

    def __init__(self, draft: Draft) -> None:
        self._draft = draft
        self.hosts: Mapping[str, Host] = MappingProxyType(draft.hosts)
        """Every host by name, in the order of the sources."""
        self.groups: Mapping[str, Group] = MappingProxyType(draft.groups)
        """Every group by name; ``all`` and ``ungrouped`` are always there."""
        self.kinds: Mapping[str, str] = draft.kinds
        """Which groups are a ``site``, a ``region`` or a ``tag``; the others are mere groups."""
        self.warnings: list[str] = draft.warnings
        """What the sources hold that was left out, one line each."""
        self._directories = draft.directories
        self._files: VariableFiles | None = None
        self._implicit: dict[str, Host] = {}
        self._ranked: list[Group] = []
        self._places: dict[str, int] = {}
        self._above: dict[str, frozenset[int]] = {}
        self._merged: dict[tuple[str, ...], tuple[dict[str, Any], tuple[str, ...]]] = {}
        self._selector = Selector(self.hosts, self.groups, self._this_machine)

    def __repr__(self) -> str:
        hosts, groups = len(self.hosts), len(self.groups)
        return f"<Inventory {hosts} host{'s'[hosts == 1 :]}, {groups} group{'s'[groups == 1 :]}>"

    def __reduce__(self) -> tuple[type[Inventory], tuple[Draft]]:
        # For processes that get their inventory from another one (multiprocessing).
        return type(self), (self._draft,)

    @classmethod
    def load(
        cls,
        source: Location | Iterable[Location],
        *,
        vault: VaultPasswords | VaultPassword | Secret | str | None = None,
        keyring: Keyring | str | None = None,
        providers: Providers | Mapping[str, Provider] | None = None,
    ) -> Inventory:
        """Read an inventory. Secrets in it stay closed until a run needs them, or somebody calls their ``reveal``.

        Args:
            source: a YAML, INI, JSON or CSV file, a directory of such files, an executable that answers ``--list``, a
                list ``"web1,web2"`` (a single host needs the comma behind it), the URL of a database that
                `sshexec.inventory.cmdb.cmdb.Cmdb` keeps, a `sshexec.inventory.source.Source`, ``NAME://…`` for a
                plugin, or several of these, merged in their order.
            vault: passwords of ansible-vault; None is what ``ANSIBLE_VAULT_PASSWORD_FILE`` names.
            keyring: keys to the secrets in a database, or where they are (``file:``, ``env:``, ``command:``); None is
                what ``SSHEXEC_KEY_FILE`` names, else the user's own key file.
            providers: callables that fetch the secrets which credentials of a database refer to as ``NAME:...``.

        Raises:
            InventoryError: a source is missing, unreadable or wrong; path and line are named.
            CredentialError: a whole file is encrypted, and no password opens it.
        """
        from sshexec.credentials.openers import Openers
        from sshexec.inventory.load import read_sources

        return cls(read_sources(source, Openers.of(keyring, vault, providers)))

    @classmethod
    def from_hosts(
        cls, hosts: Iterable[Host | str], groups: Mapping[str, Iterable[str] | Mapping[str, Any]] | None = None
    ) -> Inventory:
        """Make an inventory of what the caller knows, without a file.

        Args:
            hosts: hosts with variables, or mere names; they are copied.
            groups: for each group the names of its hosts, or ``{"hosts": [], "vars": {}, "children": []}``.

        Raises:
            InventoryError: a group names an unknown host, or has another shape.
        """
        from sshexec.inventory.listing import read_listing

        draft = Draft()
        for given in hosts:
            name, variables = (given.name, given.vars) if isinstance(given, Host) else (given, {})
            if name in draft.hosts:
                raise InventoryError(f"the host {name!r} is given twice")
            draft.assign(draft.host(name), variables)
        known = len(draft.hosts)
        listing = {
            name: content if isinstance(content, Mapping) else {"hosts": list(content)}
            for name, content in (groups or {}).items()
        }
        read_listing(draft, listing)
        if len(draft.hosts) > known:
            stranger = list(draft.hosts)[known]
            raise InventoryError(f"a group names the host {stranger!r}, which is not among the hosts")
        draft.finish()
        return cls(draft)

    def select(self, pattern: str) -> list[Host]:
        """Return the hosts that an Ansible host pattern means, in Ansible's order.

        Args:
            pattern: e.g. ``web:&prod:!web3``, ``web*``, ``~db[0-9]+``, ``web[0:2]``, ``@hosts.txt``.

        Raises:
            PatternError: it is wrong, or it or a part of it matches nothing.
        """
        return self._selector.select(pattern)

    def variables(self, host: Host | str) -> dict[str, Any]:
        """Return a host's variables, merged by Ansible's precedence, with the magic variables about itself.

        From weak to strong: variables of ``all`` and of the groups (by depth, ``ansible_group_priority``, name),
        ``group_vars/all``, other ``group_vars/``, the host's own, ``host_vars/``. Values are shared between hosts:
        don't change them.

        Raises:
            InventoryError: no such host, or a file in ``group_vars/`` or ``host_vars/`` is wrong.
        """
        host = self._member(host)
        shared, group_names = self._of_groups(host)
        variables = shared.copy()
        variables.update(host.vars)
        for scope in self._variable_files().of_host(host.name) if self._directories else ():
            variables.update(scope.vars)
        variables.update(_magic(host, group_names))
        return variables

    def origins(self, host: Host | str) -> dict[str, str]:
        """Return where each of a host's `variables` was set: ``hosts.yml:12``, or ``script.py group web``.

        Raises:
            InventoryError: as `variables` does.
        """
        host = self._member(host)
        files = self._variable_files().of_host(host.name) if self._directories else []
        scopes: list[Scope] = [*self._scopes(host), host, *files]
        found = {name: scope.origin(name) for scope in scopes for name in scope.vars}
        return found | dict.fromkeys(_magic(host, ()), _MAGIC)

    def graph(self, group: str = "all") -> Iterator[tuple[int, Group | Host]]:
        """Yield what ``ansible-inventory --graph`` draws: how deep, and the group or host.

        Args:
            group: where to begin.

        Raises:
            InventoryError: there is no such group.
        """
        if group not in self.groups:
            raise InventoryError(f"there is no group {group!r}")
        stack: list[tuple[int, Group | Host]] = [(0, self.groups[group])]
        while stack:
            depth, member = stack.pop()
            yield depth, member
            if isinstance(member, Group):
                # Ansible draws the hosts that stand in ``all`` below ``ungrouped`` only.
                hosts = list(member.hosts.values()) if member.name != "all" else []
                inner: list[Group | Host] = [*member.children.values(), *hosts]
                stack.extend((depth + 1, each) for each in reversed(inner))

    def to_ansible(self) -> dict[str, Any]:
        """Return the inventory as ``ansible-inventory --list`` prints it; `load` reads it back from a JSON file.

        Raises:
            InventoryError: a file in ``group_vars/`` or ``host_vars/`` is wrong.
        """
        listing: dict[str, Any] = {}
        for group in self.groups["all"].descendants():
            content: dict[str, Any] = {}
            if group.hosts and group.name != "all":
                content["hosts"] = list(group.hosts)
            if group.children:
                content["children"] = list(group.children)
            if content:
                listing[group.name] = content
        hostvars = {}
        for host in self.groups["all"].all_hosts():
            variables = self.variables(host)
            for name in _magic(host, ()):
                del variables[name]
            if variables:
                hostvars[host.name] = variables
        return {"_meta": {"hostvars": hostvars}, **listing}

    def _member(self, host: Host | str) -> Host:
        name = host.name if isinstance(host, Host) else host
        found = self.hosts.get(name) or self._implicit.get(name)
        if found is None:
            raise InventoryError(f"there is no host {name!r} in the inventory")
        return found

    def _scopes(self, host: Host) -> list[Scope]:
        """Return what a host inherits from its groups, the weakest first."""
        if not self._ranked:
            ranked = sorted(self.groups.values(), key=lambda group: (group.depth, group.priority, group.name))
            self._places = {group.name: place for place, group in enumerate(ranked)}
            self._ranked = ranked
        places = {0}.union(*map(self._places_above, host.groups.values()))
        scopes: list[Scope] = list(map(self._ranked.__getitem__, sorted(places)))
        if self._directories:
            files = self._variable_files()
            scopes += [scope for group in scopes for scope in files.of_group(group.name)]
        return scopes

    def _places_above(self, group: Group) -> frozenset[int]:
        """Return the places of a group, and of all above it, among the groups in the order of their strength."""
        found = self._above.get(group.name)
        if found is None:
            found = self._above[group.name] = frozenset(self._places[each.name] for each in group.ancestors())
        return found

    def _of_groups(self, host: Host) -> tuple[dict[str, Any], tuple[str, ...]]:
        """Return what a host inherits, merged once for each set of groups, and the names of its groups."""
        key = tuple(host.groups)
        found = self._merged.get(key)
        if found is None:
            merged: dict[str, Any] = {}
            names = []
            for scope in self._scopes(host):
                if scope.vars:
                    merged.update(scope.vars)
                if isinstance(scope, Group):
                    names.append(scope.name)
            # The first is ``all``.
            found = self._merged[key] = merged, tuple(sorted(names[1:]))
        return found

    def _variable_files(self) -> VariableFiles:
        if self._files is None:
            from sshexec.inventory.vars_files import VariableFiles

            self._files = VariableFiles(self._directories, self._draft.openers.vault)
        return self._files

    def _this_machine(self, name: str) -> Host:
        """Return the host for this machine: one that a source names, or the implicit one."""
        for known in self.hosts.values():
            if known.name in LOCALHOST:
                return known
        if name not in self._implicit:
            self._implicit[name] = Host(name, {"ansible_connection": "local"})
            self._implicit[name].implicit = True
        return self._implicit[name]


def _magic(host: Host, group_names: Iterable[str]) -> dict[str, Any]:
    """Return the variables about a host that Ansible makes; not ``groups`` and ``hostvars``, which are about all."""
    name, source = host.name, host.source
    whole = (name[0].isdigit() or ":" in name) and _is_address(name)
    return {
        "inventory_hostname": name,
        "inventory_hostname_short": name if whole else name.split(".", 1)[0],
        "group_names": list(group_names),
        "inventory_dir": source and os.path.dirname(source),
        "inventory_file": source,
    }


def _is_address(name: str) -> bool:
    if ":" not in name and not name.replace(".", "").isdigit():
        return False
    try:
        ipaddress.ip_address(name)
    except ValueError:
        return False
    return True
