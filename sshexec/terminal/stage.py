"""What a session shows and to whom, its state and its clocks: all that its threads share, behind one lock."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterable
from typing import TYPE_CHECKING

from sshexec.connectors.terminal import PIECE, Size
from sshexec.errors import SessionOverError
from sshexec.terminal.audience import Audience
from sshexec.terminal.events import (
    Asked,
    Detached,
    Ended,
    Noticed,
    Opened,
    Paused,
    Phased,
    Resized,
    Role,
    State,
    ViewerEvent,
)
from sshexec.terminal.lifetime import Due, Lifetime
from sshexec.terminal.modes import Modes
from sshexec.terminal.policy import TerminalPolicy
from sshexec.terminal.questions import one_line
from sshexec.terminal.ring import Ring
from sshexec.terminal.viewer import Viewer

if TYPE_CHECKING:
    from sshexec.terminal.session import TerminalSession

_AHEAD = 128 * 1024
"""Bytes that the owner has not read at which the host is read no further: Ctrl-C does not stop what is under way."""

_NEAR = 64 * 1024
"""Bytes before the end at which somebody goes on who was too slow: further back it would be too slow again."""

_TEXTS: dict[Due, str] = {
    "idle": "nothing was typed for too long",
    "max_time": "the session lasted as long as it may",
    "detached": "nobody came back to the session",
}


class Stage:
    """Shared by the threads of one session; what is named with an underscore is called with the lock held.

    Args:
        policy: the session's limits.
        size: of the terminal at first.
        standing: returns the question that waits for the owner's answer.
    """

    def __init__(self, policy: TerminalPolicy, size: Size, standing: Callable[[], Asked | None]) -> None:
        self.policy = policy
        self.size = size
        self.lock = threading.Lock()
        self.bell = threading.Condition(self.lock)
        """Wakes the thread that reads from the host."""
        self.turn = threading.Condition(self.lock)
        """Wakes those who type."""
        self.ring = Ring(max(policy.scrollback, _AHEAD + 2 * PIECE))
        self.audience = Audience(policy.watchers)
        self.lifetime = Lifetime(policy, time.monotonic())
        self.state: State = "opening"
        self.paused: str | None = None
        self.ended: Ended | None = None
        self.wake: Callable[[], None] | None = None
        """Breaks off the reading from the host; None while nothing is read."""
        self.redraw = False
        """Whether a full-screen program is to draw its screen anew, for somebody who has not seen it."""
        self._standing = standing
        self._modes = Modes()
        self._phase = ""

    # ------------------------------------------------------------------ state

    def check(self) -> None:
        """Raise, with the lock held, where the session has ended.

        Raises:
            SessionOverError: it has.
        """
        if self.ended is not None:
            raise SessionOverError(f"the session has ended: {self.ended.text}")

    def check_open(self) -> None:
        """Raise, with the lock held, where the session is not open.

        Raises:
            SessionOverError: it is not.
        """
        self.check()
        if self.state != "open":
            raise SessionOverError("the session is not open yet")

    def tell_owner(self, event: ViewerEvent) -> None:
        """Tell the owner, if there is one."""
        with self.lock:
            if self.audience.owner is not None:
                self.audience.owner.tell(event)

    def entered(self, phase: str) -> None:
        """Note what the host is busy with while it is opened."""
        with self.lock:
            if self.state == "opening" and phase != self._phase:
                self._phase = phase
                self.audience.tell(Phased(phase))

    def open(self) -> None:
        """Note that the program has its terminal.

        Raises:
            SessionOverError: the session does not want it any more.
        """
        with self.lock:
            self.check()
            self.state = "open"
            self.lifetime.typed(time.monotonic())

    def opened(self, notices: Iterable[Noticed]) -> None:
        """Tell the viewers so."""
        with self.lock:
            for notice in notices:
                self.audience.tell(notice)
            self.audience.tell(Opened())

    def pause(self, by: str | None, owner: str = "") -> None:
        """Stop or go on.

        Args:
            by: who stops it; None goes on.
            owner: whose session it is. A pause of somebody else takes the place of the owner's own, who could end that
                one at any time.

        Raises:
            SessionOverError: the session has ended.
        """
        with self.lock:
            self.check()
            if self.paused == by or (by is not None and self.paused not in (None, owner)):
                return
            if by is None or self.paused is None:
                self.lifetime.paused(by is not None, time.monotonic())
            self.paused = by
            self.audience.tell(Paused(by))
            self.turn.notify_all()
            self._nudge()

    def resize(self, size: Size) -> bool:
        """Take another size; return whether it is another one.

        Raises:
            SessionOverError: the session has ended.
        """
        with self.lock:
            self.check()
            if size == self.size:
                return False
            self.size = size
            self.audience.tell(Resized(size))
            return True

    def end(self, ended: Ended) -> bool:
        """End it; return whether it had not ended before. Whoever waits anywhere is woken."""
        with self.lock:
            return self._end(ended)

    def _end(self, ended: Ended) -> bool:
        if self.ended is not None:
            return False
        self.ended, self.state = ended, "ended"
        self.audience.tell(ended)
        self.turn.notify_all()
        self._nudge()
        return True

    def _nudge(self) -> None:
        """Have the reading thread look again."""
        self.bell.notify()
        if self.wake is not None:
            self.wake()

    # ------------------------------------------------------------------ output

    def await_room(self, wake: Callable[[], None], most: float | None) -> float | None:
        """Wait until the host may be read, seeing to the limits meanwhile; return for how many seconds to read.

        Args:
            wake: breaks that reading off.
            most: seconds after which there is something else to do; then 0 is returned.

        Raises:
            SessionOverError: the session has ended.
        """
        deadline = None if most is None else time.monotonic() + most
        with self.lock:
            while True:
                rest = self._keep_time()
                self.check()
                if deadline is not None:
                    left = max(0.0, deadline - time.monotonic())
                    rest = left if rest is None else min(rest, left)
                if self.redraw or (deadline is not None and time.monotonic() >= deadline):
                    return 0.0
                owner = self.audience.owner
                if self.paused is None and (owner is None or owner.behind < _AHEAD):
                    self.wake = wake
                    return rest
                self.bell.wait(rest)

    def await_resumption(self) -> None:
        """Wait while the session is paused, seeing to the limits.

        Raises:
            SessionOverError: the session has ended.
        """
        with self.lock:
            while self.paused is not None:
                rest = self._keep_time()
                self.check()
                self.bell.wait(rest)

    def await_owner(self, limit: float) -> None:
        """Wait for an owner, or for whatever else is to be looked at, but only for so many seconds."""
        with self.lock:
            if self.audience.owner is None and self.ended is None:
                self.bell.wait(limit)

    def show(self, data: bytes) -> None:
        """Bring what the program wrote to the viewers; nothing once the session has ended."""
        with self.lock:
            if self.ended is not None:
                return
            self.ring.append(data)
            self._modes.feed(data)
            if self.audience.owner is not None:
                self.lifetime.pending(True, time.monotonic())
            self.audience.wake()

    def _keep_time(self) -> float | None:
        """Do what is due; return in how many seconds something will be."""
        while self.ended is None:
            now = time.monotonic()
            due = self.lifetime.due(now)
            if due is None:
                return self.lifetime.rest(now)
            if due == "stalled":
                if self.audience.owner is not None:
                    self._dismiss(self.audience.owner, "stalled")
            elif due == "idle_soon":
                left = self.lifetime.left("idle", now)
                text = f"the session ends in {left:.0f} s unless something is typed"
                self.audience.tell(Noticed("warning", due, text))
            elif due == "max_time_soon":
                left = self.lifetime.left("max_time", now)
                text = f"the session ends in {left:.0f} s: it has lasted nearly as long as it may"
                self.audience.tell(Noticed("warning", due, text))
            else:
                self._end(Ended(due, _TEXTS[due]))
        return None

    def _took(self, viewer: Viewer) -> None:
        """Note that a viewer took or acknowledged something."""
        if viewer is not self.audience.owner:
            return
        if viewer.behind:
            self.lifetime.taken(time.monotonic())
        else:
            self.lifetime.pending(False, 0.0)
        if self.wake is None and viewer.behind <= _AHEAD // 2:
            self.bell.notify()

    # ------------------------------------------------------------------ viewers

    def attach(self, session: TerminalSession, role: Role, user: str, since: int | None) -> Viewer:
        """Add a viewer (see `TerminalSession.attach`)."""
        with self.lock:
            self.check()
            self.audience.check(role)
            viewer = Viewer(session, self, self.audience.next_id(), user, role)
            if since is not None and self.ring.start <= since <= self.ring.end:
                viewer.place(since)
            else:
                self._begin(viewer, self.policy.scrollback)
                if since is not None:
                    viewer.reset()
            if self.state == "opening" and self._phase:
                viewer.tell(Phased(self._phase))
            if self.paused is not None:
                viewer.tell(Paused(self.paused))
            self.audience.admit(viewer)
            if role == "owner":
                standing = self._standing()
                if standing is not None:
                    viewer.tell(standing)
                self._owned()
            return viewer

    def detach(self, viewer: Viewer, reason: str) -> None:
        """Take a viewer out, if it is one yet."""
        with self.lock:
            self._dismiss(viewer, reason)

    def kick(self, identifier: str) -> None:
        """Send a viewer away.

        Raises:
            TerminalError: there is no such viewer.
        """
        with self.lock:
            self._dismiss(self.audience.find(identifier), "kicked")

    def hand_over(self, identifier: str, by: str) -> None:
        """Make another viewer the owner (see `TerminalSession.hand_over`)."""
        with self.lock:
            self.check()
            viewer = self.audience.promote(identifier, self._standing())
            self._owned()
            if by:
                text = one_line(f"{by} has handed the session to {viewer.user}", 400)
                self.audience.tell(Noticed("info", "handed_over", text))

    def _dismiss(self, viewer: Viewer, reason: str) -> None:
        was_owner = self.audience.owner is viewer
        if self.audience.dismiss(viewer, Detached(reason)):
            self.turn.notify_all()
            if was_owner:
                self._owned()

    def _owned(self) -> None:
        """Note that there is another owner, or none."""
        now = time.monotonic()
        owner = self.audience.owner
        self.lifetime.owned(owner is not None, now)
        if owner is not None:
            self.lifetime.pending(owner.behind > 0, now)
        self._nudge()

    def _restart(self, viewer: Viewer) -> None:
        """Have a viewer go on that has missed something."""
        self._begin(viewer, _NEAR)
        viewer.reset()

    def _begin(self, viewer: Viewer, most: int) -> None:
        """Put a viewer, whose terminal is empty, where it may begin."""
        seq = self.ring.fresh_start(most)
        if seq == 0:
            viewer.place(0)
            return
        viewer.place(seq, self._modes.before(self.ring.read(seq, self.ring.end - seq)))
        if self._modes.alternate:
            self.redraw = True
            self._nudge()
