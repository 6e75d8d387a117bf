"""One keyboard-interactive login (RFC 4256): rounds of prompts, and what each is answered with."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from sshexec.connectors.ssh.questions import Prompt, Questions, plain
from sshexec.secret import Secret

_ROUNDS = 10
"""Rounds of prompts before the host counts as one that never stops asking."""

_PROMPTS = 16
"""Prompts of one round, likewise."""


@dataclass(frozen=True, slots=True)
class Inquiry:
    """What a host asks at once.

    Args:
        prompts: each wants one answer.
        too_many: whether it asks more than anybody would answer.
    """

    prompts: tuple[Prompt, ...]
    too_many: bool = False

    @classmethod
    def read(cls, m: Any) -> Inquiry:
        """Read a USERAUTH_INFO_REQUEST behind its number."""
        about = " ".join(filter(None, (plain(m.get_string()), plain(m.get_string()))))
        m.get_string()  # language, which nobody sets
        count = m.get_int()
        return cls(
            tuple(Prompt(plain(m.get_string()), m.get_boolean(), about) for _ in range(min(count, _PROMPTS))),
            count > _PROMPTS,
        )


class Conversation:
    """Answers to a host's prompts: the password to the one that wants it, once, and a person's to any other.

    Args:
        password: the configured one.
        questions: asks a person; None where there is nobody to ask.
        offered: gets a note of what was answered.
    """

    def __init__(self, password: Secret | None, questions: Questions | None, offered: list[str]) -> None:
        self._password = password
        self._questions = questions
        self._offered = offered
        self._password_given = False
        self._first = True
        self._rounds = 0
        self.given = 0
        """Prompts that were answered."""
        self.unanswered = ""
        """What nobody could answer, as a note for people."""

    def answers(self, inquiry: Inquiry) -> list[bytes] | None:
        """Return an answer to each prompt; None where there is none to one of them."""
        self._rounds += 1
        if self._rounds > _ROUNDS:
            self.unanswered = "the host never stops asking"
            return None
        if inquiry.too_many:
            self.unanswered = f"the host asks more than {_PROMPTS} questions at once"
            return None
        found = []
        for prompt in inquiry.prompts:
            secret = self._answer(prompt, alone=self._first and len(inquiry.prompts) == 1)
            if secret is None:
                return None
            found.append(secret.reveal().encode("utf-8", "surrogateescape"))
        if inquiry.prompts:
            self._first = False
        return found

    def _answer(self, prompt: Prompt, *, alone: bool) -> Secret | None:
        if prompt.wants_new_password:
            self.unanswered = f"the host wants the password changed ({prompt.text!r})"
            return None
        # The only prompt of the first round is the password's in whatever language, unless it speaks of something else.
        wanted = prompt.wants_password or (alone and not prompt.wants_code)
        if wanted and not self._password_given:
            secret = self._password
            if secret is None and self._questions is not None:
                secret = self._questions.password()
            what = "password at a prompt"
            self._password_given = True
        else:
            secret = self._questions.code(prompt) if self._questions is not None else None
            what = f"an answer to {prompt.text!r}"
        if secret is None:
            self.unanswered = f"the host asks {prompt.text!r}"
        else:
            self.given += 1
            self._offered.append(what)
        return secret
