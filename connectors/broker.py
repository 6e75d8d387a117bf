"""The prompt broker: one person, many hosts; each question is asked once, and tried on one host before the others."""

from __future__ import annotations

import contextlib
import dataclasses
import logging
import threading
import time
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Literal

from sshexec.connectors.deadline import Deadline
from sshexec.connectors.prompts import Answer, NoAnswerError, Prompts, Question
from sshexec.secret import Secret

Ask = Callable[[Question], "str | Secret | None"]
"""Asks a person; None for no answer. Called on a thread of its own, one question at a time."""

PATIENCE = 120.0
"""Seconds that a person has for one question."""

CODE_WINDOW = 25.0
"""Seconds for which a code that was right is used again (RFC 6238: a code lives for 30)."""

TRIES = 3
"""Answers to one question that may prove wrong."""

_UNSETTLED = 3
"""Hosts in a row that may try an answer and not say how it went (their connections broke); then it counts as wrong."""

_NOBODY = "nobody answered"

_LOOK = 0.5
"""Seconds between looks at whether who waits shall go on waiting."""

log = logging.getLogger(__name__)


class Ticket:
    """One host's turn at a question.

    Args:
        broker: whose.
        group: the question's.
        question: what it asks.
        reply: gets the answer, once; called from any thread, and must not block for long.
    """

    __slots__ = ("_broker", "group", "question", "reply", "serial", "settled")

    def __init__(self, broker: Broker, group: _Group, question: Question, reply: Callable[[Answer], None]) -> None:
        self._broker = broker
        self.group = group
        self.question = question
        self.reply = reply
        self.serial = 0
        """Which answer of the group it got."""
        self.settled = False

    def settle(self, right: bool | None) -> None:
        """Say how the answer did, or, with None, that the host asks no more: the next one takes over."""
        self._broker._settle(self, right)


@dataclass(eq=False)
class _Group:
    """What is known of one question.

    ``state``: nobody knows the answer (``open``), a person is being asked (``asked``), one host tries the answer
    (``trial``, with a canary or before there is one), it is right (``proven``), there is none (``failed``).
    """

    question: Question
    state: Literal["open", "asked", "trial", "proven", "failed"] = "open"
    secret: Secret | None = None
    serial: int = 0
    """Counts the answers."""
    at: float = 0.0
    """When the answer was given."""
    canary: Ticket | None = None
    waiting: deque[Ticket] = field(default_factory=deque)
    attempt: int = 1
    unsettled: int = 0
    wrong_on: str = ""
    right_on: str = ""
    refused: set[str] = field(default_factory=set)
    """Hosts that refused the answer that is right elsewhere; for a code, those that want one of their own."""
    odd: set[str] = field(default_factory=set)
    """Hosts that refused it in an earlier run: whether it is right is not for them to say."""
    reason: str = ""

    def forget_answer(self) -> None:
        self.state, self.secret, self.canary, self.unsettled = "open", None, None, 0


