"""How a host is asked, in POSIX shell, what is at a path: kind, owner, mode, size, SHA-1.

Works with the `stat` of GNU, busybox and BSD, and with whichever of `sha1sum`, `shasum`, `sha1` and `openssl` is there.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Literal, cast, get_args

Kind = Literal["absent", "no_parent", "not_directory", "denied", "file", "directory", "link", "other"]

_KINDS = frozenset(get_args(Kind))
_NOTHING = frozenset({"absent", "no_parent", "not_directory", "denied"})

SUM = "{ sha1sum || shasum || sha1 -q || openssl dgst -sha1 -r; } 2>/dev/null"
"""Shell text that prints the SHA-1 of its standard input as the first word."""

LOOK = (
    f'\nsum() {{ {SUM} <"$1"; }}'
    """
above() { case $d in */*) d=${d%/*}; [ "$d" ] || d=/ ;; *) d=. ;; esac; }
look() {
k=absent s= h=
if [ -d "$1" ]; then k=directory
elif [ -L "$1" ]; then k=link
elif [ -f "$1" ]; then k=file; h=$(sum "$1")
elif [ -e "$1" ]; then k=other
else
d=$1
above
[ -d "$d" ] || k=no_parent
while [ ! -e "$d" ] && [ ! -L "$d" ]; do above; done
if [ ! -d "$d" ]; then k=not_directory
elif [ ! -x "$d" ]; then k=denied
fi
fi
case $k in
file|directory|other)
s=$(stat -L -c %a:%u:%g:%s:%U:%G "$1" 2>/dev/null || stat -L -f %Mp%Lp:%u:%g:%z:%Su:%Sg "$1" 2>/dev/null) ;;
esac
printf '%s\\n%s\\n%s\\n' "$k" "$s" "${h%% *}"
}
"""
)
"""Shell function ``look PATH``: prints three lines, which `Found.read` takes. The path must not begin with a dash."""


@dataclass(frozen=True, slots=True)
class Found:
    """What is at a path of a host.

    Args:
        kind: what it is; where it is nothing, ``no_parent`` says that its directory does not exist either,
            ``not_directory`` that something else stands where a directory would, ``denied`` that one can't be entered.
        mode: permission bits; None where they are not known, as the fields below.
        uid: owner's number.
        gid: group's number.
        size: bytes.
        owner: owner's name, or number where it has none.
        group: group's name, likewise.
        sha1: of a file's content, in hexadecimal; "" where it can't be read.
    """

    kind: Kind
    mode: int | None = None
    uid: int | None = None
    gid: int | None = None
    size: int | None = None
    owner: str = ""
    group: str = ""
    sha1: str = ""

    @property
    def exists(self) -> bool:
        """Whether there is anything."""
        return self.kind not in _NOTHING

    @classmethod
    def read(cls, lines: Iterator[str]) -> Found:
        """Take the lines of one ``look``.

        Raises:
            ValueError: they are not those of a ``look``.
        """
        kind, stat, sha1 = next(lines, ""), next(lines, "").split(":"), next(lines, "")
        if kind not in _KINDS:
            raise ValueError(f"not an answer to look: {kind!r}")
        if len(stat) != 6:
            return cls(cast(Kind, kind), sha1=sha1)
        owner, group = (number if name == "UNKNOWN" else name for name, number in zip(stat[4:], stat[1:3], strict=True))
        mode, uid, gid, size = int(stat[0], 8), int(stat[1]), int(stat[2]), int(stat[3])
        return cls(cast(Kind, kind), mode, uid, gid, size, owner, group, sha1)

    def lines(self) -> str:
        """Return the lines that ``look`` prints for this."""
        stat = ""
        if self.mode is not None:
            stat = f"{self.mode:o}:{self.uid}:{self.gid}:{self.size}:{self.owner}:{self.group}"
        return f"{self.kind}\n{stat}\n{self.sha1}\n"
