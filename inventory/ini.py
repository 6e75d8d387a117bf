"""Ansible's INI inventory: hosts with ``key=value`` under ``[group]``, ``[group:vars]``, ``[group:children]``."""

from __future__ import annotations

import ast
import re
import shlex
import warnings
from typing import Any

from sshexec.inventory.draft import Draft
from sshexec.inventory.members import Group
from sshexec.inventory.ranges import expand, split_port

_SECTION = re.compile(r"\[([^:\]\s]+)(?::(\w+))?\]\s*(?:#.*)?")
_GROUP_NAME = re.compile(r"([^:\]\s]+)\s*(?:#.*)?")
_QUOTING = re.compile(r"[\"'\\#]|[^\x00-\x7f]")
_PLAIN = re.compile(r"(?!(?:True|False|None)$)[A-Za-z_/~][\w./@:-]*|\d+\.\d+\.\d+\.\d+", re.ASCII)
"""What `ast.literal_eval` would refuse anyway, which takes it 20 times as long to find out."""
_INTEGER = re.compile(r"0|[1-9][0-9]{0,17}")


def read_ini(draft: Draft, text: str) -> None:
    """Add the hosts and groups of an INI text.

    Raises:
        InventoryError: a line is wrong, or a section is about a group that nothing defines.
    """
    reader = _Reader(draft)
    for number, line in enumerate(text.split("\n"), 1):
        stripped = line.strip()
        if stripped and stripped[0] not in "#;":
            draft.line = number
            reader.read(stripped)
    reader.finish()


class _Reader:
    def __init__(self, draft: Draft) -> None:
        self.draft = draft
        self.group: str = "ungrouped"
        self.kind = "hosts"
        # What was said about groups before they were defined, and on which line.
        self.parents: dict[str, list[tuple[Group, int | None]]] = {}
        self.undefined: dict[str, int | None] = {}

    def read(self, line: str) -> None:
        if line[0] == "[":
            found = _SECTION.fullmatch(line)
            if found:
                self._open(found[1], found[2] or "hosts")
                return
            if line[-1] == "]":
                raise self.draft.error(f"{line} is no section: write [group], [group:vars] or [group:children]")
        if self.kind == "hosts":
            self._host(line)
        elif self.kind == "vars":
            self._variable(line)
        else:
            self._child(line)

    def finish(self) -> None:
        for name, parents in self.parents.items():
            parent, self.draft.line = parents[0]
            raise self.draft.error(f"section [{parent.name}:children] names the undefined group {name!r}")
        for name, line in self.undefined.items():
            self.draft.line = line
            raise self.draft.error(f"section [{name}:vars] is about the undefined group {name!r}")

    def _open(self, name: str, kind: str) -> None:
        if kind not in ("hosts", "vars", "children"):
            raise self.draft.error(f"section [{name}:{kind}] is of an unknown kind; there are hosts, vars and children")
        self.group, self.kind = name, kind
        if kind == "vars":
            if name not in self.draft.groups:
                self.undefined[name] = self.draft.line
                # From here on it has its place among the groups, as in Ansible: the order of the hosts hangs on it.
                self.draft.group(name)
            return
        group = self.draft.group(name)
        self.undefined.pop(name, None)
        here = self.draft.line
        for parent, line in self.parents.pop(name, ()):
            self.draft.line = line
            self.draft.adopt(parent, group)
        self.draft.line = here

    def _host(self, line: str) -> None:
        draft = self.draft
        try:
            words = shlex.split(line, comments=True) if _QUOTING.search(line) else line.split()
            if not words:
                return
            pattern = words[0]
            if pattern == "---":
                raise ValueError("'---' begins a YAML file; give it the extension .yml")
            text, port = split_port(pattern)
            if text.endswith(":") and not text.endswith("::"):
                raise ValueError(f"{pattern!r} ends in a colon; is this a YAML file? Give it the extension .yml")
            names = expand(text)
        except ValueError as error:
            raise draft.error(str(error)) from None
        variables: dict[str, Any] = {}
        for position, word in enumerate(words[1:], 2):
            name, equals, value = word.partition("=")
            if not equals or not name:
                # Without the word itself: it may be the rest of a password with a blank in it.
                raise draft.error(
                    f"word {position}, behind host {pattern!r}, is no key=value; put quotes round blanks "
                    "(or is this no inventory?)"
                )
            variables[name] = literal(value)
        group = draft.groups[self.group]
        for name in names:
            draft.assign(draft.host(name, group, port), variables)

    def _variable(self, line: str) -> None:
        name, equals, value = line.partition("=")
        name = name.strip()
        if not equals or not name:
            raise self.draft.error(f"this is no key=value, which section [{self.group}:vars] wants")
        self.draft.assign(self.draft.groups[self.group], {name: literal(value.strip())})

    def _child(self, line: str) -> None:
        found = _GROUP_NAME.fullmatch(line)
        if not found:
            raise self.draft.error(f"expected a group's name in section [{self.group}:children], got {line!r}")
        parent = self.draft.groups[self.group]
        if found[1] in self.draft.groups:
            self.draft.adopt(parent, self.draft.groups[found[1]])
        else:
            self.parents.setdefault(found[1], []).append((parent, self.draft.line))


def literal(text: str) -> Any:
    """Return the value of a Python literal (``80``, ``True``, ``[1, 2]``, ``'08'``), any other text as it stands.

    So does Ansible, in ``[group:vars]`` too, whatever its documentation says there.
    """
    if _PLAIN.fullmatch(text):
        return text
    if _INTEGER.fullmatch(text):
        return int(text)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            value = ast.literal_eval(text)
    except (ValueError, SyntaxError, TypeError, MemoryError, RecursionError):
        return text
    try:
        return _plain(value)
    except (ValueError, TypeError):  # a key that became a list
        return text


def _plain(value: Any) -> Any:
    """Return a value as JSON knows it; tuples and sets become lists, bytes and complex numbers texts, as in Ansible.

    Raises:
        ValueError: JSON knows no such value.
    """
    if value is None or isinstance(value, (bool, int, float, str)):
        return value
    if isinstance(value, complex) or value is ...:
        return "..." if value is ... else str(value)
    if isinstance(value, bytes):
        return value.decode()
    if isinstance(value, dict):
        return {_plain(key): _plain(inner) for key, inner in value.items()}
    if isinstance(value, (set, frozenset)):
        value = sorted(value, key=repr)
    if isinstance(value, (list, tuple)):
        return [_plain(inner) for inner in value]
    raise ValueError(f"{type(value).__name__} is no JSON value")
