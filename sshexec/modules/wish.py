"""What shall be set on a path of the host, and what is there then: owner, group, permission bits, in one round trip."""

from __future__ import annotations

import shlex
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from sshexec.connectors.base import Connector
from sshexec.connectors.deadline import Deadline
from sshexec.connectors.files import LOOK, Found
from sshexec.connectors.output import Output
from sshexec.connectors.posix import quote
from sshexec.errors import HostError
from sshexec.modules.base import Invocation
from sshexec.modules.exchange import from_stdin, run_script, said

_FAILURES = {11: "chown failed", 12: "chgrp failed", 13: "chmod failed", 15: "moving the validated file failed"}
_INVALID = 14


@dataclass(frozen=True, slots=True)
class Wish:
    """What shall be set on one path.

    Args:
        path: where.
        owner: name or number; None leaves it.
        group: likewise.
        bits: permission bits; None leaves them.
        keep: owner and group numbers of a file that was replaced, to be given to the new one where that is allowed.
        validated: the file that takes the place of ``path`` once ``validate`` is content with it.
        validate: a command with ``%s`` for that file.
    """

    path: str
    owner: str | None = None
    group: str | None = None
    bits: int | None = None
    keep: tuple[int, int] | None = None
    validated: str | None = None
    validate: str = ""

    def script(self) -> str:
        """Return the shell script that sets it and looks at the path."""
        parts = [f"q={quote(self.path)}\n"]
        if self.validated is not None:
            words = (self._word(word) for word in shlex.split(self.validate))
            parts.append(
                f't={quote(self.validated)}\ntrap \'trap "" HUP INT TERM; rm -f "$t"\' EXIT\n'
                "trap 'exit 129' HUP; trap 'exit 130' INT; trap 'exit 143' TERM\n"
                f"v=$({' '.join(words)} </dev/null) || {{ printf '%s\\n%s' $? \"$v\"; exit {_INVALID}; }}\n"
                'mv -f "$t" "$q" || exit 15\n'
            )
        if self.keep is not None:
            parts.append(f'chown {self.keep[0]}:{self.keep[1]} "$q" 2>/dev/null\n')
        if self.owner is not None:
            owner = quote(self.owner)
            # A number need not be in the host's list of users.
            if not self.owner.isdigit():
                parts.append(
                    f"id -u {owner} >/dev/null 2>&1 || {{ echo failed to look up user {owner} >&2; exit 11; }}\n"
                )
            parts.append(f'chown {owner} "$q" || exit 11\n')
        if self.group is not None:
            group = quote(self.group)
            parts.append(
                f'chgrp {group} "$q" 2>/dev/null || {{\n'
                f"if getent group {group} >/dev/null 2>&1 || cut -d: -f1 /etc/group | grep -Fqx -- {group}\n"
                f'then chgrp {group} "$q"; else echo failed to look up group {group} >&2; fi\nexit 12\n}}\n'
            )
        if self.bits is not None:
            parts.append(f'chmod {self.bits:04o} "$q" || exit 13\n')
        parts.append('look "$q"\n')
        return "".join(parts)

    @staticmethod
    def _word(word: str) -> str:
        return '"$t"'.join(quote(part) if part else "" for part in word.split("%s")) or "''"


class InvalidError(HostError):
    """The command given as ``validate`` refused the file.

    Args:
        rc: its exit status.
        stdout: what it printed.
        stderr: likewise.
    """

    def __init__(self, message: str, rc: int = 0, stdout: str = "", stderr: str = "") -> None:
        super().__init__(message)
        self.rc = rc
        self.stdout = stdout
        self.stderr = stderr


def settle(connector: Connector[Any, Any], invocation: Invocation, wishes: Sequence[Wish]) -> list[Found]:
    """Set what is wished, in order, and return what is there then.

    Raises:
        InvalidError: ``validate`` refused; the destination is untouched.
        HostError: something could not be set.
    """
    about = ["settle"]
    for wish in wishes:
        about += [wish.path, "" if wish.bits is None else f"{wish.bits:o}", wish.validated or ""]
    rc, output = run_script(connector, invocation, LOOK + "".join(wish.script() for wish in wishes), tuple(about))
    text = output.stdout.decode("utf-8", "surrogateescape")
    if rc == _INVALID:
        status, _, printed = text.partition("\n")
        raise InvalidError("failed to validate", int(status), printed, output.text("stderr"))
    if rc != 0:
        raise HostError(f"{_FAILURES.get(rc, 'setting attributes failed')}: {said(output) or f'exit status {rc}'}")
    lines = iter(text.split("\n"))
    return [Found.read(lines) for _ in wishes]


def discard(connector: Connector[Any, Any], path: str) -> None:
    """Remove a file that was left behind, within a few seconds.

    Raises:
        HostError: the host does not answer.
    """
    connector.execute(from_stdin(f"rm -f -- {quote(path)}", ("discard", path)), Output(), Deadline.after(5))
