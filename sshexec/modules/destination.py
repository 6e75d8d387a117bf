"""Where a copy goes: what a host is asked about it before, in one round trip."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from sshexec.connectors.base import Connector
from sshexec.connectors.files import LOOK, Found
from sshexec.connectors.posix import quote
from sshexec.errors import HostError
from sshexec.modules.base import Invocation
from sshexec.modules.exchange import run_script, said
from sshexec.modules.words import expanding


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
    done, output = run_script(connector, invocation, question.script(), about)
    if done != 0:
        raise HostError(said(output) or f"the host could not look at {question.dest!r} (exit status {done})")
    # The path comes last: it may hold line breaks.
    count = 3 * max(1, len(question.entries))
    try:
        umask, *lines, backup, path = output.stdout.decode("utf-8", "surrogateescape").split("\n", count + 2)
        read = iter(lines)
        founds = tuple(Found.read(read) for _ in range(count // 3))
        return Answer(path, founds, int(umask, 8), path + backup if backup else None)
    except ValueError as error:
        raise HostError(f"the host's answer about {question.dest!r} is not understood: {error}") from error
