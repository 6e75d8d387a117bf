"""Columns of text: a table where a person reads them, aligned lines elsewhere."""

from __future__ import annotations

import io
import os
import shutil
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from typing import Literal

from sshexec.cli.stdout import Stdout
from sshexec.cli.untrusted import harmless


@dataclass(frozen=True, slots=True)
class Cell:
    """A text in a table.

    Args:
        text: may come from anywhere: what a terminal would obey is written out, line ends become blanks.
        colour: where colours are wanted.
    """

    text: str
    colour: str | None = None


Row = Sequence[Cell | str]

_LEAST = 10
"""Characters a line of a column that is folded, however narrow the terminal."""


def table(head: Sequence[str], rows: Sequence[Row], stdout: Stdout, folded: Collection[str]) -> str:
    """Return the lines of a table.

    Args:
        head: the columns' names; those of numbers begin with ``>`` and are set to the right.
        rows: as many cells each.
        stdout: where it is going to; what is too wide for a terminal is folded, elsewhere nothing is.
        folded: the columns that may be; names and times stay whole, to be copied from there.
    """
    cells = [[cell if isinstance(cell, Cell) else Cell(cell) for cell in row] for row in rows]
    return _rich(head, cells, folded) if stdout.terminal else _plain(head, cells)


def one_line(text: str) -> str:
    """Return a text as it may stand in a line of a table."""
    return harmless(" ".join(text.split()))


def coloured(stdout: Stdout) -> bool:
    """Return whether colours are wanted there."""
    return stdout.terminal and not os.environ.get("NO_COLOR") and os.environ.get("TERM", "dumb") != "dumb"


def _plain(head: Sequence[str], rows: Sequence[Sequence[Cell]]) -> str:
    lines = [[name.lstrip(">").upper() for name in head], *([one_line(cell.text) for cell in row] for row in rows)]
    widths = [max(len(line[column]) for line in lines) for column in range(len(head))]
    text = ""
    for line in lines:
        words = [
            word.rjust(width) if name.startswith(">") else word.ljust(width)
            for name, word, width in zip(head, line, widths, strict=True)
        ]
        text += "  ".join(words).rstrip() + "\n"
    return text


def _rich(head: Sequence[str], rows: Sequence[Sequence[Cell]], folded: Collection[str]) -> str:
    from rich.cells import cell_len
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    shown = Table(box=None, pad_edge=False, header_style="bold", show_edge=False)
    least = 0
    for column, name in enumerate(head):
        justify: Literal["left", "right"] = "right" if name.startswith(">") else "left"
        title = name.lstrip(">").upper()
        narrow = max([len(title), *(cell_len(one_line(row[column].text)) for row in rows)])
        if name in folded:
            narrow = min(narrow, _LEAST)
        least += narrow + 2
        shown.add_column(title, justify=justify, overflow="fold", no_wrap=name not in folded, min_width=narrow)
    for row in rows:
        shown.add_row(*(Text(one_line(cell.text), style=cell.colour or "") for cell in row))
    into = io.StringIO()
    width = max(shutil.get_terminal_size().columns, least)  # a terminal that is narrower breaks the lines itself
    Console(file=into, force_terminal=True, width=width, height=25, highlight=False, emoji=False, markup=False).print(
        shown
    )
    return into.getvalue()
