"""Questions that a host or a key raises (password, passphrase, one-time code), asked once for all hosts they concern.

Who needs an answer names its *credential group*. The first host of a group tries the answer while the others of the
group wait; only once it has proven right do they get it, so that a mistyped password costs one failed login and not
one on every host.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from types import TracebackType
from typing import Literal

from sshexec.connectors.deadline import Deadline
from sshexec.secret import Secret

Kind = Literal["password", "passphrase", "code", "become", "host_key"]

PATIENCE = 900.0
"""Seconds that a host waits for an answer at most; the limits of whoever asks the person end its waiting sooner."""


class NoAnswerError(Exception):
    """Raised by what asks a person, in place of returning None, to say why there is no answer."""


@dataclass(frozen=True, slots=True)
class Question:
    """What somebody is to answer.

    Args:
        kind: ``password`` of a login, ``passphrase`` of a key file, ``code`` for any other question of a server (a
            one-time code, say), ``become`` for the password of sudo, su or doas, ``host_key`` for whether the key of a
            host that is not known is the right one (``yes`` trusts and keeps it; only where `Prompts.confirms`).
        group: questions of equal kind and group share an answer.
        text: the question as a person sees it, one line.
        host: inventory name of the host that raised it first.
        echo: whether the answer may be shown while it is typed.
        wanted: whether the host's own settings say that a person is asked (``sshexec_ask_password: yes``).
        attempt: 1 at first; more where that many answers less one have proved wrong, the last one on this host.
    """

    kind: Kind
    group: str
    text: str
    host: str
    echo: bool = False
    wanted: bool = False
    attempt: int = 1


class Answer:
    """An answer on trial: leaving the block without a verdict lets the next host of the group try it.

    Args:
        secret: the answer; None where nobody gives one.
        verdict: told whether it proved right; None for no verdict.
        proven: whether it has been right for another host of the group already.
        reason: why there is no answer, a sentence without a full stop; "" where nobody was asked.
    """

    def __init__(
        self,
        secret: Secret | None,
        verdict: Callable[[bool | None], None] = lambda right: None,
        *,
        proven: bool = False,
        reason: str = "",
    ) -> None:
        self.secret = secret
        self.proven = proven
        self.reason = reason
        self._verdict: Callable[[bool | None], None] | None = verdict

    def accept(self) -> None:
        """Say that the answer is right: the others of the group get it."""
        self._say(True)

    def reject(self) -> None:
        """Say that the answer is wrong: nobody else tries it, and the question may be asked again."""
        self._say(False)

    def release(self) -> None:
        """Say nothing, unless it was said already: the next host of the group may try the answer."""
        self._say(None)

    def _say(self, right: bool | None) -> None:
        verdict, self._verdict = self._verdict, None
        if verdict is not None:
            verdict(right)

    def __enter__(self) -> Answer:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.release()


class Prompts:
    """Where connectors put their questions; this one has nobody to ask."""

    available = False
    """Whether there is somebody to ask."""
    confirms = False
    """Whether it may be asked about host keys that are not known; else they are refused, as the policy says."""

    def ask(
        self, question: Question, deadline: Deadline, guard: Callable[[], None], *, instead_of: Answer | None = None
    ) -> Answer:
        """Return the answer of the question's group, waiting for it until the deadline.

        Args:
            question: what is asked.
            deadline: by when; time that a person takes is not the host's fault, so callers give a long one.
            guard: raises where the caller shall wait no longer.
            instead_of: an earlier answer that has proved wrong on this host: it is rejected, and this host is the
                first to try the next one.
        """
        if instead_of is not None:
            instead_of.reject()
        return Answer(None)
