"""Hosts from a spreadsheet: CSV with a header, a host a line.

Everything is checked before anything is taken: a file with a wrong line gives all its wrong lines, and no host.
"""

from __future__ import annotations

import contextlib
import csv
import difflib
import functools
import io
import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

from sshexec.errors import InventoryError
from sshexec.inventory.draft import Draft
from sshexec.inventory.ranges import expand, split_port
from sshexec.scalars import whole_number

COLUMNS = {
    "name": "name",
    "host": "name",
    "hostname": "name",
    "inventory_hostname": "name",
    "address": "ansible_host",
    "ip": "ansible_host",
    "ip address": "ansible_host",
    "ansible_host": "ansible_host",
    "port": "ansible_port",
    "ansible_port": "ansible_port",
    "user": "ansible_user",
    "ansible_user": "ansible_user",
    "group": "groups",
    "groups": "groups",
    "site": "site",
    "region": "region",
    "tag": "tags",
    "tags": "tags",
}
"""What the header may call the columns that mean something, in any case; any other column is a variable."""
PREFIX = "vars."
"""In front of the name of a variable that is called like one of them."""
TEXT = "'"
"""In front of a cell: what follows is text, though it looks like a number or a formula. As in Excel."""

_KINDS = ("site", "region", "tags")
_SEPARATOR = ";"
_DELIMITERS = ",;\t"
_VARIABLE = re.compile(r"[A-Za-z_]\w*", re.ASCII)
_NUMBER = re.compile(r"0|-?[1-9][0-9]{0,17}", re.ASCII)
_BOOLEANS = {"true": True, "false": False}
_PATTERN = re.compile(r"[,:*?\[\]\"']|^[&!~@]")
"""What a host pattern takes for something else than a part of a name."""


class RejectedLinesError(InventoryError):
    """Lines of a spreadsheet are wrong; nothing of it is taken.

    Args:
        rejected: the number of each wrong line and what is wrong with it, in their order.
        path: the file.
    """

    def __init__(self, rejected: list[tuple[int, str]], path: str | None) -> None:
        line, reason = rejected[0]
        more = f" ({len(rejected)} lines are rejected)" if len(rejected) > 1 else ""
        super().__init__(f"{reason}{more}", path=path, line=line)
        self.rejected = rejected


@dataclass(slots=True)
class _Row:
    line: int
    name: str
    variables: dict[str, Any] = field(default_factory=dict)
    groups: list[str] = field(default_factory=list)
    site: str = ""
    region: str = ""


def read_spreadsheet(draft: Draft, text: str) -> None:
    """Add the hosts of a CSV text.

    The first line names the columns (`COLUMNS`), but for remarks above it that begin with ``#``; ``,``, ``;`` or a tab
    divides them. Names of groups and tags are divided by ``;``. An empty cell sets nothing; whole numbers, ``TRUE`` and
    ``FALSE`` are such, anything else is text.

    Args:
        draft: the inventory in the making. Of groups that are sites, regions or tags it learns the kind.
        text: the whole file.

    Raises:
        RejectedLinesError: lines are wrong.
        InventoryError: the header is.
    """
    lines = _Lines(draft, text)
    try:
        columns = _columns(draft, next(lines.rows, (1, []))[1])
        reader = _Reader(columns)
        for line, cells in lines.rows:
            draft.line = line
            reader.read(line, cells)
    except csv.Error as error:
        raise draft.error(f"is no CSV: {error}") from None
    if reader.rejected:
        raise RejectedLinesError(sorted(reader.rejected), draft.path)
    if not reader.rows:
        draft.line = None
        raise draft.error("the spreadsheet names no host")
    for row in reader.rows.values():
        _add(draft, row, reader.kinds)


class _Lines:
    """The rows of a CSV text that hold something, each with the number of its first line."""

    def __init__(self, draft: Draft, text: str) -> None:
        # As the csv module counts lines; Python's texts end theirs at more characters.
        lines = list(io.StringIO(text, newline=""))
        self._first = 1
        delimiter = None
        if lines and re.fullmatch(r"sep=[,;\t]\s*", lines[0]):
            # Excel's own line for it.
            delimiter, self._first = lines.pop(0)[4], 2
        if delimiter is None:
            header = re.sub(r'"[^"]*"', "", next((line for line in lines if line.strip() and not _remark(line)), ""))
            delimiter = max(_DELIMITERS, key=header.count)
        self._draft = draft
        self._reader = csv.reader(lines, delimiter=delimiter, strict=True)
        self.rows = self._read()

    def _read(self) -> Iterator[tuple[int, list[str]]]:
        begin = True
        while True:
            line = self._reader.line_num + self._first
            self._draft.line = line
            try:
                cells = next(self._reader)
            except StopIteration:
                return
            cells = [cell.strip() for cell in cells]
            if any(cells) and not (begin and _remark(cells[0]) and not any(cells[1:])):
                begin = False
                yield line, cells