class Broker(Prompts):
    """Puts each question to one person, and shares what proved right (see `Prompts`).

    Args:
        ask: asks the person.
        patience: seconds that he has for one question.
        code_window: seconds for which a code that was right is used again.
    """

    available = True

    def __init__(self, ask: Ask, *, patience: float = PATIENCE, code_window: float = CODE_WINDOW) -> None:
        self._ask = ask
        self._patience = patience
        self._code_window = code_window
        self._lock = threading.Lock()
        self._groups: dict[tuple[str, str], _Group] = {}
        self._denied: set[str] = set()
        """Hosts that got no answer to some question in this run."""
        self._queue: deque[_Group] = deque()
        self._asker: object | None = None
        self._replies: deque[tuple[Ticket, Answer]] = deque()
        self._closed = False

    def ask(
        self, question: Question, deadline: Deadline, guard: Callable[[], None], *, instead_of: Answer | None = None
    ) -> Answer:
        """Return the answer of the question's group (see `Prompts.ask`)."""
        got = threading.Event()
        answers: list[Answer] = []

        def reply(answer: Answer) -> None:
            answers.append(answer)
            got.set()

        before = instead_of.ticket if isinstance(instead_of, _Tried) else None
        ticket = self.submit(question, reply, before)
        try:
            while not got.wait(deadline.remaining(_LOOK)):
                guard()
                if deadline.expired:
                    ticket.settle(None)
                    return Answer(None, reason=f"nobody answered in time: {question.text}")
            if answers[0].secret is None:
                guard()  # who is interrupted at a question does not answer it: that is a cancelled run
        except BaseException:
            ticket.settle(None)
            raise
        return answers[0]

    def submit(self, question: Question, reply: Callable[[Answer], None], instead_of: Ticket | None = None) -> Ticket:
        """Ask without waiting.

        Args:
            question: what is asked.
            reply: gets the answer; see `Ticket`.
            instead_of: the host's earlier ticket, whose answer has proved wrong.
        """
        with self._lock:
            group = self._groups.setdefault((question.kind, question.group), _Group(question))
            ticket = Ticket(self, group, question, reply)
            first = instead_of is not None and instead_of.group is group
            if instead_of is not None:
                self._judge(instead_of, False)
            (group.waiting.appendleft if first else group.waiting.append)(ticket)
            self._advance(group)
        self._deliver()
        return ticket

    def forgive(self) -> None:
        """A new run begins: what had no answer may be asked again, and what was right is tried on one host first."""
        with self._lock:
            # A host that puts another text before each of its codes would have a group for each of them.
            over = [key for key, group in self._groups.items() if self._over(group)]
            for key in over:
                del self._groups[key]
            self._denied.clear()
            for group in self._groups.values():
                group.attempt, group.reason, group.wrong_on = 1, "", ""
                if group.state == "failed":
                    group.forget_answer()
                elif group.state == "proven":
                    group.state, group.unsettled = "trial", 0
                group.odd |= group.refused
                group.refused.clear()

    def close(self) -> None:
        """Answer nobody any more."""
        with self._lock:
            self._closed = True
            for group in self._groups.values():
                self._advance(group)
        self._deliver()

    # ------------------------------------------------------------------ verdicts

    def _settle(self, ticket: Ticket, right: bool | None) -> None:
        with self._lock:
            self._judge(ticket, right)
            self._advance(ticket.group)
        self._deliver()

    def _judge(self, ticket: Ticket, right: bool | None) -> None:
        if ticket.settled:
            return
        ticket.settled = True
        group = ticket.group
        with contextlib.suppress(ValueError):
            group.waiting.remove(ticket)
        host = ticket.question.host
        if ticket is not group.canary:
            # Who refused a code that was right elsewhere wants one of his own, however late he says so.
            if right is False and (group.question.kind == "code" or ticket.serial == group.serial):
                group.refused.add(host)
            return
        group.canary = None
        if right:
            group.state, group.attempt, group.unsettled, group.right_on = "proven", 1, 0, host
            group.refused.discard(host)
            group.odd.discard(host)
            return
        group.unsettled += right is None
        if right is None and group.unsettled < _UNSETTLED:
            return
        if right is None and host in self._denied:
            # Nobody said that it is wrong, so that it is not asked for again.
            self._fail(group, f"nobody knows whether the answer is right: {host} asks more than was answered")
            return
        group.wrong_on = host
        group.forget_answer()
        group.attempt += 1
        if group.attempt > TRIES:
            self._fail(group, "")

    def _fail(self, group: _Group, reason: str) -> None:
        group.forget_answer()
        group.state, group.reason = "failed", reason

    # ------------------------------------------------------------------ who gets what

    def _advance(self, group: _Group) -> None:
        """Answer whoever can be answered now, and ask the person where nobody knows."""
        if self._closed:
            self._fail(group, "the engine was closed")
        if group.canary is None and self._stale(group):
            group.forget_answer()
        if group.state == "failed":
            while group.waiting:
                ticket = group.waiting.popleft()
                self._give(ticket, Answer(None, reason=self._why_not(group, ticket.question.host)))
        elif group.state == "proven":
            self._share(group)
        elif group.state == "trial":
            self._try(group)
        elif group.state == "open" and group.waiting and self._asker is _STUCK:
            self._fail(group, "an earlier question is still unanswered")
            self._advance(group)
        elif group.state == "open" and group.waiting:
            group.state = "asked"
            self._queue.append(group)
            if self._asker is None:
                self._asker = object()
                threading.Thread(target=self._work, args=(self._asker,), name="sshexec-questions", daemon=True).start()

    def _try(self, group: _Group) -> None:
        """Let one host try the answer."""
        code = group.question.kind == "code"
        for ticket in [] if code else list(group.waiting):
            if ticket.question.host in group.refused | group.odd:
                group.waiting.remove(ticket)
                self._give_proven(group, ticket)
        if group.canary is None and group.waiting:
            # A host that wants a code of its own goes first.
            picky = (ticket for ticket in group.waiting if code and ticket.question.host in group.refused)
            group.canary = next(picky, group.waiting[0])
            group.waiting.remove(group.canary)
            self._give(group.canary, _Tried(group.secret, group.canary))

    def _give_proven(self, group: _Group, ticket: Ticket) -> None:
        if ticket.question.host in group.refused:
            why = f"the answer that is right on {group.right_on} was refused here"
            self._give(ticket, Answer(None, reason=f"{ticket.question.text}: {why}"))
        else:
            self._give(ticket, _Tried(group.secret, ticket, proven=True))

    def _share(self, group: _Group) -> None:
        waiting, group.waiting = group.waiting, deque()
        for ticket in waiting:
            if group.question.kind == "code" and ticket.question.host in group.refused:
                group.waiting.append(ticket)
            else:
                self._give_proven(group, ticket)
        if group.waiting:
            # Servers that take a code once only: each of these hosts tries a fresh one, before anybody else does.
            group.forget_answer()
            self._advance(group)

    def _over(self, group: _Group) -> bool:
        """Return whether nothing of a code's group is worth being remembered."""
        unused = group.canary is None and not group.waiting and group.state != "asked"
        return group.question.kind == "code" and unused and (group.state in ("open", "failed") or self._stale(group))

    def _stale(self, group: _Group) -> bool:
        old = group.question.kind == "code" and time.monotonic() - group.at > self._code_window
        return old and group.state in ("proven", "trial")

    def _why_not(self, group: _Group, host: str) -> str:
        text = group.question.text
        if group.reason:
            return f"{text}: {group.reason}"
        if group.wrong_on == host:
            return f"{text}: the answer was wrong {TRIES} times"
        return f"{text}: the answer was wrong on {group.wrong_on} and was not tried here"

    def _give(self, ticket: Ticket, answer: Answer) -> None:
        ticket.serial = ticket.group.serial
        if answer.secret is None:
            self._denied.add(ticket.question.host)
        self._replies.append((ticket, answer))

    def _deliver(self) -> None:
        """Call those who wait; without the lock, since what they do is their own."""
        while True:
            try:
                ticket, answer = self._replies.popleft()
            except IndexError:
                return
            ticket.reply(answer)

    # ------------------------------------------------------------------ the person

    def _work(self, me: object) -> None:
        """Ask one question after the other, until there is none."""
        while True:
            with self._lock:
                while self._queue and not self._queue[0].waiting:
                    self._queue.popleft().forget_answer()  # who asked has gone meanwhile
                if self._asker is not me or not self._queue:
                    self._asker = None if self._asker is me else self._asker
                    return
                group = self._queue.popleft()
                asker = group.waiting[0].question
                question = dataclasses.replace(asker, attempt=group.attempt)
            timer = threading.Timer(self._patience, self._give_up, (me, group))
            timer.daemon = True
            timer.start()
            secret, reason = self._answer_of(question)
            timer.cancel()
            with self._lock:
                if self._asker is not me:
                    self._asker = None if self._asker is _STUCK else self._asker
                    return
                self._answered(group, secret, reason)
            self._deliver()

    def _answer_of(self, question: Question) -> tuple[Secret | None, str]:
        """Return what the person says, or why there is no answer."""
        try:
            answer: object = self._ask(question)
        except NoAnswerError as error:
            return None, str(error)
        except BaseException as error:  # noqa: BLE001 - the caller's own code
            # SystemExit and the like too: who waits must hear that there is no answer. The error's text is not logged:
            # it may hold the answer.
            log.warning("nobody could be asked for %s: %s", question.kind, type(error).__name__)
            return None, _NOBODY
        if answer is None or isinstance(answer, Secret):
            return answer, _NOBODY
        if isinstance(answer, str):
            return Secret(answer), ""
        log.warning("the answer to a question is a text or None, not %s", type(answer).__name__)
        return None, _NOBODY

    def _answered(self, group: _Group, secret: Secret | None, reason: str) -> None:
        if self._closed or secret is None:
            self._fail(group, reason)
            self._advance(group)
        else:
            group.state, group.secret, group.at, group.unsettled = "trial", secret, time.monotonic(), 0
            group.serial += 1
            if group.question.kind != "code":
                group.refused.clear()
                group.odd.clear()
            self._try(group)

    def _give_up(self, me: object, asked: _Group) -> None:
        """Wait for the person no longer; who has asked meanwhile hears the same."""
        with self._lock:
            if self._asker is not me:
                return
            self._asker = _STUCK
            for group in (asked, *self._queue):
                self._fail(group, f"nobody answered within {self._patience:g} s")
                self._advance(group)
            self._queue.clear()
        self._deliver()


_STUCK = object()
"""Stands for an asker whose question nobody has answered in time; it asks nothing more."""


class _Tried(Answer):
    """An answer that knows whose turn it is."""

    def __init__(self, secret: Secret | None, ticket: Ticket, *, proven: bool = False) -> None:
        super().__init__(secret, ticket.settle, proven=proven)
        self.ticket = ticket
