"""A point in time that is handed down, instead of time-outs that add up."""

from __future__ import annotations

import math
import time


def together(at: float, step: float) -> float:
    """Return the next point in time that is a multiple of a step.

    What many wait for is then done at once, and not one after another: each time a process wakes up costs it more than
    what it does for a connection that is idle.

    Args:
        at: seconds of `time.monotonic()`.
        step: seconds.
    """
    return math.ceil(at / step) * step


class Deadline:
    """A point on the monotonic clock by which a call must end.

    Args:
        at: that point in seconds of `time.monotonic()`; None means no limit.
        seconds: how long that was when it was set, for messages; None where nobody set it as a limit.
    """

    __slots__ = ("at", "seconds")

    def __init__(self, at: float | None = None, seconds: float | None = None) -> None:
        self.at = at
        self.seconds = seconds

    @classmethod
    def after(cls, seconds: float | None) -> Deadline:
        """Return the deadline that many seconds from now; None means no limit."""
        return cls(None if seconds is None else time.monotonic() + seconds, seconds)

    def sooner(self, seconds: float | None) -> Deadline:
        """Return the earlier of this deadline and the one that many seconds from now."""
        return self.earlier(Deadline.after(seconds))

    def earlier(self, other: Deadline) -> Deadline:
        """Return the earlier of this deadline and another one."""
        if self.at is None or (other.at is not None and other.at < self.at):
            return other
        return self

    def later(self, seconds: float) -> Deadline:
        """Return the deadline that many seconds after this one."""
        return self if self.at is None else Deadline(self.at + seconds, self.seconds)

    def remaining(self, at_most: float | None = None) -> float | None:
        """Return the seconds left, never below 0; None where neither this deadline nor ``at_most`` sets a limit."""
        if self.at is None:
            return at_most
        left = max(0.0, self.at - time.monotonic())
        return left if at_most is None or left < at_most else at_most

    @property
    def within(self) -> str:
        """``within 10 s`` for people, or ``in time`` where the limit is not known."""
        return "in time" if self.seconds is None else f"within {self.seconds:g} s"

    @property
    def expired(self) -> bool:
        """Whether the point has passed."""
        return self.at is not None and time.monotonic() >= self.at

    def __repr__(self) -> str:
        left = self.remaining()
        return "Deadline(never)" if left is None else f"Deadline(in {left:.3f} s)"


def unguarded() -> None:
    """Let nothing interrupt: the guard of what cleans up, and has a short deadline of its own."""
