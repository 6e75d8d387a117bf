"""Ansible's YAML inventory: group names above ``hosts``, ``vars`` and ``children``."""

from __future__ import annotations

from typing import Any

from sshexec.inventory.document import Document
from sshexec.inventory.draft import Draft
from sshexec.inventory.members import Group
from sshexec.inventory.ranges import expand, split_port

_SECTIONS = ("vars", "children", "hosts")


def read_tree(draft: Draft, document: Document) -> None:
    """Add the groups of a YAML (or JSON) document.

    Raises:
        InventoryError: it has another shape.
    """
    data = document.data
    draft.line = None
    if not isinstance(data, dict):
        raise draft.error(f"must hold a mapping of groups, not {_kind(data)}")
    lines = document.lines_of(data)
    if "plugin" in data:
        draft.line = lines.get("plugin")
        raise draft.error("configures an Ansible inventory plugin (key 'plugin'); run it through a script instead")
    reader = _Reader(draft, document)
    for name, content in data.items():
        draft.line = lines.get(name)
        reader.group(name, content)


class _Reader:
    def __init__(self, draft: Draft, document: Document) -> None:
        self.draft = draft
        self.document = document

    def group(self, name: Any, content: Any) -> None:
        draft = self.draft
        group = draft.group(name)
        lines = self._enter(content, f"group {name!r}")
        for section, value in (content or {}).items():
            draft.line = lines.get(section, draft.line)
            if section not in _SECTIONS:
                draft.warn(f"unknown key {section!r} in group {name!r} is left out; it may hold {', '.join(_SECTIONS)}")
                continue
            # Ansible takes a lone name for a mapping of that name to nothing.
            entries = {value: None} if isinstance(value, str) else value
            entry_lines = self._enter(entries, f"{section!r} of group {name!r}")
            if section == "vars":
                draft.assign(group, entries or {}, entry_lines)
                continue
            for entry, inner in (entries or {}).items():
                draft.line = entry_lines.get(entry, draft.line)
                if section == "hosts":
                    self._hosts(group, entry, inner)
                else:
                    draft.adopt(group, draft.group(entry))
                    self.group(entry, inner)

    def _hosts(self, group: Group, pattern: Any, variables: Any) -> None:
        draft = self.draft
        if not isinstance(pattern, str):
            raise draft.error(f"the host name {pattern!r} in group {group.name!r} is not text; put it into quotes")
        lines = self._enter(variables, f"host {pattern!r}")
        try:
            text, port = split_port(pattern)
            names = expand(text)
        except ValueError as error:
            raise draft.error(str(error)) from None
        line = draft.line
        for name in names:
            draft.line = line
            host = draft.host(name, group, port)
            if variables:
                draft.assign(host, variables, lines)

    def _enter(self, value: Any, owner: str) -> dict[Any, int]:
        """Return the lines of a mapping's keys; nothing for nothing."""
        if value is not None and not isinstance(value, dict):
            hint = "; write each entry as a key, with a colon behind it" if isinstance(value, list) else ""
            raise self.draft.error(f"{owner} must be a mapping, not {_kind(value)}{hint}")
        return self.document.lines_of(value) if value else {}


def _kind(value: Any) -> str:
    names = {
        type(None): "nothing",
        str: "a text",
        list: "a list",
        bool: "a boolean",
        int: "a number",
        dict: "a mapping",
    }
    return names.get(type(value), f"a {type(value).__name__}")
