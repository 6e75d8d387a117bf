"""Questions of hosts that run in worker processes: they go to the parent's broker, and its answers come back."""

from __future__ import annotations

import contextlib
import itertools
import threading
from collections.abc import Callable
from typing import Any

from sshexec.connectors.broker import Broker, Ticket
from sshexec.connectors.deadline import Deadline
from sshexec.connectors.prompts import Answer, Prompts, Question
from sshexec.secret import Secret

_LOOK = 0.5
"""Seconds between looks at whether who waits shall go on waiting."""


class ParentsPrompts(Prompts):
    """In a worker: asks the parent. A verdict goes there too, so that a question is asked once over all workers.

    Args:
        send: sends a message to the parent.
        available: whether there is somebody to ask.
    """

    def __init__(self, send: Callable[[tuple[Any, ...]], None], available: bool) -> None:
        self.available = available
        self._send = send
        self._numbers = itertools.count()
        self._waiting: dict[int, _Waiting] = {}

    def ask(
        self, question: Question, deadline: Deadline, guard: Callable[[], None], *, instead_of: Answer | None = None
    ) -> Answer:
        """Return the answer of the question's group (see `Prompts.ask`)."""
        if not self.available:
            return super().ask(question, deadline, guard, instead_of=instead_of)
        number = next(self._numbers)
        waiting = self._waiting[number] = _Waiting()
        before = instead_of.number if isinstance(instead_of, _Numbered) else None
        try:
            self._tell("ask", number, question, before)
            while not waiting.got.wait(deadline.remaining(_LOOK)):
                guard()
                if deadline.expired:
                    self._tell("verdict", number, None)
                    return Answer(None, reason=f"nobody answered in time: {question.text}")
            if waiting.secret is None:
                guard()
        except BaseException:
            self._tell("verdict", number, None)
            raise
        finally:
            del self._waiting[number]
        if waiting.secret is None:
            self._tell("verdict", number, None)  # the parent need not remember it
        return _Numbered(number, self._tell, waiting.secret, waiting.proven, waiting.reason)

    def answered(self, number: int, secret: Secret | None, proven: bool, reason: str) -> None:
        """Take an answer from the parent."""
        waiting = self._waiting.get(number)
        if waiting is not None:
            waiting.secret, waiting.proven, waiting.reason = secret, proven, reason
            waiting.got.set()

    def _tell(self, *message: Any) -> None:
        with contextlib.suppress(OSError):  # the parent is gone, and this process soon is
            self._send(message)


class _Waiting:
    """Somebody who waits for an answer."""

    def __init__(self) -> None:
        self.got = threading.Event()
        self.secret: Secret | None = None
        self.proven = False
        self.reason = ""


class _Numbered(Answer):
    """An answer that the parent knows by its number."""

    def __init__(
        self, number: int, tell: Callable[..., None], secret: Secret | None, proven: bool, reason: str
    ) -> None:
        super().__init__(secret, lambda right: tell("verdict", number, right), proven=proven, reason=reason)
        self.number = number


class WorkersQuestions:
    """In the parent: what one worker's hosts have asked.

    Args:
        broker: asks the person.
        tell: sends a message to the worker.
    """

    def __init__(self, broker: Broker, tell: Callable[..., None]) -> None:
        self._broker = broker
        self._tell = tell
        self._tickets: dict[int, Ticket] = {}

    def ask(self, number: int, question: Question, instead_of: int | None) -> None:
        """Put a question to the broker; the answer goes to the worker when it is there."""

        def reply(answer: Answer) -> None:
            self._tell("answer", number, answer.secret, answer.proven, answer.reason)

        before = None if instead_of is None else self._tickets.pop(instead_of, None)
        self._tickets[number] = self._broker.submit(question, reply, before)

    def verdict(self, number: int, right: bool | None) -> None:
        """Take a host's verdict."""
        ticket = self._tickets.pop(number, None)
        if ticket is not None:
            ticket.settle(right)

    def abandon(self) -> None:
        """The worker is gone: other hosts take over what its hosts were about to try."""
        while self._tickets:
            self._tickets.popitem()[1].settle(None)