def _remark(text: str) -> bool:
    """Return whether a line above the header is about the file; one with several cells may be the header."""
    return text.startswith("#") and not any(delimiter in text for delimiter in _DELIMITERS)


def _columns(draft: Draft, header: list[str]) -> list[str]:
    """Return for each column the variable, or what else it holds."""
    if not any(COLUMNS.get(title.lower()) == "name" for title in header):
        # Without the line itself: if it is no header, there may be a password in it.
        raise draft.error("no column is called 'name' ('host', 'hostname'); the first line must name the columns")
    columns: list[str] = []
    for title in header:
        name = _column(draft, title)
        if name and name in columns:
            raise draft.error(f"two columns are the {name.removeprefix('=')!r} of a host")
        columns.append(name)
    return columns


def _column(draft: Draft, title: str) -> str:
    if not title:
        return ""
    known = COLUMNS.get(title.lower())
    if known is not None:
        return f"={known}" if known in ("groups", *_KINDS) else known
    name = title.removeprefix(PREFIX)
    if not _VARIABLE.fullmatch(name):
        hint = re.sub(r"\W+", "_", title.lower(), flags=re.ASCII).strip("_")
        raise draft.error(f"the column {title!r} can't be a variable's name; call it {hint or 'x'!r}, say")
    if name == title:
        close = difflib.get_close_matches(title.lower(), COLUMNS, 1, 0.8)
        if close:
            raise draft.error(
                f"the column {title!r}: did you mean {close[0]!r}? A variable of that name is {PREFIX + title!r}"
            )
    # A variable may be called as what a spreadsheet has a column for.
    return name if name != "name" else f"{PREFIX}name"


@functools.lru_cache(maxsize=4096)
def title_of(variable: str) -> str | None:
    """Return what a column is called that holds a variable; None where a spreadsheet can't have it."""
    if not _VARIABLE.fullmatch(variable):
        return None
    for title in (variable, PREFIX + variable):
        with contextlib.suppress(InventoryError):
            column = _column(Draft(), title)
            if column != "name" and column.removeprefix(PREFIX) == variable:
                return title
    return None


def is_name(kind: str, name: str) -> bool:
    """Return whether a cell can name a host, or a group of some kind."""
    try:
        if kind == "host":
            return _host_name(name) == name
        return _Reader([])._group(0, kind, name) == name.strip() and _SEPARATOR not in name
    except ValueError:
        return False


def holds(variable: str, cell: str) -> bool:
    """Return whether a cell can be that of a variable."""
    try:
        _variable(variable, cell)
    except ValueError:
        return False
    return True


