"""Where a copy goes: what a host is asked about it before, and what is set there afterwards, each in one round trip.

The scripts go to the standard input of ``/bin/sh``, so that a tree of any size fits.
"""

from __future__ import annotations

import shlex
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from sshexec.connectors.base import Command, Connector
from sshexec.connectors.deadline import Deadline
from sshexec.connectors.files import LOOK, Found
from sshexec.connectors.output import Output
from sshexec.connectors.posix import all_or_nothing, quote
from sshexec.errors import HostError
from sshexec.modules.base import Invocation
from sshexec.modules.words import expanding

_FAILURES = {11: "chown failed", 12: "chgrp failed", 13: "chmod failed", 15: "moving the validated file failed"}
_INVALID = 14


@dataclass(frozen=True, slots=True)
class Question:
    """What is asked about a destination.

    Args:
        dest: the path as the user wrote it; ``~`` and variables are the host's.
        basename: what is put behind a destination that is a directory; "" where there is no name (a content).
        entries: paths below the destination, each with whether it is a directory; empty for a single file.
        follow: whether a link at the destination is followed.
        backup: SHA-1 of the new content, where a file that differs from it is kept under another name.
        make: whether directories that are missing are made.
        directory_mode: mode of those, as chmod takes it.
    """

    dest: str
    basename: str = ""
    entries: tuple[tuple[str, bool], ...] = ()
    follow: bool = False
    backup: str | None = None
    make: bool = False
    directory_mode: str | None = None

    def script(self) -> str:
        """Return the shell script that answers with lines for `Answer.read`."""
        mode = f' && chmod {quote(self.directory_mode)} "$1"' if self.directory_mode else ""
        make = (
            f'make() {{ [ -d "$1" ] || {{ mkdir -p "$1"{mode}; }} || exit 1; }}\n' if self.make else "make() { :; }\n"
        )
        dest = f"./{self.dest}" if self.dest.startswith("-") else self.dest
        parts = [LOOK, make, f"umask\np={expanding(dest)}\n"]
        below = f"p=${{p%/}}/{quote(self.basename)}\n" if self.basename else ""
        if self.entries:
            parts.append(f'make "$p"\n{below}')
            if below:
                parts.append('make "$p"\n')
        elif below:
            below = below.rstrip()
            parts.append(f'case $p in */) make "$p"; {below} ;; *) [ ! -d "$p" ] || {below} ;; esac\n')
        if self.follow:
            parts.append('if [ -L "$p" ]; then q=$(readlink -f "$p" && echo x) && p=${q%??}; fi\n')
        for name, is_directory in self.entries:
            parts.append(f'q=$p/{quote(name)}; look "$q"\n')
            if is_directory:
                parts.append('make "$q"\n')
        if not self.entries:
            parts.append('look "$p"\n')
        parts.append("b=\n")
        if self.backup:
            parts.append(
                f'if [ "$k" = file ] && [ "${{h%% *}}" != {self.backup} ]; then\n'
                'b=.$$.$(date +%Y-%m-%d@%H:%M:%S)~; cp -p "$p" "$p$b" || { rm -f "$p$b"; exit 1; }\nfi\n'
            )
        parts.append('printf \'%s\\n%s\' "$b" "$p"\n')
        return "".join(parts)


@dataclass(frozen=True, slots=True)
class Answer:
    """What a host answered to a `Question`.

    Args:
        path: the destination with everything expanded.
        founds: what is there, or at each entry below it.
        umask: the host's.
        backup: where the old file was kept; None where it was not.
    """

    path: str
    founds: tuple[Found, ...]
    umask: int
    backup: str | None


