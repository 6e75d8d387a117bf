"""How words become a command line of Windows, which a program splits again by itself."""

from __future__ import annotations

import re
from collections.abc import Sequence

from sshexec.errors import ArgumentError
from sshexec.modules.wording import quoted

_PLAIN = re.compile(r"[^\s\"]+")


def command_line(words: Sequence[str]) -> str:
    r"""Return words as one command line, which `CommandLineToArgvW` and the C runtime split into the same words.

    Within quotes ``\"`` is a quotation mark, and backslashes are special before one only. The first word is read by
    other rules: up to the next quotation mark, where it has one in front.

    Args:
        words: a program and its arguments.

    Raises:
        ArgumentError: the program's name holds a quotation mark, which no file's name does.
    """
    program, *arguments = words
    if '"' in program:
        raise ArgumentError(f"no program's name holds a quotation mark: {quoted(program)}")
    return " ".join([_first(program), *map(argument, arguments)])


def _first(program: str) -> str:
    return program if _PLAIN.fullmatch(program) else f'"{program}"'


def argument(word: str) -> str:
    """Return one word that is not the first, quoted where it has to be."""
    if _PLAIN.fullmatch(word):
        return word
    doubled = re.sub(r'(\\*)(")', r"\1\1\\\2", word)
    doubled = re.sub(r"(\\+)\Z", r"\1\1", doubled)
    return f'"{doubled}"'
