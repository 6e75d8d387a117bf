"""What each host and group sets itself, with the files in ``group_vars/`` and ``host_vars/`` merged into it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from sshexec.inventory.draft import PRIORITY
from sshexec.inventory.members import Group

if TYPE_CHECKING:
    from sshexec.inventory.model import Inventory
    from sshexec.inventory.vars_files import VariableFiles


@dataclass(frozen=True, slots=True)
class Levels:
    """The variables of an inventory at the level where they are set.

    Args:
        groups: of each group by name, in the order of the inventory.
        hosts: of each host by name.
    """

    groups: dict[str, dict[str, Any]]
    hosts: dict[str, dict[str, Any]]


def own_variables(inventory: Inventory) -> Levels:
    """Return what each member sets itself, so that it needs no files beside it: every host's variables stay the same.

    A file in ``group_vars/`` is stronger than what the sources say of any group, a deeper one too. What it thereby
    hides of the groups below is left out; where that does not say it (two groups side by side), the host says it.

    Raises:
        InventoryError: a file in ``group_vars/`` or ``host_vars/`` is unreadable or wrong.
    """
    groups = {name: dict(group.vars) for name, group in inventory.groups.items()}
    hosts = {name: dict(host.vars) for name, host in inventory.hosts.items()}
    if inventory._directories:
        files = inventory._variable_files()
        if _merge_groups(inventory, groups, files):
            _mend(inventory, groups, hosts)
        for name, own in hosts.items():
            for scope in files.of_host(name):
                own.update(scope.vars)
    return Levels(groups, hosts)


def _merge_groups(inventory: Inventory, groups: dict[str, dict[str, Any]], files: VariableFiles) -> bool:
    """Merge the files of groups into what groups set; say whether there are any."""
    found: dict[str, dict[str, Any]] = {}
    for name in groups:
        for scope in files.of_group(name):
            found.setdefault(name, {}).update(scope.vars)
    if not found:
        return False
    for name, group in inventory.groups.items():
        own = groups[name]
        for above in {"all", *(each.name for each in group.ancestors())} if own else ():
            for variable in found.get(above, ()):
                own.pop(variable, None)
    for name, variables in found.items():
        # In a file it is a variable like others and no priority, as in Ansible; the hosts get it below.
        groups[name].update((key, value) for key, value in variables.items() if key != PRIORITY)
    return True


def _mend(inventory: Inventory, groups: dict[str, dict[str, Any]], hosts: dict[str, dict[str, Any]]) -> None:
    """Set at the hosts what their groups would now say otherwise than before."""
    missing: dict[frozenset[str], dict[str, Any]] = {}
    for name, host in inventory.hosts.items():
        key = frozenset(host.groups)
        if key not in missing:
            now: dict[str, Any] = {}
            for scope in inventory._scopes(host):
                if isinstance(scope, Group):
                    now.update(groups[scope.name])
            before, _ = inventory._of_groups(host)
            missing[key] = {
                variable: value
                for variable, value in before.items()
                if variable not in now or now[variable] is not value
            }
        if missing[key]:
            hosts[name] = missing[key] | hosts[name]