def ask(connector: Connector[Any, Any], invocation: Invocation, question: Question) -> Answer:
    """Ask a host.

    Raises:
        HostError: the host could not answer, or a directory or backup could not be made.
    """
    entries = [f"{name}/" if is_directory else name for name, is_directory in question.entries]
    about = ("ask", question.dest, question.basename, *entries)
    done, output = _run(connector, invocation, question.script(), about)
    if done != 0:
        raise HostError(_said(output) or f"the host could not look at {question.dest!r} (exit status {done})")
    # The path comes last: it may hold line breaks.
    count = 3 * max(1, len(question.entries))
    try:
        umask, *lines, backup, path = output.stdout.decode("utf-8", "surrogateescape").split("\n", count + 2)
        read = iter(lines)
        founds = tuple(Found.read(read) for _ in range(count // 3))
        return Answer(path, founds, int(umask, 8), path + backup if backup else None)
    except ValueError as error:
        raise HostError(f"the host's answer about {question.dest!r} is not understood: {error}") from error


@dataclass(frozen=True, slots=True)
class Wish:
    """What shall be set on one path.

    Args:
        path: where.
        owner: name or number; None leaves it.
        group: likewise.
        bits: permission bits; None leaves them.
        keep: owner and group numbers of a file that was replaced, to be given to the new one where that is allowed.
        validated: the file that takes the place of ``path`` once ``validate`` is content with it.
        validate: a command with ``%s`` for that file.
    """

    path: str
    owner: str | None = None
    group: str | None = None
    bits: int | None = None
    keep: tuple[int, int] | None = None
    validated: str | None = None
    validate: str = ""

    def script(self) -> str:
        """Return the shell script that sets it and looks at the path."""
        parts = [f"q={quote(self.path)}\n"]
        if self.validated is not None:
            words = (self._word(word) for word in shlex.split(self.validate))
            parts.append(
                f't={quote(self.validated)}\ntrap \'trap "" HUP INT TERM; rm -f "$t"\' EXIT\n'
                "trap 'exit 129' HUP; trap 'exit 130' INT; trap 'exit 143' TERM\n"
                f"v=$({' '.join(words)} </dev/null) || {{ printf '%s\\n%s' $? \"$v\"; exit {_INVALID}; }}\n"
                'mv -f "$t" "$q" || exit 15\n'
            )
        if self.keep is not None:
            parts.append(f'chown {self.keep[0]}:{self.keep[1]} "$q" 2>/dev/null\n')
        if self.owner is not None:
            owner = quote(self.owner)
            # A number need not be in the host's list of users.
            if not self.owner.isdigit():
                parts.append(
                    f"id -u {owner} >/dev/null 2>&1 || {{ echo failed to look up user {owner} >&2; exit 11; }}\n"
                )
            parts.append(f'chown {owner} "$q" || exit 11\n')
        if self.group is not None:
            group = quote(self.group)
            parts.append(
                f'chgrp {group} "$q" 2>/dev/null || {{\n'
                f"if getent group {group} >/dev/null 2>&1 || cut -d: -f1 /etc/group | grep -Fqx -- {group}\n"
                f'then chgrp {group} "$q"; else echo failed to look up group {group} >&2; fi\nexit 12\n}}\n'
            )
        if self.bits is not None:
            parts.append(f'chmod {self.bits:04o} "$q" || exit 13\n')
        parts.append('look "$q"\n')
        return "".join(parts)

    @staticmethod
    def _word(word: str) -> str:
        return '"$t"'.join(quote(part) if part else "" for part in word.split("%s")) or "''"


class InvalidError(HostError):
    """The command given as ``validate`` refused the file.

    Args:
        rc: its exit status.
        stdout: what it printed.
        stderr: likewise.
    """

    def __init__(self, message: str, rc: int = 0, stdout: str = "", stderr: str = "") -> None:
        super().__init__(message)
        self.rc = rc
        self.stdout = stdout
        self.stderr = stderr


def settle(connector: Connector[Any, Any], invocation: Invocation, wishes: Sequence[Wish]) -> list[Found]:
    """Set what is wished, in order, and return what is there then.

    Raises:
        InvalidError: ``validate`` refused; the destination is untouched.
        HostError: something could not be set.
    """
    about = ["settle"]
    for wish in wishes:
        about += [wish.path, "" if wish.bits is None else f"{wish.bits:o}", wish.validated or ""]
    rc, output = _run(connector, invocation, LOOK + "".join(wish.script() for wish in wishes), tuple(about))
    text = output.stdout.decode("utf-8", "surrogateescape")
    if rc == _INVALID:
        status, _, printed = text.partition("\n")
        raise InvalidError("failed to validate", int(status), printed, output.text("stderr"))
    if rc != 0:
        raise HostError(f"{_FAILURES.get(rc, 'setting attributes failed')}: {_said(output) or f'exit status {rc}'}")
    lines = iter(text.split("\n"))
    return [Found.read(lines) for _ in wishes]


def discard(connector: Connector[Any, Any], path: str) -> None:
    """Remove a file that was left behind, within a few seconds.

    Raises:
        HostError: the host does not answer.
    """
    connector.execute(_command(f"rm -f -- {quote(path)}", ("discard", path)), Output(), Deadline.after(5))


def shown(path: str) -> str:
    """Return a path for people and JSON: bytes that are not UTF-8 become U+FFFD."""
    return path.encode("utf-8", "surrogateescape").decode("utf-8", "replace")


def _run(
    connector: Connector[Any, Any], invocation: Invocation, script: str, about: tuple[str, ...]
) -> tuple[int, Output]:
    output = Output()
    return connector.execute(_command(script, about), output, invocation.deadline).rc, output


def _command(script: str, about: tuple[str, ...]) -> Command:
    return Command("exec /bin/sh", stdin=all_or_nothing(script), about=about)


def _said(output: Output) -> str:
    # As another user a host may have a terminal only, where both streams are one.
    return (output.text("stderr").strip() or output.text("stdout").strip())[-300:]
