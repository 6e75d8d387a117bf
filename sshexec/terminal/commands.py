"""Which commands were typed, as far as anybody can tell who sees a terminal from outside.

This is best effort, and no security boundary: it sees what is typed and what the program shows, and not what the shell
makes of it. ``r\\m``, ``$(...)``, an alias, a script, what is typed into an editor or another interpreter, or with the
echo switched off: all that runs unseen. What must not happen on a host has to be forbidden on that host.
"""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from sshexec.connectors.terminal import Size
from sshexec.errors import ArgumentError
from sshexec.terminal.echo import Echo
from sshexec.terminal.keys import Entry, Keys
from sshexec.terminal.observer import Observer, SessionInfo

log = logging.getLogger(__name__)

_LONGEST = 4096
"""Characters of a command that are kept."""

_PENDING = 256
"""Lines that were typed ahead and are waited for, at most."""

_PATIENCE = 500
"""Lines of output after which what was typed ahead is not waited for any more."""


@dataclass(frozen=True, slots=True)
class Command:
    """A line that was typed and shown; most often a command.

    Args:
        time: seconds since the epoch.
        user: who typed it.
        text: as it stood on the screen.
    """

    time: float
    user: str
    text: str

    def to_dict(self) -> dict[str, Any]:
        """Return it as plain data."""
        return {"time": self.time, "user": self.user, "text": self.text}


CommandFilter = Callable[[SessionInfo, str, str], "str | None"]
"""Gets the session, a line that is about to be typed to its end, and who types it; returns why that is not to be, or
None. It is called before anything is known of the echo, and so with passwords too: it must keep nothing."""


class Lines:
    """Brings together what is typed and what is shown.

    Args:
        command: called with each line that was typed and shown, and who typed it.
        input: called with the bytes that were typed, once it is seen that they are shown; those of a line that is not
            shown, such as a password, are dropped.
        columns: how wide the terminal is.
    """

    def __init__(
        self,
        command: Callable[[str, str], None] | None = None,
        input: Callable[[bytes], None] | None = None,
        columns: int = 80,
    ) -> None:
        self._command = command
        self._input = input
        self._echo = Echo(columns)
        self._keys = Keys()
        self._waiting: list[Entry] = []
        """Lines that were typed, and that no line on the screen has been found for."""
        self._answered = False
        """Whether the program has written something since the last of them."""

    def resized(self, size: Size) -> None:
        """Take another size."""
        self._echo.columns = size.columns

    def pending(self, data: bytes) -> list[str] | None:
        """Return what would be entered if something were typed; what the screen shows of the first such line, too.

        Args:
            data: what is about to be typed.

        Returns:
            The lines; None where one is too long to be known.
        """
        current = self._keys.entry
        entered = [each for each in self._keys.copy().type(data, "") if each.enters]
        if not all(each.whole for each in entered):
            return None
        texts = [each.typed for each in entered]
        if entered and current.raw and current.start is not None and not self._echo.alternate:
            texts.insert(0, self._echo.text(current.start))
        return list(dict.fromkeys(text for text in (each.strip() for each in texts) if text))

    def typed(self, data: bytes, user: str) -> None:
        """Take something that is typed."""
        if self._echo.alternate:
            self._keys = Keys()
            self._waiting.clear()
            return
        if not self._keys.entry.raw and (self._answered or not self._waiting):
            self._keys.entry.start = self._echo.at
        for entry in self._keys.type(data, user):
            if entry.enters:
                self._answered = False
                if len(self._waiting) < _PENDING:
                    self._waiting.append(entry)
            elif entry.is_silent or (entry.start is not None and entry.shown_in(self._echo.text(entry.start))):
                self._tell(entry)

    def shown(self, data: bytes) -> None:
        """Take something that the program writes."""
        self._answered = True
        if self._echo.feed(data, self._ended if self._waiting else None) and self._keys.entry.raw:
            self._keys.entry.start = None

    def _ended(self) -> None:
        """Find what was entered with the line that ends on the screen; what was typed before it was not shown."""
        line = self._echo.text()
        for number, entry in enumerate(self._waiting):
            text = entry.found_in(line, None if entry.start is None else self._echo.text(entry.start))
            if text is not None:
                del self._waiting[: number + 1]
                self._tell(entry)
                text = text.strip()
                if text and self._command is not None:
                    self._command(text[:_LONGEST], entry.user)
                break
        else:
            if self._waiting and self._waiting[0].is_silent:
                self._tell(self._waiting[0])
            # What was typed ahead the shell shows once it gets there; a line of its own it has had.
            self._waiting = [
                each for each in self._waiting if each.start is None and each.typed.strip() and each.lines < _PATIENCE
            ]
        for entry in self._waiting:
            entry.start = None
            entry.lines += 1

    def _tell(self, entry: Entry) -> None:
        if self._input is not None:
            self._input(entry.proven)


class CommandLog(Observer):
    """Tells which commands are typed in a session, and asks filters before they are.

    Args:
        sink: called with each command, once it has been seen on the screen.
        filters: each may say why a line is not to be entered. What comes with it in one piece, such as the rest of a
            paste, is not sent either. One that raises refuses.

    Raises:
        ArgumentError: something of it can't be called.
    """

    def __init__(
        self,
        sink: Callable[[SessionInfo, Command], None] | None = None,
        filters: Sequence[CommandFilter] = (),
    ) -> None:
        for each in (*filters, *([] if sink is None else [sink])):
            if not callable(each):
                raise ArgumentError(f"commands: expected a function, got {type(each).__name__}")
        self._sink = sink
        self._filters = tuple(filters)
        self._info: SessionInfo | None = None
        self._lines = Lines(lambda text, user: self._seen.append((text, user)))
        self._lock = threading.Lock()
        """Of the lines: what is shown may come while somebody asks what would be entered."""
        self._seen: list[tuple[str, str]] = []
        """Commands that the sink has not been told yet: it may act on the session, which asks for the lock again."""

    def opened(self, info: SessionInfo) -> None:
        """See `Observer.opened`."""
        self._info = info
        self.resized(info.size)

    def permits(self, data: bytes, user: str) -> str | None:
        """Return why something is not typed, as the first filter says that objects."""
        if not self._filters or self._info is None or (b"\r" not in data and b"\n" not in data):
            return None
        with self._lock:
            pending = self._lines.pending(data)
        if pending is None:
            return "the line is too long to be checked"
        for text in pending:
            for ask in self._filters:
                try:
                    reason = ask(self._info, text, user)
                except Exception as error:  # noqa: BLE001 - the platform's own code
                    log.warning("a filter of commands failed, and the command is refused: %s", type(error).__name__)
                    return "the command can't be checked"
                if reason is not None:
                    return str(reason) or "the command is not allowed"
        return None

    def typed(self, data: bytes, user: str) -> None:
        """See `Observer.typed`."""
        with self._lock:
            self._lines.typed(data, user)

    def shown(self, data: bytes) -> None:
        """See `Observer.shown`."""
        with self._lock:
            self._lines.shown(data)
            seen, self._seen = self._seen, []
        for text, user in seen:
            if self._sink is not None and self._info is not None:
                self._sink(self._info, Command(time.time(), user, text))

    def resized(self, size: Size) -> None:
        """See `Observer.resized`."""
        with self._lock:
            self._lines.resized(size)
