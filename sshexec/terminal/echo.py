"""The line of a terminal that the cursor is on, as far as it can be told from what a program writes.

It is what a shell shows of the command that is being typed: what was completed, called back from the history or edited
is on it, and a password is not. Only what shells use to edit a line is understood; whatever moves the cursor somewhere
else makes the line unknown, which is the worst that can happen.
"""

from __future__ import annotations

import codecs
import re
import unicodedata
from collections.abc import Callable

_TOKEN = re.compile(
    r"[^\x00-\x1f\x7f]+"
    r"|\x1b\[([0-?]*)[ -/]*([@-~])"  # CSI
    r"|\x1b[\]PX^_][^\x07\x1b]*(?:\x07|\x1b\\)"  # OSC and other strings
    r"|\x1b[ -/]*[0-OQ-WYZ\\`-~]"
    r"|[\x00-\x1a\x1c-\x1f\x7f]",
)

_LONGEST = 4096
"""Cells that a line is followed for."""

_TAIL = 16 * 1024
"""Bytes after the last line's end that are looked at."""

_SCREENS = ("1049", "1047", "47")
"""Modes of the alternate screen, on which full-screen programs draw."""

_SCREEN = re.compile(rb"\x1b\[\?(?:1049|1047|47)([hl])")


class Echo:
    """Follows the cursor's line.

    Args:
        columns: how wide the terminal is.
    """

    def __init__(self, columns: int = 80) -> None:
        self.columns = columns
        self.alternate = False
        """Whether a full-screen program draws."""
        self._decoder = codecs.getincrementaldecoder("utf-8")("replace")
        self._rest = ""
        self._cells: list[str] = []
        self._at = 0
        self._wraps = False
        """Whether the cursor stands behind the last column: the next character wraps, and a return does not."""

    @property
    def at(self) -> int:
        """The cursor's place, in cells from the line's beginning."""
        return self._at

    def text(self, start: int = 0) -> str:
        """Return what is on the line from a place on, without the blanks at its end.

        Args:
            start: number of cells to leave out.
        """
        return "".join(self._cells[start:]).rstrip()

    def feed(self, data: bytes, ended: Callable[[], None] | None) -> bool:
        """Take what a program wrote; return whether a line ended in it.

        Args:
            data: any piece of it.
            ended: called before each line is left; None: nobody wants to know, and all but the last line is skipped,
                so that a flood costs next to nothing.
        """
        lines = False
        if ended is None:
            last = data.rfind(b"\n")
            lines = last >= 0
            if lines or len(data) > _TAIL:
                self._skip(data[: last + 1])
                data = data[max(last + 1, len(data) - _TAIL) :]
        text = self._rest + self._decoder.decode(data)
        self._rest = ""
        at = 0
        while at < len(text):
            match = _TOKEN.match(text, at)
            if match is None:
                # The beginning of an escape sequence, or one that never ends.
                self._rest = text[at:] if len(text) - at < _LONGEST else ""
                break
            at = match.end()
            if match[0] == "\n":
                lines = True
                if ended is not None and not self.alternate:
                    ended()
                self.clear()
            elif match[2] is not None:
                self._control(match[2], match[1])
            elif match[0][0] >= " ":
                self._print(match[0])
            else:
                self._move(match[0])
        return lines

    def clear(self) -> None:
        """Begin a new line."""
        self._cells.clear()
        self._at, self._wraps = 0, False

    def _skip(self, data: bytes) -> None:
        if b"\x1b[?" in data:
            for match in _SCREEN.finditer(data):
                self.alternate = match[1] == b"h"
        self._decoder.reset()
        self._rest = ""
        self.clear()

    def _print(self, text: str) -> None:
        if self.alternate:
            return
        for character in text:
            width = 1 if character < "\u0300" else _width(character)
            if width == 0:
                if 0 < self._at <= len(self._cells):
                    self._cells[self._at - 1] += character
                continue
            if self._at >= _LONGEST:
                return
            if len(self._cells) < self._at + width:
                self._cells += [" "] * (self._at + width - len(self._cells))
            self._cells[self._at] = character
            if width == 2:
                self._cells[self._at + 1] = ""
            self._at += width
        self._wraps = self._at % self.columns == 0

    def _move(self, control: str) -> None:
        row = (self._at - 1 if self._wraps and self._at else self._at) // self.columns
        if control == "\r":
            self._at = row * self.columns
        elif control == "\b":
            self._at = max(0, self._at - 1)
        elif control == "\t":
            self._at = min(_LONGEST, (self._at // 8 + 1) * 8)
        else:
            return
        self._wraps = False

    def _control(self, final: str, parameters: str) -> None:
        if parameters.startswith("?"):
            if final in "hl" and any(each in _SCREENS for each in parameters[1:].split(";")):
                self.alternate = final == "h"
                self.clear()
            return
        if final == "m":
            return
        first = parameters.split(";")[0]
        number = min(int(first), _LONGEST) if first.isascii() and first.isdigit() else 0
        count = max(1, number)
        self._wraps = False
        if final in "CD":
            self._at = min(_LONGEST, max(0, self._at + (count if final == "C" else -count)))
        elif final in "AB":
            self._at = min(_LONGEST, max(0, self._at + self.columns * (-count if final == "A" else count)))
        elif final in "G`":
            self._at = min(_LONGEST, self._at // self.columns * self.columns + count - 1)
        elif final in "Hfd":
            self.clear()
        elif final in "KJ":
            self._erase(final, number)
        elif final == "P":
            del self._cells[self._at : self._at + count]
        elif final == "@":
            self._cells[self._at : self._at] = [" "] * count if self._at < len(self._cells) else []
        elif final == "X":
            for place in range(self._at, min(len(self._cells), self._at + count)):
                self._cells[place] = " "

    def _erase(self, final: str, what: int) -> None:
        if what == 0:
            del self._cells[self._at :]
        elif final == "J":
            self.clear()
        else:
            first = self._at // self.columns * self.columns
            last = self._at if what == 1 else len(self._cells) - 1
            for place in range(first, min(len(self._cells), last + 1)):
                self._cells[place] = " "


def _width(character: str) -> int:
    if unicodedata.combining(character) or unicodedata.category(character) in ("Mn", "Me", "Cf"):
        return 0
    return 2 if unicodedata.east_asian_width(character) in "WF" else 1
