"""What is said to sudo, su or doas until the command begins: the password when it is asked for, and nothing else.

A password goes out only as the answer to a prompt, and once: a second prompt means that it was wrong, and the command
is ended, so that no account is locked. The words for people are those of Ansible 2.19.
"""

from __future__ import annotations

import re
import secrets
import time
from collections.abc import Callable
from typing import Any, Protocol

from sshexec.connectors.base import Completed, Connector, Phase
from sshexec.connectors.become import Become
from sshexec.connectors.deadline import Deadline, unguarded
from sshexec.connectors.prompts import PATIENCE, Answer, Prompts, Question
from sshexec.errors import BecomeError
from sshexec.secret import HIDDEN, Secret

_ANSWERS = 3
"""How often a person is asked for one host where the answer proves wrong."""

_NO_PROGRAM = (126, 127)
_MISSING = re.compile(
    r"a password is required|password is required to run|interactive authentication is required"
    r"|Authentication required|Authorization required"
)
_INCORRECT = re.compile(
    r"incorrect password|Sorry, try again|Authentication fail(?:ure|ed)|Authorization failed|[Aa]uthentication failed"
    r"|Maximum \d+ incorrect authentication attempts|su: Sorry"
)
_FINAL = re.compile(
    r"unknown user|not in the sudoers file|is not allowed to|may not run|does not exist|no such user|unknown id"
    r"|[Oo]peration not permitted|must be suid|currently not available"
)
"""Refusals that a terminal would not change."""

_LONGEST_WORDS = 300


class AgainError(BecomeError):
    """The attempt failed before the command began, and another way may work (never leaves `Escalation.run`)."""


class Attempt(Protocol):
    """Runs the command once, speaking to the method by a `Dialogue`."""

    def __call__(self, dialogue: Dialogue) -> Completed:
        """Run it."""
        ...


class Escalation:
    """What a connection finds out about becoming one user, so that its next commands know it.

    Args:
        become: how to become whom.
        host: inventory name.
        login: the user that the method is started by.
        prompts: whom to ask for a password that is not configured.
        limit: seconds until the command has to begin, the time of people left out; None for no limit.
        group: the host's credential group; "" for that of the login name.
    """

    def __init__(
        self, become: Become, host: str, login: str, prompts: Prompts, limit: float | None, group: str = ""
    ) -> None:
        self.become = become
        self.host = host
        self.login = login
        self.prompts = prompts
        self.limit = limit
        self.group = group or login
        self.password = become.password
        self.tty = False
        """Whether the method is known to need a terminal."""

    @property
    def lonely(self) -> bool:
        """Whether there is no password, and nobody to ask for one."""
        return self.password is None and not self.prompts.available

    def run(self, attempt: Attempt, guard: Callable[[], None]) -> Completed:
        """Run a command: without a terminal first, and with one where that fails before the command has begun.

        Args:
            attempt: runs it once.
            guard: raises where the caller has cancelled.

        Raises:
            BecomeError: the method refused.
        """
        tty = self.tty
        asked = 0
        wrong: Answer | None = None
        while True:
            # doas asks on a terminal only. sudo must not ask where nobody answers: that counts as a failed login.
            quiet = not tty and (self.become.method == "doas" or (self.become.method == "sudo" and self.lonely))
            dialogue, wrong = Dialogue(self, guard, tty=tty, quiet=quiet, wrong=wrong), None
            try:
                return attempt(dialogue)
            except AgainError as error:
                if dialogue.wrong is not None:
                    asked += 1
                    if asked == _ANSWERS:
                        raise BecomeError(error.message, phase=Phase.AUTHENTICATING) from None
                    # It is rejected by the next question, so that this host tries the next answer, and no other one.
                    wrong, dialogue.wrong = dialogue.wrong, None
                else:
                    tty = True
            finally:
                dialogue.close()

    def killer(self) -> Dialogue:
        """Return the dialogue of a command that ends another one: it asks nobody."""
        return Dialogue(self, unguarded, tty=self.tty, quiet=not self.tty and self.password is None, ask=False)


