"""PowerShell, as hosts are told it: quoting, and this project's own scripts with their arguments and answers.

A script of ours is a file beside the code that uses it. What it is told it gets as ``$a``, made of JSON, so that no
text of a user is ever part of a program; what it answers it gives to the function ``answer``. Both travel in base64:
no code page, no line width and no profile that prints something comes in between. Needs PowerShell 3 or later.
"""

from __future__ import annotations

import base64
import functools
import importlib.resources
import json
from collections.abc import Iterator, Mapping
from typing import Any, BinaryIO

from sshexec.connectors.base import Command
from sshexec.connectors.output import Output

MARK = "sshexec:"
"""What stands before an answer, at the beginning of a line of standard output."""

_PLACE = "#PROLOGUE"
_INCLUDE = "#INCLUDE "
_PROLOGUE = (
    "$ErrorActionPreference='Stop';$ProgressPreference='SilentlyContinue'\n"
    "function answer($v){{[Console]::Out.WriteLine('" + MARK + "'+[Convert]::ToBase64String("
    "[Text.Encoding]::UTF8.GetBytes((ConvertTo-Json $v -Compress -Depth 9))))}}\n"
    "$a=ConvertFrom-Json ([Text.Encoding]::UTF8.GetString([Convert]::FromBase64String('{arguments}')))\n"
)


def quote(text: str) -> str:
    """Return a text as a literal of PowerShell: nothing in it is expanded.

    PowerShell takes the typographic quotation marks U+2018 to U+201B for the straight one, so they are doubled too
    (``about_Quoting_Rules``).
    """
    doubled = "".join(char * 2 if char in "'\u2018\u2019\u201a\u201b" else char for char in text)
    return f"'{doubled}'"


def encoded(script: str) -> str:
    """Return a script as ``-EncodedCommand`` takes it."""
    return base64.b64encode(script.encode("utf-16-le", "surrogatepass")).decode()


def source(package: str, name: str) -> Iterator[str]:
    """Yield the lines of a script's file that are sent, those of what it includes in their place.

    Args:
        package: the package whose folder ``scripts`` holds it.
        name: its file's name without ``.ps1``.
    """
    file = importlib.resources.files(package) / "scripts" / f"{name}.ps1"
    for line in map(str.strip, file.read_text("utf-8").splitlines()):
        if line.startswith(_INCLUDE):
            yield from source(package, line.removeprefix(_INCLUDE))
        elif line == _PLACE or (line and not line.startswith("#")):
            yield line


class Script:
    """One of this project's own scripts.

    Args:
        package: the package whose folder ``scripts`` holds it.
        name: its file's name without ``.ps1``.

    In the file, lines that are comments and the indentation are for people; neither is sent. A line ``#PROLOGUE``
    says where arguments and functions come into being; without one that is the beginning. A line ``#INCLUDE _NAME``
    stands for what is in the file of that name beside it: functions that several scripts have.
    """

    def __init__(self, package: str, name: str) -> None:
        self.package = package
        self.name = name

    @functools.cached_property
    def text(self) -> str:
        """The script as it is sent, with the line ``#PROLOGUE`` in its place."""
        kept = list(source(self.package, self.name))
        return "\n".join(kept if _PLACE in kept else [_PLACE, *kept])

    def filled(self, arguments: Mapping[str, Any]) -> str:
        """Return the script with its arguments, as `command` takes it too: what many hosts get is made once.

        Args:
            arguments: what the script finds in ``$a``; anything that JSON holds.
        """
        data = base64.b64encode(json.dumps(arguments, ensure_ascii=True).encode()).decode()
        return self.text.replace(_PLACE, _PROLOGUE.format(arguments=data).rstrip("\n"), 1)

    def command(
        self,
        arguments: Mapping[str, Any] | str,
        *,
        stdin: bytes | BinaryIO | None = None,
        environment: Mapping[str, str] | None = None,
        directory: str | None = None,
    ) -> Command:
        """Return the command that runs it.

        Args:
            arguments: what the script finds in ``$a``, or what `filled` returned for it.
            stdin: text in lines, which a script gets by ``process {}``; powershell.exe reads them only where the text
                of the script names ``$input``, outside of functions and script blocks.
            environment: variables for it.
            directory: where it runs.
        """
        script = arguments if isinstance(arguments, str) else self.filled(arguments)
        return Command(script, stdin, environment or {}, about=(self.name,), directory=directory)


def answer_of(output: Output) -> Any:
    """Return what a script gave to ``answer``, of what it printed.

    Raises:
        ValueError: it gave no answer, or not a whole one.
    """
    lines = [line for line in output.stdout.splitlines() if line.startswith(MARK.encode())]
    if not lines:
        raise ValueError("it gave no answer")
    try:
        text = base64.b64decode(lines[-1][len(MARK) :], validate=True).decode("utf-8", "replace")
        answer = json.loads(text)
        if "\\ud" in text.lower():
            # Half a surrogate pair is no text: nothing here could write it down.
            answer = json.loads(json.dumps(answer, ensure_ascii=False).encode("utf-8", "replace"))
    except (ValueError, RecursionError) as error:
        raise ValueError(f"its answer is not whole: {error}") from None
    return answer
