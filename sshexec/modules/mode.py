"""Permission bits as Ansible reads them: octal, or symbolic (``u=rw,g+r,o-rwx``).

The symbolic form is Ansible's own (ansible-core 2.19, `AnsibleModule.set_mode_if_different`), which differs from
chmod(1): ``a`` stands alone, an empty clause or one without operator changes nothing, letters of permissions and of
people may be mixed (``g=us``), set-id and sticky bits are replaced by ``=`` on directories too, and a clause without
people respects the umask for ``r``, ``w`` and ``x`` only.
"""

from __future__ import annotations

import re

from sshexec.modules.arguments import readable

_OPERATOR = re.compile(r"[-+=]")
_PEOPLE = re.compile(r"[ugo]+\Z")
_PERMISSIONS = re.compile(r"[rwxXstugo]*\Z")
_SHIFT = {"u": 6, "g": 3, "o": 0}
_BITS = {"r": 4, "w": 2, "x": 1}
_SPECIAL = {"u": ("s", 0o4000), "g": ("s", 0o2000), "o": ("t", 0o1000)}
_LARGEST = 0o777777
"""A whole `st_mode`, whose upper bits a host leaves out."""

_WRONG = "mode must be in octal or symbolic form"

_Step = tuple[str, str, str, bool]
"""Whom it is about (one of ``ugo``), operator, permissions, and whether the umask holds."""


class Mode:
    """A wish about permission bits.

    Args:
        value: an octal text, a number (YAML reads ``0644`` as one), or a symbolic text.

    Raises:
        ValueError: it is none of these, in Ansible's words.
    """

    def __init__(self, value: object) -> None:
        self._octal: int | None = None
        self._steps: tuple[_Step, ...] = ()
        if isinstance(value, int) and not isinstance(value, bool):
            self._octal = value
        elif isinstance(value, str):
            try:
                self._octal = int(value, 8)
            except ValueError:
                self._steps = tuple(step for clause in value.split(",") for step in _steps(clause))
        else:
            raise ValueError(f"{_WRONG}: it is of type {type(value).__name__}")
        if self._octal is not None:
            if not 0 <= self._octal <= _LARGEST:
                raise ValueError(f"{_WRONG}: {readable(value)} is out of range")
            self._octal &= 0o7777

    def bits(self, current: int, umask: int = 0, *, directory: bool = False) -> int:
        """Return the permission bits.

        Args:
            current: those of the file now; a symbolic mode builds on them.
            umask: the host's; its bits stay as they are where a clause names nobody.
            directory: whether it is one, for ``X``.
        """
        if self._octal is not None:
            return self._octal
        for who, operator, permissions, masked in self._steps:
            wanted = _wanted(who, permissions, current, umask if masked else 0, directory=directory)
            if operator == "+":
                current |= wanted
            elif operator == "-":
                current &= ~wanted
            else:
                current = current & ~(7 << _SHIFT[who] | _SPECIAL[who][1]) | wanted
        return current

    def script(self) -> str:
        """Return shell text that makes ``$m``, the bits now, what is wished, all in decimal numbers.

        It takes the umask from ``$u`` and from ``$x`` whether ``X`` means ``x`` on what has no ``x`` yet: 73 (0111 in
        octal) on a directory, else 0.
        """
        if self._octal is not None:
            return f"m={self._octal}\n"
        return "".join(_arithmetic(*step) for step in self._steps)


def _steps(clause: str) -> list[_Step]:
    """Return what a clause wants, person by person."""
    people, *wishes = _OPERATOR.split(clause)
    everyone = people in ("", "a")
    if not (everyone or _PEOPLE.match(people)) or not all(map(_PERMISSIONS.match, wishes)):
        raise ValueError(f"{_WRONG}: bad symbolic permission for mode: {readable(clause)}")
    operators = _OPERATOR.findall(clause)
    return [
        (who, operator, permissions, not people)
        for operator, permissions in zip(operators, wishes, strict=True)
        for who in ("ugo" if everyone else people)
    ]


def _fixed(who: str, permissions: str) -> tuple[int, int]:
    """Return the bits that do not depend on the file: those that a umask masks, and set-id or sticky."""
    triple = sum(_BITS[letter] for letter in set(permissions) & set(_BITS))
    letter, special = _SPECIAL[who]
    return triple << _SHIFT[who], special if letter in permissions else 0


def _wanted(who: str, permissions: str, current: int, umask: int, *, directory: bool) -> int:
    masked, wanted = _fixed(who, permissions)
    wanted |= masked & ~umask
    if "X" in permissions and (directory or current & 0o111):
        wanted |= 1 << _SHIFT[who]
    for other in set(permissions) & set(_SHIFT):
        wanted |= (current >> _SHIFT[other] & 7) << _SHIFT[who]
    return wanted


def _arithmetic(who: str, operator: str, permissions: str, masked: bool) -> str:
    """Return one step in the shell's arithmetic."""
    shift = _SHIFT[who]
    bits, special = _fixed(who, permissions)
    terms = [str(special), f"({bits} & ~u)" if masked else str(bits)]
    if "X" in permissions:
        terms.append(f"(((m | x) & 73) != 0) << {shift}")
    terms += [f"(m >> {_SHIFT[other]} & 7) << {shift}" for other in sorted(set(permissions) & set(_SHIFT))]
    wanted = " | ".join(f"({term})" for term in terms)
    if operator == "+":
        return f"m=$((m | {wanted}))\n"
    if operator == "-":
        return f"m=$((m & ~({wanted})))\n"
    return f"m=$((m & ~{7 << shift | _SPECIAL[who][1]} | {wanted}))\n"
