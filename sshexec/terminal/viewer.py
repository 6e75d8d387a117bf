"""Somebody who sees a session, with a place of their own in what it shows."""

from __future__ import annotations

import threading
import time
from collections import deque
from collections.abc import Sequence
from typing import TYPE_CHECKING

from sshexec.connectors.deadline import Deadline
from sshexec.connectors.terminal import PIECE, Size
from sshexec.errors import NotAllowedError, SessionOverError
from sshexec.terminal.events import (
    Answered,
    Asked,
    Detached,
    Ended,
    Noticed,
    Paused,
    Phased,
    Reset,
    Resized,
    Role,
    ViewerEvent,
    Watching,
)

if TYPE_CHECKING:
    from sshexec.terminal.session import TerminalSession
    from sshexec.terminal.stage import Stage

_LATEST = (Resized, Paused, Watching, Phased)
"""Of these only the last one that was not read yet matters."""

BETWEEN_RESTARTS = 0.25
"""Seconds between two restarts of a viewer that is left behind again and again: each clears its screen."""

_NOTICES = 20
"""Notices that wait to be read, at most; of more, the oldest ones go."""


class Viewer:
    """Made by `TerminalSession.attach`. One thread reads; any may call the rest.

    Args:
        session: what is seen.
        stage: the session's.
        identifier: unique within the session.
        user: whose it is.
        role: ``owner`` types, ``watcher`` sees; it may change.
    """

    def __init__(self, session: TerminalSession, stage: Stage, identifier: str, user: str, role: Role) -> None:
        self.session = session
        self.id = identifier
        self.user = user
        self.role: Role = role
        self.seq = 0
        """Number of the next byte that `read` returns, counted from the session's first one."""
        self.closed = False
        """Whether `read` has returned `Ended` or `Detached`: nothing follows."""
        self._stage = stage
        self._bell = threading.Condition(stage.lock)
        self._prefix = b""
        """What is shown before the bytes of the ring, as if it were part of them."""
        self._unacknowledged = 0
        self._stuck = False
        self._restarted = float("-inf")
        self._events: deque[tuple[int, ViewerEvent]] = deque()
        """What waits to be told, and the number of the byte before which it belongs."""
        self._asked = ""
        self._last: Ended | Detached | None = None

    def __repr__(self) -> str:
        return f"<Viewer {self.id} of session {self.session.id[:4]}…: {self.role}>"

    # ------------------------------------------------------------------ for whoever made it

    def read(self, timeout: float | None = None) -> bytes | ViewerEvent | None:
        """Return what comes next: bytes of the terminal, 64 KiB at most, or an event; None where nothing came in time.

        There are bytes only while those that are not acknowledged are fewer than the policy's window. Events wait for
        the bytes before them, unless those wait for an acknowledgement.

        Args:
            timeout: seconds to wait; None for as long as it takes.

        Raises:
            SessionOverError: `Ended` or `Detached` was returned before.
        """
        deadline = Deadline.after(timeout)
        with self._stage.lock:
            while True:
                if self.closed:
                    raise SessionOverError("the viewer is closed")
                found = self._next()
                if found is not None:
                    return found
                left = deadline.remaining()
                if left is not None and left <= 0:
                    return None
                rest = self._rest()
                self._bell.wait(left if rest <= 0 else rest if left is None else min(left, rest))

    def ack(self, size: int) -> None:
        """Say that so many bytes more have been dealt with, so that as many may follow."""
        with self._stage.lock:
            self._unacknowledged = max(0, self._unacknowledged - max(0, size))
            self._bell.notify()
            self._stage._took(self)

    def write(self, data: bytes) -> None:
        """Type something; waits until the host has taken all of it.

        Raises:
            NotAllowedError: for watchers, in a read-only or paused session, or where an observer refuses it.
            SessionOverError: the session has ended, or this viewer was sent away before its turn came.
        """
        self.check_owner("type")
        self.session._type(data, self.user, self)

    def resize(self, size: Size) -> None:
        """Give the terminal another size.

        Raises:
            NotAllowedError: for watchers.
            SessionOverError: the session has ended, or this viewer was sent away.
        """
        self.check_owner("resize")
        self.session.resize(size)

    def signal(self, name: str) -> None:
        """Send a signal (see `TerminalSession.signal`).

        Raises:
            NotAllowedError: for watchers, in a read-only or paused session.
            SessionOverError: the session has ended, or this viewer was sent away.
        """
        self.check_owner("send signals")
        self.session.signal(name)

    def answer(self, identifier: str, values: Sequence[str]) -> bool:
        """Answer a question of the login (see `TerminalSession.answer`).

        Raises:
            NotAllowedError: for watchers; about a host's key for everybody but the user whose session it is.
            SessionOverError: this viewer was sent away.
            ArgumentError: the answers don't fit the question.
        """
        self.check_owner("answer")
        return self.session.answer(identifier, values, user=self.user)

    def check_owner(self, what: str) -> None:
        """Check that this viewer is the one who owns the session.

        Args:
            what: which it wants to do, for the message.

        Raises:
            NotAllowedError: it watches.
            SessionOverError: it was sent away.
        """
        if self.detached:
            # Its role stays what it was; its WebSocket may still say things while it is being closed.
            raise SessionOverError("the viewer is out of the session")
        if self.role != "owner":
            raise NotAllowedError(f"only the owner of the session may {what}")

    def close(self) -> None:
        """Leave; the session goes on, without an owner for as long as its policy says."""
        self._stage.detach(self, "closed")

    # ------------------------------------------------------------------ for the session, which holds the lock

    @property
    def behind(self) -> int:
        """Bytes that are there and were not read."""
        return self._stage.ring.end - self.seq

    @property
    def detached(self) -> bool:
        """Whether it has been sent away, or has left."""
        return isinstance(self._last, Detached)

    def tell(self, event: ViewerEvent) -> None:
        """Queue an event behind the bytes that are there."""
        if self._last is not None:
            return
        if isinstance(event, (Ended, Detached)):
            self._last = event
        elif isinstance(event, Asked) and event.id == self._asked:
            return
        else:
            if isinstance(event, Asked):
                self._asked = event.id
            elif isinstance(event, Answered):
                self._asked = ""  # it may come back to whoever has handed it over
            elif isinstance(event, _LATEST):
                self._forget(type(event))
            elif isinstance(event, Noticed):
                self._forget(Noticed, keep=_NOTICES - 1)
            self._events.append((self._stage.ring.end, event))
        self._bell.notify()

    def _forget(self, kind: type[ViewerEvent], keep: int = 0) -> None:
        known = [each for each in self._events if isinstance(each[1], kind)]
        for each in known[: max(0, len(known) - keep)]:
            self._events.remove(each)

    def wake(self) -> None:
        """Have `read` look again."""
        self._bell.notify()

    def stuck(self, stuck: bool) -> None:
        """Note whether something that this viewer types waits for the host.

        Its acknowledgements then wait behind that, and the host may wait for its output to be read before it reads
        more input: without a way out all three would wait for ever. So the window does not count meanwhile, and what
        bounds it is the viewer's connection.
        """
        if self._stuck != stuck:
            self._stuck = stuck
            self._bell.notify()

    def place(self, seq: int, prefix: bytes = b"") -> None:
        """Put it at a byte.

        Args:
            seq: the byte's number.
            prefix: what puts a cleared terminal into the state that it would have there. Its bytes are counted as if
                they were those before, so that whoever counts ends with the right number.
        """
        self._prefix = prefix if seq >= len(prefix) else b""
        self.seq = seq - len(self._prefix)

    def reset(self) -> None:
        """Tell the reader, before anything else, that it goes on somewhere else."""
        self._forget(Reset)
        self._events.appendleft((0, Reset(self.seq)))

    def _next(self) -> bytes | ViewerEvent | None:
        if isinstance(self._last, Detached):
            return self._leave(self._last)
        if self._missed:
            if self._rest() > 0:
                return None
            self._restarted = time.monotonic()
            self._stage._restart(self)
        limit = min(PIECE, self._credit(), self.behind)
        if self._events:
            place, event = self._events[0]
            if place <= self.seq or limit <= 0:
                self._events.popleft()
                return event
            limit = min(limit, place - self.seq)
        if limit > 0:
            return self._bytes(limit)
        if self._last is not None:
            return self._leave(self._last)
        return None

    @property
    def _missed(self) -> bool:
        """Whether bytes that it has not read are gone."""
        return self._stage.ring.start > self.seq + len(self._prefix)

    def _rest(self) -> float:
        """Return seconds for which one that was left behind again waits; none at the end, when nothing more comes."""
        if self._last is not None or not self._missed:
            return 0.0
        return self._restarted + BETWEEN_RESTARTS - time.monotonic()

    def _credit(self) -> int:
        return PIECE if self._stuck or self._last is not None else self._stage.policy.window - self._unacknowledged

    def _bytes(self, limit: int) -> bytes:
        if self._prefix:
            data, self._prefix = self._prefix[:limit], self._prefix[limit:]
        else:
            data = self._stage.ring.read(self.seq, limit)
        self.seq += len(data)
        self._unacknowledged += len(data)
        self._stage._took(self)
        return data

    def _leave(self, event: Ended | Detached) -> ViewerEvent:
        self.closed = True
        self._events.clear()
        return event
