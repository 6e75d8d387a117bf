"""How many connections to one address may wait for their login at once, and what to do when a server turns one away.

A stock sshd drops every third new connection from the tenth on that has not logged in yet (``MaxStartups 10:30:100``),
by closing it before its greeting. So each address has a gate: ten at once to begin with, one more for each round that
goes well, half as many after a connection that was turned away (additive increase, multiplicative decrease). Who was
turned away tries again after a random pause that doubles each time.
"""

from __future__ import annotations

import copy
import random
import threading
import time
from collections import deque
from collections.abc import Callable, Hashable

from sshexec.connectors.base import Deadline
from sshexec.connectors.ssh.transport import Link, Signal
from sshexec.errors import BannerError, ConnectTimeoutError, HostError, NoRouteError

_START = 10.0
"""Connections at once that a server takes by default (MaxStartups)."""

_MOST = 100.0
"""Connections at once that an address is ever given."""

_GATES = 10_000
"""Gates that are remembered before those that nobody uses are dropped."""

_PATIENCE = 60.0
"""Seconds that somebody waits at a gate through which nobody comes."""

_FAREWELLS = ("Exceeded MaxStartups", "Not allowed at this time")
"""What OpenSSH says to those it turns away."""

_PROXY_SIGNS = ("connection reset", "connection closed", "maxstartups", "broken pipe")
"""What a ProxyCommand says, in lower case, where it was turned away itself."""

_ATTEMPTS = 9
"""Connections that one host tries."""

_SLOW_TRIES = 3
"""So many times the limit of one attempt may be spent on all of them."""

_FIRST_PAUSE = 0.2
_LONGEST_PAUSE = 4.0
"""Seconds; each pause is at random between a quarter and all of what it has doubled to."""


class TurnedAway(Exception):
    """The server closed the connection before it had said anything of its own: it may take the next one (stays here).

    Args:
        error: what it is for the host, once there was enough of it.
        guess: what may be behind it.
    """

    def __init__(self, error: HostError, guess: str = "") -> None:
        super().__init__(error.message)
        self.error = error
        self.guess = guess

    def told(self, attempts: int, seconds: float) -> HostError:
        """Return what it is for the host, with how often and for how long it was tried."""
        often = f", {attempts} times in {seconds:.0f} s" if attempts > 1 else ""
        again = copy.copy(self.error)
        again.message = f"{self.error.message}{often}{f': {self.guess}' if self.guess else ''}"
        again.args = (again.message,)
        return again


def turned_away(link: Link, words: str = "", status: int | None = None) -> bool:
    """Return whether a connection that ended before the host key was known may go better next time.

    sshd closes those above MaxStartups before its greeting, with one line or none, and a firewall resets them; those
    that an overloaded machine breaks off in the key exchange end with a reset too.

    Args:
        link: the connection.
        words: the last line of its ProxyCommand.
        status: the ProxyCommand's exit status; None where there is none.
    """
    if words or status:
        return any(sign in words.lower() for sign in _PROXY_SIGNS)
    if link.greeted:
        return link.packetizer.was_reset
    said = link.packetizer.greeting
    return link.packetizer.ended and (not said or is_farewell(said))


def is_farewell(line: str) -> bool:
    """Return whether a line is what OpenSSH says, in the place of its greeting, to those it turns away."""
    return line.startswith(_FAREWELLS)


class BackOff:
    """The pauses between the attempts of one host.

    Args:
        seconds: what one attempt may take, and all pauses together; None for no limit.
    """

    def __init__(self, seconds: float | None) -> None:
        self._seconds = seconds
        self._pauses = float("inf") if seconds is None else seconds
        self._tries = float("inf") if seconds is None else seconds * _SLOW_TRIES
        self._attempts = 0
        self._begun = time.monotonic()

    def pause(
        self, away: TurnedAway, limit: Deadline, deadline: Deadline, guard: Callable[[], None], bell: Signal
    ) -> None:
        """Wait before the next attempt.

        Args:
            away: why another one is needed.
            limit: that of the attempt.
            deadline: the caller's.
            guard: raises where the caller shall wait no longer.
            bell: set when the guard is to be asked.

        Raises:
            HostError: that of ``away``, where there were enough attempts; it tells how many.
        """
        self._attempts += 1
        ceiling = min(_LONGEST_PAUSE, _FIRST_PAUSE * 2.0**self._attempts)
        pause = random.uniform(ceiling / 4, ceiling)  # noqa: S311 - spreads the load, hides nothing
        self._pauses -= pause
        if self._seconds is not None:
            self._tries -= self._seconds - (limit.remaining(self._seconds) or 0.0)
        if self._attempts >= _ATTEMPTS or self._pauses < 0 or self._tries < 0:
            raise self._told(away) from None
        end = Deadline.after(pause)
        while not end.expired:
            guard()
            if deadline.expired:
                raise self._told(away) from None
            bell.wait(deadline.remaining(end.remaining()))
        guard()

    def _told(self, away: TurnedAway) -> HostError:
        return away.told(self._attempts, time.monotonic() - self._begun)


