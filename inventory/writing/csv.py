"""The hosts of an inventory as a spreadsheet."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from sshexec.inventory.spreadsheet import COLUMNS, PREFIX, TEXT, value
from sshexec.inventory.writing.content import Content

if TYPE_CHECKING:
    from sshexec.inventory.model import Group, Inventory

_TITLES = {"ansible_host": "address", "ansible_port": "port", "ansible_user": "user"}
_SPECIAL = re.compile(r'[",\r\n]')
_LONGEST = 100_000
"""Characters of a cell: Python's csv reads no more than 131,072."""
_FORMULA = ("=", "+", "-", "@", "\t", TEXT)
"""A spreadsheet would take for a formula what begins so, and run it."""


def to_csv(inventory: Inventory, content: Content) -> tuple[str, list[str]]:
    """Return a line for each host, and warnings about what a spreadsheet has no place for.

    It has the hosts, the groups that they are in directly, and their own variables that are texts, whole numbers or
    booleans. What looks like a number or a formula and is text gets a ``'`` in front, which Excel and the reader know.

    Args:
        inventory: hosts and groups.
        content: their variables (`sshexec.inventory.writing.content.content`).
    """
    kinds = inventory.kinds
    rows = []
    unheld = 0
    for name, host in inventory.hosts.items():
        row = {"name": _cell(name)} | _groups(list(host.groups.values()), kinds)
        for variable, held in content.hosts[name].items():
            cell = _value(held)
            if cell is None:
                unheld += 1
            else:
                row[_title(variable)] = cell
        rows.append(row)
    known = [*("name", "address", "port", "user", "groups", "site", "region", "tags")]
    used = dict.fromkeys(title for row in rows for title in row)
    titles = [
        "name",
        *(title for title in known[1:] if title in used),
        *(title for title in used if title not in known),
    ]
    lines = [titles, *([row.get(title, "") for title in titles] for row in rows)]
    text = "".join(",".join(map(_quoted, line)) + "\n" for line in lines)
    return text, _warnings(inventory, content, unheld)


def _quoted(cell: str) -> str:
    """Return a cell in quotes where it needs them; Python's csv leaves a lone carriage return without."""
    return '"' + cell.replace('"', '""') + '"' if _SPECIAL.search(cell) else cell


def _groups(groups: list[Group], kinds: Mapping[str, str]) -> dict[str, str]:
    """Return the cells that say where a host belongs."""
    found: dict[str, list[str]] = {}
    for group in groups:
        kind = kinds.get(group.name, "groups")
        if group.name not in ("all", "ungrouped"):
            found.setdefault("tags" if kind == "tag" else kind, []).append(group.name)
        if kind == "site":
            above = [name for name in group.parents if kinds.get(name) == "region"]
            found.setdefault("region", []).extend(above)
    return {title: _cell(";".join(names)) for title, names in found.items() if names}


def _title(variable: str) -> str:
    known = _TITLES.get(variable)
    return known or (PREFIX + variable if variable.lower() in COLUMNS else variable)


def _value(held: Any) -> str | None:
    """Return a cell that is read as this value; None where there is none."""
    if isinstance(held, bool):
        return "TRUE" if held else "FALSE"
    if isinstance(held, int):
        cell = str(held)
        return cell if value(cell) == held else None
    if not isinstance(held, str) or held != held.strip() or not 0 < len(held) < _LONGEST:
        return None
    return _cell(held)


def _cell(text: str) -> str:
    return TEXT + text if text.startswith(_FORMULA) or not isinstance(value(text), str) else text


def _warnings(inventory: Inventory, content: Content, unheld: int) -> list[str]:
    """Return what a spreadsheet does not tell, a line each."""
    told = []
    with_variables = sum(bool(variables) for variables in content.groups.values())
    if with_variables:
        told.append(f"a spreadsheet has no variables of groups: those of {with_variables} are left out")
    if unheld:
        told.append(
            f"a spreadsheet has no lists, fractions, empty or huge texts: {unheld} variables of hosts are left out"
        )
    kinds = inventory.kinds
    nested = sum(
        bool(group.children) for group in inventory.groups.values() if group.name != "all" and group.name not in kinds
    )
    empty = sum(not group.hosts and not group.children for group in inventory.groups.values())
    if nested or empty > (not inventory.groups["ungrouped"].hosts):
        told.append("a spreadsheet has no groups within groups, nor groups without hosts: they are left out")
    return told
