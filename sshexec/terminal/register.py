"""The sessions of one process: found by their identifier, no more than there may be, each user's apart."""

from __future__ import annotations

import os
import threading
import time
from collections import Counter
from collections.abc import Callable

from sshexec import expect
from sshexec.errors import LimitError, SessionOverError
from sshexec.runtime.plan import Contexts
from sshexec.terminal.session import TerminalSession
from sshexec.terminal.sharing import Shares

_CLOSING = 10.0
"""Seconds that `Register.close` waits for sessions to let go of their hosts."""


class Register:
    """Knows every session from before its host is contacted until its connection is closed.

    Args:
        limit: sessions at once.
        limit_each: of one user.
        ended: is told of each that has ended.
    """

    def __init__(self, limit: int, limit_each: int, ended: Callable[[TerminalSession], None]) -> None:
        expect.count("limit", limit, "sessions")
        expect.count("limit_each", limit_each, "sessions")
        self._limit, self._limit_each = limit, limit_each
        self._told = ended
        self._closed = False
        self._begin()

    def _begin(self) -> None:
        self._pid = os.getpid()
        self._lock = threading.Lock()
        self._sessions: dict[str, TerminalSession] = {}
        self._places: Counter[str] = Counter()
        self._shares = Shares()

    def __len__(self) -> int:
        """Return how many sessions there are."""
        return len(self._sessions)

    def all(self) -> list[TerminalSession]:
        """Return the sessions, the oldest first."""
        self.check()
        with self._lock:
            return list(self._sessions.values())

    def get(self, session_id: object) -> TerminalSession | None:
        """Return a session by its identifier; None where there is none."""
        self.check()
        return self._sessions.get(session_id) if isinstance(session_id, str) else None

    def add(self, user: str, make: Callable[[Contexts], TerminalSession]) -> TerminalSession:
        """Have a session made, unless there are as many as there may be.

        Args:
            user: whose it will be.
            make: makes it and does not begin it; gets what the user's connections share. Its end has to call `forget`.

        Raises:
            LimitError: there is no place for it.
            SessionOverError: no more are taken.
        """
        self.check()
        self._take_place(user)
        try:
            session = self._made(user, make)
        except BaseException:
            self._leave_place(user)
            raise
        with self._lock:
            self._sessions[session.id] = session
            closed = self._closed
        if closed:
            session.close()  # which is forgotten by its end, and leaves no recording of what never was
            raise _over()
        return session

    def _made(self, user: str, make: Callable[[Contexts], TerminalSession]) -> TerminalSession:
        contexts = self._shares.take(user)
        try:
            return make(contexts)
        except BaseException:
            self._shares.leave(user)
            raise

    def forget(self, session: TerminalSession) -> None:
        """Take out a session that has closed its connection, or that never began; once is enough."""
        with self._lock:
            if self._sessions.pop(session.id, None) is None:
                return
        self._leave_place(session.owner)
        self._shares.leave(session.owner)
        self._told(session)

    def close(self) -> None:
        """Take no more, end all and wait for them to let go of their hosts; safe to call twice."""
        self._closed = True
        with self._lock:
            sessions = list(self._sessions.values()) if self._pid == os.getpid() else []
        for session in sessions:
            session.terminate("", "the terminals here are closed")
        until = time.monotonic() + _CLOSING
        for session in sessions:
            session.wait(max(0.0, until - time.monotonic()))

    def _take_place(self, user: str) -> None:
        with self._lock:
            if sum(self._places.values()) >= self._limit:
                raise LimitError(f"{self._limit} terminals are open, as many as there may be")
            if self._places[user] >= self._limit_each:
                raise LimitError(f"you have {self._limit_each} terminals open, as many as you may have; close one")
            self._places[user] += 1

    def _leave_place(self, user: str) -> None:
        with self._lock:
            self._places[user] -= 1
            if self._places[user] <= 0:
                del self._places[user]

    def check(self) -> None:
        """Refuse once it is closed; in a forked child, begin anew.

        Raises:
            SessionOverError: no more sessions are taken.
        """
        if self._pid != os.getpid():
            # A forked child: the parent's sessions have their threads and connections there.
            self._begin()
        if self._closed:
            raise _over()


def _over() -> SessionOverError:
    return SessionOverError("no more terminals are opened here")
