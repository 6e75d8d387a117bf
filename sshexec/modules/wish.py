"""What shall be set on a path of the host, and what is there then: owner, group, permission bits, attributes and
SELinux context, in one round trip.

A failure has the words and the keys that ansible-core 2.19 answers with.
"""

from __future__ import annotations

import errno
import os
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, fields
from typing import Any

from sshexec.connectors.base import Connector
from sshexec.connectors.deadline import Deadline
from sshexec.connectors.files import LOOK, Found
from sshexec.connectors.output import Output
from sshexec.connectors.posix import operand, quote
from sshexec.errors import HostError
from sshexec.modules.base import Invocation
from sshexec.modules.exchange import from_stdin, run_script, said, shown
from sshexec.modules.placement import LINK, PLACE, InvalidError, Placement, refusal, removing

_FAILED = {
    "chown": "chown failed",
    "user": "chown failed: failed to look up user {said}",
    "chgrp": "chgrp failed",
    "group": "chgrp failed: failed to look up group {said}",
    "chattr": "chattr failed",
    "chcon": "invalid selinux context: {said}",
    "filled": "the directory {path} is not empty, refusing to convert it",
    "link": "can't make the link {path}: {said}",
}
_FAILURE = 11
_ERRNO = {os.strerror(number): number for number in errno.errorcode}

NO_TARGET = "Cannot set fs attributes on a non-existent symlink target. follow should be set to False to avoid this."
"""Ansible's warning about a link that leads nowhere."""

SETTERS = r"""
export LC_ALL=C
user() {
case $1 in
'' | *[!0-9]*) n=$(id -u -- "$1" 2>/dev/null) && [ "$n" ] || fail user "$1" ;;
*) n=$1 ;;
esac
}
group() {
case $1 in
'' | *[!0-9]*) n=$(getent group "$1" 2>/dev/null | cut -d: -f3)
[ "$n" ] || n=$(while IFS=: read -r g _ n _; do
[ "$g" != "$1" ] || { printf %s "$n"; break; }; done </etc/group 2>/dev/null)
[ "$n" ] || fail group "$1" ;;
*) n=$1 ;;
esac
}
own() { e=$(chown -h "$1" "$q" 2>&1) || fail chown "$e"; }
grp() { e=$(chgrp -h "$1" "$q" 2>&1) || fail chgrp "$e"; }
bits() { e=$(chmod "$1" "${2:-$q}" 2>&1) || fail chmod "$e"; }
attr() {
c=$(command -v chattr) || return 0
a=$(lsattr -d "$q" 2>/dev/null) || a=
a=$(printf %s "${a%% *}" | tr -d -)
[ "$1" = - ] || [ "$a" != "$2" ] || return 0
note attributes "$a" "$1$2"
[ ! "$doing" ] || { e=$("$c" "$1$2" "$q" 2>&1) && [ ! "$e" ]; } || fail chattr "$e"
}
context() {
[ -e /sys/fs/selinux/enforce ] && c=$(stat -c %C "$q" 2>/dev/null) || return 0
d=$(matchpathcon -n "$q" 2>/dev/null) || d=$c
n= r=$c i=0
for w in "$@"; do
i=$((i + 1)) f=${r%%:*} g=${d%%:*}
[ $i != 4 ] || f=$r g=$d
case $w in '') w=$f ;; _default) w=$g ;; esac
[ ! "$w" ] || n=$n${n:+:}$w
case $r in *:*) r=${r#*:} ;; *) r= ;; esac
case $d in *:*) d=${d#*:} ;; *) d= ;; esac
done
[ "$n" != "$c" ] || return 0
note secontext "$c" "$n"
[ ! "$doing" ] || e=$(chcon -h "$n" "$q" 2>&1) || fail chcon "$e"
}
"""
"""Shell functions that set something on ``$q``: ``own NUMBER``, ``grp NUMBER``, ``bits OCTAL [PATH]``; if it differs,
``attr SIGN FLAGS`` and ``context USER ROLE TYPE LEVEL``. ``user NAME`` and ``group NAME`` put the number into ``$n``.

They call ``note WHAT BEFORE AFTER`` and, at the end of everything, ``fail WHAT TEXT``; with an empty ``$doing`` nothing
is set."""


