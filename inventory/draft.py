"""The inventory in the making: what the sources say, merged in the order they are read."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from sshexec.credentials.openers import Openers
from sshexec.errors import InventoryError
from sshexec.inventory.members import MAX_DEPTH, Group, Host, Scope, is_too_deep
from sshexec.scalars import whole_number
from sshexec.secret import as_secrets

PRIORITY = "ansible_group_priority"
_FLAT = frozenset({str, int, bool, float, type(None)})


class Draft:
    """Hosts and groups, and the place in the sources that is being read.

    A reader sets `path` and `line` as it goes, so that every error and every variable's origin names its place.

    Args:
        openers: open the secrets in the sources; None for those that the environment names.
    """

    def __init__(self, openers: Openers | None = None) -> None:
        self.openers = openers or Openers()
        self.encrypted = False
        """Whether the source being read is encrypted as a whole: its variables are secrets."""
        self.hosts: dict[str, Host] = {}
        self.groups: dict[str, Group] = {}
        self.warnings: list[str] = []
        self.directories: dict[str, str] = {}
        """Where the sources lie, absolute path and as written: ``group_vars`` and ``host_vars`` are there."""
        self.kinds: dict[str, str] = {}
        """Which groups are a ``site``, a ``region`` or a ``tag``, where a source says so; only a CMDB keeps it."""
        self.path: str | None = None
        """The source being read, as the caller wrote it."""
        self.line: int | None = None
        self.source: str | None = None
        """Its absolute path, where it is a file."""
        self.adopt(self.group("all"), self.group("ungrouped"))

    def __getstate__(self) -> dict[str, Any]:
        """Return a flat state, for `pickle` and `copy`: the objects would lead them from each to the next, too deep."""
        hosts = [(h.name, h.vars, h.origins, h.origin_of_rest, list(h.groups), h.source) for h in self.hosts.values()]
        groups = [
            (
                *(g.name, g.vars, g.origins, g.origin_of_rest, list(g.hosts), list(g.children), list(g.parents)),
                *(g.priority, g.depth),
            )
            for g in self.groups.values()
        ]
        state = self.__dict__ | {"hosts": hosts, "groups": groups}
        del state["openers"]  # keys and passwords stay here
        return state

    def __setstate__(self, state: dict[str, Any]) -> None:
        """Make hosts and groups again, and tie them together by their names."""
        self.__dict__.update(state)
        self.openers = Openers()
        self.hosts = {name: Host(name) for name, *_ in state["hosts"]}
        self.groups = {name: Group(name) for name, *_ in state["groups"]}
        for name, variables, origins, rest, groups, source in state["hosts"]:
            host = self.hosts[name]
            host.vars, host.origins, host.origin_of_rest, host.source = variables, origins, rest, source
            host.groups = {each: self.groups[each] for each in groups}
        for name, variables, origins, rest, hosts, children, parents, priority, depth in state["groups"]:
            group = self.groups[name]
            group.vars, group.origins, group.origin_of_rest = variables, origins, rest
            group.priority, group.depth = priority, depth
            group.hosts = {each: self.hosts[each] for each in hosts}
            group.children = {each: self.groups[each] for each in children}
            group.parents = {each: self.groups[each] for each in parents}

    def error(self, message: str) -> InventoryError:
        """Return an error at the place that is being read."""
        return InventoryError(message, path=self.path, line=self.line)

    def warn(self, message: str) -> None:
        """Keep a warning about the place that is being read."""
        self.warnings.append(str(self.error(message)))

    def group(self, name: Any) -> Group:
        """Return the group of that name, a new one where there is none.

        Raises:
            InventoryError: the name can't be a group's.
        """
        if not isinstance(name, str) or name not in self.groups:
            self._check_name("group", name)
            self.groups[name] = Group(name)
        return self.groups[name]

    def host(self, name: Any, group: Group | None = None, port: int | None = None) -> Host:
        """Return the host of that name, a new one where there is none, and put it into a group.

        Args:
            name: the inventory name.
            group: where to put it.
            port: what stands behind its name. As in Ansible it counts where the host is named first, and there only.

        Raises:
            InventoryError: the name can't be a host's.
        """
        host = self.hosts.get(name) if isinstance(name, str) else None
        if host is None:
            self._check_name("host", name)
            host = self.hosts[name] = Host(name)
            host.source = self.source
            if port is not None:
                self.assign(host, {"ansible_port": port})
        if group is not None:
            group.hosts[name] = host
            host.groups[group.name] = group
        return host

    def adopt(self, parent: Group, child: Group) -> None:
        """Make one group the child of another.

        Raises:
            InventoryError: the child is the parent, or above it, or ``all``.
        """
        if child.name in parent.children:
            return
        if child.name == "all":
            raise self.error(f"group 'all' can't be a child of {parent.name!r}: it is above every group")
        if child is parent or (child.children and child in parent.ancestors()):
            way = "a group can't hold itself" if child is parent else f"{child.name!r} is above {parent.name!r}"
            raise self.error(f"group {child.name!r} as a child of {parent.name!r} makes a circle: {way}")
        parent.children[child.name] = child
        child.parents[parent.name] = parent

    def assign(self, scope: Scope, variables: Mapping[Any, Any], lines: Mapping[Any, int] | None = None) -> None:
        """Set variables of a host or group; later ones replace earlier ones, as with Ansible's ``hash_behaviour``.

        Args:
            scope: the host or group.
            variables: names and values.
            lines: the line of each name, where it is not the current one.

        Raises:
            InventoryError: a name is no text, a value is nested too deeply, or a group's priority is no number.
        """
        if not variables:
            return
        here = (self.path, self.line)
        if not scope.vars and not lines:
            # One for all, instead of one for each: there are many hosts.
            scope.origin_of_rest = here
        alike = scope.origin_of_rest == here
        for name, value in variables.items():
            if lines:
                self.line = lines.get(name)
            if not isinstance(name, str):
                raise self.error(f"the variable name {name!r} of {scope.kind} {scope.name!r} is not text; quote it")
            if type(value) not in _FLAT and is_too_deep(value):
                raise self.error(f"{name!r} of {scope.kind} {scope.name!r} is nested deeper than {MAX_DEPTH} levels")
            if name == PRIORITY and isinstance(scope, Group):
                scope.priority = self._priority(scope, value)
                continue
            scope.vars[name] = as_secrets(value) if self.encrypted else value
            if lines:
                scope.origins[name] = (self.path, self.line)
            elif not alike:
                scope.origins[name] = here
            elif scope.origins:
                scope.origins.pop(name, None)

    def finish(self) -> None:
        """Tie the loose ends once all sources are read: ``all`` above everything, ``ungrouped``, depths."""
        self.path = self.line = self.source = None
        top, ungrouped = self.groups["all"], self.groups["ungrouped"]
        for group in self.groups.values():
            if group is not top and not group.parents:
                self.adopt(top, group)
        grouped = {"all", "ungrouped"}
        for host in self.hosts.values():
            if host.groups.keys() <= grouped:
                ungrouped.hosts[host.name] = host
                host.groups["ungrouped"] = ungrouped
            elif "ungrouped" in host.groups:
                del host.groups["ungrouped"]
                del ungrouped.hosts[host.name]
        for name in self.hosts.keys() & self.groups.keys():
            self.warn(
                f"{name!r} is both a host and a group; as a pattern it means the host, behind '&' and '!' the group"
            )
        self._measure_depths(top)

    def _measure_depths(self, top: Group) -> None:
        waiting = {group.name: len(group.parents) for group in self.groups.values()}
        ready = [top]
        while ready:
            group = ready.pop()
            for child in group.children.values():
                child.depth = max(child.depth, group.depth + 1)
                waiting[child.name] -= 1
                if not waiting[child.name]:
                    ready.append(child)

    def _priority(self, group: Group, value: Any) -> int:
        try:
            return whole_number(value)
        except ValueError:
            raise self.error(f"{PRIORITY} of group {group.name!r} must be a whole number, not {value!r}") from None

    def _check_name(self, kind: str, name: Any) -> None:
        if not isinstance(name, str):
            raise self.error(f"the {kind} name {name!r} is not text but {type(name).__name__}; put it into quotes")
        if not name.strip():
            raise self.error(f"a {kind} has an empty name")
        if not name.isprintable():
            raise self.error(f"the {kind} name {name!r} holds a character that can't be printed")
