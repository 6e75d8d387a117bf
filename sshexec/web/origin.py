"""Which sites' pages may speak to this one: browsers say where a page comes from, and do not let it lie about that."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from urllib.parse import urlsplit

from sshexec.errors import ArgumentError

__all__ = ["Origins"]

_PORTS = {"http": 80, "https": 443}
_HOST = re.compile(r"[a-z0-9._-]+|\[[0-9a-f:.]+\]")


class Origins:
    """The origins (RFC 6454) that are allowed: scheme, host and port must all be the same.

    They are said, never taken from a request's Host header: who can make a browser send a name of its own (DNS
    rebinding) would be allowed by it.

    Args:
        allowed: such as "https://ops.example.org" or "http://127.0.0.1:8022"; none allows no browser.

    Raises:
        ArgumentError: one is no origin.
    """

    def __init__(self, allowed: Iterable[str] = ()) -> None:
        if isinstance(allowed, str):
            raise ArgumentError("origins: expected a list of them")
        self._allowed = frozenset(self._read(each) for each in allowed)

    def __contains__(self, origin: object) -> bool:
        """Whether a request's Origin header is one of them."""
        try:
            return isinstance(origin, str) and self._read(origin) in self._allowed
        except ArgumentError:
            return False

    def __iter__(self) -> Iterator[str]:
        """Yield them as texts."""
        for scheme, host, port in sorted(self._allowed):
            yield f"{scheme}://{host}" + ("" if port == _PORTS[scheme] else f":{port}")

    def allows(self, origin: str | None, *, cookies: bool) -> bool:
        """Whether a request may change something, or open a WebSocket.

        Args:
            origin: its Origin header; None where it has none.
            cookies: whether something in it that a browser adds by itself, such as a cookie, is what allows it. Then
                it must say where it comes from.
        """
        return not cookies if origin is None else origin in self

    @staticmethod
    def _read(text: str) -> tuple[str, str, int]:
        """Return scheme, host and port of an origin."""
        wrong = ArgumentError(f"origin: expected one such as https://ops.example.org, got {text!r:.100}")
        try:
            parts = urlsplit(text)
            port = parts.port
        except ValueError:
            raise wrong from None
        host = parts.netloc.rpartition(":")[0] if port is not None else parts.netloc
        if not text.isascii() or text != f"{parts.scheme}://{parts.netloc}" or parts.scheme not in _PORTS:
            raise wrong
        if not _HOST.fullmatch(host) or port == 0:
            raise wrong
        return parts.scheme, host, port or _PORTS[parts.scheme]
