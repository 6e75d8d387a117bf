"""How a file that is complete on the host takes its place there: checked, with mode and owner, by one rename."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from sshexec.connectors.posix import operand, quote
from sshexec.errors import HostError
from sshexec.modules.exchange import shown
from sshexec.modules.splitting import split_words

PLACE = """
place() {
if [ ! -e "$t" ] && [ "$1" ]; then s=$(sum "$q"); [ "${s%% *}" != "$1" ] || return 0; fi
[ ! -d "$q" ] || fail directory "$t"
s=$(sum "$t"); s=${s%% *}
[ ! "$1" ] || [ ! "$s" ] || [ "$s" = "$1" ] || fail mismatch "$s $1"
[ ! "$3" ] || chown -h "$3" "$t" 2>/dev/null
[ ! "$2" ] || bits "$2" "$t"
[ ! -e /sys/fs/selinux/enforce ] || [ ! -e "$q" ] || chcon --reference="$q" "$t" 2>/dev/null
e=$(mv -f "$t" "$q" 2>&1) || { [ "$4" ] && e=$(cat "$t" 2>&1 >"$q"); } || fail move "$e"
[ ! "$4" ] || rm -f "$t"
}
validate() {
command -v "$1" >/dev/null 2>&1 || fail program "$*"
v=$("$@" </dev/null; echo "x$?")
[ "${v##*x}" = 0 ] || fail invalid "${v##*x} ${v%x*}"
}
"""
"""Shell functions beside those of `LOOK`: ``place SHA1 MODE OWNER UNSAFE`` moves ``$t`` to ``$q``, ``validate WORD
...`` runs a command first.

An empty argument asks nothing of it. Where it can't be done they call ``fail`` (`refusal` reads it)."""

LINK = r"""
link() {
[ -L "$q" ] || [ ! -d "$q" ] || rmdir "$q" 2>/dev/null || fail filled
t=${q%/*}/.sshexec-link-$$
e=$(ln -sn "$1" "$t" 2>&1) && { mv -fT "$t" "$q" 2>/dev/null || { rm -f "$q" && mv -f "$t" "$q"; }; } ||
{ rm -f "$t"; fail link "$e"; }
}
look_link() {
s=
[ ! -e "$q" ] || s=$(stat -c %a:%u:%g:%s:%U:%G "$q" 2>/dev/null || stat -f %Mp%Lp:%u:%g:%z:%Su:%Sg "$q" 2>/dev/null)
printf 'link\n%s\n%s\n' "$s" "$1"
}
"""
"""Shell functions: ``link TARGET`` makes ``$q`` a symbolic link, ``look_link WORD`` prints of it what ``look`` would.

The word stands for the SHA-1; of a link that leads nowhere there is nothing more."""


_EMPTY = "''"
"""An empty word of a shell."""


@dataclass(frozen=True, slots=True)
class Placement:
    """A file of the host that is to take the place of another.

    Args:
        temporary: where it is.
        sha1: what it must be; "" where that is not known.
        bits: its permission bits; None leaves them.
        keep: owner and group numbers that it gets where that is allowed: those of the file that it replaces.
        validate: a command with ``%s`` for it, which must succeed before.
        unsafe: where it can't be renamed, write over what is there.
    """

    temporary: str
    sha1: str = ""
    bits: int | None = None
    keep: tuple[int, int] | None = None
    validate: str = ""
    unsafe: bool = False

    def script(self) -> str:
        """Return the shell text that moves it to ``$q``."""
        bits = _EMPTY if self.bits is None else f"{self.bits:04o}"
        keep = _EMPTY if self.keep is None else f"{self.keep[0]}:{self.keep[1]}"
        words = (self.sha1 or _EMPTY, bits, keep, "1" if self.unsafe else _EMPTY)
        return f"t={quote(operand(self.temporary))}\n{validating(self.validate)}place {' '.join(words)}\n"


def validating(command: str) -> str:
    """Return the shell text that runs a command with ``%s`` for ``$t``; "" where there is none."""
    words = ('"$t"'.join(quote(part) if part else "" for part in word.split("%s")) for word in split_words(command))
    return f"validate {' '.join(word or _EMPTY for word in words)}\n" if command else ""


def removing(paths: Sequence[str]) -> str:
    """Return the shell text that removes files whatever becomes of the script."""
    if not paths:
        return ""
    return (
        f"left() {{ rm -f {' '.join(quote(operand(path)) for path in paths)}; }}\n"
        "trap 'trap \"\" HUP INT TERM; left' EXIT\n"
        "trap 'exit 129' HUP; trap 'exit 130' INT; trap 'exit 143' TERM\n"
    )


class InvalidError(HostError):
    """The command given as ``validate`` refused the file, or is not there.

    Args:
        message: Ansible's ``msg``.
        rc: its exit status; None where it did not run.
        stdout: what it printed.
        stderr: likewise.
        command: what it was; only where it did not run.
        path: where the file was to go.
    """

    def __init__(
        self,
        message: str,
        rc: int | None = None,
        stdout: str = "",
        stderr: str = "",
        command: str | None = None,
        path: str = "",
    ) -> None:
        super().__init__(message)
        self.rc = rc
        self.stdout = stdout
        self.stderr = stderr
        self.command = command
        self.path = path


class MismatchError(HostError):
    """What arrived is not what was to be sent.

    Args:
        found: SHA-1 of what arrived.
        expected: what it was to be.
        path: where; None where there is one place only.
    """

    def __init__(self, found: str | None, expected: str, path: str | None = None) -> None:
        super().__init__("Copied file does not match the expected checksum. Transfer failed.")
        self.found = found
        self.expected = expected
        self.path = path


def refusal(what: str, text: str, path: str) -> HostError | None:
    """Return the error for what the shell functions called ``fail`` with; None where it was not they.

    Args:
        what: first argument of ``fail``.
        text: second.
        path: where the file was to go.
    """
    if what == "mismatch":
        found, _, expected = text.partition(" ")
        return MismatchError(found or None, expected)
    if what == "invalid":
        status, _, printed = text.partition(" ")
        return InvalidError("failed to validate", int(status), printed, path=path)
    if what == "program":
        return InvalidError("Error executing command.", command=text, path=path)
    if what == "directory":
        return not_replaced(path, text)
    if what == "say":
        return HostError(shown(text))
    if what == "move":
        return HostError(f"Could not replace '{shown(path)}': {shown(text.strip())}")
    return None


def not_replaced(path: str, temporary: str) -> HostError:
    """Return the error for a directory where a file is to be.

    Args:
        path: where it is.
        temporary: where the file is.
    """
    path, temporary = shown(path), shown(temporary)
    return HostError(
        f"Module failed: Could not replace '{path}' with b'{temporary}': [Errno 21] Is a directory: b'{temporary}' -> "
        f"b'{path}'"
    )
