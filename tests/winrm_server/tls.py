"""TLS of the endpoint: its certificate, whom client certificates stand for, and the channel's bindings."""

from __future__ import annotations

import hashlib
import socket
import ssl
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import cast


@dataclass
class Tls:
    """How the endpoint speaks TLS.

    Args:
        certificate: PEM file of the certificate, with those of its issuers below it.
        key: PEM file of its key.
        ca: PEM file that clients are told to trust (`WinrmServer.variables`).
        client_ca: PEM file of who issues client certificates; None where none are asked for.
        client_users: whom a client certificate stands for, by its common name.
        bindings_checked: whether NTLM and Kerberos must be bound to this channel (``CbtHardeningLevel`` Strict).
        minimum: the oldest version of TLS.
    """

    certificate: Path
    key: Path
    ca: Path | None = None
    client_ca: Path | None = None
    client_users: Mapping[str, str] = field(default_factory=dict)
    bindings_checked: bool = True
    minimum: ssl.TLSVersion = ssl.TLSVersion.TLSv1_2

    def __post_init__(self) -> None:
        self._context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        self._context.minimum_version = self.minimum
        self._context.load_cert_chain(self.certificate, self.key)
        if self.client_ca is not None:
            self._context.load_verify_locations(self.client_ca)
            self._context.verify_mode = ssl.CERT_OPTIONAL
        der = ssl.PEM_cert_to_DER_cert(_first(self.certificate.read_text()))
        self._digest = hashlib.sha256(der).digest()

    @property
    def bindings(self) -> bytes | None:
        """The channel's bindings (RFC 5929, tls-server-end-point); None where they are not checked."""
        return b"tls-server-end-point:" + self._digest if self.bindings_checked else None

    def wrap(self, sock: socket.socket) -> ssl.SSLSocket:
        """Shake hands; the socket is the wrapped one's from now on."""
        return self._context.wrap_socket(sock, server_side=True, suppress_ragged_eofs=True)

    def user_of(self, sock: socket.socket) -> str | None:
        """Return whom the client's certificate stands for; None where it sent none, or one that nobody is known by."""
        assert isinstance(sock, ssl.SSLSocket)
        shown = sock.getpeercert() or {}
        parts = cast("tuple[tuple[tuple[str, str], ...], ...]", shown.get("subject", ()))
        name = next((value for part in parts for key, value in part if key == "commonName"), "")
        return self.client_users.get(name)


def _first(pem: str) -> str:
    end = "-----END CERTIFICATE-----"
    begin = pem.index("-----BEGIN CERTIFICATE-----")
    return pem[begin : pem.index(end) + len(end)] + "\n"
