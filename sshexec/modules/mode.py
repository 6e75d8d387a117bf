"""Permission bits as a person writes them: octal, symbolic (``u=rw,g+r,o-rwx``)."""

from __future__ import annotations

import re

_CLAUSE = re.compile(r"([ugoa]*)((?:[-+=](?:[rwxXst]*|[ugo]))+)\Z")
_ACTION = re.compile(r"([-+=])([rwxXst]+|[ugo]|)")
_SHIFT = {"u": 6, "g": 3, "o": 0}
_BITS = {"r": 4, "w": 2, "x": 1}


class Mode:
    """A wish about permission bits.

    Args:
        value: an octal text, a number (YAML reads ``0644`` as one), or a symbolic text as chmod(1) takes it.

    Raises:
        ValueError: it is none of these.
    """

    def __init__(self, value: object) -> None:
        self._octal: int | None = None
        self._clauses: list[tuple[str, str]] = []
        if isinstance(value, int) and not isinstance(value, bool):
            self._octal = value
        elif isinstance(value, str) and re.fullmatch(r"(0o?)?[0-7]{1,5}", value):
            self._octal = int(value.replace("o", ""), 8)
        elif isinstance(value, str):
            matches = [_CLAUSE.match(clause) for clause in value.split(",")]
            self._clauses = [(match[1], match[2]) for match in matches if match]
            if len(self._clauses) != len(matches):
                raise ValueError("mode must be in octal or symbolic form")
        else:
            raise ValueError("mode must be in octal or symbolic form")
        if self._octal is not None and not 0 <= self._octal <= 0o7777:
            raise ValueError("mode must be in octal or symbolic form")

    def bits(self, current: int, umask: int = 0, *, directory: bool = False) -> int:
        """Return the permission bits.

        Args:
            current: those of the file now; a symbolic mode builds on them.
            umask: where a clause names nobody, these bits stay as they are (chmod(1)).
            directory: whether it is one, for ``X``.
        """
        if self._octal is not None:
            return self._octal
        for who, actions in self._clauses:
            for operator, permissions in _ACTION.findall(actions):
                current = _apply(current, who, operator, permissions, umask, directory)
        return current


def _apply(current: int, who: str, operator: str, permissions: str, umask: int, directory: bool) -> int:
    everyone = not who or "a" in who
    changed = reach = 0
    for person in "ugo" if everyone else who:
        shift = _SHIFT[person]
        if permissions and permissions in _SHIFT:
            triple = current >> _SHIFT[permissions] & 7
        else:
            triple = sum(_BITS[letter] for letter in set(permissions) & set(_BITS))
            if "X" in permissions and (directory or current & 0o111):
                triple |= 1
        changed |= triple << shift
        reach |= 7 << shift
        if "s" in permissions and person in "ug":
            changed |= 0o4000 if person == "u" else 0o2000
        # On a directory, chmod leaves set-id bits alone that are not named.
        if person in "ug" and not directory:
            reach |= 0o4000 if person == "u" else 0o2000
    # The sticky bit goes with "o".
    if everyone or "o" in who:
        reach |= 0o1000
        changed |= 0o1000 if "t" in permissions else 0
    if not who:
        changed &= ~umask
    if operator == "+":
        return current | changed
    if operator == "-":
        return current & ~changed
    return (current & ~reach) | changed
