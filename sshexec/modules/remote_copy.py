"""A copy within a host (``remote_src``): everything in one round trip, a file by a rename as any other.

As with Ansible, what is new gets the host's default mode, what is replaced the mode of the source.
"""

from __future__ import annotations

import secrets
from collections.abc import Iterator
from typing import Any

from sshexec.connectors.base import Connector
from sshexec.connectors.files import LOOK, Found
from sshexec.connectors.posix import operand, quote
from sshexec.errors import HostError
from sshexec.modules.base import Invocation, Result
from sshexec.modules.copy_order import Order, about
from sshexec.modules.destination import KEEP, MAKE, Rights
from sshexec.modules.exchange import is_answer, run_script, said, shown
from sshexec.modules.mode import Mode
from sshexec.modules.placement import PLACE, InvalidError, validating
from sshexec.modules.wish import HEAD, SETTERS, identity, raise_failure
from sshexec.modules.words import expanding

_MD5 = "{ md5sum || md5 -q || openssl dgst -md5 -r; } 2>/dev/null"

_ANSWER = """
answer() {
look "$p"
printf '%s %s %s %s %s\\n%s\\0%s\\0%s' "$1" "${sha:--}" "${m5:--}" "${sm:-0}" "${b:--}" "$top" "$p" "$src"
exit 0
}
"""
"""Shell function ``answer WORD``: prints what `_Answer.read` takes."""

_RESOLVE = """
q=$p
[ -e "$src" ] || fail say "Source $src not found"
[ -r "$src" ] || fail say "Source $src not readable"
sha= m5= tree= b= ex= changed=
s=$(rights "$src"); sm=${s%% *}
if [ -d "$src" ]; then tree=1
else
[ -f "$src" ] || fail say "Source $src is not a regular file"
sha=$(sum "$src"); sha=${sha%% *}
m5=$(digest <"$src"); m5=${m5%% *}
fi
[ ! "$expected" ] || [ "$sha" = "$expected" ] || fail mismatch "$sha $expected"
top=$p
case $p in
*/)
d=${p%/}; d=${d:-/}
if [ ! -e "$d" ]; then
[ "$doing" ] || { p=$d; answer would; }
making "$d"
fi ;;
esac
joined=
if [ -d "$p" ]; then p=${p%/}/${src##*/} joined=1; fi
if [ -e "$p" ] || [ -L "$p" ]; then
ex=1
if [ "$follow" ] && [ -L "$p" ] && [ -e "$p" ]; then c=$(readlink -f "$p" && echo x) && p=${c%??}; fi
[ "$force" ] || answer kept
else
d=$p; above
[ -d "$d" ] || fail say "Destination directory $d does not exist"
fi
q=$p d=$p
above
near=1
[ -w "$d" ] || near=
[ "$near" ] || [ "$unsafe" ] || fail say "Destination $d not writable"
"""
"""Finds what goes where: ``$src``, ``$p``, whether it is a ``$tree``, and whether the place is taken (``$ex``)."""

_FILE = """
file() {
e=; [ ! -f "$p" ] || e=$(sum "$p")
[ "${e%% *}" != "$sha" ] || [ -L "$p" ] || return 0
changed=1
[ "$doing" ] || return 0
[ ! "$backup" ] || keep "$sha"
q=$p
t=$src; check
case $p in */*) t=${p%/*}/$token ;; *) t=./$token ;; esac
[ "$near" ] || t=/tmp/$token
trap 'trap "" HUP INT TERM; rm -f "$t"' EXIT
trap 'exit 129' HUP; trap 'exit 130' INT; trap 'exit 143' TERM
e=$({ umask 077; set -C; cat <"$src" >"$t"; } 2>&1) || fail say "Failed to copy '$src' to '$p': $e"
touch -r "$src" "$t" 2>/dev/null
if [ "$ex" ]; then bits "$sm" "$t"; else bits "$(printf %04o $((438 & ~(0$(umask)))))" "$t"; fi
q=$t; moded; q=$p
place "$sha" '' '' "$unsafe"
trap - EXIT
}
"""
"""Shell function ``file``: puts the file ``$src`` to ``$p`` where it is another."""

_WHOLE = """
stated() { stat -c "$1" "$3" 2>/dev/null || stat -f "$2" "$3"; }
whole() {
mkdir -p "$2" && if cp --preserve=mode,timestamps /dev/null /dev/null 2>/dev/null
then cp -RP --preserve=mode,timestamps "$1/." "$2"; else (umask 0; cp -RP "$1/." "$2"); fi &&
chmod "$(stated %a %Mp%Lp "$1/.")" "$2"
}
"""
"""Shell function ``whole FROM TO``: copies a directory to a place where none is, with modes, without owners."""

