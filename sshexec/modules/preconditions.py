"""What must hold on the host before a command runs: its directory, ``creates`` and ``removes``, its program.

Each is a piece of a shell script that, where it does not hold, says so by a note and ends the script: nothing of it
needs a round trip of its own. Notes carry the errno that Ansible, which asks the system itself, would have got.
"""

from __future__ import annotations

import errno
import os
from collections.abc import Iterable, Mapping
from typing import Any

from sshexec.connectors.posix import NOTE, quote
from sshexec.modules.words import expanding

# The nearest thing above a path that exists tells why the path can't be had.
_WHY = """why() {
sshexec_q=$1 sshexec_e=13
until [ -e "$sshexec_q" ]; do
case $sshexec_q in ?*/*) sshexec_q=${sshexec_q%/*} ;; /*) sshexec_q=/ ;; *) sshexec_q=.; break ;; esac; done
if [ ! -d "$sshexec_q" ]; then sshexec_e=20
elif [ "$sshexec_q" != "$1" ] && [ -x "$sshexec_q" ]; then sshexec_e=2; fi
}
"""

WANTED = "sshexec_x"
"""Shell variable that holds the path in question. These scripts run in the environment of the command that follows, so
every variable of theirs has a name that nobody else uses."""

DIRECTORY = f"""{_WHY}CDPATH= cd -- "${WANTED}" >/dev/null 2>&1 || {{
why "${WANTED}"; {NOTE} "chdir $sshexec_e"; exit 1; }}
"""
"""Changes to the directory `WANTED`."""

PROGRAM = f"""{_WHY}have() {{ [ -e "$1" ] && {{ sshexec_e=13; [ -f "$1" ] && [ -x "$1" ]; }}; }}
search() {{ sshexec_p=${{PATH-/bin:/usr/bin}}:
while [ "$sshexec_p" ]; do sshexec_w=${{sshexec_p%%:*}} sshexec_p=${{sshexec_p#*:}}
have "${{sshexec_w:-.}}/$1" && return; done; return 1; }}
sshexec_e=2
case ${WANTED} in
*/*) have "${WANTED}" || {{ [ -e "${WANTED}" ] || why "${WANTED}"; false; }} ;;
*) search "${WANTED}" ;;
esac || {{ {NOTE} "executable $sshexec_e"; exit 127; }}
"""
"""Looks for the program `WANTED` as execvp does."""

STATES = {"creates": "exists", "removes": "does not exist"}
"""What the notes of `guards` say about the path of that name."""

SAID = {"chdir": "Unable to change directory before execution.", "executable": "Error executing command."}
"""Ansible's messages for the other notes; why it is so Ansible's display adds, see `unmet`."""

_TOLD = """sshexec_f={word}
case $sshexec_f in *'
'*) ;; *) {note} "is {name} $sshexec_f;" ;; esac
"""


def guards(arguments: Mapping[str, Any], *, glob: bool) -> str:
    """Return the script that ends where ``creates`` exists or ``removes`` does not, with a note that says which.

    Args:
        arguments: the module's.
        glob: whether the paths are patterns, which a dangling link fits too, with ``~`` and variables to expand
            (`glob.glob` in Ansible's ``command``); or else what they are (``test -e`` in its ``script``).
    """
    lines = []
    for name, unless in (("creates", ""), ("removes", "! ")):
        if not arguments[name]:
            continue
        word = expanding(arguments[name], glob=True) if glob else quote(arguments[name])
        find, there = f"sshexec_f={word}", '[ -e "$sshexec_f" ]'
        if glob:
            find = f"for sshexec_f in {word}; do break; done"
            there = f'{{ {there} || [ -L "$sshexec_f" ]; }}'
        lines.append(f"{find}\nif {unless}{there}; then {NOTE} {name}; exit 0; fi\n")
    return "".join(lines)


def telling(arguments: Mapping[str, Any], names: Iterable[str]) -> str:
    """Return the script that notes what paths are once the host has expanded ``~`` and variables in them.

    Ansible's results show paths like that. There is nothing to tell of those that have nothing to expand.

    Args:
        arguments: the module's.
        names: which of them are paths.
    """
    words = {name: expanding(arguments[name]) for name in names if arguments[name]}
    parts = [
        _TOLD.format(word=word, note=NOTE, name=name) for name, word in words.items() if word != quote(arguments[name])
    ]
    return "".join(parts)


def told(note: str) -> tuple[str, dict[str, str]]:
    """Return what is left of `Completed.note` without what `telling` noted, and the paths by name."""
    left, paths = "", {}
    for line in note.split("\n"):
        kind, _, rest = line.partition(" ")
        if kind == "is":
            name, _, path = rest.partition(" ")
            paths[name] = path.removesuffix(";")
        else:
            left = line
    return left, paths


def unmet(note: str, path: str) -> str:
    """Return why a note of these scripts was made, in the words that ansible-core 2.19 displays beside `SAID`.

    Args:
        note: `Completed.note`: ``chdir`` or ``executable``, and an errno.
        path: the directory or program as the user wrote it.
    """
    name, number = path.encode("utf-8", "surrogateescape"), errno_of(note)
    return f"{SAID[note.partition(' ')[0]].removesuffix('.')}: [Errno {number}] {os.strerror(number)}: {name!r}"


def errno_of(note: str) -> int:
    """Return the errno of such a note; that of a missing file where a strange host leaves it out."""
    number = note.partition(" ")[2]
    return int(number) if number.isdecimal() and len(number) < 4 else errno.ENOENT
