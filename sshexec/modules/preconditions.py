"""What must hold on the host before a command runs: its directory, ``creates`` and ``removes``, its program.

Each is a piece of a shell script that, where it does not hold, says so by a note and ends the script: nothing of it
needs a round trip of its own. Notes carry the errno that Ansible, which asks the system itself, would have got.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from typing import Any

from sshexec.connectors.posix import NOTE
from sshexec.modules.words import expanding

# The nearest thing above a path that exists tells why the path can't be had.
_WHY = """why() {
q=$1 e=13
until [ -e "$q" ]; do case $q in ?*/*) q=${q%/*} ;; /*) q=/ ;; *) q=.; break ;; esac; done
if [ ! -d "$q" ]; then e=20; elif [ "$q" != "$1" ] && [ -x "$q" ]; then e=2; fi
}
"""

DIRECTORY = f"""{_WHY}CDPATH= cd -- "$x" >/dev/null 2>&1 || {{ why "$x"; {NOTE} "chdir $e"; exit 1; }}
"""
"""Changes to the directory $x."""

PROGRAM = f"""{_WHY}have() {{ [ -e "$1" ] && {{ e=13; [ -f "$1" ] && [ -x "$1" ]; }}; }}
e=2
case $x in
*/*) have "$x" || {{ [ -e "$x" ] || why "$x"; false; }} ;;
*) set -f; IFS=:; for w in ${{PATH-/bin:/usr/bin}}; do have "${{w:-.}}/$x" && break; done ;;
esac || {{ {NOTE} "executable $e"; exit 127; }}
"""
"""Looks for the program $x as execvp does."""

STATES = {"creates": "exists", "removes": "does not exist"}
"""What the notes of `guards` say about the path of that name."""

_SAID = {
    "chdir": "Unable to change directory before execution",
    "executable": "Error executing command",
}


def guards(arguments: Mapping[str, Any], *, glob: bool) -> str:
    """Return the script that ends where ``creates`` exists or ``removes`` does not, with a note that says which.

    Args:
        arguments: the module's.
        glob: whether the paths are patterns, which a dangling link fits too; `glob.glob` in Ansible.
    """
    lines = []
    for name, unless in (("creates", ""), ("removes", "! ")):
        if not arguments[name]:
            continue
        word = expanding(arguments[name], glob=glob)
        find, there = f"f={word}", '[ -e "$f" ]'
        if glob:
            find, there = f"for f in {word}; do break; done", f'{{ {there} || [ -L "$f" ]; }}'
        lines.append(f"{find}\nif {unless}{there}; then {NOTE} {name}; exit 0; fi\n")
    return "".join(lines)


def unmet(note: str, path: str) -> str:
    """Return the message for a note of these scripts, in the words that ansible-core 2.19 prints.

    Args:
        note: `Completed.note`: ``chdir`` or ``executable``, and an errno.
        path: the directory or program as the user wrote it.
    """
    kind, _, errno = note.partition(" ")
    name = path.encode("utf-8", "surrogateescape")
    return f"{_SAID[kind]}: [Errno {errno}] {os.strerror(int(errno))}: {name!r}"
