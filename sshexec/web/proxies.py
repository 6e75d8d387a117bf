"""Which address a request came from: what proxies say counts only where they are trusted."""

from __future__ import annotations

import ipaddress
from collections.abc import Iterable, Mapping
from typing import Any

from sshexec.errors import ArgumentError

_Network = ipaddress.IPv4Network | ipaddress.IPv6Network


class Proxies:
    """The proxies that are trusted.

    Args:
        trusted: addresses and networks, such as ``10.0.0.5`` or ``10.1.0.0/16``.

    Raises:
        ArgumentError: one of them is something else.
    """

    def __init__(self, trusted: Iterable[str] = ()) -> None:
        if isinstance(trusted, str):
            raise ArgumentError("trusted_proxies: expected a list of addresses")
        self._networks: list[_Network] = []
        for each in trusted:
            try:
                self._networks.append(ipaddress.ip_network(each))
            except ValueError:
                raise ArgumentError(f"trusted_proxies: expected addresses or networks, got {each!r:.60}") from None

    def client(self, environ: Mapping[str, Any]) -> str:
        """Return the address that a request came from.

        ``X-Forwarded-For`` is read from its right end, as far as proxies that are trusted have written it: what stands
        left of that, anybody may have sent.

        Args:
            environ: the request's, of WSGI.
        """
        address = str(environ.get("REMOTE_ADDR") or "")
        if not self._trusts(address):
            return address
        said = [part.strip() for part in str(environ.get("HTTP_X_FORWARDED_FOR", ""))[-4096:].split(",")]
        for each in reversed(said):
            if _address(each) is None:
                break
            address = each
            if not self._trusts(each):
                break
        return address

    def _trusts(self, text: str) -> bool:
        address = _address(text)
        return address is not None and any(address in network for network in self._networks)


def _address(text: str) -> ipaddress.IPv4Address | ipaddress.IPv6Address | None:
    try:
        address = ipaddress.ip_address(text)
    except ValueError:
        return None
    mapped = getattr(address, "ipv4_mapped", None)
    return mapped or address
