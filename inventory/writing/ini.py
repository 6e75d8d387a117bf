"""An inventory as INI that Ansible and sshexec read back to the same."""

from __future__ import annotations

import ast
import math
import re
import shlex
import warnings
from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Any

from sshexec.errors import InventoryError
from sshexec.inventory.ini import literal
from sshexec.inventory.writing.content import Content, Vaulted
from sshexec.inventory.writing.outline import ALWAYS, LOST_ORDER, sections
from sshexec.inventory.writing.yaml import check_host

if TYPE_CHECKING:
    from sshexec.inventory.model import Inventory

_GROUP = re.compile(r"[^:\]\s]+")
_NAME = re.compile(r"\w+", re.ASCII)
_PLAIN = re.compile(r"(?!(?:True|False|None)$)[A-Za-z_/~][\w./@:-]*|\d+\.\d+\.\d+\.\d+", re.ASCII)


def to_ini(inventory: Inventory, content: Content) -> tuple[str, list[str]]:
    """Return the text of an INI inventory, and warnings.

    Args:
        inventory: hosts and groups.
        content: their variables (`sshexec.inventory.writing.content.content`).

    Raises:
        InventoryError: it holds what INI can't hold, such as an encrypted value.
    """
    for name in inventory.hosts:
        _check_host(name)
    for name in inventory.groups:
        if not _GROUP.fullmatch(name):
            raise InventoryError(f"the group name {name!r} can't be written as INI; YAML holds it")
    outline = sections(inventory)
    hosts = dict(content.hosts)
    blocks: list[list[str]] = []
    for position, node in enumerate(outline.nodes):
        if node.children:
            blocks.append([f"[{node.name}:children]", *(child.name for child in node.children)])
            continue
        lines = [_host(name, hosts.pop(name, {})) for name in node.hosts]
        # What stands before the first section is in ``ungrouped``; that group and ``all`` need none.
        if position and (lines or node.name not in ALWAYS):
            lines.insert(0, f"[{node.name}]")
        blocks.append(lines)
    for name, variables in content.groups.items():
        if variables:
            blocks.append([f"[{name}:vars]", *_settings(name, variables)])
    text = "\n\n".join("\n".join(block) for block in blocks if block)
    return f"{outline.note}{text or '[ungrouped]'}\n", [] if outline.exact else [LOST_ORDER]


def _check_host(name: str) -> None:
    check_host(name)
    if name[0] in "[;#" or name == "---" or name.endswith(":") or name != name.strip():
        raise InventoryError(f"the host name {name!r} can't be written as INI; YAML holds it")


def _host(name: str, variables: Mapping[str, Any]) -> str:
    words = [name]
    for key, value in variables.items():
        if not key or "=" in key or not key.isprintable():
            raise InventoryError(f"host {name}: the variable name {key!r} can't be written as INI; YAML holds it")
        words.append(f"{key}={_value(f'host {name}', key, value)}")
    return " ".join(map(_word, words))


def _word(text: str) -> str:
    """Return a word as `shlex` reads it; what holds quotes of its own as people write it, ``key="'08'"``."""
    key, equals, value = text.partition("=")
    if equals and "'" in value and '"' not in value and "\\" not in value and _NAME.fullmatch(key):
        return f'{key}="{value}"'
    return shlex.quote(text)


def _settings(group: str, variables: Mapping[str, Any]) -> Iterator[str]:
    for key, value in variables.items():
        if not key or "=" in key or not key.isprintable() or key != key.strip() or key[0] in "[;#":
            raise InventoryError(f"group {group}: the variable name {key!r} can't be written as INI; YAML holds it")
        yield f"{key}={_value(f'group {group}', key, value)}"


def _value(owner: str, name: str, value: Any) -> str:
    """Return a value as the text that `literal`, and Ansible, make the same value of."""
    try:
        if isinstance(value, str):
            return value if _is_plain(value) else repr(value)
        return _python(value)
    except ValueError as error:
        raise InventoryError(f"{owner}: {name!r} can't be written as INI: {error}; YAML holds it") from None


def _is_plain(text: str) -> bool:
    if _PLAIN.fullmatch(text):
        return True
    if not text or not text.isprintable() or text != text.strip():
        return False
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            ast.literal_eval(text)
    except (ValueError, SyntaxError):
        return bool(literal(text) == text)
    except (TypeError, MemoryError, RecursionError):
        pass  # Ansible does not survive it
    return False


def _python(value: Any) -> str:
    """Return a value as `ast.literal_eval` reads it."""
    if isinstance(value, Vaulted):
        raise ValueError("INI has no encrypted values (--without-secrets leaves them out)")
    if isinstance(value, float) and not math.isfinite(value):
        if math.isnan(value):
            raise ValueError("it has no such number")
        return "1e999" if value > 0 else "-1e999"
    if isinstance(value, dict):
        return "{" + ", ".join(f"{_python(key)}: {_python(item)}" for key, item in value.items()) + "}"
    if isinstance(value, list):
        return "[" + ", ".join(map(_python, value)) + "]"
    return repr(value)