class _Reader:
    """Checks row by row, and remembers what was said on which line."""

    def __init__(self, columns: list[str]) -> None:
        self.columns = columns
        self.rows: dict[str, _Row] = {}
        self.kinds: dict[str, tuple[str, int]] = {}
        self.regions: dict[str, tuple[str, int]] = {}
        self.rejected: list[tuple[int, str]] = []

    def read(self, line: int, cells: list[str]) -> None:
        try:
            row = self._row(line, cells)
        except ValueError as error:
            self.rejected.append((line, str(error)))
        else:
            self.rows[row.name] = row

    def _row(self, line: int, cells: list[str]) -> _Row:
        if any(cells[len(self.columns) :]):
            raise ValueError(f"it has {len(cells)} cells, and there are {len(self.columns)} columns")
        values = {column: cell for column, cell in zip(self.columns, cells, strict=False) if cell}
        if "" in values:
            raise ValueError("a cell stands in a column without a name")
        row = _Row(line, _host_name(values.pop("name", "")))
        before = self.rows.get(row.name)
        if before is not None:
            raise ValueError(f"the host {row.name!r} stands on line {before.line} already")
        row.groups = [self._group(line, "group", name) for name in _names(values.pop("=groups", ""))]
        row.groups = [name for name in row.groups if name not in ("all", "ungrouped")]
        row.region = self._group(line, "region", _plain(values.pop("=region", "")))
        row.site = self._group(line, "site", _plain(values.pop("=site", "")))
        self._place(row)
        row.groups += [self._group(line, "tag", name) for name in _names(values.pop("=tags", ""))]
        row.variables = {name.removeprefix(PREFIX): _variable(name, cell) for name, cell in values.items()}
        return row

    def _group(self, line: int, kind: str, name: str) -> str:
        """Return the name of a group, once it is known to be of no other kind."""
        if not name:
            return ""
        if not name.isprintable() or _PATTERN.search(name):
            raise ValueError(f"the {kind} name {name!r} holds a character that means something else in host patterns")
        if kind != "group" and name in ("all", "ungrouped"):
            raise ValueError(f"no {kind} can be called {name!r}")
        if kind in ("site", "region") and _SEPARATOR in name:
            raise ValueError(f"a host has one {kind}, and {name!r} are several")
        other, first = self.kinds.setdefault(name, (kind, line))
        if other != kind:
            raise ValueError(f"{name!r} is a {kind} here, and a {other} on line {first}")
        return name

    def _place(self, row: _Row) -> None:
        if row.site and row.region:
            region, first = self.regions.setdefault(row.site, (row.region, row.line))
            if region != row.region:
                raise ValueError(f"the site {row.site!r} is in {row.region!r} here, and in {region!r} on line {first}")


def _host_name(text: str) -> str:
    text = _plain(text)
    if not text:
        raise ValueError("it has no host name")
    try:
        name, port = split_port(text)
        several = expand(name) != [text] and port is None
    except ValueError:
        several, port = True, None
    if port is not None:
        raise ValueError(f"the host name {text!r} ends in a port, which has a column of its own: port")
    if several:
        raise ValueError(f"{text!r} stands for several hosts; give each a line")
    if not text.isprintable() or any(char.isspace() for char in text):
        raise ValueError(f"the host name {text!r} holds blanks or characters that can't be printed")
    if _PATTERN.search(text.replace(":", "")) or _SEPARATOR in text:
        raise ValueError(f"the host name {text!r} holds a character that means something else in host patterns")
    return text


def _names(text: str) -> list[str]:
    return list(dict.fromkeys(filter(None, (_plain(part.strip()) for part in _plain(text).split(_SEPARATOR)))))


def _plain(cell: str) -> str:
    return cell.removeprefix(TEXT)


def _variable(name: str, cell: str) -> Any:
    """Return the value of a cell."""
    if name == "ansible_port":
        try:
            port = whole_number(_plain(cell))
        except ValueError:
            port = 0
        if not 1 <= port <= 65535:
            # Without the cell: where cells are in the wrong columns, it may be a password.
            raise ValueError("the port is no number between 1 and 65535")
        return port
    if name in ("ansible_host", "ansible_user"):
        if not cell.isprintable() or any(char.isspace() for char in cell):
            raise ValueError(f"the {'address' if name == 'ansible_host' else 'user'} holds blanks")
        return _plain(cell)
    return value(cell)


def value(cell: str) -> Any:
    """Return what a cell of a variable holds: a whole number, a boolean, or a text."""
    if cell[:1] == TEXT:
        return cell[1:]
    if _NUMBER.fullmatch(cell):
        return int(cell)
    return _BOOLEANS.get(cell.lower(), cell)


def _add(draft: Draft, row: _Row, kinds: dict[str, tuple[str, int]]) -> None:
    """Put a host, which is right, into the inventory."""
    draft.line = row.line
    host = draft.host(row.name)
    for name in row.groups or ([] if row.site or row.region else ["ungrouped"]):
        draft.host(row.name, draft.group(name))
    if row.region:
        region = draft.group(row.region)
        if row.site:
            draft.adopt(region, draft.group(row.site))
        else:
            draft.host(row.name, region)
    if row.site:
        draft.host(row.name, draft.group(row.site))
    for name in (*row.groups, row.site, row.region):
        kind = kinds[name][0] if name else "group"
        if kind != "group":
            draft.kinds[name] = kind
    draft.assign(host, row.variables)
