"""Columns of text: a table where a person reads them, aligned lines elsewhere."""

from __future__ import annotations

import io
import os
import shutil
from collections.abc import Sequence
from dataclasses import dataclass

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


def table(head: Sequence[str], rows: Sequence[Row], stdout: Stdout) -> str:
    """Return the lines of a table.

    Args:
        head: the columns' names; those of numbers begin with ``>`` and are set to the right.
        rows: as many cells each.
        stdout: where it is going to; what is too wide for a terminal is folded, elsewhere nothing is.
    """
    cells = [[cell if isinstance(cell, Cell) else Cell(cell) for cell in row] for row in rows]
    return _rich(head, cells) if stdout.terminal else _plain(head, cells)


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


def _rich(head: Sequence[str], rows: Sequence[Sequence[Cell]]) -> str:
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    shown = Table(box=None, pad_edge=False, header_style="bold", show_edge=False)
    for name in head:
        justify = "right" if name.startswith(">") else "left"
        shown.add_column(name.lstrip(">").upper(), justify=justify, overflow="fold")  # type: ignore[arg-type]  # a word
    for row in rows:
        shown.add_row(*(Text(one_line(cell.text), style=cell.colour or "") for cell in row))
    into = io.StringIO()
    width = shutil.get_terminal_size().columns
    Console(file=into, force_terminal=True, width=width, highlight=False, emoji=False, markup=False).print(shown)
    return into.getvalue()
