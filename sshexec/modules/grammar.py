"""Ansible's ``key=value`` grammar."""

from __future__ import annotations

import re
import shlex
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING

from sshexec.errors import ArgumentError
from sshexec.modules.wording import quoted

if TYPE_CHECKING:
    from sshexec.modules.arguments import Parameter

FREE_FORM = "_raw_params"
"""Name of the argument that holds a free-form text."""

_ESCAPE = re.compile(r"\\(x[0-9a-fA-F]{2}|u[0-9a-fA-F]{4}|U[0-9a-fA-F]{8}|[\\'\"abfnrtv])")
_ESCAPED = {"a": "\a", "b": "\b", "f": "\f", "n": "\n", "r": "\r", "t": "\t", "v": "\v"}
_EQUALS = re.compile(r"(?<!\\)=")
_BLOCKS = {"{{": "}}", "{%": "%}", "{#": "#}"}


def split(module: str, parameters: Sequence[Parameter], text: str, *, free_form: bool = False) -> dict[str, str]:
    """Split a text into arguments, without checking or converting them.

    Quotes and Jinja2 blocks keep what they enclose together. With ``free_form`` only the module's inline parameters
    are lifted out, and what is left is the text as it was written.

    Raises:
        ArgumentError: a quote or block is not closed, or a word is not ``key=value``.
    """
    inline = {p.name for p in parameters if p.inline}
    given: dict[str, str] = {}
    rest: list[str] = []
    kept_to = 0
    for start, end in _words(module, text):
        name, equals, value = _key_value(text[start:end])
        if equals and (not free_form or name in inline):
            given[name] = value
            # The white space before a word that is lifted out goes with it.
            rest.append(text[kept_to:start].rstrip())
            kept_to = end
        elif not free_form:
            raise ArgumentError(f"{module}: expected key=value, got {quoted(text[start:end])}")
    rest.append(text[kept_to:])
    left = "".join(rest).strip()
    if free_form and left:
        given[FREE_FORM] = left
    return given


def first_word(module: str, text: str) -> tuple[str, str]:
    """Return the first word of a text without its quotes, and the rest as it was written.

    Raises:
        ArgumentError: a quote is not closed.
    """
    for start, end in _words(module, text):
        try:
            return " ".join(shlex.split(text[start:end])), text[end:].strip()
        except ValueError as error:
            raise ArgumentError(f"{module}: {error}: {quoted(text)}") from None
    return "", ""


def _words(module: str, text: str) -> Iterator[tuple[int, int]]:
    """Yield where each word begins and ends."""
    at, size = 0, len(text)
    start: int | None = None
    closing = ""
    while at < size:
        char, pair = text[at], text[at : at + 2]
        if closing:
            if closing in "'\"" and char == "\\":
                at += 2
                continue
            if text.startswith(closing, at):
                at += len(closing)
                closing = ""
                continue
        elif char.isspace():
            if start is not None:
                yield start, at
                start = None
        else:
            start = at if start is None else start
            if pair in _BLOCKS:
                closing = _BLOCKS[pair]
                at += 1
            elif char in "'\"":
                closing = char
            elif char == "\\":
                at += 1
        at += 1
    if closing:
        raise ArgumentError(
            f"{module}: failed at splitting arguments, either an unbalanced jinja2 block or quotes: {quoted(text)}"
            f" (a mapping with {FREE_FORM} takes the text as it is)"
        )
    if start is not None:
        yield start, size


def _key_value(word: str) -> tuple[str, str, str]:
    """Split a word at its first ``=`` that no backslash stands before; unquote the value and read its escapes."""
    found = _EQUALS.search(word)
    if not found or not found.start():
        return word, "", ""
    name, value = word[: found.start()].strip(), _ESCAPE.sub(_unescape, word[found.end() :].strip())
    if len(value) > 1 and value[0] == value[-1] and value[0] in "'\"":
        value = value[1:-1]
    return name, "=", value


def _unescape(match: re.Match[str]) -> str:
    code = match[1]
    if code[0] in "xuU":
        return chr(int(code[1:], 16)) if int(code[1:], 16) < 0x110000 else match[0]
    return _ESCAPED.get(code, code)
