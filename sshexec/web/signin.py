"""Signing in where no platform does: a link that is good once, and a cookie for whoever came by it."""

from __future__ import annotations

import hashlib
import re
import secrets
import threading
import time
from collections.abc import Callable, Mapping
from typing import Any

from werkzeug.wrappers import Response

from sshexec import expect
from sshexec.errors import ArgumentError, TokenError
from sshexec.web.routes import Call, Endpoint, answer, checked, nothing

BYTES = 32
"""Of randomness in tokens and cookies."""

_MOST = 1000
"""Tokens, and people signed in, at once; the oldest give way."""


Tell = Callable[..., None]
"""Gets a kind of event, and what else is known of it."""


class SignIn:
    """Who is signed in, by a cookie that came for a one-time token.

    Tokens and cookies are kept as their SHA-256 only.

    Args:
        token_ttl: seconds that a token is good for.
        lifetime: seconds that somebody stays signed in.
        name: of the cookie, beside its prefix; browsers send the cookies of one port to all ports of a host, so that
            two servers there need two names.
        used: called with the user whenever a token was used.
        refused: called whenever somebody came with one that is good for nothing.

    Raises:
        ArgumentError: a value is out of range.
    """

    def __init__(
        self,
        *,
        token_ttl: float = 900.0,
        lifetime: float = 43200.0,
        name: str = "web",
        used: Callable[[str], None] | None = None,
        refused: Callable[[], None] | None = None,
    ) -> None:
        expect.seconds("token_ttl", token_ttl, optional=False)
        expect.seconds("lifetime", lifetime, optional=False)
        if not isinstance(name, str) or not re.fullmatch(r"[A-Za-z0-9_-]{1,40}", name):
            raise ArgumentError(f"name: expected letters and digits, got {name!r:.60}")
        self.secure = False
        """Whether the cookie is for connections under TLS only."""
        self.left: Callable[[], None] | None = None
        """Called whenever somebody has signed out."""
        self.tell: Tell | None = None
        """Is told who signed in and out, and that somebody did not (`sshexec.terminal.auditing.TerminalEvent`)."""
        self._name = name
        self._ttl = token_ttl
        self._lifetime = lifetime
        self._used = used
        self._refused = refused
        self._lock = threading.Lock()
        self._tokens: dict[bytes, tuple[str, float]] = {}
        self._signed_in: dict[bytes, tuple[str, float]] = {}

    def __repr__(self) -> str:
        return f"<SignIn {len(self._signed_in)} signed in>"

    @property
    def cookie(self) -> str:
        """The cookie's name; with TLS one that no other host can set (RFC 6265bis §4.1.3.2)."""
        return f"__Host-sshexec-{self._name}" if self.secure else f"sshexec-{self._name}"

    @property
    def waiting(self) -> bool:
        """Whether a token is out that is still good."""
        with self._lock:
            _sweep(self._tokens)
            return bool(self._tokens)

    def issue(self, user: str) -> str:
        """Return a new token.

        Args:
            user: who is signed in by it.
        """
        if not isinstance(user, str) or not user:
            raise ArgumentError("user: expected a name")
        return self._put(self._tokens, user, self._ttl)

    def sign_in(self, token: object) -> tuple[str, str]:
        """Return the user and the value of a new cookie for a token, which is good for nothing from then on.

        Args:
            token: as it came from the network.

        Raises:
            TokenError: it is good for nothing.
        """
        found = None
        if isinstance(token, str) and 0 < len(token) <= 256:
            with self._lock:
                _sweep(self._tokens)
                found = self._tokens.pop(_digest(token), None)
        if found is None:
            if self._refused is not None:
                self._refused()
            raise TokenError("this link is not valid (any more); the server prints a new one when it is needed")
        user = found[0]
        value = self._put(self._signed_in, user, self._lifetime)
        if self._used is not None:
            self._used(user)
        return user, value

    def authenticate(self, environ: Mapping[str, Any]) -> str | None:
        """Return who sent a request; None for nobody who is signed in.

        Args:
            environ: the request's, of WSGI.
        """
        return self.user_of(str(environ.get("HTTP_COOKIE", "")))

    def user_of(self, header: str) -> str | None:
        """Return whose cookie is among those of a request.

        Args:
            header: the value of ``Cookie``.
        """
        value = self._value(header)
        if value is None:
            return None
        with self._lock:
            _sweep(self._signed_in)
            found = self._signed_in.get(_digest(value))
        return None if found is None else found[0]

    def sign_out(self, header: str) -> str | None:
        """Forget whoever a request's cookie stands for, and return who that was.

        Args:
            header: the value of ``Cookie``.
        """
        value = self._value(header)
        if value is None:
            return None
        with self._lock:
            found = self._signed_in.pop(_digest(value), None)
        if found is None:
            return None
        if self.left is not None:
            self.left()
        return found[0]

    def endpoints(self) -> Mapping[tuple[str, str], Endpoint]:
        """Return what anybody may call."""
        return {("POST", "/api/signin"): self._sign_in, ("POST", "/api/signout"): self._sign_out}

    def _sign_in(self, call: Call) -> Response:
        body = call.body()
        try:
            user, value = self.sign_in(checked("token", body.get("token"), longest=256))
        except TokenError:
            self._told("terminal_refused", call, action="signin")
            raise
        self._told("signed_in", call, user=user)
        # Whoever knows the cookie that this browser had is not to have anything of what follows.
        self.sign_out(call.request.headers.get("Cookie", ""))
        response = answer({"user": user})
        self._set(response, call, value, int(self._lifetime))
        return response

    def _sign_out(self, call: Call) -> Response:
        user = self.sign_out(call.request.headers.get("Cookie", ""))
        if user is not None:
            self._told("signed_out", call, user=user)
        response = nothing()
        self._set(response, call, "", 0)
        return response

    def _told(self, event: str, call: Call, **more: str) -> None:
        if self.tell is not None:
            self.tell(event, address=call.address or None, **more)

    def _set(self, response: Response, call: Call, value: str, age: int) -> None:
        # A cookie of the prefix __Host- is for the whole host.
        path = "/" if self.secure else (call.request.root_path or "") + "/"
        response.set_cookie(
            self.cookie, value, max_age=age, path=path, secure=self.secure, httponly=True, samesite="Strict"
        )

    def _value(self, header: str) -> str | None:
        if len(header) > 16384:
            return None
        for part in header.split(";"):
            name, _, value = part.strip().partition("=")
            if name == self.cookie:
                return value if 0 < len(value) <= 256 else None
        return None

    def _put(self, where: dict[bytes, tuple[str, float]], user: str, seconds: float) -> str:
        text = secrets.token_urlsafe(BYTES)
        with self._lock:
            _sweep(where)
            while len(where) >= _MOST:
                del where[next(iter(where))]
            where[_digest(text)] = user, time.monotonic() + seconds
        return text


def _digest(text: str) -> bytes:
    return hashlib.sha256(text.encode("utf-8", "surrogatepass")).digest()


def _sweep(where: dict[bytes, tuple[str, float]]) -> None:
    now = time.monotonic()
    for digest in [digest for digest, (_, until) in where.items() if until <= now]:
        del where[digest]
