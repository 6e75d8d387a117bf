"""What somebody types, line by line."""

from __future__ import annotations

import re

_KEY = re.compile(
    rb"[^\x00-\x1f\x7f]+"
    rb"|\x1b\[[0-?]*[ -/]*[@-~]"
    rb"|\x1bO[ -~]"
    rb"|\x1b[^\x1b]?"
    rb"|[\x00-\x1a\x1c-\x1f\x7f]",
    re.DOTALL,
)

_PASTE = (b"\x1b[200~", b"\x1b[201~")
"""What stands around a paste where the program has asked for it."""

_LONGEST = 64 * 1024
"""Bytes of one line that are remembered; a longer one is known by its beginning, and never by a part of it."""

_CANCELS = b"\x03\x04\x1a\x1c"
"""Ctrl-C, Ctrl-D, Ctrl-Z and Ctrl-backslash: the line is not entered."""


class Entry:
    """One line, or what has been typed of it so far."""

    __slots__ = ("enters", "erased", "lines", "raw", "runs", "start", "user", "whole")

    def __init__(self) -> None:
        self.raw = bytearray()
        self.runs = [bytearray()]
        """What was typed between keys whose effect is not known: a completion, the history, the arrows."""
        self.enters = False
        """Whether it ended with Enter."""
        self.erased = False
        """Whether something of its text was taken back, so that the line's end does not show it."""
        self.whole = True
        """Whether nothing of it is missing here."""
        self.start: int | None = None
        """Where on the screen's line it begins; None where that is not known."""
        self.user = ""
        self.lines = 0
        """How many lines were shown since it was entered."""

    def copy(self) -> Entry:
        """Return another one that is alike."""
        other = Entry()
        other.raw, other.runs = bytearray(self.raw), [bytearray(each) for each in self.runs]
        other.whole, other.erased, other.start, other.user = self.whole, self.erased, self.start, self.user
        return other

    @property
    def typed(self) -> str:
        """The text of it, without keys whose effect is not known."""
        return b"".join(self.runs).decode("utf-8", "replace")

    @property
    def proven(self) -> bytes:
        """What was typed, once its text has been seen; what was taken back before that is left out."""
        return b"".join(self.runs) + self.raw[-1:] if self.erased else bytes(self.raw)

    @property
    def is_silent(self) -> bool:
        """Whether it has no text at all, only keys such as Enter and the arrows."""
        return self.whole and not self._texts

    @property
    def _texts(self) -> list[str]:
        return [each.decode("utf-8", "replace") for each in self.runs if each]

    def shown_in(self, text: str) -> bool:
        """Return whether a text has everything that was typed, in its order; keys without a text need no proof."""
        if not self.whole:
            return False
        at = 0
        for each in self._texts:
            at = text.find(each.strip() if len(self.runs) == 1 else each, at)
            if at < 0:
                return False
            at += len(each)
        return True

    def found_in(self, line: str, rest: str | None) -> str | None:
        """Return what was entered, as the screen shows it; None where it was not shown.

        Args:
            line: the whole line on the screen.
            rest: of it, what stands behind the place where the typing began; None where that place is not known.
        """
        texts = self._texts
        if not texts:
            # Enter alone, or something of the history.
            return rest if rest is not None and self.whole else None
        if len(self.runs) == 1:
            text = texts[0].strip()
            if not text or not self.whole:
                return text if self.whole else None
            # A prompt may have been drawn anew in front of it, or stand at the line's other end.
            if rest is not None and rest.lstrip().startswith(text):
                return text
            before = line[: -len(text)]
            return text if line.endswith(text) and not before[-1:].isalnum() and rest != "" else None
        return rest if rest is not None and self.shown_in(rest) else None


class Keys:
    """Splits what is typed into lines, and does to each what the commonest keys do."""

    def __init__(self) -> None:
        self.entry = Entry()
        """The line that is being typed."""

    def copy(self) -> Keys:
        """Return another one that stands where this one does."""
        other = Keys()
        other.entry = self.entry.copy()
        return other

    def type(self, data: bytes, user: str) -> list[Entry]:
        """Take something typed; return the lines that it ended.

        Args:
            data: any piece of what is typed.
            user: who types it.
        """
        ended = []
        for match in _KEY.finditer(data):
            key = match[0]
            entry = self.entry
            entry.user = user
            if len(entry.raw) + len(key) > _LONGEST and key not in (b"\r", b"\n"):
                entry.whole = False
                key = key[: max(0, _LONGEST - len(entry.raw))]
            entry.raw += key
            if key in (b"\r", b"\n") or (len(key) == 1 and key in _CANCELS):
                entry.enters = key in (b"\r", b"\n")
                ended.append(entry)
                self.entry = Entry()
            elif key:
                _press(entry, key)
        return ended


def _press(entry: Entry, key: bytes) -> None:
    last = entry.runs[-1]
    before = len(last)
    if key[0] >= 0x20 and key != b"\x7f":
        last += key
    elif key in (b"\x7f", b"\b") and last:
        del last[len(last.decode("utf-8", "surrogateescape")[:-1].encode("utf-8", "surrogateescape")) :]
    elif key == b"\x15" and len(entry.runs) == 1:
        last.clear()
    elif key == b"\x17" and last:
        del last[last.rstrip(b" ").rfind(b" ") + 1 :]
    elif key not in _PASTE and not (key in (b"\x7f", b"\b", b"\x17") and len(entry.runs) == 1):
        entry.runs.append(bytearray())
    entry.erased = entry.erased or len(last) < before
