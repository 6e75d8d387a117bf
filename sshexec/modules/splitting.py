"""A text as the words that a POSIX shell makes of it, in a time that grows with its length and not with its square."""

from __future__ import annotations

import re

__all__ = ["split_words"]

_PART = re.compile(
    r"""(?P<space>[ \t\r\n]+)|(?P<plain>[^ \t\r\n'"\\]+)|'(?P<single>[^']*)'|\\(?P<one>.)"""
    r"""|"(?P<double>[^"\\]*(?:\\.[^"\\]*)*)\"""",
    re.DOTALL,
)
_ESCAPED = re.compile(r"\\([\"\\])")


def split_words(text: str) -> list[str]:
    """Return the words of a text, as `shlex.split` does.

    That adds each character to a copy of the word so far (python/cpython, Lib/shlex.py): a word of a megabyte, which
    anybody may send who may run something, keeps it busy for a minute.

    Args:
        text: the text.

    Raises:
        ValueError: a quote is not closed, or a backslash stands at the end; with the message of `shlex`.
    """
    words: list[str] = []
    word: list[str] | None = None
    place = 0
    while place < len(text):
        found = _PART.match(text, place)
        if found is None:
            raise ValueError(_why(text[place:]))
        place = found.end()
        if found["space"] is not None:
            if word is not None:
                words.append("".join(word))
            word = None
            continue
        part = found[found.lastgroup or 0]
        word = [] if word is None else word
        word.append(_ESCAPED.sub(r"\1", part) if found.lastgroup == "double" else part)
    return words if word is None else [*words, "".join(word)]


def _why(rest: str) -> str:
    """Return why nothing was found: a quote opens the rest, or a backslash is all of it."""
    escapes = rest[:1] != "'" and (len(rest) - len(rest.rstrip("\\"))) % 2
    return "No escaped character" if escapes else "No closing quotation"
