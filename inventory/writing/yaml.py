"""An inventory as YAML that Ansible and sshexec read back to the same.

The emitter is our own: PyYAML's takes several times as long, and writes long texts so that nobody can read them.
"""

from __future__ import annotations

import math
import re
from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Any

from sshexec.errors import InventoryError
from sshexec.inventory.members import MAX_DEPTH
from sshexec.inventory.ranges import expand, split_port
from sshexec.inventory.writing.content import Content, Vaulted
from sshexec.inventory.writing.outline import LOST_ORDER, Node, nested_or_flat

if TYPE_CHECKING:
    from sshexec.inventory.model import Inventory

_PLAIN = re.compile(r"[A-Za-z_/][\w./@+-]*(?: [\w./@+=][\w./@+=-]*)*|\d{1,3}(?:\.\d{1,3}){3}", re.ASCII)
_WORDS = frozenset({"yes", "no", "true", "false", "on", "off", "null", "y", "n"})
"""What some reader of YAML takes for something else than text."""
_UNSAFE = re.compile(r"[\"\\]")
_LONGEST_KEY = 1000
"""Characters of a key; YAML wants a longer one marked as such."""


def to_yaml(inventory: Inventory, content: Content) -> tuple[str, list[str]]:
    """Return the text of a YAML inventory, and warnings.

    Args:
        inventory: hosts and groups.
        content: their variables (`sshexec.inventory.writing.content.content`).

    Raises:
        InventoryError: it holds what YAML can't hold, such as a host name that would be read as several.
    """
    for name in inventory.hosts:
        check_host(name)
    outline = nested_or_flat(inventory)
    lines = list(_Writer(content).groups(outline.nodes, ""))
    return outline.note + "\n".join([*lines, ""]), [] if outline.exact else [LOST_ORDER]


def check_host(name: str) -> None:
    """Check that a host's name is read back as it is.

    Raises:
        InventoryError: a reader of files would see a range, or a port behind it.
    """
    try:
        if expand(name) == [name] and split_port(name) == (name, None):
            return
    except ValueError:
        pass
    raise InventoryError(f"the host name {name!r} can't be written: in a file it means a range of names, or a port")


class _Writer:
    """Writes each member's variables where it is named first."""

    def __init__(self, content: Content) -> None:
        self.hosts = dict(content.hosts)
        self.variables = dict(content.groups)

    def groups(self, nodes: list[Node], indent: str, depth: int = 0) -> Iterator[str]:
        for node in nodes:
            body = list(self._group(node, indent + "  ", depth + 1))
            if body or node.name != "ungrouped":
                yield head(indent, node.name)
                yield from body

    def _group(self, node: Node, indent: str, depth: int) -> Iterator[str]:
        variables = self.variables.pop(node.name, None)
        if variables:
            yield f"{indent}vars:"
            yield from mapping(variables, indent + "  ", f"group {node.name}", depth + 1)
        parts = [self._hosts(node, indent, depth), self._children(node, indent, depth)]
        for part in reversed(parts) if node.children_first else parts:
            yield from part

    def _hosts(self, node: Node, indent: str, depth: int) -> Iterator[str]:
        if node.hosts:
            yield f"{indent}hosts:"
        for name in node.hosts:
            yield head(indent + "  ", name)
            variables = self.hosts.pop(name, None)
            if variables:
                yield from mapping(variables, indent + "    ", f"host {name}", depth + 2)

    def _children(self, node: Node, indent: str, depth: int) -> Iterator[str]:
        lines = list(self.groups(node.children, indent + "  ", depth + 1))
        if lines:
            yield f"{indent}children:"
            yield from lines


