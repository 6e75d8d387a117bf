"""Logging in (RFC 4252), step by step: public keys, then password, then answers to prompts (RFC 4256)."""

from __future__ import annotations

import functools
import struct
from collections.abc import Callable, Sequence
from typing import Any, TypeVar

from paramiko.common import (
    MSG_SERVICE_ACCEPT,
    MSG_SERVICE_REQUEST,
    MSG_USERAUTH_BANNER,
    MSG_USERAUTH_FAILURE,
    MSG_USERAUTH_INFO_REQUEST,
    MSG_USERAUTH_INFO_RESPONSE,
    MSG_USERAUTH_REQUEST,
    MSG_USERAUTH_SUCCESS,
)

from sshexec.connectors.deadline import Deadline, unguarded
from sshexec.connectors.ssh.channel import Packet
from sshexec.connectors.ssh.conversation import Conversation, Inquiry
from sshexec.connectors.ssh.keys import SigningKey, strings
from sshexec.connectors.ssh.questions import Questions
from sshexec.connectors.ssh.transport import Link, LinkDownError
from sshexec.errors import AuthenticationError, ConnectTimeoutError
from sshexec.secret import Secret

T = TypeVar("T")

_STEPS = 8
"""Credentials in a row that a host may want (AuthenticationMethods)."""

_TRIES = 6
"""Answers in a row that may be wrong; the broker's own limit is lower."""


class StaleLinkError(Exception):
    """The host closed the connection while a person was asked; the answer is at hand for a fresh one."""