class _Gate:
    """The gate of one address."""

    __slots__ = ("inside", "limit", "moved", "narrowed", "queue")

    def __init__(self) -> None:
        self.inside = 0
        self.limit = _START
        self.narrowed = 0.0
        """When the limit was last halved."""
        self.moved = 0.0
        """When somebody last came out, while others waited."""
        self.queue: deque[_Waiter] = deque()


class _Waiter:
    __slots__ = ("admitted", "bell", "error")

    def __init__(self, bell: Signal) -> None:
        self.bell = bell
        self.admitted = False
        self.error: HostError | None = None


class Ticket:
    """The right to one connection that has not logged in yet; `leave` gives it back."""

    __slots__ = ("_admission", "_gate", "_key", "_since")

    def __init__(self, admission: Admission, key: Hashable, gate: _Gate) -> None:
        self._admission = admission
        self._key = key
        self._gate: _Gate | None = gate
        self._since = time.monotonic()

    def leave(self, error: BaseException | None = None, *, logged_in: bool = False) -> None:
        """Give it back; safe to call twice.

        Args:
            error: why the connection came to nothing, where it did.
            logged_in: whether it was logged in.
        """
        gate, self._gate = self._gate, None
        if gate is not None:
            self._admission._leave(self._key, gate, self._since, error, logged_in)


class Admission:
    """The gates of all addresses; those that hold nobody back cost a look into a dictionary."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._gates: dict[Hashable, _Gate] = {}

    def enter(self, key: Hashable, where: str, deadline: Deadline, guard: Callable[[], None], bell: Signal) -> Ticket:
        """Wait for a place.

        Args:
            key: the address.
            where: the same, for messages.
            deadline: the caller's; beside it nobody waits longer than a minute in which nobody comes out.
            guard: raises where the caller shall wait no longer.
            bell: set when the guard is to be asked.

        Raises:
            ConnectTimeoutError: no place became free.
            HostError: nobody who was let in got an answer, so that it is not worth the wait.
        """
        with self._lock:
            gate = self._gates.get(key)
            if gate is None:
                if len(self._gates) >= _GATES:
                    self._gates = {known: each for known, each in self._gates.items() if each.inside or each.queue}
                gate = self._gates[key] = _Gate()
            if gate.inside < int(gate.limit) and not gate.queue:
                gate.inside += 1
                return Ticket(self, key, gate)
            waiter = _Waiter(bell)
            gate.queue.append(waiter)
            gate.moved = time.monotonic()
        try:
            self._wait(gate, waiter, where, deadline, guard)
        except BaseException:
            self._give_up(key, gate, waiter)
            raise
        return Ticket(self, key, gate)

    def _wait(self, gate: _Gate, waiter: _Waiter, where: str, deadline: Deadline, guard: Callable[[], None]) -> None:
        while not waiter.admitted:
            guard()
            if waiter.error is not None:
                raise type(waiter.error)(waiter.error.message, phase=waiter.error.phase)
            limit = Deadline(gate.moved + _PATIENCE)
            if deadline.expired or limit.expired:
                raise ConnectTimeoutError(f"too many connections to {where} wait for their login")
            waiter.bell.wait(deadline.remaining(limit.remaining()))

    def _give_up(self, key: Hashable, gate: _Gate, waiter: _Waiter) -> None:
        with self._lock:
            if waiter.admitted:
                gate.inside -= 1
                self._let_in(key, gate)
            elif waiter in gate.queue:
                gate.queue.remove(waiter)

    def _leave(self, key: Hashable, gate: _Gate, since: float, error: BaseException | None, logged_in: bool) -> None:
        now = time.monotonic()
        with self._lock:
            gate.inside -= 1
            gate.moved = now
            if logged_in:
                gate.limit = min(_MOST, gate.limit + 1 / gate.limit)
            elif isinstance(error, TurnedAway):
                # Those that were turned away together count as one: they say nothing of the new limit.
                if since >= gate.narrowed:
                    gate.limit = max(1.0, gate.limit / 2)
                    gate.narrowed = now
            elif isinstance(error, (ConnectTimeoutError, NoRouteError, BannerError)):
                # What did not answer one in all his time has no answer for those behind him either.
                for waiter in gate.queue:
                    waiter.error = error
                    waiter.bell.set()
                gate.queue.clear()
            self._let_in(key, gate)

    def _let_in(self, key: Hashable, gate: _Gate) -> None:
        while gate.queue and gate.inside < int(gate.limit):
            waiter = gate.queue.popleft()
            waiter.admitted = True
            gate.inside += 1
            waiter.bell.set()
        if not gate.inside and not gate.queue and gate.limit >= _START:
            self._gates.pop(key, None)
