"""What one host's login asks of a person, through the prompt broker."""

from __future__ import annotations

import re
import time
from collections.abc import Callable
from dataclasses import dataclass

from sshexec.connectors.deadline import Deadline
from sshexec.connectors.prompts import PATIENCE, Answer, Prompts, Question
from sshexec.secret import Secret

_LONGEST = 4096
_ABOUT_CODES = re.compile(
    r"one.?time|\botp\b|\bcode|token|verif|factor|\bpin\b|passcode|challenge|authenticat(?:or|ion)|\bduo\b", re.I
)
_ABOUT_PASSWORDS = re.compile(r"pass\s?wor[dt]|passphrase|kennwort|mot de passe|contrase|senha|парол|密码|密碼", re.I)
_ABOUT_NEW_PASSWORDS = re.compile(r"\b(?:new|retype|re-?enter|repeat)\b.*pass\s?wor[dt]", re.I)
_CONTROL = re.compile(r"[\x00-\x1f\x7f-\x9f\u200b-\u200f\u2028-\u202e\u2066-\u2069]+")


@dataclass(frozen=True, slots=True)
class Prompt:
    """One prompt of a keyboard-interactive login (RFC 4256 §3.2).

    Args:
        text: what the host asks, in one line.
        echo: whether the answer may be shown.
        about: name and instruction that came with it, in one line.
    """

    text: str
    echo: bool
    about: str = ""

    @property
    def wants_password(self) -> bool:
        """Whether it looks like the question for the login password."""
        if self.echo or _ABOUT_CODES.search(self.text):
            return False
        return bool(_ABOUT_PASSWORDS.search(self.text)) and not self.wants_new_password

    @property
    def wants_new_password(self) -> bool:
        """Whether the host wants the password changed."""
        return bool(_ABOUT_NEW_PASSWORDS.search(self.text))

    @property
    def wants_code(self) -> bool:
        """Whether it looks like the question for something else than a password."""
        return self.echo or bool(_ABOUT_CODES.search(self.text))


def plain(data: bytes) -> str:
    """Return a host's text as one line of bounded length, without anything that a terminal would obey."""
    text = data[: 4 * _LONGEST].decode("utf-8", "replace")
    return " ".join(_CONTROL.sub(" ", text).split())[:_LONGEST]


class Questions:
    """The questions of one host's login, over all connections that it takes.

    Answers in hand are used again until they are known to be right or wrong; `close` gives back what is still open.

    Args:
        prompts: the broker.
        host: inventory name.
        user: login name.
        group: credential group; "" for that of the login name.
        passwords: whether a password may be asked for; True where the host's settings want it.
        deadline: of the host's whole opening.
        guard: raises where the caller shall wait no longer.
    """

    def __init__(
        self,
        prompts: Prompts,
        host: str,
        user: str,
        group: str,
        deadline: Deadline,
        guard: Callable[[], None],
        *,
        passwords: bool | None = None,
    ) -> None:
        self._prompts = prompts
        self._host = host
        self._user = user
        self._group = group or user
        self._deadline = deadline
        self._guard = guard
        self._passwords = passwords is not False
        self._wanted = passwords is True
        self._answers: dict[Question, Answer] = {}
        """In hand, neither right nor wrong yet."""
        self._wrong: dict[Question, Answer] = {}
        """Wrong, and not asked for again yet."""
        self._used: list[Question] = []
        self.waited = 0.0
        """Seconds that answers took."""
        self.reasons: list[str] = []
        """Why there was no answer."""

    def password(self) -> Secret | None:
        """Return the login password; None where there is none, or no better one than the last."""
        if not self._passwords:
            return None
        group = "" if self._group == self._user else f" ({self._group})"
        text = f"SSH password of {self._user}{group}"
        return self._answer(Question("password", self._group, text, self._host, wanted=self._wanted))

    @property
    def wants_password(self) -> bool:
        """Whether the host's settings say that a password is asked for."""
        return self._wanted

    def code(self, prompt: Prompt) -> Secret | None:
        """Return the answer to any other prompt of the host."""
        text = f"{prompt.about} {prompt.text}".strip()
        group = f"{self._group}: {prompt.text}"
        return self._answer(Question("code", group, text, self._host, echo=prompt.echo))

    def _answer(self, question: Question) -> Secret | None:
        answer = self._answers.get(question)
        if answer is None:
            began = time.monotonic()
            limit = self._deadline.sooner(PATIENCE)
            answer = self._prompts.ask(question, limit, self._guard, instead_of=self._wrong.pop(question, None))
            self.waited += time.monotonic() - began
            if answer.secret is None:
                if answer.reason and answer.reason not in self.reasons:
                    self.reasons.append(answer.reason)
                return None
            self._answers[question] = answer
        if question not in self._used:
            self._used.append(question)
        return answer.secret

    def right(self) -> None:
        """Say that what was used since the last verdict is right."""
        for question in self._used:
            self._answers.pop(question).accept()
        self._used.clear()

    def wrong(self) -> bool:
        """Say that something of it is wrong; return whether there was anything, so that one may ask again.

        Of several answers those are blamed that have never been right: a password that has let in another host is not
        why a code was refused.
        """
        doubtful = [question for question in self._used if not self._answers[question].proven] or self._used
        for question in doubtful:
            self._wrong[question] = self._answers.pop(question)
        self._used = []
        return bool(doubtful)

    def undecided(self) -> None:
        """Say that what was used has not been judged, since something else was missing."""
        self._used.clear()

    def renew(self) -> bool:
        """Ask anew for what was wrong; return whether there is an answer to everything."""
        answers = [self._answer(question) for question in list(self._wrong)]
        self._used.clear()  # they are at hand, and not used yet
        return None not in answers

    def close(self) -> None:
        """Give back the answers whose worth is not known, so that another host may try them."""
        for answer in self._wrong.values():
            answer.reject()
        for answer in self._answers.values():
            answer.release()
        self._wrong.clear()
        self._answers.clear()
