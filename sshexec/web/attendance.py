"""Who is there by WebSocket, asked again whether they still may: who has signed out is not."""

from __future__ import annotations

import contextlib
import logging
import threading
from collections.abc import Callable, Iterator

from sshexec.web.connection import Connection

log = logging.getLogger(__name__)

SIGNED_OUT = 4011
"""The code with which a WebSocket is closed whose user is not signed in any more."""


class Presence:
    """One WebSocket's user.

    Args:
        connection: the WebSocket.
        user: who signed in; None where nobody was asked.
        known: says who is signed in now; None where nobody can be asked. Where it raises, nobody is sent away: it is
            not known that somebody has gone.
    """

    def __init__(self, connection: Connection, user: str | None, known: Callable[[], object] | None) -> None:
        self.user = user
        self.gone = False
        """Whether the user is not signed in any more: nothing that still comes counts."""
        self._connection = connection
        self._known = known

    def recheck(self) -> None:
        """Begin to close the WebSocket where its user is not signed in any more."""
        if self._known is None or self.gone:
            return
        try:
            user = self._known()
        except Exception:
            log.exception("authenticate failed, and who is connected stays so")
            return
        if user != self.user:
            self.gone = True
            # The other side has seconds to say goodbye, and whoever signs out waits for nobody.
            threading.Thread(
                target=self._connection.close, args=(SIGNED_OUT, "signed out"), name="sshexec-goodbye", daemon=True
            ).start()


class Attendance:
    """Those who are there by the WebSockets of one place."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._present: set[Presence] = set()

    def __len__(self) -> int:
        """Return how many there are."""
        return len(self._present)

    @contextlib.contextmanager
    def attending(self, presence: Presence) -> Iterator[Presence]:
        """Count somebody in, for as long as the block lasts."""
        with self._lock:
            self._present.add(presence)
        try:
            yield presence
        finally:
            with self._lock:
                self._present.discard(presence)

    def recheck(self) -> None:
        """Ask for each anew."""
        with self._lock:
            present = list(self._present)
        for each in present:
            each.recheck()
