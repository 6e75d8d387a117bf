"""Questions that logins raise, asked at the terminal."""

from __future__ import annotations

import contextlib
import os
import select
import termios
from collections.abc import Iterator
from typing import TYPE_CHECKING

from sshexec.cli.jobcontrol import Settings
from sshexec.cli.untrusted import harmless
from sshexec.cli.variables import ask_password
from sshexec.connectors.broker import PATIENCE
from sshexec.connectors.deadline import Deadline
from sshexec.connectors.prompts import NoAnswerError, Question
from sshexec.secret import Secret

if TYPE_CHECKING:
    from sshexec.cli.display import Display

_LONGEST = 4096
_CONFIRMATIONS = 3
"""Times that a question is put which wants yes or no."""
_LOOK = 0.2
"""Seconds between looks at whether the run was cancelled."""

_AFTER = 1.0
"""Seconds for which a question stands when its hosts have given it up; then the display has the terminal again."""


class TerminalQuestions:
    """Asks at the terminal, which need not be standard input; passwords only where the command line says so.

    Args:
        terminal: descriptor of the terminal.
        given: answers that were asked for up front, by kind; each is the first one that is tried.
        eager: whether passwords are asked for all the same, as ``ssh`` does for one host.
    """

    def __init__(self, terminal: int, given: dict[str, Secret], *, eager: bool = False) -> None:
        self._eager = eager
        self._terminal = terminal
        self._given = given
        self._used: set[tuple[str, str]] = set()
        self._password = given.get("password")
        self._display: Display | None = None
        self._asking: contextlib.ExitStack | None = None
        self._silence: Settings | None = None
        self._cancelled = False

    def __call__(self, question: Question) -> Secret | None:
        """Answer a question; see `sshexec.connectors.broker.Ask`."""
        kind = question.kind
        if kind == "host_key":
            return self._confirm(question)
        if kind in ("password", "become"):
            if kind not in self._given and not question.wanted and not self._eager:
                raise NoAnswerError(f"{'-k' if kind == 'password' else '-K'} asks for it")
            if kind in self._given and (kind, question.group) not in self._used:
                self._used.add((kind, question.group))
                first = self._given[kind]
                # As Ansible has it: just Enter for the BECOME password means the SSH password.
                return self._password if kind == "become" and not first and self._password else first
        answer = self._ask(question)
        if kind == "password" and answer is not None:
            self._password = answer
        return answer

    def attach(self, display: Display) -> None:
        """Have a display make room whenever something is asked, now too if that is so."""
        self._display = display
        if self._asking is not None:
            self._asking.enter_context(display.held())

    def cancel(self) -> None:
        """Ask nothing any more."""
        self._cancelled = True

    def close(self) -> None:
        """Ask nothing any more and put the terminal back: a question that nobody has answered in time still stands."""
        self.cancel()
        self.restore()

    def restore(self) -> None:
        """Put the terminal back, from a signal handler too, when the process is about to end."""
        if self._silence is not None:
            self._silence.end()

    def _confirm(self, question: Question) -> Secret | None:
        """Ask until the answer is yes or no."""
        words = Question(question.kind, question.group, f"{question.text} (yes/no)", question.host, echo=True)
        for _ in range(_CONFIRMATIONS):
            answer = self._ask(words)
            if answer is None or answer.reveal().strip().lower() in ("yes", "no"):
                return None if answer is None else Secret(answer.reveal().strip().lower())
            self._print("Please type yes or no.\n")
        return None

    def _ask(self, question: Question) -> Secret | None:
        if self._cancelled:
            return None
        with contextlib.ExitStack() as asking:
            self._asking = asking
            asking.callback(setattr, self, "_asking", None)
            if self._display is not None:
                asking.enter_context(self._display.held())
            if not question.echo:
                asking.enter_context(self._without_echo())
            if question.attempt > 1:
                where = "" if question.kind == "passphrase" else f"{harmless(question.host)}: "
                self._print(f"{where}that was wrong, please try again\n")
            host = f"{question.host}: " if question.kind == "code" else ""
            self._print(f"{harmless(host + question.text.rstrip(': '))}: ")
            return self._read()

    @contextlib.contextmanager
    def _without_echo(self) -> Iterator[None]:
        settings = self._silence = Settings(self._terminal)
        before = settings.before
        silent = [*before[:3], before[3] & ~termios.ECHO, *before[4:]]
        try:
            # What was typed before the question is no answer to it.
            termios.tcsetattr(self._terminal, termios.TCSAFLUSH, silent)
            settings.changed()
            yield
        finally:
            self._silence = None
            settings.end()
            self._print("\n")

    def _print(self, text: str) -> None:
        os.write(self._terminal, text.encode("utf-8", "replace"))

    def _read(self) -> Secret | None:
        """Read a line; other greenlets go on meanwhile."""
        line = b""
        limit = Deadline.after(PATIENCE + _AFTER)
        while not line.endswith(b"\n"):
            if self._cancelled or limit.expired or len(line) > _LONGEST:
                return None
            if not select.select([self._terminal], [], [], _LOOK)[0]:
                continue
            piece = os.read(self._terminal, _LONGEST)
            if not piece:
                return None
            line += piece
        try:
            return Secret(line.rstrip(b"\r\n").decode())
        except UnicodeDecodeError:
            self._print("that is not UTF-8\n")
            return None


def terminal_questions(
    *, user: str | None, ask_pass: bool, ask_become_pass: bool, eager: bool = False
) -> TerminalQuestions | None:
    """Return what asks at the terminal, with the passwords asked for up front; None where there is no terminal.

    Args:
        user: login name, for the question; None where it is not known yet.
        ask_pass: ask for the login password (-k).
        ask_become_pass: ask for the password of sudo and the like (-K).
        eager: see `TerminalQuestions`.

    Raises:
        InputError: a password is to be asked for, and there is no terminal, or none was given.
    """
    given: dict[str, Secret] = {}
    if ask_pass:
        given["password"] = ask_password("-k", f"SSH password{f' of {user}' if user else ''}: ")
    if ask_become_pass:
        default = "[defaults to SSH password]" if ask_pass else ""
        given["become"] = ask_password("-K", f"BECOME password{default}: ")
    try:
        terminal = os.open("/dev/tty", os.O_RDWR | os.O_NOCTTY | os.O_CLOEXEC)
    except OSError:
        return None
    return TerminalQuestions(terminal, given, eager=eager)
