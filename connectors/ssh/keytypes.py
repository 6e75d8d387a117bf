"""Types of keys, by the names that known_hosts has for them, and the algorithms that each signs with."""

from __future__ import annotations

import base64
import hashlib

SUFFIX = "-cert-v01@openssh.com"
"""What the name of a type, or of an algorithm, ends in where it is a certificate's (OpenSSH's PROTOCOL.certkeys)."""

HOST_KEY_ALGORITHMS = {
    "ssh-ed25519": ("ssh-ed25519",),
    "ecdsa-sha2-nistp256": ("ecdsa-sha2-nistp256",),
    "ecdsa-sha2-nistp384": ("ecdsa-sha2-nistp384",),
    "ecdsa-sha2-nistp521": ("ecdsa-sha2-nistp521",),
    "ssh-rsa": ("rsa-sha2-512", "rsa-sha2-256"),
}
"""Types of host keys, the best first, with the signature algorithms to ask for, likewise."""

CERTIFICATE_ALGORITHMS = {
    kind + SUFFIX: tuple(name + SUFFIX for name in names) for kind, names in HOST_KEY_ALGORITHMS.items()
}
"""The same for host certificates, which are asked for only where an authority of the host is known."""

KINDS = tuple(HOST_KEY_ALGORITHMS)
"""Types of host keys, the best first."""


def fingerprint(blob: bytes) -> str:
    """Return the fingerprint of a public key as OpenSSH shows it."""
    return "SHA256:" + base64.b64encode(hashlib.sha256(blob).digest()).rstrip(b"=").decode()
