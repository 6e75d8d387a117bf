"""What a page asks to be run, and what is refused because it is anything else."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from typing import Any

from sshexec.errors import ArgumentError
from sshexec.inventory.members import is_too_deep

_TEXTS = ("pattern", "module", "become_user", "reason")
_SWITCHES = ("check", "diff", "become")
_LONGEST = 4096
_LONGEST_TEXT = 64 * 1024
"""Characters of arguments as one text: taking it apart keeps the server busy, for seconds where it is a megabyte."""


@dataclass(frozen=True, slots=True)
class Order:
    """A task for some hosts.

    Args:
        pattern: which hosts.
        module: its name.
        args: a text, or a mapping; None where there are none.
        check: change nothing, say what would change.
        diff: report differences.
        become: run as another user.
        become_user: as whom; None is root.
        timeout: seconds for the task on one host; None for no limit.
        serial: hosts that run together: a number, or a percentage; None for all.
        reason: why, for the record.
    """

    pattern: str
    module: str
    args: str | Mapping[str, Any] | None = field(default=None, repr=False)
    check: bool = False
    diff: bool = False
    become: bool = False
    become_user: str | None = None
    timeout: float | None = None
    serial: int | str | None = None
    reason: str | None = None

    @classmethod
    def read(cls, given: Mapping[str, Any]) -> Order:
        """Return what a request asks for.

        Args:
            given: its JSON object.

        Raises:
            ArgumentError: a field is missing, unknown, or of another type. Arguments are not quoted.
        """
        known = [each.name for each in fields(cls)]
        unknown = [name for name in given if name not in known]
        if unknown:
            raise ArgumentError(f"{unknown[0]!r:.60}: there is no such field (there are: {', '.join(known)})")
        values = {name: value for name, value in given.items() if value is not None}
        for name in ("pattern", "module"):
            if name not in values:
                raise ArgumentError(f"{name}: must be given")
        for name, value in values.items():
            _check(name, value)
        return cls(**{**values, "args": _arguments(values.get("args"))})


def _check(name: str, value: Any) -> None:
    if name in _TEXTS:
        if not isinstance(value, str) or not value.strip() or len(value) > _LONGEST or not value.isprintable():
            raise ArgumentError(f"{name}: expected a text of one line, of at most {_LONGEST} characters")
    elif name in _SWITCHES:
        if not isinstance(value, bool):
            raise ArgumentError(f"{name}: expected true or false")
    elif name == "timeout":
        if isinstance(value, bool) or not isinstance(value, (int, float)) or not 0 < value <= 10**9:
            raise ArgumentError("timeout: expected seconds above 0")
    elif name == "serial" and (isinstance(value, bool) or not isinstance(value, (int, str)) or len(str(value)) > 12):
        raise ArgumentError("serial: expected a number of hosts, or a percentage such as '20%'")


def _arguments(args: Any) -> str | Mapping[str, Any] | None:
    if isinstance(args, str) and len(args) > _LONGEST_TEXT:
        raise ArgumentError(f"args: expected a text of at most {_LONGEST_TEXT} characters; an object may have more")
    if args is None or isinstance(args, str):
        return args or None
    if not isinstance(args, dict):
        raise ArgumentError("args: expected a text, or an object of arguments")
    if is_too_deep(args):
        raise ArgumentError("args: an argument is nested too deep")
    return args or None
