"""The JSON that inventory scripts print for ``--list``, and that plugins return."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from sshexec.inventory.draft import Draft
from sshexec.inventory.members import Host

_SECTIONS = ("hosts", "children", "vars")


def is_listing(data: Any) -> bool:
    """Return whether a JSON document is such a listing rather than a tree of groups."""
    return isinstance(data, dict) and "_meta" in data


def read_listing(draft: Draft, data: Any, ask: Callable[[str], Any] | None = None) -> None:
    """Add the groups and hosts of a listing.

    Args:
        draft: the inventory in the making.
        data: ``{group: {"hosts": [], "vars": {}, "children": []}, "_meta": {"hostvars": {host: {}}}}``; a bare list
            stands for a group's hosts, a mapping without any of the three for the variables of a host.
        ask: asks for the variables of one host, where there is no ``_meta``.

    Raises:
        InventoryError: it has another shape.
    """
    draft.line = None
    if not isinstance(data, Mapping):
        raise draft.error(f"must be an object of groups, not {type(data).__name__}")
    meta = data.get("_meta", {})
    known = meta.get("hostvars", {}) if isinstance(meta, Mapping) else None
    if not isinstance(known, Mapping):
        raise draft.error("'_meta' must be an object that holds an object 'hostvars'")
    hosts: dict[str, Host] = {}
    for name, content in data.items():
        if name != "_meta":
            _read_group(draft, hosts, name, content)
    for name, host in hosts.items():
        variables = ask(name) if ask is not None and "_meta" not in data else known.get(name)
        if variables is not None and not isinstance(variables, Mapping):
            raise draft.error(f"the variables of host {name!r} must be an object, not {type(variables).__name__}")
        draft.assign(host, variables or {})


def _read_group(draft: Draft, hosts: dict[str, Host], name: Any, content: Any) -> None:
    group = draft.group(name)
    if isinstance(content, (list, tuple)):
        content = {"hosts": content}
    elif not isinstance(content, Mapping):
        raise draft.error(f"group {name!r} must be an object or a list, not {type(content).__name__}")
    elif content and not any(section in content for section in _SECTIONS):
        content = {"hosts": [name], "vars": content}
    for section in content:
        if section not in _SECTIONS:
            draft.warn(f"unknown key {section!r} in group {name!r} is left out; it may hold {', '.join(_SECTIONS)}")
    for section in ("hosts", "children"):
        if not isinstance(content.get(section) or [], (list, tuple)):
            raise draft.error(f"{section!r} of group {name!r} must be a list")
    variables = content.get("vars") or {}
    if not isinstance(variables, Mapping):
        raise draft.error(f"'vars' of group {name!r} must be an object")
    for host in content.get("hosts") or []:
        hosts[host] = draft.host(host, group)
    draft.assign(group, variables)
    for child in content.get("children") or []:
        draft.adopt(group, draft.group(child))
