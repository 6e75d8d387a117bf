"""What the login of one session asks its owner, and nobody else."""

from __future__ import annotations

import re
import threading
import time
from collections.abc import Callable, Sequence

from sshexec.connectors.deadline import Deadline
from sshexec.connectors.prompts import Answer, Prompts, Question
from sshexec.errors import ArgumentError, NotAllowedError
from sshexec.secret import Secret
from sshexec.terminal.events import Answered, Asked, Field

ROUNDS = 10
"""Questions that one login may ask; a hostile host may ask for ever (RFC 4256 sets no limit)."""

TRIES = 3
"""Answers to one question that may prove wrong."""

LONGEST = 4096
"""Characters of a question, or of an answer."""

_LOOK = 0.5
"""Seconds between looks at whether who waits shall go on waiting."""

_CONTROL = re.compile(r"[\x00-\x1f\x7f-\x9f\u200b-\u200f\u2028-\u202e\u2066-\u2069\ud800-\udfff]+")

_TITLES = {
    "password": "Password for {host}",
    "passphrase": "Passphrase of a key",
    "code": "{host} asks",
    "become": "Password for becoming another user on {host}",
    "host_key": "The key of {host} is not known",
}

_SHARED = frozenset({"password", "passphrase", "become"})
"""Kinds whose answer, once right, is right for every other host of the way."""


def one_line(text: str, limit: int = LONGEST) -> str:
    """Return a text as one line of bounded length, without anything that a terminal would obey."""
    return " ".join(_CONTROL.sub(" ", text[: 4 * limit]).split())[:limit]


class SessionPrompts(Prompts):
    """Puts the questions of one login to the session's owner, one at a time (see `Prompts`).

    Args:
        tell: gets `Asked` and `Answered`, for the owner.
        patience: seconds that the owner has for all of them.
        confirms: whether the owner may trust the key of a host that is not known.
    """

    available = True

    def __init__(self, tell: Callable[[Asked | Answered], None], patience: float, *, confirms: bool = False) -> None:
        self.confirms = confirms
        self._tell = tell
        self._patience = patience
        self._left = patience
        self._changed = threading.Condition()
        self._standing: Asked | None = None
        self._values: Sequence[str] | None = None
        self._asked = 0
        self._wrong: dict[tuple[str, str], int] = {}
        self._right: dict[tuple[str, str], Secret] = {}
        self._closed = False

    def __repr__(self) -> str:
        return f"<SessionPrompts: {self._asked} asked>"

    @property
    def standing(self) -> Asked | None:
        """The question that waits for its answer, for an owner who comes only now."""
        return self._standing

    def answer(self, identifier: str, values: Sequence[str], *, trusts: bool = True) -> bool:
        """Take the owner's answer; return whether that question stood.

        Args:
            identifier: the question's.
            values: an answer for each field; none at all refuses to answer.
            trusts: whether who answers may trust a host's key.

        Raises:
            NotAllowedError: they are about a host's key.
            ArgumentError: they are not as many as there are fields, or no short texts.
        """
        with self._changed:
            asked = self._standing
            if asked is None or asked.id != identifier or self._values is not None:
                return False
            if asked.kind == "host_key" and not trusts:
                raise NotAllowedError("only the user whose session it is may trust the key of its host")
            if isinstance(values, str) or not all(isinstance(value, str) and len(value) <= LONGEST for value in values):
                raise ArgumentError(f"answers: expected texts of {LONGEST} characters at most")
            if values and len(values) != len(asked.fields):
                raise ArgumentError(f"answers: expected {len(asked.fields)}, got {len(values)}")
            self._values = tuple(values)
            self._changed.notify_all()
            return True

    def close(self) -> None:
        """Ask nothing more, and forget what was answered; who waits for an answer gets none."""
        with self._changed:
            self._closed = True
            self._right.clear()
            self._changed.notify_all()

    def ask(
        self, question: Question, deadline: Deadline, guard: Callable[[], None], *, instead_of: Answer | None = None
    ) -> Answer:
        """Return the owner's answer (see `Prompts.ask`)."""
        if instead_of is not None:
            instead_of.reject()
        key = question.kind, question.group
        with self._changed:
            if key in self._right:
                return Answer(self._right[key], self._verdict(key, self._right[key]), proven=True)
            while self._standing is not None:  # a jump host's connection asks on a thread of its own
                if not self._wait(deadline, guard):
                    return self._nobody(question)
            if self._asked >= ROUNDS:
                return Answer(None, reason=f"the host asked more than {ROUNDS} questions")
            if self._wrong.get(key, 0) >= TRIES:
                return Answer(None, reason=f"{one_line(question.text, 200)}: the answer was wrong {TRIES} times")
            self._asked += 1
            values = self._put(self._worded(question), deadline, guard)
        if not values:
            return self._nobody(question)
        secret = Secret(values[0])
        return Answer(secret, self._verdict(key, secret))

    def _worded(self, question: Question) -> Asked:
        attempt = max(question.attempt, 1 + self._wrong.get((question.kind, question.group), 0))
        title = _TITLES.get(question.kind, "{host} asks").format(host=one_line(question.host, 200))
        field = Field(one_line(question.text), question.echo)
        return Asked(f"q{self._asked}", question.kind, title, (field,), attempt)

    def _put(self, asked: Asked, deadline: Deadline, guard: Callable[[], None]) -> Sequence[str] | None:
        self._standing, self._values = asked, None
        try:
            self._tell(asked)
            while self._values is None and self._wait(deadline, guard):
                pass
            return self._values
        finally:
            self._standing = self._values = None
            self._changed.notify_all()
            self._tell(Answered(asked.id))

    def _wait(self, deadline: Deadline, guard: Callable[[], None]) -> bool:
        """Wait for a change; return whether there is time left for more."""
        began = time.monotonic()
        self._changed.wait(deadline.remaining(min(_LOOK, self._left)))
        self._left = max(0.0, self._left - (time.monotonic() - began))
        guard()
        return self._left > 0 and not self._closed and not deadline.expired

    def _nobody(self, question: Question) -> Answer:
        if self._left <= 0:
            return Answer(None, reason=f"nobody answered within {self._patience:g} s")
        return Answer(None, reason=f"{one_line(question.text, 200)}: nobody answered")

    def _verdict(self, key: tuple[str, str], secret: Secret) -> Callable[[bool | None], None]:
        def judge(right: bool | None) -> None:
            with self._changed:
                if right and key[0] in _SHARED and not self._closed:
                    self._right[key] = secret
                elif right is False:
                    self._right.pop(key, None)
                    self._wrong[key] = self._wrong.get(key, 0) + 1

        return judge
