"""Where a copy goes: what a host is asked about it before, in one round trip, and the directories made on the way."""

from __future__ import annotations

import functools
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

from sshexec.connectors.base import Connector
from sshexec.connectors.files import LOOK, Found
from sshexec.connectors.posix import operand, quote
from sshexec.errors import HostError
from sshexec.modules.base import Invocation
from sshexec.modules.exchange import run_script, said
from sshexec.modules.mode import Mode
from sshexec.modules.placement import LINK
from sshexec.modules.wish import HEAD, SETTERS, Context, attribute_script, identity, raise_failure
from sshexec.modules.words import expanding

MAKE = """
make() {
[ ! -e "$1" ] && [ ! -L "$1" ] || return 0
case $1 in
?*/*) make "${1%/*}"; [ -d "${1%/*}" ] && [ ! -d "$1" ] || return 0 ;;
esac
q=$1
e=$(mkdir "$1" 2>&1) || [ -d "$1" ] || fail mkdir "$e"
[ "$new" ] || new=$1
}
making() {
new=; make "$1"; [ "$new" ] || return 0
q=$new; dress
while [ "$q" != "$1" ]; do
r=${1#"$q"/}
case $r in */*) q=$q/${r%%/*} ;; *) q=$1 ;; esac
dress
done
}
folder() {
if [ -d "$1" ]; then
b=$(rights "$1"); q=$1; dress; a=$(rights "$1")
[ "$a" = "$b" ] || note rights "$b" "$a"
look "$1"
else look "$1"; making "$1"
fi
}
rights() { stat -L -c '%a %u %g' "$1" 2>/dev/null || stat -L -f '%Mp%Lp %u %g' "$1" 2>/dev/null; }
"""
"""Shell functions: ``making PATH`` makes missing directories and has each of them ``dress``ed, as ``folder PATH`` has
one that is there already, too; it looks at it as it was, behind a ``note`` where something is set."""

KEEP = """
keep() {
[ -f "$p" ] && s=$(sum "$p") && [ "${s%% *}" != "$1" ] || return 0
b=.$$.$(date +%Y-%m-%d@%H:%M:%S)~
(umask 077; set -C; : >"$p$b") || exit 1
cp -p "$p" "$p$b" || { rm -f "$p$b"; exit 1; }
}
"""
"""Shell function ``keep SHA1``: keeps ``$p`` as ``$p$b`` where it is a file with another content."""


@dataclass(frozen=True, slots=True)
class Rights:
    """What directories that are made get.

    Args:
        mode: None leaves it to the umask.
        owner: name or number; None leaves it, as with the others.
        group: likewise.
        attributes: as chattr(1) takes them.
        context: SELinux context.
    """

    mode: Mode | None = None
    owner: str | None = None
    group: str | None = None
    attributes: str | None = None
    context: Context | None = None

    def script(self, name: str = "dress") -> str:
        """Return a shell function which gives ``$q`` what it does not have of it.

        Args:
            name: of the function.
        """
        parts = ['s=$(rights "$q"); i=${s#* } u=$((0$(umask))) x=0\n[ ! -d "$q" ] || x=73\n']
        if self.context is not None:
            parts.append(self.context.script())
        if self.owner is not None:
            parts.append(f'user {quote(identity(self.owner))}; [ "$n" = "${{i% *}}" ] || own "$n"\n')
        if self.group is not None:
            parts.append(f'group {quote(identity(self.group))}; [ "$n" = "${{i#* }}" ] || grp "$n"\n')
        if self.mode is not None:
            parts.append(f"m=$((0${{s%% *}}))\n{self.mode.script()}")
            parts.append('[ "$((0${s%% *}))" = "$m" ] || bits "$(printf %05o "$m")"\n')
        if self.attributes:
            parts.append(attribute_script(self.attributes))
        return f"{name}() {{\n{''.join(parts)}}}\n" if len(parts) > 1 else f"{name}() {{ :; }}\n"


@dataclass(frozen=True, slots=True)
class Place:
    """Something below a destination that is asked about.

    Args:
        name: its path below.
        kind: ``file``, ``directory`` or ``link``.
        link: where a link points to.
        sha1: of a file's new content, where the old one is kept under another name if it differs.
    """

    name: str
    kind: str = "file"
    link: str = ""
    sha1: str = ""


