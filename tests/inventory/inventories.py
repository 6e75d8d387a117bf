"""Inventories for property tests, and what makes two of them the same."""

from __future__ import annotations

import math
from typing import Any

from hypothesis import strategies as st

from sshexec.errors import InventoryError
from sshexec.inventory.draft import PRIORITY, Draft
from sshexec.inventory.model import Inventory
from sshexec.secret import is_secret_name

NAMES = st.sampled_from(["web", "db", "eu", "é-1", "a b", "ungrouped", "all", "日本", "x.y", "W"])
HOSTS = st.sampled_from([f"h{number}" for number in range(6)] + ["10.0.0.1", "fe80::1", "web", "hé.example"])
TEXTS = st.text(st.characters(codec=None), max_size=8) | st.sampled_from(
    ["", "\0", "\ud800", "\ud83d\ude00", "$x", "{{"]
)
PLAIN = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(),
    st.sampled_from([10**30, -(10**4000), 2**10_000, 2**64]),
    st.floats(),
    st.sampled_from([math.nan, math.inf, -math.inf, -0.0, 1e-300]),
    TEXTS,
)
KEYS = PLAIN.filter(lambda key: not (isinstance(key, str) and is_secret_name(key)))
VALUES: st.SearchStrategy[Any] = st.recursive(
    PLAIN, lambda inner: st.lists(inner, max_size=3) | st.dictionaries(KEYS, inner, max_size=3), max_leaves=6
)
VARIABLES = st.dictionaries(
    st.sampled_from(["a", "b", "c", "ansible_host", "$odd", "\ud83d", "\ud83d\ude00"]), VALUES, max_size=4
)


@st.composite
def drafts(draw: st.DrawFn) -> Draft:
    """A finished draft, grown as sources grow theirs: in any order, with groups below several others."""
    draft = Draft()
    for _ in range(draw(st.integers(0, 12))):
        what = draw(st.sampled_from(["host", "host", "child", "group", "vars", "priority"]))
        group = draft.group(draw(NAMES))
        if what == "host":
            host = draft.host(draw(HOSTS), draw(st.sampled_from([group, None])))
            draft.assign(host, draw(VARIABLES))
        elif what == "child":
            try:
                draft.adopt(group, draft.group(draw(NAMES)))
            except InventoryError:
                continue
        elif what == "vars":
            draft.assign(group, draw(VARIABLES))
        elif what == "priority":
            draft.assign(group, {PRIORITY: draw(st.integers(2, 20))})
        if group.name not in ("all", "ungrouped") and draw(st.booleans()):
            draft.kinds[group.name] = draw(st.sampled_from(["site", "region", "tag"]))
    draft.finish()
    return draft


def told(inventory: Inventory) -> dict[str, Any]:
    """Return all that an inventory says, so that two that are the same say the same; values by their ``repr``."""
    return {
        "hosts": [(host.name, repr(host.vars), sorted(host.groups)) for host in inventory.hosts.values()],
        "groups": [
            (
                *(group.name, repr(group.vars), list(group.hosts), list(group.children), sorted(group.parents)),
                *(group.priority, group.depth, inventory.kinds.get(group.name)),
            )
            for group in inventory.groups.values()
        ],
        "variables": [repr(_without_files(inventory.variables(name))) for name in inventory.hosts],
        "graph": [(depth, repr(member)) for depth, member in inventory.graph()],
        "list": repr(inventory.to_ansible()),
        "selected": {name: _selected(inventory, name) for name in [*inventory.groups, "*", "all:!web"]},
    }


def _without_files(variables: dict[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in variables.items() if name not in ("inventory_dir", "inventory_file")}


def _selected(inventory: Inventory, pattern: str) -> Any:
    try:
        return [host.name for host in inventory.select(pattern)]
    except ValueError as error:
        return str(error)
