"""Which modes of a terminal are on, as far as the output tells, so that one that is cleared gets them back."""

from __future__ import annotations

import re
from collections.abc import Iterator

_ON_AT_FIRST = frozenset({7, 25})
"""Wrapping at the margin, the cursor's being visible."""

_ALTERNATE = frozenset({47, 1047, 1049})
"""The screen of full-screen programs (xterm's ctlseqs, DECSET)."""

_KNOWN = _ON_AT_FIRST | _ALTERNATE | {1, 66, 1000, 1002, 1003, 1004, 1006, 1015, 2004}
"""Beside those: cursor keys and keypad of applications, ways to report the mouse, focus, bracketed paste."""

_SOFT = (1, 7, 25, 66)
"""What a soft reset (DECSTR) puts back."""

_SEQUENCE = re.compile(rb"\x1b(?:\[\?([0-9;]{1,64})([hl])|([=>c])|\[!p)")

_LONGEST = 70
"""Bytes of a sequence at most; of one that a piece cuts in two, the start waits for the next piece."""


def _changes(data: bytes) -> Iterator[tuple[int | None, bool]]:
    """Yield each mode that the output changes, and whether to on; None for all of them at once."""
    for found in _SEQUENCE.finditer(data):
        numbers, switch, single = found.groups()
        if numbers is not None:
            for number in numbers.split(b";"):
                # The length keeps a hostile host's number from becoming a large one.
                if number and len(number) <= 5 and int(number) in _KNOWN:
                    yield int(number), switch == b"h"
        elif single in (b"=", b">"):
            yield 66, single == b"="
        elif single is not None:
            yield None, False
        else:
            for mode in _SOFT:
                yield mode, mode in _ON_AT_FIRST


class Modes:
    """Follows the modes that the output of a program sets."""

    __slots__ = ("_changed", "_half")

    def __init__(self) -> None:
        self._changed: set[int] = set()
        """Those that are not as they are at first."""
        self._half = b""

    @property
    def alternate(self) -> bool:
        """Whether a full-screen program has its own screen."""
        return not self._changed.isdisjoint(_ALTERNATE)

    def feed(self, data: bytes) -> None:
        """Follow one more piece of the output."""
        if self._half:
            data, self._half = self._half + data, b""
        for mode, on in _changes(data):
            if mode is None:
                self._changed.clear()
            elif on != (mode in _ON_AT_FIRST):
                self._changed.add(mode)
            else:
                self._changed.discard(mode)
        escape = data.rfind(b"\x1b", -_LONGEST)
        if escape >= 0 and _SEQUENCE.match(data, escape) is None:
            self._half = data[escape:]

    def before(self, data: bytes) -> bytes:
        """Return what sets a terminal, as it is at first, to what it was before the last output.

        Args:
            data: the last output; what it changes was the other way round before.
        """
        changed = set(self._changed)
        seen: set[int] = set()
        for mode, on in _changes(data):
            if mode is None:
                break
            if mode not in seen:
                seen.add(mode)
                changed.discard(mode)
                if on == (mode in _ON_AT_FIRST):
                    changed.add(mode)
        return b"".join(_switch(mode) for mode in sorted(changed))


def _switch(mode: int) -> bytes:
    if mode == 66:
        return b"\x1b="
    return b"\x1b[?%d%c" % (mode, b"l" if mode in _ON_AT_FIRST else b"h")
