"""One-use tokens: what a page gets by its sign-in, and gives to the WebSocket that opens or joins a session."""

from __future__ import annotations

import hashlib
import hmac
import os
import secrets
import threading
import time
from dataclasses import dataclass
from typing import NoReturn

from sshexec import expect
from sshexec.errors import ArgumentError, LimitError, TokenError
from sshexec.terminal.events import Role

BYTES = 32
"""Of randomness in a token, from `secrets`: what re-seeds `random` changes nothing (CVE-2023-42820)."""

_LONGEST = 256
"""Characters that anything may have to be looked up as a token."""


@dataclass(frozen=True, slots=True)
class Grant:
    """What a token stands for: a new session on a host, or a place in one that is there.

    Args:
        user: whose it is.
        host: inventory name, of a session that is to be opened; None for one that is there.
        session: its identifier; None for a new one.
        role: what the viewer will be.
        address: the network address that may redeem it; None for any.
    """

    user: str
    host: str | None = None
    session: str | None = None
    role: Role = "owner"
    address: str | None = None

    def __post_init__(self) -> None:
        if (self.host is None) == (self.session is None):
            raise ArgumentError("a token is for a host or for a session")


class Tokens:
    """Tokens that are out: hashed, each good for one use and a short time.

    Nothing here tells a token: it is kept as its SHA-256 only, so that neither a dump nor a debugger shows one, and
    looking it up takes no longer the better somebody guesses. Tokens are of the process that made them: a forked child
    has none.

    Args:
        limit: tokens that are out at most.
        limit_each: of one user's; for another one the oldest of them goes.
    """

    def __init__(self, limit: int = 2000, limit_each: int = 50) -> None:
        expect.count("limit", limit, "tokens")
        expect.count("limit_each", limit_each, "tokens")
        self._limit = limit
        self._limit_each = limit_each
        self._lock = threading.Lock()
        self._out: dict[bytes, tuple[Grant, float]] = {}
        self._pid = os.getpid()

    def __len__(self) -> int:
        """Return how many are out."""
        with self._lock:
            self._sweep()
            return len(self._out)

    def __repr__(self) -> str:
        return f"<Tokens {len(self._out)} out>"

    def issue(self, grant: Grant, ttl: float = 30.0) -> str:
        """Return a new token.

        Args:
            grant: what it is good for.
            ttl: seconds until it is good for nothing.

        Raises:
            LimitError: too many are out.
        """
        expect.seconds("ttl", ttl, optional=False)
        token = secrets.token_urlsafe(BYTES)
        with self._lock:
            self._sweep()
            mine = [digest for digest, (other, _) in self._out.items() if other.user == grant.user]
            for oldest in mine[: len(mine) - self._limit_each + 1] if len(mine) >= self._limit_each else ():
                del self._out[oldest]
            if len(self._out) >= self._limit:
                raise LimitError("too many terminals are asked for at once; try again in a minute")
            self._out[_digest(token)] = grant, time.monotonic() + ttl
        return token

    def redeem(self, token: object, *, user: str | None = None, address: str | None = None) -> Grant:
        """Return what a token is good for; it is good for nothing from then on, whoever came with it.

        Args:
            token: as it came from the network.
            user: who came with it, where that is known; nobody else's token is good for that user.
            address: from where; of a token that was given to an address, it has to be that one.

        Raises:
            TokenError: it opens nothing. Why is not said: wrong, used, too old, somebody else's are all the same.
        """
        if not isinstance(token, str) or not token or len(token) > _LONGEST:
            _refuse()
        with self._lock:
            self._sweep()
            grant, until = self._out.pop(_digest(token), (None, 0.0))
        if grant is None or time.monotonic() >= until:
            _refuse()
        if user is not None and not _same(user, grant.user):
            _refuse()
        if grant.address is not None and not _same(address or "", grant.address):
            _refuse()
        return grant

    def revoke(self, session: str) -> None:
        """Forget the tokens for a session.

        Args:
            session: its identifier.
        """
        with self._lock:
            for digest in [digest for digest, (grant, _) in self._out.items() if grant.session == session]:
                del self._out[digest]

    def clear(self) -> None:
        """Forget them all."""
        with self._lock:
            self._out.clear()

    def _sweep(self) -> None:
        if self._pid != os.getpid():
            # Else each of several children would take the same token once.
            self._pid, self._out = os.getpid(), {}
        now = time.monotonic()
        for digest in [digest for digest, (_, until) in self._out.items() if until <= now]:
            del self._out[digest]


def _digest(token: str) -> bytes:
    return hashlib.sha256(token.encode("utf-8", "surrogatepass")).digest()


def _same(one: str, other: str) -> bool:
    return hmac.compare_digest(one.encode("utf-8", "surrogatepass"), other.encode("utf-8", "surrogatepass"))


def _refuse() -> NoReturn:
    raise TokenError("this link to a terminal is not valid (any more); open the terminal anew")
