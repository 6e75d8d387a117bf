"""Host certificates: what a certificate authority says of a host's key (OpenSSH's PROTOCOL.certkeys).

A host shows its certificate in the place of its key, where one of the algorithms below was agreed on. That the host has
the private key is proven by the key exchange; here it is checked what the certificate is worth.
"""

from __future__ import annotations

import base64
import struct
import time
from dataclasses import dataclass

from cryptography.exceptions import InvalidSignature, UnsupportedAlgorithm
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    PublicFormat,
    SSHCertificate,
    SSHCertificateType,
    load_ssh_public_identity,
)

_SIGNATURES = {
    b"ssh-ed25519",
    b"ecdsa-sha2-nistp256",
    b"ecdsa-sha2-nistp384",
    b"ecdsa-sha2-nistp521",
    b"rsa-sha2-256",
    b"rsa-sha2-512",
}
"""Signatures of authorities that count: OpenSSH's CASignatureAlgorithms, in which there is no SHA-1."""

_FOREVER = 2**64 - 1
_SHOWN_PRINCIPALS = 5


class CertificateError(Exception):
    """What a host showed is no certificate, or none that can be read (never leaves this room)."""


@dataclass(frozen=True, slots=True)
class HostCertificate:
    """A certificate whose signature is right.

    Args:
        key_id: what the authority calls it.
        authority: the public key that signed it.
        for_host: whether it is a host's, and not a user's.
        principals: names it holds for; none means any, as in OpenSSH.
        valid_after: from when on, seconds since the epoch.
        valid_before: until when.
        critical: options of it that must be understood; none is defined for hosts.
    """

    key_id: str
    authority: bytes
    for_host: bool
    principals: tuple[str, ...]
    valid_after: int
    valid_before: int
    critical: tuple[str, ...]

    @classmethod
    def read(cls, blob: bytes) -> HostCertificate:
        """Read a certificate and verify its signature.

        Raises:
            CertificateError: it is damaged, or its signature is wrong or of a kind that is not accepted.
        """
        try:
            (length,) = struct.unpack_from(">I", blob)
            kind = blob[4 : 4 + length]
            read = load_ssh_public_identity(kind + b" " + base64.b64encode(blob))
            if not isinstance(read, SSHCertificate):
                raise CertificateError("it is a plain key")
            key = read.signature_key()
            authority = base64.b64decode(key.public_bytes(Encoding.OpenSSH, PublicFormat.OpenSSH).split()[1])
            signature = _signature_kind(blob, authority)
            if signature not in _SIGNATURES:
                raise CertificateError(f"it is signed with {signature.decode('ascii', 'replace')}")
            read.verify_cert_signature()
        except InvalidSignature:
            raise CertificateError("its signature is wrong") from None
        except (ValueError, UnsupportedAlgorithm, struct.error, AssertionError) as error:
            raise CertificateError(f"it can't be read: {error}") from None
        return cls(
            read.key_id.decode("utf-8", "replace"),
            authority,
            read.type is SSHCertificateType.HOST,
            tuple(name.decode("utf-8", "replace") for name in read.valid_principals),
            read.valid_after,
            read.valid_before,
            tuple(name.decode("utf-8", "replace") for name in read.critical_options),
        )

    def flaw(self, host: str) -> str:
        """Return why it says nothing of a host, as OpenSSH judges; "" where it holds.

        Args:
            host: the name that is connected to, or HostKeyAlias.
        """
        now = time.time()
        if not self.for_host:
            return "it is a user's certificate"
        if now < self.valid_after:
            return f"it is not valid before {_date(self.valid_after)}"
        if self.valid_before != _FOREVER and now >= self.valid_before:
            return f"it has expired on {_date(self.valid_before)}"
        if self.principals and not any(host in (name, name.lower()) for name in self.principals):
            more = len(self.principals) - _SHOWN_PRINCIPALS
            shown = ", ".join(self.principals[:_SHOWN_PRINCIPALS]) + (f" and {more} more" if more > 0 else "")
            return f"it is for {shown}, not for {host}"
        if self.critical:
            return f"it demands {', '.join(self.critical[:_SHOWN_PRINCIPALS])}, which no host certificate can"
        return ""


def _signature_kind(blob: bytes, authority: bytes) -> bytes:
    """Return the kind of a certificate's signature, which stands behind the authority's key and ends the certificate.

    An RSA key signs with SHA-1 too, and the library verifies that.

    Raises:
        ValueError: it does not stand there.
    """
    signature = blob[blob.rindex(struct.pack(">I", len(authority)) + authority) + 4 + len(authority) :]
    whole, length = struct.unpack_from(">II", signature)
    if whole != len(signature) - 4 or length > whole - 4:
        raise ValueError("its signature does not end it")
    return signature[8 : 8 + length]


def _date(seconds: int) -> str:
    try:
        return time.strftime("%Y-%m-%d %H:%M:%S", time.localtime(seconds))
    except (ValueError, OverflowError, OSError):
        return "a date that no clock shows"