_MERGE = (
    _WHOLE
    + """
same() {
cmp -s "$1" "$2" 2>/dev/null; r=$?
[ $r = 127 ] || return $r
[ "$(cat "$1"; echo x)" = "$(cat "$2"; echo x)" ]
}
t=; trap "[ ! \\"\\$t\\" ] || rm -f \\"\\$t\\"" EXIT; trap "exit 143" HUP INT PIPE TERM
for f do
[ "$f" != . ] || continue
at=$c/${f#./}
own=
if [ ! -e "$at" ] && [ ! -L "$at" ]; then
[ -d "${at%/*}" ] || continue
elif [ -L "$f" ] || [ ! -f "$f" ] || [ ! -f "$at" ] || same "$f" "$at"; then continue
else
[ ! -L "$at" ] || { l=$(readlink -f "$at"; echo x); at=${l%??}; }
own=$(stated %u:%g %u:%g "$at")
fi
echo changed
[ "$doing" ] || continue
if [ -L "$f" ]; then l=$(readlink "$f"; echo x); ln -s "${l%??}" "$at" || exit 1
elif [ -d "$f" ]; then whole "$f" "$at" || exit 1
elif [ ! -f "$f" ]; then cp -RP "$f" "$at" || exit 1
else
t=${at%/*}/$token
(umask 077; set -C; cat <"$f" >"$t") || exit 1
[ ! "$own" ] || chown -h "$own" "$t" 2>/dev/null
touch -r "$f" "$t" 2>/dev/null
chmod "$(stated %a %Mp%Lp "$f")" "$t" && mv -f "$t" "$at" || exit 1
t=
fi
done
"""
)
"""Shell script that brings paths of a directory, its arguments, to ``$c``: what is missing, and files that differ."""

_TREE = """
tree() {
if [ "$ex" ] && [ ! -d "$p" ]; then
fail say "Module failed: Could not replace '$p' with b'$src': [Errno 20] Not a directory: b'$src' -> b'$p'"
fi
c=$p
[ "$ex" ] || [ "$joined" ] || case $src in */) ;; *) c=$p/${src##*/} ;; esac
case $c in /*) ;; *) c=$PWD/$c ;; esac
if [ "$ex" ]; then
e=$({ cd "$src" && c=$c doing=$doing token=$token find . -exec sh -c "$MERGE" sh {} +; } 2>&1) ||
fail say "Failed to copy '$src' to '$c': $e"
[ ! "$e" ] || changed=1
else
changed=1
[ ! "$doing" ] || e=$(whole "${src%/}" "$c" 2>&1) || fail say "Failed to copy '$src' to '$c': $e"
fi
}
"""
"""Shell function ``tree``: brings what is in the directory ``$src`` to ``$p``; ``$MERGE`` is the script for that."""

_OWNED = """
all() {
[ "$changed" ] && [ ! "$doing" ] || [ "$(find "$p" ! "-$1" "$n" 2>/dev/null | head -n 1)" ] || return 0
changed=1
[ ! "$doing" ] || e=$("$2" -Rh "$n" "$p" 2>&1) || fail "$2" "$e"
}
"""
"""Shell function ``all user|group chown|chgrp``: gives everything below ``$p`` to ``$n``."""


class _Source(Mode):
    """The mode of the source, as the script knows it."""

    def __init__(self) -> None:
        super().__init__(0)

    def script(self) -> str:
        """Return the shell text."""
        return "m=$((0$sm))\n"


