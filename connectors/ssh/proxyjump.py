"""Where ProxyJump leads: ``[user@]host[:port]`` or ``ssh://[user@]host[:port]``, separated by commas."""

from __future__ import annotations

import urllib.parse
from typing import NamedTuple

from sshexec.connectors.ssh.keywords import port as tcp_port


class Destination(NamedTuple):
    """One jump host as it was named.

    Args:
        host: its name, which ssh_config may have settings for.
        user: login name; None where it is not said.
        port: TCP port; None where it is not said.
    """

    host: str
    user: str | None = None
    port: int | None = None

    def __str__(self) -> str:
        host = f"[{self.host}]" if ":" in self.host else self.host
        return f"{'' if self.user is None else f'{self.user}@'}{host}{'' if self.port is None else f':{self.port}'}"


def check(text: str) -> None:
    """Check what ProxyJump or ``-J`` names, before its tokens are filled in.

    Raises:
        ValueError: it names no host.
    """
    # A token may be the port, or in it; any port will do for a look at the syntax.
    read(text.replace("%p", "22"))


def read(text: str) -> list[Destination]:
    """Return the hops, the first one first.

    Raises:
        ValueError: a hop is not written as it must be.
    """
    return [_destination(part) for part in text.split(",")]


def _destination(text: str) -> Destination:
    """Read one hop, as ``parse_ssh_uri`` and ``parse_user_host_port`` of OpenSSH's misc.c do."""
    rest = text.strip()
    is_uri = rest[:6].lower() == "ssh://"
    if is_uri:
        rest = rest[6:]
        rest, _, path = rest.partition("/")
        if path:
            raise ValueError(f"expected [user@]host[:port], got {text!r}")
    user, at, rest = rest.rpartition("@")
    if is_uri:
        user = urllib.parse.unquote(user.partition(";")[0])
    if rest.startswith("["):
        host, close, rest = rest[1:].partition("]")
        if not close or (rest and not rest.startswith(":")):
            raise ValueError(f"expected [user@]host[:port], got {text!r}")
        colon, number = rest[:1], rest[1:]
    else:
        host, colon, number = rest.partition(":")
    if not host or (at and not user) or host.startswith("-") or any(char in "'\"`\\ \t" for char in user + host):
        raise ValueError(f"expected [user@]host[:port], got {text!r}")
    if colon and not number:
        raise ValueError(f"expected [user@]host[:port], got {text!r}")
    return Destination(host, user or None, tcp_port(number) if colon else None)
