"""User certificates: which key each one belongs to (OpenSSH's PROTOCOL.certkeys)."""

from __future__ import annotations

import base64
import os
import struct
from collections.abc import Iterable
from dataclasses import dataclass

from sshexec.connectors.ssh import keyfiles
from sshexec.connectors.ssh.keytypes import SUFFIX
from sshexec.errors import OptionError

_FIELDS = {
    "ssh-ed25519": 1,
    "ssh-rsa": 2,
    "ecdsa-sha2-nistp256": 2,
    "ecdsa-sha2-nistp384": 2,
    "ecdsa-sha2-nistp521": 2,
    "sk-ssh-ed25519": 2,
    "sk-ecdsa-sha2-nistp256": 3,
}
"""How many strings or numbers the public key of each type consists of, behind the certificate's nonce."""

_LONGEST = 1_000_000


@dataclass(frozen=True)
class Certificate:
    """A user certificate.

    Args:
        path: its file; "" for one that an agent holds.
        kind: its type, ``ssh-ed25519-cert-v01@openssh.com``, say.
        blob: as it is sent to the host.
        key: the public key that it is for.
    """

    path: str
    kind: str
    blob: bytes
    key: bytes


def read(path: str) -> Certificate:
    """Read a certificate file, as ssh-keygen writes it.

    Raises:
        OptionError: it is missing, unreadable, or no certificate.
    """
    try:
        kind, encoded = keyfiles.read(path, _LONGEST).split()[:2]
        blob = base64.b64decode(encoded, validate=True)
        name = kind.decode("ascii")
    except (OSError, ValueError) as error:
        what = error.strerror or error if isinstance(error, OSError) else "it holds no certificate"
        raise OptionError(f"certificate file {path} is unreadable: {what}") from None
    key = key_of(name, blob)
    if key is None:
        raise OptionError(f"certificate file {path} is unreadable: it holds no user certificate of a known type")
    return Certificate(path, name, blob, key)


def key_of(kind: str, blob: bytes) -> bytes | None:
    """Return the public key that a certificate is for; None where it is none, or damaged."""
    base = kind.removesuffix(SUFFIX)
    if base == kind or base not in _FIELDS:
        return None
    try:
        parts, at = [], 0
        for _ in range(2 + _FIELDS[base]):  # the type's name, the nonce, the key's own fields
            size = struct.unpack_from(">I", blob, at)[0]
            parts.append(blob[at : at + 4 + size])
            at += 4 + size
    except struct.error:
        return None
    if at > len(blob):
        return None
    name = f"{base}@openssh.com" if base.startswith("sk-") else base
    return struct.pack(">I", len(name)) + name.encode() + b"".join(parts[2:])


def beside(path: str) -> list[Certificate]:
    """Return the certificate that lies beside a private key file, as ssh-keygen puts it there."""
    name = f"{path}-cert.pub"
    return [read(name)] if os.path.exists(name) else []


def matching(key: bytes, certificates: Iterable[Certificate]) -> list[Certificate]:
    """Return those of the certificates that are for this public key, each once."""
    found = {each.blob: each for each in certificates if each.key == key}
    return list(found.values())
