"""When a session ends of itself: nobody types, nobody is there, its time is over."""

from __future__ import annotations

from typing import Literal

from sshexec.terminal.policy import TerminalPolicy

Due = Literal["idle", "max_time", "detached", "stalled", "idle_soon", "max_time_soon"]

_WARNING = 60.0
"""Seconds before the end at which it is told."""


class Lifetime:
    """The clocks of one session. It reads no clock itself: all times are seconds of one that only goes forward.

    Args:
        policy: the limits.
        now: when the session began.
    """

    def __init__(self, policy: TerminalPolicy, now: float) -> None:
        self._policy = policy
        self._began = now
        self._told: set[Due] = set()
        self.active = now
        """When something was typed last."""
        self._alone: float | None = now
        self._untaken: float | None = None
        self._paused = False

    def typed(self, now: float) -> None:
        """Note that something was typed, or that the session has only now begun."""
        self.active = now
        self._told.discard("idle_soon")

    def owned(self, owned: bool, now: float) -> None:
        """Note whether the session has an owner from now on; what an earlier one did not take is forgotten."""
        self._alone = None if owned else now
        self._untaken = None

    def pending(self, pending: bool, now: float) -> None:
        """Note whether there is something that the owner has not taken yet."""
        if not pending:
            self._untaken = None
        elif self._untaken is None:
            self._untaken = now

    def taken(self, now: float) -> None:
        """Note that the owner took something, and that there is more."""
        if self._untaken is not None:
            self._untaken = now

    def paused(self, paused: bool, now: float) -> None:
        """Note whether the session is paused: nobody can type, so nobody is to blame for it."""
        self._paused = paused
        self.typed(now)

    def due(self, now: float) -> Due | None:
        """Return what is to be done now, if anything; a warning is returned once."""
        for what, at in self._ahead():
            if now >= at:
                if what in ("idle_soon", "max_time_soon"):
                    self._told.add(what)
                elif what == "stalled":
                    self._untaken = None
                return what
        return None

    def rest(self, now: float) -> float | None:
        """Return in how many seconds something will be due; None where nothing will."""
        return min((max(0.0, at - now) for _, at in self._ahead()), default=None)

    def left(self, what: Literal["idle", "max_time"], now: float) -> float:
        """Return the seconds to an end that is set."""
        return next((max(0.0, at - now) for name, at in self._ahead() if name == what), 0.0)

    def _ahead(self) -> list[tuple[Due, float]]:
        policy = self._policy
        found: list[tuple[Due, float]] = []
        if policy.max_time is not None:
            self._add(found, "max_time", "max_time_soon", self._began, policy.max_time)
        # Where nothing can be typed nobody is idle.
        if policy.idle is not None and not self._paused and not policy.read_only:
            self._add(found, "idle", "idle_soon", self.active, policy.idle)
        if self._alone is not None:
            found.append(("detached", self._alone + policy.detached))
        if self._untaken is not None:
            found.append(("stalled", self._untaken + policy.stall))
        return found

    def _add(self, found: list[tuple[Due, float]], end: Due, soon: Due, since: float, limit: float) -> None:
        found.append((end, since + limit))
        if soon not in self._told:
            found.append((soon, since + limit - min(_WARNING, limit / 2)))
