"""How long a terminal session may last, and what it may hold."""

from __future__ import annotations

from dataclasses import dataclass, fields

from sshexec import expect
from sshexec.errors import ArgumentError

_NEEDED = ("detached", "stall", "answer", "recheck")
_TIMES = ("idle", "max_time", *_NEEDED)


@dataclass(frozen=True, slots=True)
class TerminalPolicy:
    """The limits of one session.

    Args:
        idle: seconds without anything typed after which the session ends; None: never.
        max_time: seconds that it may last in all; None for no limit.
        detached: seconds that it goes on while nobody is its owner, so that a page may be loaded anew.
        stall: seconds that an owner may take nothing of what is there for it; then it is detached.
        answer: seconds that the owner has for all questions of the login.
        recheck: seconds after which whoever sees it by a WebSocket is asked for again: who has signed out, or lost a
            permission, loses it.
        scrollback: bytes of output that are kept for whoever comes later.
        window: bytes that a viewer may have been sent without having acknowledged them.
        watchers: viewers beside the owner, at most.
        read_only: whether nothing can be typed.
        accept_host_keys: whether the owner may trust the key of a host that is not known.

    Raises:
        ArgumentError: a value is out of its range.
    """

    idle: float | None = 1800.0
    max_time: float | None = 43200.0
    detached: float = 300.0
    stall: float = 30.0
    answer: float = 110.0
    recheck: float = 60.0
    scrollback: int = 256 * 1024
    window: int = 256 * 1024
    watchers: int = 8
    read_only: bool = False
    accept_host_keys: bool = False

    def __post_init__(self) -> None:
        for each in fields(self):
            value = getattr(self, each.name)
            if each.name in _TIMES:
                expect.seconds(each.name, value)
            elif isinstance(each.default, bool):
                if not isinstance(value, bool):
                    raise ArgumentError(f"{each.name}: expected True or False, got {value!r:.40}")
            elif (
                isinstance(value, bool)
                or not isinstance(value, int)
                or value < (0 if each.name == "watchers" else 4096)
            ):
                raise ArgumentError(f"{each.name}: expected a whole number, got {value!r:.40}")
        for name in _NEEDED:
            if getattr(self, name) is None:
                raise ArgumentError(f"{name}: expected a number of seconds, got None")