class RemoteCopy:
    """A `copy` within one host.

    Args:
        order: what is asked for.
        connector: the host.
        invocation: the task's.
    """

    def __init__(self, order: Order, connector: Connector[Any, Any], invocation: Invocation) -> None:
        self._order = order
        self._connector = connector
        self._invocation = invocation

    def run(self) -> Result:
        """Copy it, or in check mode say what would change."""
        order, arguments = self._order, self._order.arguments
        about_it = ("copy", arguments["src"], arguments["dest"])
        done, output = run_script(self._connector, self._invocation, self.script(), about_it)
        text = output.stdout.decode("utf-8", "surrogateescape")
        if done != 0 and "failed " not in text:
            message = said(output) or f"exit status {done}"
            return order.failed(HostError(f"the host could not copy {arguments['src']!r}: {message}"), self._told())
        try:
            return self._read(iter(text.split("\n")))
        except HostError as error:
            if not is_answer(error):
                raise
            if isinstance(error, InvalidError):
                error.stderr = output.text("stderr")
            # Ansible's module ends there without an answer of its own.
            crashed = error.message.startswith("Module failed: ")
            return order.failed(error, order.given() if crashed else self._told())

    def script(self) -> str:
        """Return the shell script that does it and answers with lines for `_read`."""
        arguments, check = self._order.arguments, self._invocation.check
        wished = _Source() if self._order.preserves else self._order.mode
        given = self._order.rights
        # What is the host's to expand comes first: the script's own variables would be in its way.
        parts = [
            f"sshexec_s={expanding(operand(arguments['src']))}\nsshexec_p={expanding(operand(arguments['dest']))}\n",
            *(LOOK, SETTERS, HEAD, MAKE, KEEP, PLACE, _ANSWER, f"digest() {_MD5}\n"),
        ]
        parts.append(given.script())
        parts.append(Rights(wished).script("moded"))
        parts.append(Rights(wished, given.owner, given.group, given.attributes, given.context).script("finish"))
        parts.append(f"check() {{ :\n{validating(arguments['validate'] or '')}}}\n")
        flags = {
            "doing": not check,
            "follow": arguments["follow"],
            "force": arguments["force"],
            "backup": arguments["backup"],
            "unsafe": arguments["unsafe_writes"],
        }
        parts += [f"{name}={'1' if value else ''}\n" for name, value in flags.items()]
        parts.append(f"expected={quote(arguments['checksum'] or '')} token=.sshexec-{secrets.token_hex(8)}\n")
        parts.append(f"MERGE={quote(_MERGE)}\n")
        parts.append("src=$sshexec_s p=$sshexec_p\n")
        parts += [_WHOLE, _RESOLVE, _FILE, _TREE, _OWNED, 'if [ "$tree" ]; then tree; else file; fi\n']
        parts.append(self._finish())
        return "".join(parts)

    def _finish(self) -> str:
        """Return the shell text that sets what is wished and answers."""
        given = self._order.rights
        parts = ['if [ -e "$p" ]; then q=$p\n']
        if given.owner is not None:
            parts.append(f'[ ! "$tree" ] || {{ user {quote(identity(given.owner))}; all user chown; }}\n')
        if given.group is not None:
            parts.append(f'[ ! "$tree" ] || {{ group {quote(identity(given.group))}; all group chgrp; }}\n')
        if self._invocation.check:
            parts.append('own() { note owner - "$1"; }\ngrp() { note group - "$1"; }\nbits() { note mode - "$1"; }\n')
        parts.append('q=$p; b4=$(rights "$q"); finish; [ "$b4" = "$(rights "$q")" ] || changed=1\nfi\n')
        parts.append('if [ "$changed" ]; then answer changed; else answer same; fi\n')
        return "".join(parts)

    def _read(self, lines: Iterator[str]) -> Result:
        """Return the result that the script's answer tells.

        Raises:
            HostError: it tells a failure.
        """
        line = next(lines, "")
        noted = False
        while line.startswith("+ "):
            noted, line = True, next(lines, "")
        raise_failure(line, lines)
        found = Found.read(iter([line, next(lines, ""), next(lines, "")]))
        word, sha1, md5, mode, backup = next(lines, "").split(" ")
        top, path, src = (shown(each) for each in "\n".join(lines).split("\0"))
        result = {"changed": noted or word in ("changed", "would"), "src": src}
        told = self._told(top, None if sha1 == "-" else sha1, int(mode, 8))
        if word == "would":
            return self._order.result(told, **result, msg=f"dest directory {path} would be created")
        result |= {"dest": path, **about(found)}
        if word == "kept":
            return self._order.result(told, **result, msg="file already exists")
        result |= {"checksum": None if sha1 == "-" else sha1, "md5sum": None if md5 == "-" else md5}
        return self._order.result(told, **result, **({} if backup == "-" else {"backup_file": path + backup}))

    def _told(self, dest: str | None = None, sha1: str | None = None, mode: int = 0) -> dict[str, Any]:
        """Return the arguments as the result shows them."""
        arguments = self._order.arguments
        told = self._order.copying(dest or arguments["dest"], sha1, mode)
        return {**told, "checksum": arguments["checksum"]}