@dataclass(frozen=True, slots=True)
class Context:
    """Parts of an SELinux context; None leaves a part, ``_default`` is the policy's."""

    user: str | None = None
    role: str | None = None
    type: str | None = None
    level: str | None = None

    @classmethod
    def of(cls, arguments: Mapping[str, Any]) -> Context | None:
        """Return what the arguments ``seuser``, ``serole``, ``setype``, ``selevel`` wish; None for nothing."""
        parts = [arguments[name] for name in ("seuser", "serole", "setype", "selevel")]
        return cls(*parts) if any(parts) else None

    def script(self) -> str:
        """Return the call of the shell function ``context``."""
        return f"context {' '.join(quote(part or '') for part in (self.user, self.role, self.type, self.level))}\n"


def attribute_script(attributes: str) -> str:
    """Return the call of the shell function ``attr`` for attributes as chattr(1) takes them."""
    sign, flags = (attributes[0], attributes[1:]) if attributes[:1] in ("-", "+") else ("=", attributes)
    return f"attr {sign} {quote(flags)}\n"


def identity(name: str) -> str:
    """Return an owner or group as the shell functions take it: what Python reads as a number is that number."""
    try:
        return str(int(name))
    except ValueError:
        return name


@dataclass(frozen=True, slots=True)
class Wish:
    """What shall be set on one path.

    Args:
        path: where; a link there is not followed, but for its permission bits.
        owner: name or number; None leaves it.
        group: likewise.
        bits: permission bits; None leaves them.
        keep: owner and group numbers of a file that was replaced, to be given to the new one where that is allowed.
        placement: the file that takes the place of ``path`` before.
        link: what a symbolic link points to that is to be there; owner and group are the link's own.
        attributes: as chattr(1) takes them; set where they differ.
        context: SELinux context; set where it differs and the host has SELinux.
        doing: False only says what would be set: owner and group numbers, attributes and context.
    """

    path: str
    owner: str | None = None
    group: str | None = None
    bits: int | None = None
    keep: tuple[int, int] | None = None
    placement: Placement | None = None
    link: str | None = None
    attributes: str | None = None
    context: Context | None = None
    doing: bool = True

    def script(self) -> str:
        """Return the shell script that sets it and looks at the path."""
        parts = [f"q={quote(operand(self.path))} doing={'1' if self.doing else ''}\n"]
        if self.placement is not None:
            parts.append(self.placement.script())
        if self.keep is not None:
            parts.append(f'chown {self.keep[0]}:{self.keep[1]} "$q" 2>/dev/null\n')
        if self.link is not None:
            parts.append(f"link {quote(self.link)}\n")
        if self.context is not None:
            parts.append(self.context.script())
        if self.owner is not None:
            parts.append(f'user {quote(identity(self.owner))}; {"own" if self.doing else "note owner -"} "$n"\n')
        if self.group is not None:
            parts.append(f'group {quote(identity(self.group))}; {"grp" if self.doing else "note group -"} "$n"\n')
        if self.bits is not None and self.doing:
            # GNU chmod keeps the set-id bits of a directory unless there are five digits.
            parts.append(f"bits {self.bits:05o}\n")
        if self.attributes:
            parts.append(attribute_script(self.attributes))
        parts.append('look "$q"\n' if self.link is None else "look_link\n")
        return "".join(parts)


@dataclass(frozen=True, slots=True)
class Settled(Found):
    """What is at a path once a wish was fulfilled.

    Args:
        before: attributes and SELinux context as they were, where they were set (key by key as in a diff of Ansible).
        after: what was set.
    """

    before: Mapping[str, str] = field(default_factory=dict)
    after: Mapping[str, str] = field(default_factory=dict)


