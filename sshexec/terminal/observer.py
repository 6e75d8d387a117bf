"""Who sees what goes through a session: recorders, command logs, filters, a platform's own hooks."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from sshexec.connectors.terminal import Size
from sshexec.terminal.events import Ended, Role, State


@dataclass(frozen=True, slots=True)
class SessionInfo:
    """What may be known of a session; nothing in it is secret.

    Args:
        id: made by the session, from `secrets`.
        host: inventory name.
        owner: whose it is.
        state: ``opening``, ``open`` or ``ended``.
        started: seconds since the epoch.
        size: of the terminal, now.
        viewers: identifier, user and role of each.
        paused: who paused it; None where it runs.
        idle: seconds since something was typed.
        recording: name of its recording; None where there is none.
        read_only: whether nothing can be typed.
        sent: bytes that the program has written so far.
        command: what runs instead of the login shell; None for that.
        ended: how it ended; None before.
    """

    id: str
    host: str
    owner: str
    state: State
    started: float
    size: Size
    viewers: tuple[tuple[str, str, Role], ...] = ()
    paused: str | None = None
    idle: float = 0.0
    recording: str | None = None
    read_only: bool = False
    sent: int = 0
    command: str | None = None
    ended: Ended | None = None

    def to_dict(self) -> dict[str, Any]:
        """Return it as plain data, each key always there."""
        plain = {name: getattr(self, name) for name in self.__slots__}
        viewers = [{"id": identifier, "user": user, "role": role} for identifier, user, role in self.viewers]
        ended = None if self.ended is None else {name: getattr(self.ended, name) for name in self.ended.__slots__}
        size = {"columns": self.size.columns, "rows": self.size.rows}
        return {**plain, "size": size, "viewers": viewers, "ended": ended}


class Observer:
    """Sees a session; a base whose methods do nothing.

    All but `permits` are called by one thread at a time, in the order of events.

    What a method raises is logged once and disturbs nobody, unless the observer is `required`: then the session ends
    with the reason ``recording``, and what it could not take is not sent on.
    """

    required: bool = False
    """Whether the session may not go on without it."""

    def opened(self, info: SessionInfo) -> None:
        """The program has its terminal."""

    def permits(self, data: bytes, user: str) -> str | None:
        """Return why something typed is not sent, all of it; None where it is.

        Input passes as a whole or not at all: a line that was cut, or half of a paste, may do what nobody wanted.

        It may take its time: only what is typed waits for it. So the other methods are called meanwhile, by other
        threads; `permits` itself by one at a time.

        Args:
            data: what one call brought; a paste of several lines may come as one.
            user: who typed it.
        """
        return None

    def typed(self, data: bytes, user: str) -> None:
        """Something typed is sent to the program; called before it is."""

    def shown(self, data: bytes) -> None:
        """The program wrote something; called before any viewer sees it."""

    def resized(self, size: Size) -> None:
        """The terminal has another size."""

    def ended(self, info: SessionInfo) -> None:
        """The session is over (``info.ended``); the last call."""
