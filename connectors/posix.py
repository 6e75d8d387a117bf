"""How a command is put to a POSIX shell, and how its frame is read back.

A framed command says on its standard error, around whatever the script prints there, its process id and the host's
clock before and after. So one round trip gives exit status, start, end and delta as Ansible's ``command`` reports
them, and the process group that a deadline has to kill, without Python on the host. A script may also tell its caller
something beside its output (`NOTE`). Frame lines carry a random token that the script's own output can't know.
"""

from __future__ import annotations

import io
import re
import secrets
from collections.abc import Mapping
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, BinaryIO

from sshexec.connectors.base import Command, Completed
from sshexec.connectors.output import Output, Stream
from sshexec.errors import ArgumentError

if TYPE_CHECKING:
    from sshexec.connectors.escalation import Dialogue

MAX_LINE = 120_000
"""Longest command line in bytes: Linux takes 128 KiB for one argument (MAX_ARG_STRLEN)."""

NOTE = "sshexec_note"
"""Shell function that a framed script may call with a line of text, also several times: `Completed.note`."""

PUMP = (
    'while read -r sshexec_n && [ "$sshexec_n" -gt 0 ]; do dd bs="$sshexec_n" count=1 iflag=fullblock 2>/dev/null; done'
)
"""Shell text that hands on what `Pumped` makes of standard input for a terminal."""

_MARK = b"\x1e"
_CLOCK = "+%s %N %Y-%m-%d %H:%M:%S"
_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_]*\Z")
_SAFE = re.compile(r"[A-Za-z0-9@%+=:,./_-]+\Z")
_LONGEST_GREETING = 64 * 1024
_LONGEST_FRAME = 16 * 1024
"""Longest line of a frame in bytes: a note may hold a path (Linux takes 4096 bytes)."""


def quote(text: str) -> str:
    """Quote a text as one word for a POSIX shell."""
    if _SAFE.match(text):
        return text
    return "'" + text.replace("'", "'\\''") + "'"


def operand(path: str) -> str:
    """Return a path that no program takes for an option."""
    return f"./{path}" if path.startswith("-") else path


def with_arguments(script: str, *arguments: str) -> str:
    """Return the command line that runs a script in a POSIX shell, whatever the login shell is.

    Args:
        script: for the shell.
        *arguments: its ``$1`` and so on.
    """
    return " ".join(["exec /bin/sh -c", *map(quote, (script, "sh", *arguments))])


def all_or_nothing(script: str) -> bytes:
    """Return standard input for ``/bin/sh``, of any length: none of it is run where not all of it arrives.

    A shell reads to the closing brace before it does anything.
    """
    return f"{{\n{script}\n}}\n".encode("utf-8", "surrogateescape")


def exports(environment: Mapping[str, str]) -> str:
    """Return the shell text that exports the variables.

    Raises:
        ArgumentError: a name is not one that a shell takes.
    """
    parts = []
    for name, value in environment.items():
        if not _NAME.match(name):
            raise ArgumentError(f"environment: {name!r} is not a variable name")
        parts.append(f"export {name}={quote(str(value))}\n")
    return "".join(parts)


class Pumped:
    """Standard input as `PUMP` takes it: each piece behind its size, the empty piece at the end.

    Args:
        source: what is read.
    """

    def __init__(self, source: bytes | BinaryIO) -> None:
        self._source: BinaryIO | None = io.BytesIO(source) if isinstance(source, bytes) else source

    def read(self, size: int) -> bytes:
        """Return the next piece."""
        if self._source is None:
            return b""
        data = self._source.read(size)
        if not data:
            self._source = None
        return b"%d\n" % len(data) + data


