"""How a file that is complete on the host takes its place there: checked, with mode and owner, by one rename."""

from __future__ import annotations

import shlex
from collections.abc import Sequence
from dataclasses import dataclass

from sshexec.connectors.files import SUM
from sshexec.connectors.posix import operand, quote
from sshexec.errors import HostError
from sshexec.modules.exchange import shown

PLACE = f"""
sum() {{ {SUM} <"$1"; }}
"""  """
place() {
[ ! -d "$q" ] || fail directory "$t"
s=$(sum "$t"); s=${s%% *}
[ ! "$1" ] || [ ! "$s" ] || [ "$s" = "$1" ] || fail mismatch "$s"
[ ! "$3" ] || chown "$3" "$t" 2>/dev/null
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
"""Shell functions: ``place SHA1 MODE OWNER UNSAFE`` moves ``$t`` to ``$q``, ``validate WORD ...`` runs a command first.

An empty argument asks nothing of it. Where it can't be done they call ``fail`` (`refusal` reads it)."""


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
        check = ""
        if self.validate:
            check = f"validate {' '.join(self._word(word) for word in shlex.split(self.validate))}\n"
        bits = "''" if self.bits is None else f"{self.bits:04o}"
        keep = "''" if self.keep is None else f"{self.keep[0]}:{self.keep[1]}"
        unsafe = "1" if self.unsafe else "''"
        return f"t={quote(operand(self.temporary))}\n{check}place {self.sha1 or chr(39) * 2} {bits} {keep} {unsafe}\n"

    @staticmethod
    def _word(word: str) -> str:
        return '"$t"'.join(quote(part) if part else "" for part in word.split("%s")) or "''"


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
    """

    def __init__(
        self, message: str, rc: int | None = None, stdout: str = "", stderr: str = "", command: str | None = None
    ) -> None:
        super().__init__(message)
        self.rc = rc
        self.stdout = stdout
        self.stderr = stderr
        self.command = command


class MismatchError(HostError):
    """What arrived is not what was to be sent.

    Args:
        found: SHA-1 of what arrived.
    """

    def __init__(self, found: str) -> None:
        super().__init__("Copied file does not match the expected checksum. Transfer failed.")
        self.found = found


def refusal(what: str, text: str, path: str) -> HostError | None:
    """Return the error for what the shell functions called ``fail`` with; None where it was not they.

    Args:
        what: first argument of ``fail``.
        text: second.
        path: where the file was to go.
    """
    if what == "mismatch":
        return MismatchError(text)
    if what == "invalid":
        status, _, printed = text.partition(" ")
        return InvalidError("failed to validate", int(status), printed)
    if what == "program":
        return InvalidError("Error executing command.", command=text)
    if what == "directory":
        temporary = shown(text)
        return HostError(
            f"Could not replace '{shown(path)}' with b'{temporary}': [Errno 21] Is a directory: b'{temporary}' -> "
            f"b'{shown(path)}'"
        )
    if what == "move":
        return HostError(f"Could not replace '{shown(path)}': {shown(text.strip())}")
    return None
