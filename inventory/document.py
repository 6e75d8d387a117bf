"""YAML and JSON texts as plain values, with the line of every key."""

from __future__ import annotations

import json
import re
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any

import yaml
from yaml.constructor import ConstructorError, SafeConstructor
from yaml.nodes import MappingNode, Node, ScalarNode, SequenceNode

from sshexec.credentials.vault import VaultPasswords, VaultSecret, is_vault
from sshexec.errors import InventoryError
from sshexec.inventory.members import MAX_DEPTH
from sshexec.inventory.vaulted import revived

MAX_VALUES = 3_000_000
"""How many values a document may hold once its aliases are followed: the guard against a billion laughs."""

_LOADER: Any = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
_TAG = "tag:yaml.org,2002:"
_STR, _INT, _NULL, _MERGE = f"{_TAG}str", f"{_TAG}int", f"{_TAG}null", f"{_TAG}merge"
_BREAK = re.compile(r"\r\n|[\n\r\x85\u2028\u2029]")
"""What ends a line in YAML 1.1."""
_VAULT_TAGS = ("!vault", "!vault-encrypted")
_BOOLEANS = {"yes": True, "true": True, "on": True, "no": False, "false": False, "off": False}


@dataclass
class Document:
    """The value of a text.

    Args:
        data: mappings, lists and plain values.
        lines: for each mapping, by its ``id``, the line of each key.
    """

    data: Any
    lines: dict[int, dict[Any, int]] = field(default_factory=dict)

    def lines_of(self, mapping: Any) -> dict[Any, int]:
        """Return the line of each key of one of the document's mappings; nothing where they are not known."""
        return self.lines.get(id(mapping), {})


def read_json(text: str, path: str, vault: VaultPasswords | None = None) -> Document:
    """Read a JSON text; values in it that ansible-vault has encrypted (`revived`) stay so until they are asked for.

    Args:
        text: what the file holds.
        path: the file, for messages.
        vault: opens such values, once they are asked for.

    Raises:
        InventoryError: it is no JSON, or repeats a key.
    """

    def unique(pairs: list[tuple[str, Any]]) -> Any:
        mapping = dict(pairs)
        if len(mapping) < len(pairs):
            names = [name for name, _ in pairs]
            raise InventoryError(f"the key {next(n for n in names if names.count(n) > 1)!r} stands twice", path=path)
        return revived(mapping, vault, path)

    try:
        return Document(json.loads(text, object_pairs_hook=unique))
    except json.JSONDecodeError as error:
        line = _last_line(text, error.lineno)
        raise InventoryError(f"is not valid JSON: {error.msg}", path=path, line=line) from None
    except RecursionError:
        raise InventoryError("is nested too deeply", path=path) from None
    except ValueError as error:
        if isinstance(error, InventoryError):
            raise
        raise InventoryError(f"is not valid JSON: {error}", path=path) from None


def read_yaml(text: str, path: str, vault: VaultPasswords | None = None) -> Document:
    """Read a YAML 1.1 text as Ansible does, except that a repeated key is an error.

    Ansible's ``!unsafe`` marks plain values, since nothing is templated here; ``!vault`` makes a `VaultSecret`.

    Args:
        text: what the file holds.
        path: the file, for messages.
        vault: opens what ansible-vault has encrypted, once it is asked for.

    Raises:
        InventoryError: it is no YAML, or holds what an inventory may not hold.
    """
    try:
        loader = _LOADER(text)
        try:
            node = loader.get_single_node()
        finally:
            loader.dispose()
    except yaml.MarkedYAMLError as error:
        raise _syntax_error(error, text, path) from None
    except yaml.YAMLError as error:
        position = getattr(error, "position", 0)
        line = _last_line(text, text.count("\n", 0, position) + 1)
        raise InventoryError(f"is not valid YAML: {getattr(error, 'reason', error)}", path=path, line=line) from None
    except RecursionError:
        raise InventoryError("is nested too deeply", path=path) from None
    if node is None:
        return Document(None)
    builder = _Builder(path, vault)
    return Document(builder.build(node, 0), builder.lines)


def _syntax_error(error: yaml.MarkedYAMLError, text: str, path: str) -> InventoryError:
    mark = error.problem_mark or error.context_mark
    line = None
    problem = ": ".join(part for part in (error.context, error.problem) if part)
    if "undefined alias" in problem:
        # Without its name: it may be a password.
        problem = "a text that begins with '*' and is no alias must stand in quotes"
    if mark:
        lines = text.split("\n", mark.line + 1)
        source = lines[mark.line] if mark.line < len(lines) else ""
        if "\t" in source[: len(source) - len(source.lstrip())]:
            problem = "a tab indents this line; YAML wants spaces"
        line = _last_line(text, mark.line + 1)
    return InventoryError(f"is not valid YAML: {problem}", path=path, line=line)


def _last_line(text: str, line: int) -> int:
    """Return the line, or the last one that has text where what is missing was looked for behind that."""
    return min(line, len(_BREAK.findall(text.rstrip())) + 1)