class Frame:
    """The frame around one command.

    Args:
        command: what to run.
        output: where the script's own output goes.
        dialogue: how it is run as another user; a frame is then around a command that is verbatim too.
    """

    __slots__ = (
        "_before",
        "_crlf",
        "_dialogue",
        "_end",
        "_held",
        "_mark",
        "_note",
        "_plain",
        "_said",
        "_start",
        "_started",
        "_stream",
        "_token",
        "command",
        "output",
        "pid",
        "rc",
    )

    def __init__(self, command: Command, output: Output, dialogue: Dialogue | None = None) -> None:
        self.command = command
        self.output = output
        self._dialogue = dialogue
        self._plain = command.verbatim and dialogue is None
        # On a terminal both streams are one. It should end lines with LF alone; where it does not, that is undone.
        self._stream: Stream = "stdout" if dialogue is not None and dialogue.tty else "stderr"
        self._crlf = False
        self._token = secrets.token_hex(8)
        self._mark = _MARK + self._token.encode()
        self._held = b""
        self._note = ""
        # What the login shell's own start files print (sshd runs bash with .bashrc) comes before the frame on either
        # stream, and is not the script's. It is kept until the frame begins, and shown where that never happens.
        self._before = b""
        self._said = b""
        self._started = self._plain
        self._start: tuple[int, datetime] | None = None
        self._end: tuple[int, datetime] | None = None
        self.pid: int | None = None
        """Process id of the command's shell, which leads a process group of its own."""
        self.rc: int | None = None
        """The exit status that the frame reported."""

    def line(self) -> bytes:
        """Return what to hand to the login shell.

        Raises:
            ArgumentError: it is too long for the host, or holds what no command can.
        """
        command = self.command
        if self._plain:
            text = command.script
        elif self._dialogue is not None:
            text = self._dialogue.line(self._inner())
        else:
            text = f"exec /bin/sh -c {quote(self._inner())}"
        try:
            line = text.encode("utf-8", "surrogateescape")
        except UnicodeEncodeError as error:
            raise ArgumentError(f"a command can't hold {text[error.start]!r}, which is half a character") from None
        if b"\0" in line:
            raise ArgumentError("a command can't hold a NUL character")
        if len(line) > MAX_LINE:
            raise ArgumentError(
                f"the command is too long ({len(line)} bytes, at most {MAX_LINE}): use the script module"
            )
        return line

    def _inner(self) -> str:
        """Return the script that has the command's in its middle."""
        command = self.command
        tty = self._dialogue is not None and self._dialogue.tty
        begin = "" if tty else f"printf '\\036{self._token}\\n'\n"
        # A terminal knows no end of a file: what there is to read is handed on in pieces that are counted.
        reads, read = ("", "") if not tty else (f"{PUMP} | ", "") if command.stdin is not None else ("", " </dev/null")
        if command.verbatim:
            begin += f"printf '\\036{self._token} start %s\\n' $$ >&2\n"
            return f"{begin}{reads}{{\n{command.script}\n}}{read}" if tty else f"{begin}{command.script}"
        # The script stands in parentheses: its `exit`, `cd` and `exec` end or change the subshell only. What this
        # shell has to say itself ("Killed") is not the script's. With a trap it outlives a TERM to the group until
        # the script has cleaned up, so that the transport does not take the command for ended before.
        script = f"{exports(command.environment)}{command.script}"
        return (
            f"{NOTE}() {{ printf '\\036{self._token} %s\\n' \"$*\" >&2; }}\n"
            f'c() {{ {NOTE} "$1" $2 "$(date \'{_CLOCK}\' 2>/dev/null)"; }}\n'
            f"trap 'exit 143' TERM\n{begin}c start $$\nexec 3>&2 2>/dev/null\n"
            f"{reads}({script}\n){read} 2>&3 3>&-\n"
            "r=$?\nc end $r 2>&3\nexit $r"
        )

    @property
    def said(self) -> tuple[bytes, bytes]:
        """What came of each stream before the command began."""
        return self._before, self._said

    def feed_stdout(self, data: bytes) -> None:
        """Take the next piece of standard output; what came before the frame's beginning is left out."""
        if self._stream == "stdout":
            self.feed(data)
            return
        if self._started:
            self.output.write("stdout", data)
            return
        self._before += data
        before, mark, after = self._before.partition(self._mark + b"\n")
        if mark or len(before) > _LONGEST_GREETING:
            self._started, self._before = True, b""
            self.output.write("stdout", after if mark else before)

    def _write(self, data: bytes) -> None:
        if self.pid is None and not self._plain and len(self._said) + len(data) <= _LONGEST_GREETING:
            self._said += data
        elif self._crlf:
            data = self._said + data
            self._said = data[-1:] if data.endswith(b"\r") else b""
            self.output.write(self._stream, data[: len(data) - len(self._said)].replace(b"\r\n", b"\n"))
        else:
            self.output.write(self._stream, self._said + data)
            self._said = b""

    def feed(self, data: bytes) -> None:
        """Take the next piece of standard error: frame lines are read, the rest goes to the output."""
        if self._plain or (not self._held and _MARK not in data):
            self._write(data)
            return
        data, self._held = self._held + data, b""
        while data:
            found = data.find(_MARK)
            if found < 0:
                break
            self._write(data[:found])
            data = data[found:]
            mark = data[: len(self._mark)]
            end = data.find(b"\n")
            if self._mark.startswith(mark) and end < 0 and len(data) < _LONGEST_FRAME:
                self._held = data
                return
            if mark == self._mark and 0 <= end < _LONGEST_FRAME:
                self._crlf = self._stream == "stdout" and data[end - 1 : end] == b"\r"
                self._read(data[len(self._mark) : end].decode("utf-8", "surrogateescape").strip())
                data = data[end + 1 :]
            else:
                self._write(_MARK)
                data = data[1:]
        self._write(data)

    def _read(self, line: str) -> None:
        kind, _, rest = line.partition(" ")
        number, _, clock = rest.partition(" ")
        if kind == "start" and self.pid is None and number.isdigit():
            self.pid, self._start, self._said = int(number), _moment(clock), b""
        elif kind == "end" and number.isdigit():
            self.rc, self._end = int(number), _moment(clock)
        else:
            self._note = f"{self._note}\n{line}" if self._note else line

    def finish(self, rc: int) -> Completed:
        """Release what was held back and say how the command ended.

        Args:
            rc: the exit status that the transport reported.
        """
        self.output.write("stdout", self._before)
        self.output.write(self._stream, self._said + self._held)
        self._before = self._said = self._held = b""
        start = self._start[1] if self._start else None
        if self._start is None or self._end is None:
            return Completed(rc, start, note=self._note)
        delta = timedelta(microseconds=max(0, self._end[0] - self._start[0]))
        return Completed(rc, start, self._end[1], delta, self._note)


def _moment(clock: str) -> tuple[int, datetime] | None:
    """Read what `date` printed: microseconds since the epoch, and the host's local time; None where it did not work."""
    fields = clock.split()
    try:
        # A date without %N (busybox, BSD) prints the letter, or nothing.
        micros = int(fields[1]) // 1000 if len(fields) == 4 and fields[1].isdigit() else 0
        local = datetime.strptime(f"{fields[-2]} {fields[-1]}", "%Y-%m-%d %H:%M:%S")
        return int(fields[0]) * 1_000_000 + micros, local + timedelta(microseconds=micros)
    except (ValueError, IndexError):
        return None