class Dialogue:
    """One attempt to start one command.

    Args:
        way: what is known.
        guard: raises where the caller has cancelled.
        tty: whether the attempt has a terminal.
        quiet: whether the method shall fail where it would ask.
        ask: whether a person may be asked.
        wrong: a person's answer that proved wrong in the attempt before.
    """

    def __init__(
        self,
        way: Escalation,
        guard: Callable[[], None],
        *,
        tty: bool,
        quiet: bool,
        ask: bool = True,
        wrong: Answer | None = None,
    ) -> None:
        self._way = way
        self._may_ask = ask
        self._guard = guard
        self.tty = tty
        self._quiet = quiet
        self._token = f"[sshexec become {secrets.token_hex(8)}] "
        self._prompt = way.become.prompt(self._token.rstrip())
        self._answer: Answer | None = None
        self._given: Secret | None = None
        self._heard = [0, 0]
        self.limit = Deadline.after(way.limit)
        """By when the command has to begin."""
        self.waited = 0.0
        """Seconds that a person took."""
        self.begun = False
        self.wrong = wrong
        """A person's answer that proved wrong, until it is rejected."""

    @property
    def way(self) -> Escalation:
        """What the connection knows."""
        return self._way

    def line(self, script: str) -> str:
        """Return the command line that starts ``/bin/sh`` with a script as the other user."""
        return self._way.become.line(script, self._token, quiet=self._quiet)

    def succeed(self) -> None:
        """Take note that the command has begun: what was answered is right."""
        self.begun = True
        way = self._way
        way.tty = self.tty
        if self._given is not None:
            way.password = self._given
        if self._answer is not None:
            self._answer.accept()

    def reply(self, *said: bytes) -> bytes | None:
        """Return the password where it is asked for now.

        Args:
            *said: all that came of each stream so far.

        Raises:
            BecomeError: there is none, or the one that was given is wrong, or the method took too long.
        """
        for stream, text in enumerate(said):
            found = self._prompt.search(text, self._heard[stream])
            if found is not None:
                self._heard[stream] = len(text)
                return self._password()
        if self.limit.expired:
            seconds = f"{self._way.limit:g}"
            words = self._words(b"\n".join(said))
            raise self._error(f"Timeout ({seconds}s) waiting for privilege escalation prompt: {words}".rstrip(": "))
        return None

    def _password(self) -> bytes:
        way, method = self._way, self._way.become.method
        if self._given is not None:
            raise self._wrong()
        password = way.password
        if password is None and self._may_ask:
            password = self._ask()
        if password is None:
            reason = f" ({self._answer.reason})" if self._answer is not None and self._answer.reason else ""
            raise self._error(f"Missing {method} password{reason}")
        if any(mark in password.reveal() for mark in "\0\r\n"):
            # What stands behind it would be the command's input.
            raise self._error(f"The {method} password that was answered holds a line break or NUL")
        self._given = password
        return password.reveal().encode("utf-8", "surrogateescape") + b"\n"

    def _ask(self) -> Secret | None:
        way, become = self._way, self._way.become
        text = f"{become.method} password of {way.login if become.method != 'su' else become.user}"
        text += "" if way.group == way.login else f" ({way.group})"
        question = Question("become", f"{become.method}:{become.user}:{way.group}", text, way.host)
        before = time.monotonic()
        wrong, self.wrong = self.wrong, None
        self._answer = way.prompts.ask(question, Deadline.after(PATIENCE), self._guard, instead_of=wrong)
        self.waited = time.monotonic() - before
        self.limit = Deadline.after(way.limit)
        return self._answer.secret

    def excused(self, deadline: Deadline) -> Deadline:
        """Return a deadline without the time that a person took, which is not the host's fault; told once."""
        waited, self.waited = self.waited, 0.0
        return deadline.later(waited)

    def _wrong(self) -> BecomeError:
        """Return the error for a password that is wrong; one that a person gave may be given again."""
        message = f"Incorrect {self._way.become.method} password"
        if self._answer is None:
            return self._error(message)
        self.wrong, self._answer = self._answer, None
        return AgainError(message, phase=Phase.AUTHENTICATING)

    def refusal(self, rc: int, *said: bytes) -> BecomeError:
        """Return the error for a method that ended before the command began.

        Args:
            rc: its exit status.
            *said: all that came of each stream.
        """
        method = self._way.become.method
        words = self._words(b"\n".join(said))
        if self._given is not None:
            # In what was said itself: a short password may be part of any word of it.
            if _INCORRECT.search(b"\n".join(said).decode("utf-8", "replace")):
                return self._wrong()
        elif rc not in _NO_PROGRAM and not _FINAL.search(words):
            missing = _MISSING.search(words) is not None
            if self._quiet and missing and self._way.lonely:
                return self._error(f"Missing {method} password")
            if not self.tty:
                return AgainError(words, phase=Phase.AUTHENTICATING)
        return self._error(f"{method} failed (exit status {rc}): {words}".rstrip(": "))

    def _error(self, message: str) -> BecomeError:
        return BecomeError(message, phase=Phase.AUTHENTICATING)

    def _words(self, said: bytes) -> str:
        """Return the method's own words on one line, without prompt and password."""
        text = said.decode("utf-8", "replace").replace(self._token, "").replace(self._token.rstrip(), "")
        if self._given:
            text = text.replace(self._given.reveal(), HIDDEN)
        text = re.sub(r"(?s)(execute|run) '.*' as ", r"\1 the command as ", text)  # sudo quotes all of the frame
        lines = (line.strip() for line in re.split(r"[\r\n]+", text))
        return "; ".join(line for line in lines if line)[-_LONGEST_WORDS:]

    def close(self) -> None:
        """Reject an answer that was wrong, and let the next host try one that has no verdict."""
        wrong, self.wrong = self.wrong, None
        if wrong is not None:
            wrong.reject()
        answer, self._answer = self._answer, None
        if answer is not None:
            answer.release()


def escalation(connector: Connector[Any, Any], become: Become, login: str, known: Escalation | None) -> Escalation:
    """Return what is known of the way to become a user.

    Args:
        connector: whose commands go that way.
        become: the way.
        login: the login user.
        known: what was returned before.
    """
    if known is not None and (known.become is become or known.become == become):
        return known
    group = getattr(connector.options, "credential_group", "")
    return Escalation(become, connector.host, login, connector.context.prompts, connector.timeouts.auth, group)
