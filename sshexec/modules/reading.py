"""A file of a host that is to be read: what is there, or why it can't be had, in one round trip."""

from __future__ import annotations

import errno
import os
from dataclasses import dataclass
from typing import Any, Literal

from sshexec.connectors.base import Command, Connector
from sshexec.connectors.files import SUM
from sshexec.connectors.output import Output
from sshexec.errors import HostError
from sshexec.modules.base import Invocation
from sshexec.modules.exchange import said
from sshexec.modules.preconditions import WHY
from sshexec.modules.words import expanding

READING = f"""LC_ALL=C; export LC_ALL
{WHY}
reading() {{
k=other e=0
case $1 in -*) p=./$1 ;; *) p=$1 ;; esac
if [ -d "$p" ]; then k=directory
elif [ -f "$p" ]; then k=file
elif [ ! -e "$p" ]; then k=absent; why "$p"; e=$sshexec_e; fi
case $k in file|other) [ -r "$p" ] || e={errno.EACCES} ;; esac
}}
"""
"""Shell function ``reading PATH``: sets ``p`` to the path, ``k`` to what is there and ``e`` to why it can't be read."""

_FACTS = f"""s= h=
if [ $k$e = file0 ]; then
s=$(stat -L -c %s "$p" 2>/dev/null || stat -L -f %z "$p" 2>/dev/null)
h=$({SUM} <"$p")
fi
printf '%s\\n%s\\n%s\\n%s\\n%s' "$k" "$e" "$s" "${{h%% *}}" "$p"
"""

Kind = Literal["file", "directory", "other", "absent"]


@dataclass(frozen=True, slots=True)
class Readable:
    """What is at a path, links followed.

    Args:
        path: the path with everything expanded.
        kind: what is there.
        errno: why it can't be read, or is not there; 0 where it can.
        size: bytes; None where that is not known.
        sha1: of the content; "" where that is not known.
        said: why it can't be read, in the host's own words; "" where it has none.
    """

    path: str
    kind: Kind
    errno: int
    size: int | None = None
    sha1: str = ""
    said: str = ""

    @property
    def problem(self) -> str:
        """Why it can't be read, in words."""
        return self.said or os.strerror(self.errno)


def read_about(connector: Connector[Any, Any], invocation: Invocation, path: str) -> Readable:
    """Ask a host about a file.

    Args:
        connector: the host.
        invocation: the task's.
        path: as the user wrote it; ``~`` and variables are the host's.

    Raises:
        HostError: the host did not answer as it should, or could not be asked.
    """
    output = Output()
    script = f"{READING}reading {expanding(path)}\n{_FACTS}"
    done = connector.execute(Command(script, about=("reading", path)), output, invocation.deadline)
    # The path comes last: it may hold line breaks.
    kind, number, size, sha1, *found = output.stdout.decode("utf-8", "surrogateescape").split("\n", 4) + [""] * 4
    if done.rc or kind not in ("file", "directory", "other", "absent") or not number.isdecimal():
        raise HostError(said(output) or f"the host could not look at {path!r} (exit status {done.rc})")
    return Readable(found[0], kind, int(number), int(size) if size.isdecimal() else None, sha1)  # type: ignore[arg-type]