class _Builder:
    """Makes plain values of composed nodes; PyYAML's own constructor keeps no lines and takes repeated keys."""

    def __init__(self, path: str, vault: VaultPasswords | None) -> None:
        self.path = path
        self._vault = vault
        self.lines: dict[int, dict[Any, int]] = {}
        self._scalars: Any = SafeConstructor()
        self._values = 0
        self._built: dict[int, tuple[Any, int]] = {}
        self._open: set[int] = set()

    def build(self, node: Node, depth: int) -> Any:
        if isinstance(node, ScalarNode):
            self._values += 1
            return node.value if node.tag == _STR else self._scalar(node)
        known = self._built.get(id(node))
        if known is not None:
            self._count(known[1], node)
            return known[0]
        if id(node) in self._open:
            raise self._error("an alias refers to the value that it stands in", node)
        if depth > MAX_DEPTH:
            raise self._error(f"is nested deeper than {MAX_DEPTH} levels", node)
        before = self._values
        self._count(1, node)
        self._open.add(id(node))
        value: Any
        if isinstance(node, MappingNode):
            self._check_tag(node, "map")
            value = self._mapping(node, depth)
        else:
            assert isinstance(node, SequenceNode)  # noqa: S101 - YAML has no fourth kind
            self._check_tag(node, "seq")
            value = [self.build(item, depth + 1) for item in node.value]
        self._open.discard(id(node))
        self._built[id(node)] = (value, self._values - before)
        return value

    def _mapping(self, node: MappingNode, depth: int) -> dict[Any, Any]:
        mapping: dict[Any, Any] = {}
        lines: dict[Any, int] = {}
        merges: list[Node] = []
        for key_node, value_node in node.value:
            if key_node.tag == _MERGE:
                merges.append(value_node)
                continue
            if not isinstance(key_node, ScalarNode):
                raise self._error("a key must be a plain value, not a list or mapping", key_node)
            if key_node.tag in _VAULT_TAGS:
                raise self._error("a key can't be encrypted", key_node)
            key = key_node.value if key_node.tag == _STR else self._scalar(key_node)
            if key in mapping:
                raise self._error(f"the key {key!r} stands twice, first on line {lines[key]}", key_node)
            mapping[key] = self.build(value_node, depth + 1)
            lines[key] = key_node.start_mark.line + 1
        for merge in merges:
            sources = merge.value if isinstance(merge, SequenceNode) else [merge]
            self._merge(mapping, lines, sources, depth)
        self.lines[id(mapping)] = lines
        return mapping

    def _merge(self, mapping: dict[Any, Any], lines: dict[Any, int], sources: Iterable[Node], depth: int) -> None:
        for source in sources:
            if not isinstance(source, MappingNode):
                raise self._error("'<<' merges mappings only", source)
            merged = self.build(source, depth + 1)
            for key, value in merged.items():
                if key not in mapping:
                    mapping[key] = value
                    lines[key] = self.lines[id(merged)][key]

    def _scalar(self, node: ScalarNode) -> Any:
        tag, text = node.tag, node.value
        if tag == _NULL:
            return None
        if tag == _INT and text.isdecimal() and text.isascii() and (text[0] != "0" or text == "0") and len(text) < 19:
            return int(text)
        if tag == f"{_TAG}bool":
            if text.lower() in _BOOLEANS:
                return _BOOLEANS[text.lower()]
            raise self._error("this is no boolean; put it into quotes if it is text", node)
        if tag in (_STR, f"{_TAG}value", "!unsafe"):
            return text
        if tag in _VAULT_TAGS:
            return self._encrypted(node)
        if tag not in (_INT, f"{_TAG}float", f"{_TAG}timestamp"):
            raise self._unsupported(node)
        try:
            value = self._scalars.construct_object(node)
        except (ValueError, ConstructorError):
            kind = tag.removeprefix(_TAG)
            raise self._error(f"this is no {kind}; put it into quotes if it is text", node) from None
        # A date as text: so it goes through JSON unchanged.
        return value.isoformat() if tag.endswith("timestamp") else value

    def _encrypted(self, node: ScalarNode) -> VaultSecret:
        if not is_vault(node.value.lstrip()):
            raise self._error("'!vault' wants a text that ansible-vault has encrypted", node)
        return VaultSecret(node.value, self._vault, what=f"{self.path}:{node.start_mark.line + 1}")

    def _count(self, values: int, node: Node) -> None:
        self._values += values
        if self._values > MAX_VALUES:
            raise self._error(f"stands for more than {MAX_VALUES} values, aliases included", node)

    def _check_tag(self, node: Node, kind: str) -> None:
        if node.tag not in (f"{_TAG}{kind}", "!unsafe"):
            raise self._unsupported(node)

    def _unsupported(self, node: Node) -> InventoryError:
        if node.tag in _VAULT_TAGS:
            return self._error("'!vault' stands before a text only", node)
        if not node.tag.startswith(_TAG):
            # Without the tag itself: it may be a password.
            return self._error("tags are not supported; a text that begins with '!' must stand in quotes", node)
        return self._error(f"the tag {node.tag.replace(_TAG, '!!')} is not supported", node)

    def _error(self, message: str, node: Node) -> InventoryError:
        return InventoryError(message, path=self.path, line=node.start_mark.line + 1)