def mapping(values: Mapping[Any, Any], indent: str, where: str, depth: int) -> Iterator[str]:
    """Yield the lines of a mapping.

    Args:
        values: what it holds.
        indent: blanks in front of each line.
        where: whose it is, for messages.
        depth: how many lists and mappings it stands in.

    Raises:
        InventoryError: YAML can't hold it.
    """
    for name, value in values.items():
        try:
            begin = head(indent, name)
            kind = type(value)
            if kind is str or kind is int or kind is bool:
                yield f"{begin} {scalar(value, indent)}"
            else:
                yield from _entry(begin, value, indent, where, depth + 1)
        except ValueError as error:
            if isinstance(error, InventoryError):
                raise
            raise InventoryError(f"{where}: {name!r} can't be written: {error}") from None


def _entry(begin: str, value: Any, indent: str, where: str, depth: int) -> Iterator[str]:
    """Yield the lines of a value behind its key, or behind the dash of a list."""
    if isinstance(value, Vaulted):
        yield f"{begin} !vault {scalar(value.ciphertext, indent)}"
    elif not isinstance(value, (dict, list)):
        yield f"{begin} {scalar(value, indent)}"
    elif depth > MAX_DEPTH:
        raise ValueError(f"it is nested too deeply: a file may have {MAX_DEPTH} levels")
    elif not value:
        yield f"{begin} {'[]' if isinstance(value, list) else '{}'}"
    else:
        further = indent + "  "
        inner = (
            _items(value, further, where, depth) if isinstance(value, list) else mapping(value, further, where, depth)
        )
        if begin[-1] == "-":
            # The first stands on the line of the dash.
            begin = f"{begin} {next(inner).lstrip(' ')}"
        yield begin
        yield from inner


def _items(values: list[Any], indent: str, where: str, depth: int) -> Iterator[str]:
    for each in values:
        yield from _entry(f"{indent}-", each, indent, where, depth + 1)


def head(indent: str, name: Any) -> str:
    """Return a key with its colon."""
    text = _quoted(name) if isinstance(name, str) else scalar(name, "")
    return f"{indent}{text}:" if len(text) <= _LONGEST_KEY else f"{indent}? {text}\n{indent}:"


def scalar(value: Any, indent: str) -> str:
    """Return a plain value; a text of several lines as a block, where it reads well.

    Raises:
        ValueError: YAML can't hold it.
    """
    if isinstance(value, str):
        return _block(value, indent) if "\n" in value else _quoted(value)
    if value is None:
        return "null"
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, int):
        return int.__repr__(value)
    if math.isfinite(value):
        text = float.__repr__(value)
        # YAML 1.1 wants a point before the exponent.
        return text if "." in text else text.replace("e", ".0e")
    return ".nan" if math.isnan(value) else ".inf" if value > 0 else "-.inf"


def _quoted(text: str) -> str:
    if _PLAIN.fullmatch(text) and text.lower() not in _WORDS:
        return text
    if text.isprintable():
        return f'"{_UNSAFE.sub(_escaped, text)}"'
    return '"' + "".join(char if char.isprintable() and char not in '"\\' else _escape(char) for char in text) + '"'


def _escaped(match: re.Match[str]) -> str:
    return f"\\{match[0]}"


def _escape(char: str) -> str:
    code = ord(char)
    if char in '"\\':
        return f"\\{char}"
    if 0xD800 <= code < 0xE000:
        raise ValueError("it holds a lone surrogate, which YAML does not have")
    short = {"\n": "\\n", "\t": "\\t", "\0": "\\0"}.get(char)
    return short or (f"\\x{code:02x}" if code < 0x100 else f"\\u{code:04x}" if code < 0x10000 else f"\\U{code:08x}")


def _block(text: str, indent: str) -> str:
    """Return a text of several lines as a literal block; in quotes where a block would not show what it is."""
    lines = text.removesuffix("\n").split("\n")
    first, last = lines[0], lines[-1]
    shown = all(not line or (line.isprintable() and line.strip(" ")) for line in lines)
    if not shown or not first or first[0] == " " or not last:
        return _quoted(text)
    return "\n".join(["|" if text[-1] == "\n" else "|-", *(f"{indent}  {line}" if line else "" for line in lines)])
