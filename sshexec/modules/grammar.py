"""Ansible's ``key=value`` grammar: a text becomes arguments, as ansible-core 2.19.14 reads it.

A text is words between spaces and line ends. A quote, or a Jinja2 block, keeps what it encloses in one word; a
backslash that stands alone is left out, and at the end of a line that line end too.
"""

from __future__ import annotations

import io
import re
import shlex
import unicodedata
from collections.abc import Iterator

from sshexec.errors import ArgumentError
from sshexec.modules.wording import quoted

FREE_FORM = "_raw_params"
"""Name of the argument that holds a free-form text."""

LIFTED = frozenset(
    {"chdir", "creates", "executable", "removes", "stdin", "stdin_add_newline", "strip_empty_ends", "warn"}
)
"""Arguments that are lifted out of a free-form text, whichever module it is for."""

_ESCAPE = re.compile(r"\\(x[0-9a-fA-F]{2}|u[0-9a-fA-F]{4}|U[0-9a-fA-F]{8}|N\{([^}]+)\}|[\\'\"abfnrtv])")
_ESCAPED = {"a": "\a", "b": "\b", "f": "\f", "n": "\n", "r": "\r", "t": "\t", "v": "\v"}
_EQUALS = re.compile(r"(?<!\\)=")
_QUOTE = re.compile(r"(?<!\\)['\"]")
_ENCLOSED = re.compile(r"(['\"])(.*)(?<!\\)\1", re.DOTALL)
_BLOCKS = {"{{": "}}", "{%": "%}", "{#": "#}"}


def split(module: str, text: str, *, free_form: bool = False) -> dict[str, str]:
    """Split a text into arguments, without checking or converting them.

    Args:
        module: the module's name, for messages.
        text: the text.
        free_form: whether the module takes a free-form text: then only `LIFTED` are arguments of their own, and what
            is left is the text, nearly as it was written.

    Raises:
        ArgumentError: a quote or block is not closed, or a word is not ``key=value``.
    """
    given: dict[str, str] = {}
    free: list[str] = []
    for word in _words(module, text):
        read = _ESCAPE.sub(lambda found: _unescape(module, found), word)
        found = _EQUALS.search(read, 1)
        if found and (not free_form or read[: found.start()] in LIFTED):
            given[read[: found.start()].strip()] = _unquoted(read[found.end() :].strip())
        else:
            # Where there are escaped signs only, the word has lost its other escapes too.
            free.append(word if found or "=" not in read else read.replace("\\=", "="))
    left = _joined(free)
    if free_form and free:
        given[FREE_FORM] = left
    elif left.strip():
        raise ArgumentError(f"{module}: expected key=value, got {quoted(next(filter(str.strip, free)).strip())}")
    return given


def first_word(module: str, text: str) -> tuple[str, str]:
    """Return the first word of a text as a shell reads it, and the rest as it was written.

    Raises:
        ArgumentError: a quote is not closed.
    """
    written = io.StringIO(text)
    lexer = shlex.shlex(written, posix=True, punctuation_chars=False)
    lexer.whitespace_split, lexer.commenters = True, ""
    try:
        first, end = lexer.get_token() or "", written.tell()
        while lexer.get_token() is not None:
            pass
    except ValueError as error:
        raise ArgumentError(f"{module}: {error}") from None
    return first, text[end:].strip()


def _words(module: str, text: str) -> Iterator[str]:
    """Return the words, each with the white space behind it except for the one space that ends it."""
    words: list[list[str]] = []
    quote, depths = "", dict.fromkeys(_BLOCKS, 0)
    lines = text.split("\n") if text else []
    for number, line in enumerate(lines, 1):
        continued = False
        for place, piece in enumerate(line.split(" ")):
            if not piece and place:
                _append(words, " ")
            elif piece == "\\" and not quote:
                continued = True
            else:
                if quote or any(depths.values()):
                    words[-1] += (" ", piece) if place else (piece,)
                elif piece:
                    words.append([piece])
                for mark in _QUOTE.findall(piece):
                    quote = "" if mark == quote else quote or mark
                for opening, closing in _BLOCKS.items():
                    depths[opening] = max(0, depths[opening] + piece.count(opening) - piece.count(closing))
        if number < len(lines) and not continued:
            _append(words, "\n")
    if quote or any(depths.values()):
        raise ArgumentError(
            f"{module}: failed at splitting arguments, either an unbalanced jinja2 block or quotes: {quoted(text)}"
            f" (a mapping with {FREE_FORM} takes the text as it is)"
        )
    return map("".join, words)


def _append(words: list[list[str]], space: str) -> None:
    if not words:
        words.append([])
    words[-1].append(space)


def _joined(words: list[str]) -> str:
    return "".join(f"{word} " if not word.endswith("\n") else word for word in words[:-1]) + "".join(words[-1:])


def _unquoted(value: str) -> str:
    enclosed = _ENCLOSED.fullmatch(value)
    return enclosed[2] if enclosed else value


def _unescape(module: str, match: re.Match[str]) -> str:
    code = match[1]
    try:
        if match[2] is not None:
            return unicodedata.lookup(match[2])
        return chr(int(code[1:], 16)) if code[0] in "xuU" else _ESCAPED.get(code, code)
    except (KeyError, ValueError, OverflowError):
        raise ArgumentError(f"{module}: {quoted(match[0])} is no character") from None