class SettingError(HostError):
    """Something could not be set.

    Args:
        message: Ansible's ``msg``.
        values: the other keys of its result, but those that tell what is at the path.
        said: what the host's program said.
        path: where; None where Ansible's result does not tell either.
        found: what is there.
    """

    def __init__(
        self,
        message: str,
        values: Mapping[str, Any] | None = None,
        said: str = "",
        path: str | None = None,
        found: Found | None = None,
    ) -> None:
        super().__init__(message)
        self.values = dict(values or {})
        self.said = said
        self.path = path
        self.found = found

    @classmethod
    def of(cls, what: str, text: str, path: str, found: Found | None = None) -> SettingError:
        """Return the error for what the shell functions called ``fail`` with.

        Args:
            what: first argument of ``fail``.
            text: second.
            path: where.
            found: what is there.
        """
        text = text.strip()
        if what in ("chmod", "mkdir"):
            return cls(f"Module failed: {system_error(text, path)}", said=text)
        if what == "chattr":
            details = {"details": f"Error while setting attributes: {text}\n"}
            return cls(_FAILED[what], details, text, path, found)
        message = _FAILED.get(what, "setting attributes failed: {said}").format(said=shown(text), path=shown(path))
        return cls(message, {}, text, path, found)


def system_error(text: str, *paths: str) -> str:
    """Return what a program said of the system as Python writes it, so as Ansible's messages have it.

    Args:
        text: what the program printed, in English.
        paths: what it was about.
    """
    reason = text.strip().rpartition("\n")[2].rpartition(": ")[2]
    number = _ERRNO.get(reason)
    if number is None:
        return shown(text.strip())
    about = " -> ".join(repr(path.encode("utf-8", "surrogateescape")) for path in paths)
    return f"[Errno {number}] {reason}" + (f": {about}" if about else "")


HEAD = (
    "doing=1\n"
    "note() { printf '+ %s\\t%s\\t%s\\n' \"$@\"; }\n"
    f'fail() {{ printf \'failed %s\\n\' "$1"; look "$q"; printf \'%s\\0%s\' "$2" "$q"; exit {_FAILURE}; }}\n'
)


def settle(connector: Connector[Any, Any], invocation: Invocation, wishes: Sequence[Wish]) -> list[Settled]:
    """Set what is wished, in order, and return what is there then.

    Raises:
        InvalidError, MismatchError: the new file was refused; the old one is untouched.
        SettingError: something could not be set.
        HostError: the host could not answer.
    """
    about = ["settle"]
    for wish in wishes:
        placed = wish.placement.temporary if wish.placement else ""
        about += [wish.path, "" if wish.bits is None else f"{wish.bits:o}", placed]
    temporary = [wish.placement.temporary for wish in wishes if wish.placement]
    parts = [LOOK, SETTERS, HEAD, removing(temporary)]
    if temporary:
        parts.append(PLACE)
    if any(wish.link is not None for wish in wishes):
        parts.append(LINK)
    parts += [wish.script() for wish in wishes]
    rc, output = run_script(connector, invocation, "".join(parts), tuple(about))
    text = output.stdout.decode("utf-8", "surrogateescape")
    if rc not in (0, _FAILURE):
        raise HostError(f"setting attributes failed: {said(output) or f'exit status {rc}'}")
    lines = iter(text.split("\n"))
    try:
        return [_settled(lines) for _ in wishes]
    except InvalidError as error:
        error.stderr = output.text("stderr")
        raise


def _settled(lines: Iterator[str]) -> Settled:
    before: dict[str, str] = {}
    after: dict[str, str] = {}
    line = next(lines, "")
    while line.startswith("+ "):
        what, was, wanted = line[2:].split("\t")
        before[what], after[what] = was, wanted
        line = next(lines, "")
    raise_failure(line, lines)
    found = Found.read(iter([line, next(lines, ""), next(lines, "")]))
    values = {each.name: getattr(found, each.name) for each in fields(found)}
    return Settled(**values, before=before, after=after)


def raise_failure(line: str, lines: Iterator[str]) -> None:
    """Raise what ``fail`` told, where this line is its first.

    Args:
        line: the line.
        lines: what follows.

    Raises:
        HostError: it is.
    """
    if line.startswith("failed "):
        what, found = line.removeprefix("failed "), Found.read(lines)
        text, _, path = "\n".join(lines).partition("\0")
        raise refusal(what, text, path) or SettingError.of(what, text, path, found)


def discard(connector: Connector[Any, Any], paths: Sequence[str]) -> None:
    """Remove files that were left behind, within a few seconds.

    Raises:
        HostError: the host does not answer.
    """
    script = f"rm -f {' '.join(quote(operand(path)) for path in paths)}"
    connector.execute(from_stdin(script, ("discard", *paths)), Output(), Deadline.after(5))