@dataclass(frozen=True)
class Question:
    """What is asked about a destination.

    Args:
        dest: the path as the user wrote it; ``~`` and variables are the host's.
        basename: what is put behind a destination that is a directory; "" where there is no name (a content).
        places: what is below the destination; empty for a single file.
        follow: whether a link at the destination is followed; one that leads nowhere is not.
        backup: SHA-1 of the new content, where a file that differs from it is kept under another name.
        make: whether directories that are missing are made.
        rights: of those.
        attributes: whether a single file has them, as chattr(1) takes them.
        context: likewise its SELinux context.
    """

    dest: str
    basename: str = ""
    places: tuple[Place, ...] = ()
    follow: bool = False
    backup: str | None = None
    make: bool = False
    rights: Rights = field(default_factory=Rights)
    attributes: str | None = None
    context: Context | None = None

    @functools.cached_property
    def script(self) -> str:
        """The shell script that answers with lines for `Answer.read`."""
        # What is the host's to expand comes first: the script's own variables would be in its way.
        parts = [f"sshexec_p={expanding(operand(self.dest))}\n", LOOK, "b= o=\n"]
        if self.make or self.attributes or self.context:
            parts += [SETTERS, HEAD]
        if self.make:
            parts += [MAKE, self.rights.script()]
        else:
            parts.append('making() { :; }\nfolder() { look "$1"; }\n')
        parts.append("j= p=$sshexec_p\n")
        below = f"p=${{p%/}}/{quote(self.basename)} j=' joined'" if self.basename else ""
        strip = 'c=${p%/}; making "${c:-/}"'
        if self.places:
            parts.append(f"{below}\n{strip}\n")
        elif below:
            parts.append(f'case $p in */) {strip}; {below} ;; *) if [ -d "$p" ]; then {below}; fi ;; esac\n')
        if self.follow:
            leads = 'q=$(readlink -f "$p" && echo x) && o=$p p=${q%??} j="$j linked"'
            parts.append(f'if [ -L "$p" ] && [ -e "$p" ]; then {leads}; fi\n')
        parts.append('echo "$(umask)$j"\n')
        if self.backup or any(place.sha1 for place in self.places):
            parts.append(KEEP)
        if any(place.kind == "link" for place in self.places):
            parts.append(LINK)
        parts += [self._place(place) for place in self.places]
        if not self.places:
            parts.append('look "$p"\n')
            if self.attributes or self.context:
                parts.append(self._compare())
        if self.backup:
            parts.append(f"keep {self.backup}\n")
        parts.append('printf \'%s\\n%s\\0%s\' "$b" "$p" "$o"\n')
        return "".join(parts)

    @staticmethod
    def _place(place: Place) -> str:
        at = f"q=${{p%/}}/{quote(place.name)}"
        if place.kind == "directory":
            return f'{at}; folder "$q"\n'
        if place.kind == "link":
            wanted = quote(f"{place.link}\nx")
            return (
                f'{at}; if [ -L "$q" ] && [ "$(readlink "$q"; echo x)" = {wanted} ]; then look_link =\n'
                'else look "$q"; fi\n'
            )
        keep = f"c=$p; p=$q; keep {place.sha1}; p=$c\n" if place.sha1 else ""
        return f'{at}; look "$q"\n{keep}'

    def _compare(self) -> str:
        """Return the shell text that notes what of a file is not as it is wished, and sets nothing."""
        attributes = attribute_script(self.attributes) if self.attributes else ""
        context = self.context.script() if self.context else ""
        return f'if [ -f "$p" ]; then q=$p doing=\n{context}{attributes}doing=1; fi\n'


@dataclass(frozen=True, slots=True)
class Answer:
    """What a host answered to a `Question`.

    Args:
        path: the destination with everything expanded.
        founds: what is there, or at each place below it; of a link that is as it shall be, ``sha1`` is ``=``.
        umask: the host's.
        backup: what is behind the name under which the old file was kept; "" where it was not.
        joined: whether the basename is part of the path.
        linked: where the link is, if the path is that of what one points to.
        set: places whose rights were changed, by number.
        noted: attributes and context of a single file that are not as wished: key, what it has, what is wished.
    """

    path: str
    founds: tuple[Found, ...]
    umask: int
    backup: str
    joined: bool = False
    linked: str = ""
    set: frozenset[int] = frozenset()
    noted: Mapping[str, tuple[str, str]] = field(default_factory=dict)

    @classmethod
    def read(cls, text: str, question: Question) -> Answer:
        """Read what the script printed.

        Raises:
            HostError: a directory could not be made, or something of it not be set.
            ValueError: it is not such an answer.
        """
        lines = iter(text.split("\n"))
        first, _ = _noted(lines)
        raise_failure(first, lines)
        umask, *flags = first.split(" ")
        founds: list[Found] = []
        changed = set()
        for number in range(max(1, len(question.places))):
            line, noted = _noted(lines)
            raise_failure(line, lines)
            if noted:
                changed.add(number)
            founds.append(Found.read(iter([line, next(lines, ""), next(lines, "")])))
        backup, notes = _noted(lines)
        # The path comes last: it may hold line breaks.
        path, _, linked = "\n".join(lines).partition("\0")
        return cls(
            path,
            tuple(founds),
            int(umask, 8),
            backup,
            "joined" in flags,
            linked,
            frozenset(changed),
            notes,
        )

    def top(self, question: Question) -> str:
        """Return the destination as it was before the basename came behind it."""
        path = self.linked or self.path
        if not self.joined:
            return path
        top = path.removesuffix(question.basename)
        return top if question.dest.endswith("/") or top == "/" else top.removesuffix("/")


def _noted(lines: Iterator[str]) -> tuple[str, dict[str, tuple[str, str]]]:
    """Return the next line that is no note, and the notes before it."""
    notes: dict[str, tuple[str, str]] = {}
    line = next(lines, "")
    while line.startswith("+ "):
        what, before, after = line[2:].split("\t")
        notes[what] = (before, after)
        line = next(lines, "")
    return line, notes


def ask(connector: Connector[Any, Any], invocation: Invocation, question: Question) -> Answer:
    """Ask a host.

    Raises:
        HostError: the host could not answer, or a directory or backup could not be made.
    """
    entries = [f"{place.name}/" if place.kind == "directory" else place.name for place in question.places]
    about = ("ask", question.dest, question.basename, *entries)
    done, output = run_script(connector, invocation, question.script, about)
    text = output.stdout.decode("utf-8", "surrogateescape")
    if done != 0 and "failed " not in text:
        raise HostError(said(output) or f"the host could not look at {question.dest!r} (exit status {done})")
    try:
        return Answer.read(text, question)
    except ValueError as error:
        raise HostError(f"the host's answer about {question.dest!r} is not understood: {error}") from error
