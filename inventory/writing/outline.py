"""In which order a file must name hosts and groups, so that whoever reads it has them in the order they had.

The order of hosts in a group, of groups below a group, and of all hosts and groups is what patterns such as ``web[0]``
and ``w*`` go by.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from sshexec.inventory.draft import Draft
from sshexec.inventory.members import Group, Host

if TYPE_CHECKING:
    from sshexec.inventory.model import Inventory

_MAX_NESTING = 30
"""How deep groups may be nested to be written within each other: a YAML file has a bound for all that it nests."""
LOST_ORDER = "the order of hosts or groups is not quite kept: no file of this kind can say it"
_NOTE = "# All hosts in their order; who is in another group below is not 'ungrouped'.\n"
ALWAYS = ("all", "ungrouped")


@dataclass(slots=True)
class Node:
    """A group where it stands in the file.

    Args:
        name: the group.
        hosts: the hosts that are named in it here.
        children: the groups that are named below it here.
        children_first: whether they come before the hosts.
    """

    name: str
    hosts: list[str] = field(default_factory=list)
    children: list[Node] = field(default_factory=list)
    children_first: bool = False


@dataclass(frozen=True, slots=True)
class Outline:
    """Groups in the order of the file.

    Args:
        nodes: those on its outermost level.
        exact: whether who reads it has everything in the order of the inventory.
    """

    nodes: list[Node]
    exact: bool = True

    @property
    def note(self) -> str:
        """What a reader may wonder about, as a comment; empty where there is nothing."""
        first = self.nodes[0]
        listed = any(node.name == "ungrouped" for node in self.nodes[:1])
        elsewhere = {host for node in self.nodes[1:] if node.name not in ALWAYS for host in node.hosts}
        return _NOTE if listed and not elsewhere.isdisjoint(first.hosts) else ""


def nested_or_flat(inventory: Inventory) -> Outline:
    """Return the most readable outline of a YAML file that keeps every order.

    Groups within each other where that does; else each on the outermost level and, behind them, who is below whom; at
    the last with all hosts in ``ungrouped`` first: they leave it where they are in other groups too.
    """
    deep = max(group.depth for group in inventory.groups.values()) > _MAX_NESTING
    for nodes in _below_each_other(inventory) if deep else _within_each_other(inventory):
        if _keeps_order(nodes, inventory):
            return Outline(nodes)
    return Outline(nodes, exact=False)


def sections(inventory: Inventory) -> Outline:
    """Return the outline of an INI file: groups with their hosts, each once, then groups with their children."""
    edges = [Node(name, children=[Node(child) for child in children]) for name, children in _edges(inventory)]
    ungrouped, *others = _flat(inventory, declare=False)
    top, groups, nothing = others[-1:], others[:-1], Node("ungrouped")
    for flat in (
        [ungrouped, *groups, *top],
        [nothing, *top, ungrouped, *groups],
        [nothing, *groups, *top, ungrouped],
        _flat(inventory, declare=True),
    ):
        nodes = [*flat, *edges]
        if _keeps_order(nodes, inventory):
            return Outline(nodes)
    return Outline(nodes, exact=False)


def _within_each_other(inventory: Inventory) -> Iterator[list[Node]]:
    top = inventory.groups["all"]
    for brief in (True, False):
        for children_first in (False, True):
            yield [_tree(top, set(), hosts=True, children_first=children_first, brief=brief)]
    for declare in (False, True):
        # ``all`` has one place on the outermost level, behind the others; who is below whom stands there.
        *flat, last = _flat(inventory, declare=declare)
        tree = _tree(top, set(), hosts=False)
        tree.hosts = last.hosts
        yield [*flat, tree]
        ungrouped = next(child for child in tree.children if child.name == "ungrouped")
        ungrouped.hosts = flat[0].hosts
        yield [*flat[1:], tree]


def _below_each_other(inventory: Inventory) -> Iterator[list[Node]]:
    for declare in (False, True):
        nodes = _flat(inventory, declare=declare)
        for node in nodes:
            node.children = [Node(name) for name in inventory.groups[node.name].children]
        yield nodes


def _tree(group: Group, drawn: set[str], *, hosts: bool, children_first: bool = False, brief: bool = False) -> Node:
    """Return a group with all below it; what it holds stands where it comes first.

    Args:
        group: the group.
        drawn: the groups that have their place already.
        hosts: name their hosts.
        children_first: behind their children.
        brief: leave to the reader who of ``all`` is ``ungrouped``.
    """
    node = Node(group.name, children_first=children_first)
    if group.name in drawn:
        return node
    drawn.add(group.name)
    if hosts:
        implied = brief and group.name == "ungrouped"
        node.hosts = [name for name, host in group.hosts.items() if not (implied and "all" in host.groups)]
    more = {"hosts": hosts, "children_first": children_first, "brief": brief}
    node.children = [_tree(child, drawn, **more) for child in group.children.values()]
    return node


def _flat(inventory: Inventory, *, declare: bool) -> list[Node]:
    """Return each group with its hosts: ``ungrouped`` first, ``all`` last.

    Args:
        inventory: whichever.
        declare: name every host in ``ungrouped``, in their order.
    """
    first = list(inventory.hosts if declare else inventory.groups["ungrouped"].hosts)
    nodes = [Node("ungrouped", first)]
    nodes += [Node(name, list(group.hosts)) for name, group in inventory.groups.items() if name not in ALWAYS]
    return [*nodes, Node("all", list(inventory.groups["all"].hosts))]


def _edges(inventory: Inventory) -> Iterator[tuple[str, list[str]]]:
    """Yield each group that has children, with them; ``all`` only where it would not come to have them by itself."""
    for name, group in inventory.groups.items():
        children = list(group.children)
        if name == "all":
            alone = [other.name for other in inventory.groups.values() if list(other.parents) == ["all"]]
            if children == alone:
                continue
        if children:
            yield name, children


def _keeps_order(nodes: list[Node], inventory: Inventory) -> bool:
    draft = Draft()
    for node in nodes:
        _read(draft, node)
    draft.finish()
    return _shape(draft.hosts, draft.groups) == _shape(inventory.hosts, inventory.groups)


def _read(draft: Draft, node: Node) -> None:
    """Do what the readers do with a group."""
    group = draft.group(node.name)
    if not node.children_first:
        for host in node.hosts:
            draft.host(host, group)
    for child in node.children:
        draft.adopt(group, draft.group(child.name))
        _read(draft, child)
    if node.children_first:
        for host in node.hosts:
            draft.host(host, group)


def _shape(hosts: Mapping[str, Host], groups: Mapping[str, Group]) -> object:
    members = {name: (list(group.hosts), list(group.children)) for name, group in groups.items()}
    return list(hosts), list(groups), members