class Login:
    """One attempt to log in over a link whose host key has been checked.

    Args:
        link: the connection.
        user: the name to log in with.
        where: the host, for messages.
    """

    def __init__(self, link: Link, user: str, where: str) -> None:
        self._link = link
        self._user = user
        self._where = where
        self._methods: tuple[str, ...] = ()
        self._answered: bool | None = None
        self._partial = False
        self._advanced = False
        self._accepted = False
        self._requested = False
        self._inquiry: Inquiry | None = None
        self._conversation: Conversation | None = None
        self._prompts_answered = False
        self._password_refused = False
        self._unanswered = ""
        self._questions: Questions | None = None
        self._has_password = False
        self._offered: list[str] = []
        self._deadline = Deadline()
        self._guard: Callable[[], None] = unguarded
        self._handler_table: dict[int, Callable[[Any], None]] = {
            MSG_SERVICE_ACCEPT: self._service_accepted,
            MSG_USERAUTH_SUCCESS: self._succeeded,
            MSG_USERAUTH_FAILURE: self._failed,
            MSG_USERAUTH_BANNER: self._banner,
            MSG_USERAUTH_INFO_REQUEST: self._prompted,
        }
        link.auth_handler = self

    # What Paramiko's reader calls.

    def is_authenticated(self) -> bool:
        """Return whether the host let us in."""
        return self._answered is True

    def abort(self) -> None:
        """Wake the waiter: the connection is gone."""
        self._link.signal.set()

    def _service_accepted(self, m: Any) -> None:
        self._accepted = True
        self._link.signal.set()

    def _succeeded(self, m: Any) -> None:
        self._answered = True
        self._link.authenticated = True
        self._link.signal.set()

    def _failed(self, m: Any) -> None:
        self._methods = tuple(m.get_string().decode("ascii", "replace").split(","))
        self._partial = m.get_boolean()
        self._advanced |= self._partial
        self._answered = False
        self._link.signal.set()

    def _banner(self, m: Any) -> None:
        """Drop the text that some hosts show before the login."""

    def _prompted(self, m: Any) -> None:
        """Take the host's prompts; the same number stands for the demand to change an expired password (§8)."""
        if self._conversation is not None:
            self._inquiry = Inquiry.read(m)
        else:
            self._unanswered = "the host wants the password changed"
            self._answered = False
        self._link.signal.set()

    # What the connection's caller does.

    @property
    def answered(self) -> bool | None:
        """What the host said to the last request; None while it has not answered."""
        return self._answered

    @property
    def partial(self) -> bool:
        """Whether the host took the last credential, and wants one more."""
        return self._partial

    def begin(self, credential: SigningKey | Secret, deadline: Deadline, guard: Callable[[], None]) -> bool:
        """Prepare the request for the only credential and wait for nothing; return False where it can't be made.

        Raises:
            LinkDownError: the connection is gone.
        """
        self._deadline, self._guard = deadline, guard
        if isinstance(credential, Secret):
            self._offered.append("password")
            body = self._head("password") + b"\0" + strings(credential.reveal().encode("utf-8", "surrogateescape"))
        else:
            signed = self._signed(credential)
            if signed is None:
                return False
            body = signed
        self._answered = None
        self._request_service()
        self._link.send(Packet(body))
        return True

    def refusal(self) -> AuthenticationError:
        """Return the error that says that the host refused what it was offered."""
        return self._refusal(self._link.why() if self._link.farewell else "")

    def run(
        self,
        keys: Sequence[SigningKey],
        password: Secret | None,
        deadline: Deadline,
        guard: Callable[[], None],
        questions: Questions | None = None,
    ) -> None:
        """Offer the credentials one after the other until the host lets us in.

        Args:
            keys: public keys, the best first.
            password: for the methods ``password`` and ``keyboard-interactive``.
            deadline: by when; the time that a person takes for an answer is added to it.
            guard: raises where the caller shall wait no longer.
            questions: asks for what is not given here; None where there is nobody to ask.

        Raises:
            AuthenticationError: the host refused every credential.
            ConnectTimeoutError: it did not answer in time.
            LinkDownError: the connection broke for another reason.
            StaleLinkError: an answer is there, and the connection is not any more.
        """
        self._deadline, self._guard, self._questions = deadline, guard, questions
        self._has_password = password is not None or (questions is not None and questions.wants_password)
        untried = list(keys)
        try:
            for _ in range(_STEPS):
                if not self._step(untried, password):
                    break
                if self._answered:
                    return
        except LinkDownError:
            # A host that ends the connection with a word for it has refused what it was sent last; one that is cut off
            # by its jump host has not.
            if self._link.farewell and questions is not None and questions.wrong() and questions.renew():
                raise StaleLinkError from None
            if self._link.farewell or (self._offered and not self._link.trouble()):
                raise self._refusal(self._link.why()) from None
            raise
        raise self._refusal("")

    def _step(self, keys: list[SigningKey], password: Secret | None) -> bool:
        """Offer what the host takes; return whether it accepted something, be it as the first of several (§5.1)."""
        while keys and self._allowed("publickey"):
            if self._offer_key(keys.pop(0)):
                return True
        if password is None and not self._methods and self._ask("none", b""):
            return True  # asked for the methods, and the host wants no credential
        for _ in range(_TRIES):
            if self._offer_secrets(password):
                if self._questions is not None:
                    self._questions.right()
                return True
            if self._questions is None or not self._questions.wrong():
                break
        return False

    def _allowed(self, method: str) -> bool:
        return not self._methods or method in self._methods

    def _offer_key(self, key: SigningKey) -> bool:
        if key.kind.startswith("ssh-rsa"):
            # Only after the service's acceptance is it known which RSA signatures the host takes (RFC 8308).
            self._request_service()
            self._link.flush()
            self._wait(lambda: self._accepted)
        body = self._signed(key)
        return body is not None and self._send(body)

    def _signed(self, key: SigningKey) -> bytes | None:
        """Return the request for a key with its signature; None where whoever holds the key does not sign."""
        extensions = self._link.server_extensions.get("server-sig-algs", b"")
        algorithm = key.algorithm(extensions.decode("ascii", "replace"))
        head = self._head("publickey") + b"\x01" + strings(algorithm.encode(), key.blob)
        self._offered.append(f"key {key}")
        try:
            signature = key.sign(strings(self._link.session_id or b"") + head, algorithm, self._deadline, self._guard)
        except OSError as error:
            self._offered[-1] += f" ({error})"
            return None
        return head + strings(signature)

    def _offer_secrets(self, password: Secret | None) -> bool:
        if password is not None:
            return self._offer_password(password) or self._offer_answers(password)
        # What a person gave is tried once: at prompts, where a host can ask for a code too, or else as a password.
        return self._offer_answers(None) or (not self._prompts_answered and self._offer_password(None))

    def _offer_password(self, password: Secret | None) -> bool:
        if not self._allowed("password") or self._password_refused:
            return False
        secret = self._from_person(self._questions.password) if password is None and self._questions else password
        if secret is None:
            return False
        self._offered.append("password")
        accepted = self._ask("password", b"\0" + strings(secret.reveal().encode("utf-8", "surrogateescape")))
        self._password_refused = not accepted and password is not None
        return accepted

    def _offer_answers(self, password: Secret | None) -> bool:
        """Answer the host's prompts, which may come in several rounds (RFC 4256)."""
        self._prompts_answered = False
        if not self._allowed("keyboard-interactive") or (password is None and self._questions is None and self._alone):
            return False
        talk = self._conversation = Conversation(password, self._questions, self._offered)
        try:
            self._begin(self._head("keyboard-interactive") + strings(b"", b""))
            while True:
                self._wait(lambda: self._answered is not None or self._inquiry is not None)
                inquiry = self._taken()
                if inquiry is None:
                    return bool(self._answered) or self._partial
                answers = self._from_person(functools.partial(talk.answers, inquiry))
                if answers is None:
                    self._unanswered = talk.unanswered
                    if self._questions is not None:
                        self._questions.undecided()
                    return False
                body = struct.pack(">BI", MSG_USERAUTH_INFO_RESPONSE, len(answers)) + strings(*answers)
                self._link.send(Packet(body))
        finally:
            self._conversation = None
            self._prompts_answered = talk.given > 0

    def _taken(self) -> Inquiry | None:
        inquiry, self._inquiry = self._inquiry, None
        return inquiry

    @property
    def _alone(self) -> bool:
        """Whether prompts are not the one thing that the host still wants; then they are not asked for in vain."""
        return not self._advanced and self._methods != ("keyboard-interactive",)

    def _from_person(self, ask: Callable[[], T]) -> T:
        """Get an answer that a person may have to give, whose time is not the host's.

        Raises:
            StaleLinkError: the host has closed the connection meanwhile.
        """
        waited = self._questions.waited if self._questions else 0.0
        answer = ask()
        waited = self._questions.waited - waited if self._questions else 0.0
        self._deadline = self._deadline.later(waited)
        if waited and answer is not None and not self._link.active:
            raise StaleLinkError
        return answer

    def _head(self, method: str) -> bytes:
        user = self._user.encode("utf-8", "surrogateescape")
        return bytes((MSG_USERAUTH_REQUEST,)) + strings(user, b"ssh-connection", method.encode())

    def _ask(self, method: str, body: bytes) -> bool:
        return self._send(self._head(method) + body)

    def _request_service(self) -> None:
        if not self._requested:
            self._requested = True
            self._link.send(Packet(bytes((MSG_SERVICE_REQUEST,)) + strings(b"ssh-userauth")))

    def _begin(self, body: bytes) -> None:
        """Send a request, the first one in the same segment as that for the service: one round trip less."""
        self._answered, self._partial, self._inquiry = None, False, None
        self._link.packetizer.hold()
        self._request_service()
        self._link.send(Packet(body))
        self._link.flush()

    def _send(self, body: bytes) -> bool:
        """Send a request and return whether the host accepts it; it may want another credential all the same."""
        self._begin(body)
        self._wait(lambda: self._answered is not None)
        return bool(self._answered) or self._partial

    def _wait(self, ready: Callable[[], bool]) -> None:
        if not self._link.wait_until(ready, self._deadline, self._guard):
            raise ConnectTimeoutError(f"{self._where} did not answer the login in time")

    def _refusal(self, reason: str) -> AuthenticationError:
        methods = f" ({','.join(self._methods)})" if self._methods else ""
        reasons = self._questions.reasons if self._questions is not None else []
        notes = [f"offered: {', '.join(self._offered)}"] if self._offered else []
        if not notes and not reasons:
            notes.append("there was no credential to offer")
        if self._has_password and self._methods and not {"password", "keyboard-interactive"} & {*self._methods}:
            notes.append("the host takes no password")
        if self._advanced:
            notes.append("the host wants one more credential")
        notes += filter(None, (self._unanswered, reason))
        notes += reasons
        return AuthenticationError(f"{self._user}@{self._where}: Permission denied{methods}. " + "; ".join(notes))
