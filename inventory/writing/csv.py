"""The hosts of an inventory as a spreadsheet."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from sshexec.inventory.spreadsheet import TEXT, holds, is_name, title_of, value
from sshexec.inventory.writing.content import Content

if TYPE_CHECKING:
    from sshexec.inventory.model import Group, Inventory

_TITLES = {"ansible_host": "address", "ansible_port": "port", "ansible_user": "user"}
_SPECIAL = re.compile(r'[",\r\n]')
_NO_TEXT = re.compile("[\0\ud800-\udfff]")
"""What no file of text holds."""
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
    unheld = places = 0
    for name, host in inventory.hosts.items():
        cells, more = _groups(list(host.groups.values()), kinds)
        places += more
        row = {"name": _cell(name)} | cells
        for variable, held in content.hosts[name].items():
            title = _TITLES.get(variable) or title_of(variable)
            cell = _value(held)
            if title is None or cell is None or (variable in _TITLES and not holds(variable, cell)):
                unheld += 1
            else:
                row[title] = cell
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
    return text, _warnings(inventory, content, unheld, places)


def _quoted(cell: str) -> str:
    """Return a cell in quotes where it needs them; Python's csv leaves a lone carriage return without."""
    return '"' + cell.replace('"', '""') + '"' if _SPECIAL.search(cell) else cell


def _groups(groups: list[Group], kinds: Mapping[str, str]) -> tuple[dict[str, str], int]:
    """Return the cells that say where a host belongs, and how many sites and regions they have no room for."""
    found: dict[str, list[str]] = {"groups": [], "site": [], "region": [], "tags": []}
    above: list[str] = []
    for group in groups:
        kind = kinds.get(group.name, "groups")
        if group.name not in ("all", "ungrouped"):
            found["tags" if kind == "tag" else kind].append(group.name)
        if kind == "site" and not above:
            above = [name for name in group.parents if kinds.get(name) == "region"]
    direct = found["region"]
    if found["site"]:
        found["region"] = above
    more = sum(len(found[kind][1:]) for kind in ("site", "region")) + (len(direct) if found["site"] else 0)
    found["site"], found["region"] = found["site"][:1], found["region"][:1]
    return {title: _cell(";".join(names)) for title, names in found.items() if names}, more


def _value(held: Any) -> str | None:
    """Return a cell that is read as this value; None where there is none."""
    if isinstance(held, bool):
        return "TRUE" if held else "FALSE"
    if isinstance(held, int):
        cell = str(held)
        return cell if value(cell) == held else None
    if not isinstance(held, str) or held != held.strip() or not 0 < len(held) < _LONGEST or _NO_TEXT.search(held):
        return None
    return _cell(held)


def _cell(text: str) -> str:
    return TEXT + text if text.startswith(_FORMULA) or not isinstance(value(text), str) else text


def _warnings(inventory: Inventory, content: Content, unheld: int, places: int) -> list[str]:
    """Return what a spreadsheet does not tell, a line each."""
    told = []
    with_variables = sum(bool(variables) for variables in content.groups.values())
    if with_variables:
        told.append(f"a spreadsheet has no variables of groups: those of {with_variables} are left out")
    if unheld:
        told.append(
            "a spreadsheet has no lists, fractions, empty or huge texts, nor odd names of variables: "
            f"{unheld} variables of hosts are left out"
        )
    if places:
        told.append(f"a spreadsheet has one site and one region for a host: {places} others are left out")
    kinds = inventory.kinds
    named = [("host", name) for name in inventory.hosts]
    named += [(kinds.get(name, "group"), name) for name in inventory.groups]
    odd = [name for kind, name in named if not is_name(kind, name)]
    if odd:
        told.append(
            f"it can't be read back: {len(odd)} names of hosts or groups mean something else, such as {odd[0]!r}"
        )
    nested = sum(
        bool(group.children) for group in inventory.groups.values() if group.name != "all" and group.name not in kinds
    )
    empty = sum(not group.hosts and not group.children for group in inventory.groups.values())
    if nested or empty > (not inventory.groups["ungrouped"].hosts):
        told.append("a spreadsheet has no groups within groups, nor groups without hosts: they are left out")
    return told
